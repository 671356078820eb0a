package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/intake"
	"platen/slicer/profile"
)

// printEvent is one line of platen print -o jsonl.
type printEvent struct {
	Event string `json:"event"`
	Text  string `json:"text,omitempty"`
}

// jobEvent is a printEvent of a job.
type jobEvent struct {
	printEvent
	// Receipt is the printer's signed word that it holds all of a sealed job, in PEM.
	Receipt string `json:"receipt,omitempty"`
}

// printOptions are the flags of platen print.
type printOptions struct {
	ticket, usb   string
	receipt       string
	detach, queue bool
	resume, yes   bool
	plate         uint8
	profiles, set []string
}

func printCmd() *cobra.Command {
	var o printOptions
	c := &cobra.Command{
		Use:   "print {FILE | --usb ID}",
		Short: "Print a model or a G-code file",
		Long: `Print a model or a G-code file. A sealed file (model.stl.age) needs the ticket that its operator signed
for it; a file in clear (model.stl, part.gcode) is passed to the session as an open descriptor, and nothing
of it is kept. What a file is, its bytes say. G-code is checked to its end before anything is heated.

How a model is sliced, its board says, and over that --profile and -s: see platen-slice settings. What they
say of the machine is left to the board. A sealed model is placed and copied as its ticket allows, not by them.

To seal a model, use stock age with the recipient that "platen recipient" prints:

  age -r age1tag1… model.stl > model.stl.age

A 3MF package with encrypted parts (Secure Content) that is encrypted to the key that "platen recipient --3mf"
prints needs no ticket.

With --usb, the job on a USB stick whose id begins like that is printed: see platen usb.

With --resume, the print that a power loss has broken goes on at its layer, once somebody has said that the part
still stands on the bed. It takes the same file, ticket, settings and plate; nothing of it was kept but a sealed
note of which print it was and of the layer. See platen status, and platen discard.`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case o.usb == "":
				return cobra.ExactArgs(1)(c, args)
			case len(args) > 0:
				return cli.Usage("--usb says which job: leave %q out", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if o.resume {
				if o.queue {
					return errResumeQueue
				}
				if err := resuming(c, o.yes); err != nil {
					return err
				}
			}
			if o.usb != "" {
				return printUSB(c, o)
			}
			return printFile(c, args[0], o)
		},
	}
	c.Flags().StringVar(&o.ticket, "ticket", "", "ticket of a sealed file")
	c.Flags().BoolVar(&o.queue, "queue", false, "put a sealed file into the queue; see platen queue")
	c.Flags().StringVar(&o.usb, "usb", "", "id of a job on a USB stick, in place of a file; see platen usb")
	c.Flags().StringVar(&o.receipt, "receipt", "", "keep the printer's receipt for a sealed job in this file: see platen-fleet receipt job")
	c.Flags().BoolVar(&o.resume, "resume", false, "go on with the print that a power loss broke")
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask whether the part stands on the bed")
	o.slicing(c)
	return c
}

// slicing gives a command that prints the flags of how, and of whether it waits.
func (o *printOptions) slicing(c *cobra.Command) {
	c.Flags().BoolVar(&o.detach, "detach", false, "return once the model is loaded")
	c.Flags().StringArrayVar(&o.profiles, "profile", nil, "settings of the slicer: a .toml file, or a profile that comes along; several lie over each other")
	c.Flags().StringArrayVarP(&o.set, "set", "s", nil, "one setting of the slicer, as key=value")
	c.Flags().Uint8Var(&o.plate, "plate", 0, "plate of a .gcode.3mf file that has several")
}

