package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeApt is an apt-get that fails with what is in a file beside it: plain or fixed for an update without
// and with security updates, download for a download, of which it makes a file of the version in version.
const fakeApt = `#!/bin/sh
at=$(dirname "$0")
for a; do
	case $a in
	Dir::Etc::sourcelist=*) list=${a#*=} ;;
	update) what=plain; ! grep -q security "$list" || what=fixed ;;
	download) what=download ;;
	esac
	last=$a
done
if [ -e "$at/$what" ]; then cat "$at/$what" >&2; exit 100; fi
[ $what != download ] || cat "$at/version" >"${last}_$(cat "$at/version")_arm64.deb"
`

// What apt says.
const (
	noHost    = "E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Could not resolve 'deb.debian.org'\nE: Some index files failed to download. They have been ignored, or old ones used instead.\n"
	noPort    = "E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Could not connect to 127.0.0.1:1 (127.0.0.1). - connect (111: Connection refused)\n"
	noFile    = "E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  404  Not Found [IP: 192.0.2.1 80]\n"
	noTrust   = "E: The repository 'http://deb.debian.org/debian bookworm InRelease' is not signed.\n"
	noPackage = "E: Unable to locate package stub\n"
)

// TestFetch: only a mirror that cannot be reached is [ErrFetch]. What has to be fixed is fetched with security
// updates or not at all, whatever the cache has.
func TestFetch(t *testing.T) {
	for name, c := range map[string]struct {
		fixed           bool
		version, cached string
		fails           map[string]string
		want            string // version
		unreached       bool
	}{
		"all is well":                        {version: "9", want: "9"},
		"cached":                             {version: "9", cached: "10", want: "10"},
		"no security updates":                {version: "9", fails: map[string]string{"fixed": noTrust}, want: "9"},
		"no network":                         {fails: map[string]string{"fixed": noHost, "plain": noHost}, unreached: true},
		"refused":                            {fails: map[string]string{"fixed": noPort, "plain": noPort}, unreached: true},
		"lost before a download":             {fails: map[string]string{"download": noHost}, unreached: true},
		"not signed":                         {fails: map[string]string{"fixed": noTrust, "plain": noTrust}},
		"not signed, then lost":              {fails: map[string]string{"fixed": noTrust, "plain": noHost}},
		"part of it not signed":              {fails: map[string]string{"fixed": noHost + noTrust, "plain": noHost + noTrust}},
		"not there":                          {fails: map[string]string{"fixed": noFile, "plain": noFile}},
		"no such package":                    {fails: map[string]string{"download": noPackage}},
		"silent":                             {fails: map[string]string{"download": ""}},
		"for a release":                      {fixed: true, version: "9", cached: "10", want: "9"},
		"a release without security updates": {fixed: true, version: "9", cached: "10", fails: map[string]string{"fixed": noFile}},
		"a release without network":          {fixed: true, version: "9", cached: "10", fails: map[string]string{"fixed": noHost}, unreached: true},
	} {
		t.Run(name, func(t *testing.T) {
			bin, cache := t.TempDir(), t.TempDir()
			put := func(dir, name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			put(bin, "apt-get", fakeApt)
			put(bin, "version", c.version)
			for name, text := range c.fails {
				put(bin, name, text)
			}
			if c.cached != "" {
				put(cache, "stub_"+c.cached+"_arm64.deb", c.cached)
				put(cache, "stub.arm64", "stub_"+c.cached+"_arm64.deb")
			}
			t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
			deb, err := debian{cache, "arm64", suite, c.fixed}.fetch(t.Context(), "stub")
			if errors.Is(err, ErrFetch) != c.unreached || (err == nil) != (c.want != "") {
				t.Fatalf("%s, %v", deb, err)
			}
			if err != nil {
				return
			}
			if text, err := os.ReadFile(deb); err != nil || string(text) != c.want {
				t.Errorf("it is %s, %q, %v", deb, text, err)
			}
			if again, err := (debian{cache, "arm64", suite, false}).fetch(t.Context(), "stub"); err != nil || again != deb {
				t.Errorf("from the cache: %s, %v", again, err)
			}
			if text, err := noted([]string{deb}); err != nil || !strings.HasSuffix(text, "  stub_"+c.want+"_arm64.deb\n") || len(text) < 64 {
				t.Errorf("noted: %q, %v", text, err)
			}
		})
	}
}
