package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/agent/cli"
	"platen/cross/rig/rigtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"platen-ota": func() { os.Exit(cli.Run(context.Background(), root())) },
	})
}

func TestScripts(t *testing.T) {
	rigtest.Starts(t)
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, Setup: readme, Condition: needs})
}

// needs is the condition [needs:PROGRAM], which at a desk may fail.
func needs(cond string) (bool, error) {
	program, ok := strings.CutPrefix(cond, "needs:")
	if !ok {
		return false, fmt.Errorf("no condition %q", cond)
	}
	_, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") != "" {
		return false, err
	}
	return err == nil, nil
}

// readme gives every script the lines of "Ship a release", as ship.sh.
func readme(env *testscript.Env) error {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(text), "\n## Ship a release\n")
	section, _, _ := strings.Cut(after, "\n## ")
	script := "set -eux\n"
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "       "); ok {
			script += command
		}
	}
	return os.WriteFile(filepath.Join(env.WorkDir, "ship.sh"), []byte(script), 0o600)
}
