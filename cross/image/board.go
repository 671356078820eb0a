package image

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/BurntSushi/toml"

	"platen/cross/targets"
)

//go:embed boards
var boardFiles embed.FS

// Board is what an image is built from: the file board.toml of a folder below boards. Other
// files of the folder go to /etc/platen.
type Board struct {
	Name    string            `toml:"-"`
	Target  string            `toml:"target"`
	Debian  string            `toml:"debian"`
	Kernel  string            `toml:"kernel"`
	Console string            `toml:"console"`
	Cmdline string            `toml:"cmdline"`
	Boot    []string          `toml:"boot"` // "uboot", "efi"
	Modules []string          `toml:"modules"`
	Files   map[string][]byte `toml:"-"`
	target  targets.Target
}

// Boards lists the boards that images are built for.
func Boards() ([]string, error) {
	list, err := boardFiles.ReadDir("boards")
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names, err
}

// LoadBoard reads a board's folder.
func LoadBoard(name string) (b Board, err error) {
	dir, err := fs.Sub(boardFiles, "boards/"+name)
	if err != nil {
		return b, err
	}
	md, err := toml.DecodeFS(dir, "board.toml", &b)
	if err != nil {
		names, _ := Boards()
		return b, fmt.Errorf("board %s (images are built for %v): %w", name, names, err)
	}
	if extra := md.Undecoded(); len(extra) > 0 {
		return b, fmt.Errorf("board %s: unknown key %q", name, extra[0])
	}
	b.Name, b.Files = name, map[string][]byte{}
	if b.target, err = targets.Find(b.Target); err != nil {
		return b, fmt.Errorf("board %s: %w", name, err)
	}
	list, err := fs.ReadDir(dir, ".")
	for _, e := range list {
		if e.Name() != "board.toml" && err == nil {
			b.Files[e.Name()], err = fs.ReadFile(dir, e.Name())
		}
	}
	return b, err
}

// CommandLine is the kernel's, before a bootloader adds which slot it is. With console the
// printer can be asked at its serial line (package console).
func (b Board) CommandLine(console bool) string {
	line := "console=" + b.Console + " " + b.Cmdline
	if console {
		line += " platen.console=" + b.Console
	}
	return line
}
