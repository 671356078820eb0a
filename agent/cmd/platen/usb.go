package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/confine"
	"platen/agent/intake"
	"platen/agent/intake/stick"
)

func usbCmd() *cobra.Command {
	return &cobra.Command{
		Use: "usb", Short: "List the sealed jobs on USB sticks",
		Long: `List the jobs on the USB sticks that are plugged in: the id of each job, the size of its sealed file, and
whether it could be printed or why not. "platen print --usb ID" prints one.

A job is a ticket and the sealed file it was made for, side by side: NAME.ticket and NAME.age. Nothing else on a
stick is read. A stick is FAT or exFAT, and is read without being mounted: whatever is on it, the system never
gets to see it. Set usb = true in the configuration, and keep the system from mounting sticks by itself.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			sticks := []intake.StickView{}
			r, err := ask(c.Context(), intake.Request{Op: intake.OpUSB}, nil, func(r intake.Reply) { sticks = append(sticks, r.Sticks...) })
			if err != nil {
				return refused(c, r, err)
			}
			return cli.Print(c, sticks, func(w io.Writer) error { return writeSticks(w, sticks) })
		},
	}
}

func writeSticks(w io.Writer, sticks []intake.StickView) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, s := range sticks {
		for _, j := range s.Jobs {
			switch {
			case j.ID == "":
				fmt.Fprintf(t, "%s\ta ticket\t\t%s\n", s.Name, j.Why)
			case j.Code != "":
				fmt.Fprintf(t, "%s\t%s\t%d bytes\t%s\n", s.Name, j.ID, j.Size, j.Why)
			default:
				fmt.Fprintf(t, "%s\t%s\t%d bytes\tcan be printed, until %s\n", s.Name, j.ID, j.Size, j.NotAfter.Local().Format("2006-01-02 15:04"))
			}
		}
		switch {
		case s.Code != "":
			fmt.Fprintf(t, "%s\tnot read: %s\n", s.Name, s.Why)
		case s.More:
			fmt.Fprintf(t, "%s\tholds more than is looked through: put jobs into the root folder of a stick without much else\n", s.Name)
		case len(s.Jobs) == 0:
			fmt.Fprintf(t, "%s\tno job: copy NAME.age and NAME.ticket side by side\n", s.Name)
		}
	}
	if len(sticks) == 0 {
		fmt.Fprintln(t, "no USB stick is there")
	}
	return t.Flush()
}

// printUSB prints a job of a stick, or puts it into the queue.
func printUSB(c *cobra.Command, o printOptions) error {
	switch {
	case o.ticket != "":
		return cli.Usage("the ticket of a job on a stick lies beside it: leave --ticket out")
	case o.queue && (o.detach || o.plate != 0 || len(o.profiles)+len(o.set) > 0):
		return errQueued
	}
	req := intake.Request{Op: intake.OpPrint, USB: true, Job: o.usb, Detach: o.detach, Plate: o.plate, Resume: o.resume}
	if o.queue {
		return enqueue(c, req, nil)
	}
	var err error
	if req.Profile, err = stacked(o.profiles, o.set); err != nil {
		return err
	}
	return follow(c, req, nil, o.receipt)
}

// doctorUSB says whether sticks are read, and whether the ones that are there can be.
func doctorUSB(cfg *config.Config) []confine.Finding {
	if !cfg.USB {
		return []confine.Finding{{Name: "usb", What: "sticks are not read (usb = true in the configuration)"}}
	}
	found, err := stick.Find(cfg.Sys, cfg.Dev)
	if err != nil {
		return []confine.Finding{{Name: "usb", Level: confine.Warn, What: "sticks cannot be looked for", Remedy: "mount sysfs"}}
	}
	out := []confine.Finding{{Name: "usb", What: fmt.Sprintf("sticks are read without being mounted; %d there", len(found))}}
	for _, d := range found {
		f, _, _, err := d.Open()
		if err == nil {
			f.Close()
			continue
		}
		finding := confine.Finding{Name: "usb", Level: confine.Warn, What: d.Name + ": " + err.Error(), Remedy: "another stick, or this one plugged in again"}
		if e, ok := errors.AsType[*stick.Error](err); ok {
			switch e.Code {
			case "mounted":
				finding.Remedy = "umount it; disable udisks, usbmount or the like"
			case "denied":
				finding.Remedy = "a udev rule for the agent's user"
			}
		}
		out = append(out, finding)
	}
	return out
}
