// Package targets is the one table of machines that Platen is built for, and how: without
// cgo, stripped, without the builder's paths, so that the same sources and the same Go
// release give the same bytes anywhere. Start at [Table] and [Target.Build].
package targets

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
)

// Target is a machine.
type Target struct {
	Name   string // as in file names: "armv7"
	Arch   string // GOARCH
	Level  string // GOARM or GOMIPS; "" where there is none
	Budget int64  // of the device binary in bytes
}

// Table is all targets. Where flash is small is ARM v7; the others have what their code
// needs more for the same program.
var Table = []Target{
	{Name: "armv6", Arch: "arm", Level: "6", Budget: 14_680_064},
	{Name: "armv7", Arch: "arm", Level: "7", Budget: 14_680_064},
	{Name: "arm64", Arch: "arm64", Budget: 15_728_640},
	{Name: "amd64", Arch: "amd64", Budget: 16_777_216},
	{Name: "mipsle", Arch: "mipsle", Level: "softfloat", Budget: 17_825_792},
}

// Device is the package of the device binary.
const Device = "./agent/cmd/platen"

// Find is the target of a name.
func Find(name string) (Target, error) {
	i := slices.IndexFunc(Table, func(t Target) bool { return t.Name == name })
	if i < 0 {
		return Target{}, fmt.Errorf("%q is no target of cross/targets", name)
	}
	return Table[i], nil
}

// Version is what a binary says it is.
type Version struct {
	Version string
	Release uint64
}

// Build compiles a package of the module in dir for the target into the file out.
func (t Target) Build(ctx context.Context, dir, pkg, out string, v Version) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "nethttpomithttp2", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X platen/agent/cli.version="+v.Version+" -X platen/agent/cli.release="+strconv.FormatUint(v.Release, 10), "-o", out, pkg)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), t.env()...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s for %s: %w", pkg, t.Name, err)
	}
	return nil
}

// env is what makes go build for the target.
func (t Target) env() []string {
	env := []string{"GOOS=linux", "GOARCH=" + t.Arch, "CGO_ENABLED=0", "GOFLAGS="}
	switch t.Arch {
	case "arm":
		env = append(env, "GOARM="+t.Level)
	case "mipsle":
		env = append(env, "GOMIPS="+t.Level)
	}
	return env
}
