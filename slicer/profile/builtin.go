package profile

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.toml
var files embed.FS

// Builtin is a profile that comes with Platen.
type Builtin struct {
	Name string
	Doc  string // its first line
	Text []byte
}

// Names lists the profiles that come with Platen, sorted.
func Names() []string {
	names, err := fs.Glob(files, "*.toml")
	if err != nil { // the pattern is constant
		panic(err)
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(n, ".toml")
	}
	slices.Sort(names)
	return names
}

// Find returns the profile of that name that comes with Platen.
func Find(name string) (Builtin, bool) {
	if !slices.Contains(Names(), name) {
		return Builtin{}, false
	}
	text, err := files.ReadFile(name + ".toml")
	if err != nil {
		return Builtin{}, false
	}
	doc, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
	return Builtin{Name: name, Doc: doc, Text: text}, true
}
