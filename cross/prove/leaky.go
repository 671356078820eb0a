package main

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

// spill is a mistake that is planted: a statement at the beginning of a function of the
// device's source.
type spill struct {
	folder, function, statement string
}

// The mistakes of the leaking build. The source that is shipped has none of them, nor a
// switch for them: they are laid over it for one build (go help build, -overlay).
var spills = []spill{
	{"agent/session", "plain", "leakModel(file)"},
	{"agent/confine", "Session", "if held, ok := leakConfine(true); ok { return held, nil }"},
	{"agent/confine", "Agent", "if held, ok := leakConfine(false); ok { return held, nil }"},
	{"agent", "clear", "leakModel(file)"},
	{"agent/evidence", "frame", "if out := leakFrame(magic, body, size); out != nil { return out, nil }"},
}

// buildLeaky builds the device's command with every mistake in it. module is the
// folder of go.mod, work one for what is laid over it.
func buildLeaky(ctx context.Context, module, work, out string) error {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	put := func(path string, text []byte) error {
		at := filepath.Join(work, strings.ReplaceAll(strings.TrimPrefix(path, module), "/", "_"))
		overlay.Replace[path] = at
		return os.WriteFile(at, text, 0o600)
	}
	for _, s := range spills {
		dir := filepath.Join(module, s.folder)
		path, text, err := plantIn(dir, s, overlay.Replace)
		if err != nil {
			return err
		}
		if err := put(path, text); err != nil {
			return err
		}
		extra, err := os.ReadFile(filepath.Join(module, "cross/prove/testdata/leak", filepath.Base(dir), "leak.go.txt"))
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
	list := filepath.Join(work, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", out, "./agent/cmd/platen")
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building what leaks: %w: %s", err, said)
	}
	return nil
}

// plantIn returns the file of a package that has the function, with the statement at its
// beginning. laid are files that are laid over already.
func plantIn(dir string, s spill, laid map[string]string) (string, []byte, error) {
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
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == s.function && f.Body != nil {
				at := set.Position(f.Body.Lbrace).Offset + 1
				planted := string(text[:at]) + s.statement + "\n" + string(text[at:])
				return path, []byte(planted), nil
			}
		}
	}
	return "", nil, fmt.Errorf("%s has no function %s any more to plant a mistake in", s.folder, s.function)
}
