package publish_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"platen/updater"
	"platen/updater/publish"
)

// ngclient is a client made of python-tuf: it fetches one target.
const ngclient = `
import inspect, sys, pathlib
from tuf.ngclient import Updater
url, root, meta, out, name = sys.argv[1:]
boot = pathlib.Path(root).read_bytes()
(pathlib.Path(meta) / "root.json").write_bytes(boot)
more = {"bootstrap": boot} if "bootstrap" in inspect.signature(Updater).parameters else {}
u = Updater(meta, url, out, url + "targets/", **more)
u.refresh()
info = u.get_targetinfo(name)
print(u.download_target(info, out + "/target"))
`

// python is an interpreter that can import modules, "" if there is none.
func python(modules string) string {
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import "+modules).Run() == nil {
			return name
		}
	}
	return ""
}

// foreign is a repository with all that others have to understand: keys of both kinds, over
// a rotation, releases and rollouts in the custom fields, a delegated role. The clock is
// theirs.
func foreign(t *testing.T) *site {
	t.Helper()
	s, keys := ceremony(t, time.Now(), 3, 2)
	for n := range uint64(2) {
		s.submit(s.drafted(n+1), keys[0], keys[1])
	}
	s.submit(s.draft(func() error {
		_, err := s.Repo.Rollout("sim", "agent", 0, func(r *updater.Rollout) { r.Share = 1000 }, nil, s.now)
		return err
	}), keys[1], keys[2])
	team, public := signers(t, 2)
	s.submit(s.draft(func() error {
		_, err := s.Delegate(publish.Grant{Board: "sim", Kind: "controller", Keys: public, Threshold: 2}, nil, s.now)
		return err
	}), keys[0], keys[1], team[0], team[1])
	s.submit(s.firmware(5), team...)
	fresh, public := signers(t, 1)
	s.submit(s.draft(func() error {
		_, err := s.Rotate(publish.Exchange{Role: "root", Fresh: public[0]}, nil, s.now)
		return err
	}), append(fresh, keys...)...)
	return s
}

// reads holds a client of somebody else against a repository: it gets releases of both
// roles. The control: with one signature less in a listing it is refused.
func reads(t *testing.T, s *site, read func(target string) (string, error)) {
	t.Helper()
	for target, want := range map[string]string{"sim/agent/2/platen": "sim2", "sim/controller/5/platen": "firmware5"} {
		if got, err := read(target); err != nil || got != want {
			t.Errorf("%s: %q, %v", target, got, err)
		}
	}
	for _, name := range []string{"2.sim-controller.json", "timestamp.json"} { // signed by two, and by one
		path := filepath.Join(s.dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(whole)
		at := bytes.Index(bad, []byte(`"sig":"`)) + len(`"sig":"`) + 9
		bad[at] = '0' + (bad[at]-'0'+1)%8
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read("sim/controller/5/platen"); err == nil {
			t.Errorf("the control, %s: it takes %q", name, got)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPythonReadsOurs: a reader that goes by the specification, with Python's canonical
// JSON, key ids and signatures, takes a repository of ours.
func TestPythonReadsOurs(t *testing.T) {
	program := python("securesystemslib.signer, cryptography, nacl")
	if program == "" {
		const what = "needs Debian's python3-securesystemslib, python3-cryptography and python3-nacl"
		if os.Getenv("CI") != "" {
			t.Fatal(what)
		}
		t.Skip(what)
	}
	s := foreign(t)
	reads(t, s, func(target string) (string, error) {
		out, err := exec.Command(program, "testdata/read.py", s.dir, filepath.Join(s.dir, "1.root.json"), target).CombinedOutput()
		return string(out), err
	})
}

// TestReferenceReadsOurs: so does python-tuf's own client, where somebody has installed it:
// Debian does not have it.
func TestReferenceReadsOurs(t *testing.T) {
	program := python("tuf.ngclient")
	if program == "" {
		t.Skip("python-tuf is not installed; TestPythonReadsOurs runs with what Debian has")
	}
	s := foreign(t)
	web := httptest.NewServer(http.FileServer(http.Dir(s.dir)))
	t.Cleanup(web.Close)
	reads(t, s, func(target string) (string, error) {
		meta, out := t.TempDir(), t.TempDir()
		text, err := exec.Command(program, "-c", ngclient, web.URL+"/", filepath.Join(s.dir, "1.root.json"), meta, out, target).CombinedOutput()
		if err != nil {
			return string(text), err
		}
		got, err := os.ReadFile(filepath.Join(out, "target"))
		return string(got), err
	})
}
