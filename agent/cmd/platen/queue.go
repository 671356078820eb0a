package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/confine"
	"platen/agent/intake"
)

func queueCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "List the sealed jobs that wait for the printer",
		Long: `List the sealed jobs that wait for the printer, the next first: by the random id of their ticket, how far they
are, their size and when their ticket ends. They come from "platen print --queue" and, with offers = true below
[fleet] in the configuration, from the operator. They are kept in memory, sealed, as long as the agent runs: after
a restart they have to be offered or added again. No copy is counted before one is printed.

Nothing is printed by itself: "platen queue print next" starts the first that is ready. With queue = "auto" in the
configuration the printer starts it, each time after "platen queue bed-clear", once it is ready.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := queueView(c)
			if err != nil {
				return err
			}
			return cli.Print(c, v, func(w io.Writer) error { return writeQueue(w, v) })
		},
	}
	drop := &cobra.Command{
		Use: "drop ID", Short: "Let a job go; it costs no copy", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := ask(c.Context(), intake.Request{Op: intake.OpQueueDrop, Job: args[0]}, nil, nil)
			return refused(c, r, err)
		},
	}
	c.AddCommand(queuePrintCmd(), drop,
		simpleCmd("bed-clear", "Say that the bed is clear, so that an automatic queue may start its next job", intake.OpBedClear))
	return c
}

func queueView(c *cobra.Command) (*intake.QueueView, error) {
	var v *intake.QueueView
	_, err := ask(c.Context(), intake.Request{Op: intake.OpQueue}, nil, func(r intake.Reply) { v = r.Queue })
	if err == nil && v == nil {
		err = errors.New("the agent said nothing of its queue")
	}
	return v, err
}

func writeQueue(w io.Writer, v *intake.QueueView) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	used := int64(0)
	for _, j := range v.Jobs {
		used += j.Size
		state := j.State
		if j.Why != "" {
			state += " (" + j.Why + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%d bytes\tuntil %s\n", j.ID, state, j.Size, j.NotAfter.Local().Format("2006-01-02 15:04"))
	}
	for _, r := range v.Refused {
		fmt.Fprintf(t, "%d offers refused\t%s\tlast\t%s\n", r.Count, r.Code, r.Last.Local().Format("2006-01-02 15:04"))
	}
	clear := ""
	if v.Mode == "auto" {
		clear = "; the bed is not known to be clear: platen queue bed-clear"
		if v.Clear {
			clear = "; the bed is clear"
		}
	}
	fmt.Fprintf(t, "%d of %d jobs, %d of %d MiB, %s%s\n", len(v.Jobs), v.MostJobs, (used+1<<20-1)>>20, v.Most>>20, v.Mode, clear)
	return t.Flush()
}

func queuePrintCmd() *cobra.Command {
	var o printOptions
	c := &cobra.Command{
		Use:   "print ID|next",
		Short: "Print a job of the queue, on a bed that is clear",
		Long: `Print a job of the queue: the one whose id begins like that, or the next that is ready. Look at the bed first.
If copies are left when it is done, the job stays in the queue.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req := intake.Request{Op: intake.OpQueuePrint, Job: args[0], Detach: o.detach, Plate: o.plate}
			var err error
			if req.Profile, err = stacked(o.profiles, o.set); err != nil {
				return err
			}
			return follow(c, req, nil, "")
		},
	}
	o.slicing(c)
	return c
}

// enqueue hands a sealed file to the queue.
func enqueue(c *cobra.Command, req intake.Request, f *os.File) error {
	req.Op = intake.OpQueueAdd
	var id string
	r, err := ask(c.Context(), req, f, func(r intake.Reply) { id = r.Text })
	if err != nil {
		return refused(c, r, err)
	}
	return cli.Print(c, printEvent{"queued", id}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, "queued as", id)
		return err
	})
}

// doctorQueue says what the queue may hold, and whether the board has that much.
func doctorQueue(cfg *config.Config, meminfo string) confine.Finding {
	f := confine.Finding{Name: "queue", What: fmt.Sprintf("%s, up to %d jobs in %d MiB of memory, which a restart of the agent empties", cfg.Queue, cfg.QueueJobs, cfg.QueueBytes>>20)}
	var total int64
	for line := range strings.Lines(meminfo) {
		fmt.Sscanf(line, "MemTotal: %d kB", &total)
	}
	if need := int64(cfg.QueueBytes) + int64(cfg.MaxJob) + int64(cfg.Vault); total > 0 && need > total<<10/4*3 {
		f.Level = confine.Warn
		f.What += fmt.Sprintf(": with vault and max_job that is %d MiB of the %d there are", need>>20, total>>10)
		f.Remedy = "lower queue_bytes or max_job in the configuration"
	}
	return f
}
