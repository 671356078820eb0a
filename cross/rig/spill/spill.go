// Package spill builds the device's command with mistakes that are planted in it: what a proof
// that nothing leaks has to find. The source that is shipped has none of them, nor a switch for
// them: they are laid over it for one build (go help build, -overlay).
package spill

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Spill is a mistake that is planted: a statement at the beginning of a function of the
// device's source.
type Spill struct {
	// Folder is the package's, below the module's; Function the first function of that name in it.
	Folder, Function, Statement string
}

// Config says what is built.
type Config struct {
	// Module is the folder of go.mod, Work one for what is laid over it.
	Module, Work string
	// Sources is a folder with a file NAME/leak.go.txt for each package, by the last part of its
	// path, that the statements need.
	Sources string
	// Env is added to the environment of go build, such as GOARCH=arm64.
	Env []string
	// Release is what it says it is; 0 is a build of a desk.
	Release uint64
	// Out is the file to write.
	Out string
}

// Build builds the device's command with every mistake in it.
func Build(ctx context.Context, cfg Config, spills []Spill) error {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	put := func(path string, text []byte) error {
		at := filepath.Join(cfg.Work, strings.ReplaceAll(strings.TrimPrefix(path, cfg.Module), "/", "_"))
		overlay.Replace[path] = at
		return os.WriteFile(at, text, 0o600)
	}
	for _, s := range spills {
		dir := filepath.Join(cfg.Module, s.Folder)
		path, text, err := plant(dir, s, overlay.Replace)
		if err != nil {
			return err
		}
		if err := put(path, text); err != nil {
			return err
		}
		extra, err := os.ReadFile(filepath.Join(cfg.Sources, filepath.Base(dir), "leak.go.txt"))
		if err != nil {
			return err
		}
		if err := put(filepath.Join(dir, "leak_planted.go"), extra); err != nil {
			return err
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	list := filepath.Join(cfg.Work, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return err
	}
	flags := fmt.Sprintf("-s -w -X platen/agent/cli.release=%d", cfg.Release)
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-tags", "nethttpomithttp2", "-ldflags", flags, "-o", cfg.Out, "./agent/cmd/platen")
	cmd.Dir = cfg.Module
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), cfg.Env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building what leaks: %w: %s", err, said)
	}
	return nil
}

// plant returns the file of a package that has the function, with the statement at its
// beginning. laid are files that are laid over already.
func plant(dir string, s Spill, laid map[string]string) (string, []byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", nil, err
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		from := path
		if over, ok := laid[path]; ok {
			from = over
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", nil, err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
		if err != nil {
			return "", nil, fmt.Errorf("reading the source: %w", err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == s.Function && f.Body != nil {
				at := set.Position(f.Body.Lbrace).Offset + 1
				planted := string(text[:at]) + s.Statement + "\n" + string(text[at:])
				return path, []byte(planted), nil
			}
		}
	}
	return "", nil, fmt.Errorf("%s has no function %s any more to plant a mistake in", s.Folder, s.Function)
}
