// Package cli is what the five commands of Platen have in common: the root
// command with its version, help, completion and manual page, the -o flag, exit
// codes, and progress on a terminal or in lines.
//
// A main makes its root with [Root], adds its subcommands and hands it to [Main].
// Data goes to standard output, everything else to standard error.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	ExitOK         = 0
	ExitFailed     = 1 // it was tried and did not work
	ExitUsage      = 2 // it was asked for wrongly
	ExitDegraded   = 3 // it works, but something needs attention
	ExitNotRunning = 4 // the agent or printer it talks to is not there
)

// Set by the linker: -X platen/agent/cli.version=… -X platen/agent/cli.release=…
var (
	version = "devel"
	release = "0"
)

// Version is the version people read, for example "0.1.0".
func Version() string { return version }

// Release is the number of the signed release this binary was built as; 0 is a
// build that was never released.
func Release() uint64 {
	n, err := strconv.ParseUint(release, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ExitError carries the exit code a command ends with.
type ExitError struct {
	Code int
	Err  error
}

// Error is the text of the error inside.
func (e *ExitError) Error() string { return e.Err.Error() }

// Unwrap returns the error inside.
func (e *ExitError) Unwrap() error { return e.Err }

// Usage makes an error that ends the command with ExitUsage.
func Usage(format string, a ...any) error {
	return &ExitError{ExitUsage, fmt.Errorf(format, a...)}
}

// Output is how a command prints its result, from its -o flag.
type Output string

// The outputs. JSON is one document, JSONL one document a line as things happen.
const (
	Text  Output = "text"
	JSON  Output = "json"
	JSONL Output = "jsonl"
)

// OutputOf returns the value of the -o flag of a command below a [Root].
func OutputOf(c *cobra.Command) Output { return Output(c.Flag("output").Value.String()) }

// Print writes v as indented JSON if -o json was given (one line for jsonl), and
// else calls text with standard output.
func Print(c *cobra.Command, v any, text func(w io.Writer) error) error {
	w := c.OutOrStdout()
	out := OutputOf(c)
	if out == Text {
		return text(w)
	}
	enc := json.NewEncoder(w)
	if out == JSON {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}

// VersionInfo is what the version command prints as JSON.
type VersionInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Release uint64 `json:"release"`
	Go      string `json:"go"`
	Target  string `json:"target"`
}

// Root makes the root command of a main. long is its help text; it should say
// where to start.
func Root(name, short, long string) *cobra.Command {
	root := &cobra.Command{
		Use:           name,
		Short:         short,
		Long:          long,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
		Args:          cobra.NoArgs,
		// Without it an unknown command would print the help and count as done.
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	out := Text
	root.PersistentFlags().VarP(&outputFlag{&out}, "output", "o", "print results as text, json or jsonl")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Usage("%v; see %s --help", err, c.CommandPath())
	})
	root.AddCommand(versionCmd(name), manCmd(root))
	root.InitDefaultCompletionCmd()
	return root
}

// Main runs root until it ends or SIGINT or SIGTERM arrives, prints its error to
// standard error and exits with its code. A second signal kills.
func Main(root *cobra.Command) {
	os.Exit(Run(context.Background(), root))
}

// Run is Main without the exit: it returns the exit code.
func Run(ctx context.Context, root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from here on a signal kills
	wrapArgs(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(root.ErrOrStderr(), "%s: %v\n", root.Name(), err)
	if strings.HasPrefix(err.Error(), "required flag(s)") { // cobra has no type for it
		return ExitUsage
	}
	if e, ok := errors.AsType[*ExitError](err); ok {
		return e.Code
	}
	return ExitFailed
}

// wrapArgs turns wrong arguments into usage errors for the whole tree.
func wrapArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return Usage("%v; see %s --help", err, c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

func versionCmd(name string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, release number and build target",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := VersionInfo{name, version, Release(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return Print(c, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s %s (release %d, %s, %s)\n", v.Name, v.Version, v.Release, v.Go, v.Target)
				return err
			})
		},
	}
}

type outputFlag struct{ out *Output }

func (f *outputFlag) String() string { return string(*f.out) }
func (f *outputFlag) Type() string   { return "format" }
func (f *outputFlag) Set(s string) error {
	switch o := Output(s); o {
	case Text, JSON, JSONL:
		*f.out = o
		return nil
	}
	return fmt.Errorf("%q is not an output format: use text, json or jsonl", s)
}
