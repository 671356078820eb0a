// A runtime that follows the bounds of its cgroup keeps files of it open, and a
// session is to have none.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command platen is the one binary on a printer: the launcher that picks a slot,
// the agent, the session processes it starts, and the commands that talk to it
// through its local socket.
//
// On a board, "platen boot" runs from the system's init; everything else is for
// people. Start with "platen doctor" and "platen status".
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/intake"
)

func main() {
	root := cli.Root("platen", "firmware agent of a 3D printer", `Platen runs on the board inside a 3D printer: it drives the motion controller, slices models on the
printer, keeps them in memory only, sends machine data to those its owner granted it to, and replaces
itself by signed releases.

Start with "platen doctor", which says what this board can hold, and "platen status".`)
	root.PersistentFlags().StringVar(&configPath, "config", config.Path, "configuration file")
	root.PersistentFlags().StringVar(&socketPath, "socket", "", "local socket of the agent, instead of the configuration's")
	root.AddCommand(runCmd(), bootCmd(), sessionCmd(), installCmd())
	root.AddCommand(printCmd(), queueCmd(), usbCmd(), checkCmd(), recipientCmd(), recreditCmd(), discardCmd(), statusCmd(), simpleCmd("pause", "Pause the print, lifting the nozzle", intake.OpPause),
		simpleCmd("resume", "Go on with a paused print", intake.OpResume),
		simpleCmd("cancel", "Cancel the print; heaters go off", intake.OpCancel),
		skipCmd(),
		selfTestCmd(),
		simpleCmd("halt", "Stop the machine at once; heaters go off", intake.OpHalt))
	root.AddCommand(enrolCmd(), decommissionCmd(), consentCmd(), auditCmd(), mirrorCmd(), approveCmd(), updateCmd(), controllerCmd(), catalogueCmd(), boardsCmd(), doctorCmd())
	cli.Main(root)
}

var configPath, socketPath string

// logger writes constant messages with their attributes to standard error.
func logger() *slog.Logger {
	level := slog.LevelInfo
	if os.Getenv("PLATEN_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func load() (*config.Config, error) {
	c, err := config.Load(configPath)
	if err == nil && socketPath != "" {
		c.Socket = socketPath
	}
	return c, err
}

// ask sends a request to the running agent.
func ask(ctx context.Context, req intake.Request, file *os.File, each func(intake.Reply)) (intake.Reply, error) {
	path := socketPath
	if path == "" {
		c, err := config.Load(configPath)
		if err != nil {
			return intake.Reply{}, err
		}
		path = c.Socket
	}
	r, err := intake.Ask(ctx, path, req, file, each)
	if errors.Is(err, intake.ErrNotRunning) {
		return r, &cli.ExitError{Code: cli.ExitNotRunning, Err: err}
	}
	return r, err
}

// failure is what -o json prints of a request that was refused.
type failure struct {
	Error string `json:"error"`
	Code  string `json:"code"`
}

// simpleCmd is a command that is one request without an answer.
func simpleCmd(use, short string, op intake.Op) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := ask(c.Context(), intake.Request{Op: op}, nil, nil)
			return refused(c, r, err)
		},
	}
}

// skipCmd leaves one object out of the print.
func skipCmd() *cobra.Command {
	return &cobra.Command{
		Use: "skip N", Short: "Print object N of the model no further",
		Long: `Leaves one object out of the print that runs, from the next layer on that is not planned yet: one that
has come loose, say. Objects are the parts of a 3MF file in their order, or the copies of a model, numbered
from 1; with both, the parts of the first copy come first. "platen cancel" ends the whole print.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 16)
			if err != nil || n == 0 {
				return cli.Usage("%q is not the number of an object", args[0])
			}
			r, err := ask(c.Context(), intake.Request{Op: intake.OpSkip, Object: uint16(n)}, nil, nil)
			return refused(c, r, err)
		},
	}
}

// refused prints a refusal for programs, if they asked for it, and returns err.
func refused(c *cobra.Command, r intake.Reply, err error) error {
	if err != nil && r.Code != "" && cli.OutputOf(c) != cli.Text {
		cli.Print(c, failure{r.Error, r.Code}, nil)
	}
	return err
}
