package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/agent/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"platen-ota": func() { os.Exit(cli.Run(context.Background(), root())) },
	})
}

func TestScripts(t *testing.T) {
	if err := exec.Command(os.Args[0], "-test.run=^$").Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this user emulation cannot start programs of its own architecture")
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}
