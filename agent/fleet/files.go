package fleet

import (
	"fmt"
	"net/http"
	"os"
	"path"
)

// files serves the files of one folder, read only and by ranges: no listings, no
// hidden files, nothing that a link leads out of the folder to.
type files struct{ root *os.Root }

func newFiles(dir string) (*files, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("serve the update repository: %w", err)
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
