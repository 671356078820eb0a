package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// python is an interpreter that has securesystemslib, with which python-tuf signs.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import securesystemslib.signer, cryptography, nacl").Run() == nil {
			return name
		}
	}
	const what = "needs Debian's python3-securesystemslib, python3-cryptography and python3-nacl"
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
	return ""
}

// TestRepositoriesOfOthers: repositories as python-tuf and tuf-on-ci write them, made and
// signed by Python's libraries, with delegated roles and a root that was replaced. The
// control has one signature of the team too few.
func TestRepositoriesOfOthers(t *testing.T) {
	program := python(t)
	for _, layout := range []string{"python-tuf", "tuf-on-ci"} {
		t.Run(layout, func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command(program, "testdata/write.py", dir, layout).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			web := httptest.NewServer(http.FileServer(http.Dir(dir)))
			t.Cleanup(web.Close)
			fetch := func(at string, names ...string) (got []string, err error) {
				base := t.TempDir()
				w := &world{t: t, url: web.URL + at, meta: filepath.Join(base, "metadata"), files: filepath.Join(base, "targets")}
				for _, folder := range []string{w.meta, w.files} {
					if err := os.Mkdir(folder, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				if err := run([]string{"--metadata-dir", w.meta, "init", filepath.Join(dir, at, "metadata/1.root.json")}); err != nil {
					t.Fatal(err)
				}
				err = w.download(names...)
				return w.downloaded(), err
			}
			if got, err := fetch("", "one.txt", "team/two.txt", "team/deep/three.txt", "bins/four.txt"); err != nil || !slices.Equal(got, []string{"four", "one", "three", "two"}) {
				t.Errorf("read %q, %v", got, err)
			}
			if got, err := fetch("", "five.txt"); err == nil {
				t.Errorf("what nobody lists: %q", got)
			}
			if got, err := fetch("/bad", "one.txt"); err != nil || !slices.Equal(got, []string{"one"}) {
				t.Errorf("what is not the team's: %q, %v", got, err)
			}
			if got, err := fetch("/bad", "team/two.txt"); err == nil {
				t.Errorf("the team has signed once too little: %q", got)
			}
		})
	}
}
