package rig

import (
	"context"
	"os/exec"
)

// Printcore prepares the printcore program of Debian's printrun: with the arguments
// "-b", a bit rate, a port and a file of G-code it prints the file and ends. It is a
// Python program, which cross/tools.sh brings without the window system of its
// package. What it prints on standard output and error is the caller's to set.
func Printcore(ctx context.Context, args ...string) (*exec.Cmd, error) {
	if _, err := find("python3"); err != nil {
		return nil, err
	}
	t, err := find("printcore")
	if err != nil {
		return nil, err
	}
	return t.command(ctx, args...), nil
}
