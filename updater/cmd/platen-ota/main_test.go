package main

import (
	"context"
	"os"
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
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}
