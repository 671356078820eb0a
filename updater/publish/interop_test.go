package publish_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platen/updater"
	"platen/updater/publish"
)

// reader is a client made of python-tuf: it fetches one target.
const reader = `
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

// TestPythonReadsOurs: python-tuf's client, the reference, takes a repository of ours: with
// keys of both kinds, over a rotation, releases and rollouts in the custom fields.
// Debian does not have python-tuf, so this runs where somebody has installed it.
func TestPythonReadsOurs(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(python, "-c", "import tuf.ngclient").Run()
	}
	if err != nil {
		t.Skip("python-tuf is not installed")
	}
	s, keys := ceremony(t, time.Now(), 3, 2) // whose clock python-tuf reads
	for n := range uint64(2) {
		s.submit(s.drafted(n+1), keys[0], keys[1])
	}
	d, err := s.Draft(func() error {
		_, err := s.Repo.Rollout("sim", "agent", 0, func(r *updater.Rollout) { r.Share = 1000 }, nil, s.now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.submit(d, keys[1], keys[2])
	fresh, public := signers(t, 1)
	d, err = s.Draft(func() error {
		_, err := s.Rotate(publish.Exchange{Role: "root", Fresh: public[0]}, nil, s.now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.submit(d, append(fresh, keys...)...)
	web := httptest.NewServer(http.FileServer(http.Dir(s.dir)))
	t.Cleanup(web.Close)
	read := func(root string) (string, error) {
		meta, out := t.TempDir(), t.TempDir()
		text, err := exec.Command(python, "-c", reader, web.URL+"/", root, meta, out, "sim/agent/2/platen").CombinedOutput()
		if err != nil {
			return string(text), err
		}
		got, err := os.ReadFile(filepath.Join(out, "target"))
		return string(got), err
	}
	root := filepath.Join(s.dir, "1.root.json")
	if got, err := read(root); err != nil || got != "sim2" {
		t.Errorf("python-tuf reads %q, %v", got, err)
	}
	// The control: one signature less in the targets is refused.
	name := filepath.Join(s.dir, "4.targets.json")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(data), `"sig":"`, `"sig":"00`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(root); err == nil {
		t.Errorf("the control: python-tuf takes %q", got)
	}
}
