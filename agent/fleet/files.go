package fleet

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"platen/agent/durable"
)

// files serves the files of one folder, read only and by ranges: no listings, no
// hidden files, nothing that a link leads out of the folder to.
type files struct{ root *os.Root }

func newFiles(dir string) (*files, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("serve the files of a folder: %w", err)
	}
	return &files{root}, nil
}

// ServeHTTP serves the file that the rest of the path names.
func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if name == "" || path.Clean("/"+name) != "/"+name || hidden(name) {
		http.NotFound(w, r)
		return
	}
	file, err := f.root.Open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", fi.ModTime(), file)
}

func hidden(name string) bool {
	for i := range len(name) {
		if name[i] == '.' && (i == 0 || name[i-1] == '/') {
			return true
		}
	}
	return false
}

// jobsPath is the path that sealed files are served below.
const jobsPath = "/jobs/"

// named serves files that are named by what they hold: the name is a strong tag, by which a
// download that broke off goes on (RFC 9110, section 13.1.5).
type named struct{ *files }

// ServeHTTP serves the file that the rest of the path names.
func (n named) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.Path) == 2*sha256.Size {
		w.Header().Set("ETag", strconv.Quote(r.URL.Path))
	}
	n.files.ServeHTTP(w, r)
}

// baseFile holds the base URL of the fleet's HTTPS while it is up, for commands beside it.
const baseFile = "https.url"

func keepBase(dir, base string) error {
	if err := durable.Replace(filepath.Join(dir, baseFile), []byte(base+"\n")); err != nil {
		return fmt.Errorf("keep the address: %w", err)
	}
	return nil
}

// Source is the URL of a sealed file that the fleet of dir holds under name, see package offers.
func Source(dir, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, baseFile))
	if err != nil {
		return "", fmt.Errorf("nothing was served from %s yet: start platen-fleet up --dir %s first", dir, dir)
	}
	return strings.TrimSuffix(strings.TrimSpace(string(b)), "/") + jobsPath + name, nil
}