// printFile hands a file to the agent, with all that belongs to it.
func printFile(c *cobra.Command, name string, o printOptions) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	req := intake.Request{Op: intake.OpPrint, Detach: o.detach, Plate: o.plate, Resume: o.resume}
	if req.Profile, err = stacked(o.profiles, o.set); err != nil {
		return err
	}
	sealed := intake.IsSealed(f)
	switch {
	case sealed && o.ticket == "":
		return cli.Usage("the file is sealed: give the ticket that came with it, --ticket FILE")
	case !sealed && o.ticket != "":
		return cli.Usage("the file is not sealed: a ticket is for sealed files")
	case !sealed && o.queue:
		return cli.Usage("the file is not sealed: the queue holds sealed files, with their tickets")
	case o.queue && (o.detach || o.plate != 0 || req.Profile != nil):
		return errQueued
	case sealed:
		req.Envelope, err = readTicket(o.ticket)
	default:
		if req.Wrapped, err = wrappedKeys(c.Context(), f); err == nil {
			req.Digest, err = digest(f)
		}
	}
	if err != nil {
		return err
	}
	if o.queue {
		return enqueue(c, req, f)
	}
	return follow(c, req, f, o.receipt)
}

var errQueued = cli.Usage("how a job of the queue is printed is said when it is: platen queue print --help")

// stacked is one profile that says what profiles and single settings say together; nil
// if there are none.
func stacked(profiles, set []string) ([]byte, error) {
	var stack profile.Stack
	for _, name := range profiles {
		text, err := profile.Open(name)
		if err == nil {
			err = stack.Add(name, text)
		}
		if err != nil {
			return nil, cli.Usage("%w", err)
		}
	}
	if err := stack.Set(set...); err != nil {
		return nil, cli.Usage("%w", err)
	}
	return stack.Text(), nil
}

func recreditCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "recredit FILE",
		Short: "Hand an operator's re-credit of ticket copies to the printer",
		Long: `Hand an operator's re-credit to the printer: copies that were counted and not printed are given back, or a
printer whose record of copies is gone begins a new one. platen-fleet recredit makes it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			env, err := readTicket(args[0])
			if err != nil {
				return err
			}
			r, err := ask(c.Context(), intake.Request{Op: intake.OpRecredit, Envelope: env}, nil, nil)
			return refused(c, r, err)
		},
	}
}

func readTicket(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, intake.MaxTicket+1))
	if err == nil && len(b) > intake.MaxTicket {
		err = errors.New("not a ticket: it is too large")
	}
	return b, err
}

// follow shows a job to its end.
func follow(c *cobra.Command, req intake.Request, f *os.File, keep string) error {
	bar := cli.NewProgress(c.ErrOrStderr(), "print")
	jsonl := cli.OutputOf(c) == cli.JSONL
	accepted, receipt := false, ""
	last, err := ask(c.Context(), req, f, func(r intake.Reply) {
		accepted = true
		e := jobEvent{printEvent: printEvent{r.Event, r.Text}}
		if r.Event == "safe-to-delete" {
			e.Text, e.Receipt = "", r.Text
		}
		receipt = cmp.Or(receipt, e.Receipt)
		if jsonl {
			cli.Print(c, e, nil)
			return
		}
		if r.Event == "progress" {
			var phase string
			var pct int64
			fmt.Sscanf(strings.TrimSuffix(r.Text, "%"), "%s %d", &phase, &pct)
			bar.Set(pct, 100, phase)
		} else {
			fmt.Fprintln(c.ErrOrStderr(), r.Event)
		}
	})
	bar.Done()
	if keep != "" && receipt != "" { // however the print ended
		if werr := os.WriteFile(keep, []byte(receipt), 0o644); werr != nil {
			err = errors.Join(err, werr)
		}
	}
	if accepted && c.Context().Err() != nil {
		return errors.New("not followed any more; the print goes on, platen cancel ends it")
	}
	if err != nil {
		if last.Code == "job-refused" && req.Envelope == nil && f != nil {
			last.Error, err = named(f, int(req.Plate), last.Error, err)
		}
		return refused(c, last, err)
	}
	end := "done"
	if req.Detach {
		end = "loaded" // how it ends is for others to see
	}
	if jsonl && req.Detach {
		return nil // said already
	}
	if jsonl {
		receipt = "" // said already
	}
	return cli.Print(c, jobEvent{printEvent{Event: end}, receipt}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, end)
		return err
	})
}
