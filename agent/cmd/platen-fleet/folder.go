package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
	"platen/agent/intake"
	"platen/updater/approval"
)

// dirFlag gives a command its required --dir.
func dirFlag(c *cobra.Command) *string {
	dir := c.Flags().String("dir", "", "folder of the fleet's state (required)")
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if *dir == "" {
			return cli.Usage("--dir is required: the folder given to platen-fleet up")
		}
		return run(c, args)
	}
	return dir
}

// claim is what claim new prints.
type claim struct {
	Schema  int       `json:"schema"`
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

func claimCmd() *cobra.Command {
	parent := &cobra.Command{Use: "claim", Short: "Codes that let printers in"}
	var dir *string
	var life time.Duration
	c := &cobra.Command{
		Use:   "new --dir DIR",
		Short: "Make a code that lets one printer enrol",
		Long:  "Make a code that lets one printer enrol: platen enrol CODE, on the printer. It is good once.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if life <= 0 {
				return cli.Usage("--life has to be above zero")
			}
			code, expires, err := store.NewClaim(*dir, life, time.Now())
			if err != nil {
				return err
			}
			return cli.Print(c, claim{store.Schema, code, expires}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, code)
				return err
			})
		},
	}
	dir = dirFlag(c)
	c.Flags().DurationVar(&life, "life", store.ClaimLife, "how long the code is good for")
	parent.AddCommand(c)
	return parent
}

// entry is one printer as printers prints it.
type entry struct {
	Printer   string    `json:"printer"`
	Enrolled  time.Time `json:"enrolled"`
	EK        string    `json:"ek"`        // SHA-256 of its endorsement key
	Recipient string    `json:"recipient"` // what age seals jobs to
	Opens     string    `json:"opens"`     // in which states of its system the printer opens them: see opensIn
	Release   uint64    `json:"release,omitempty"`
	Seq       uint64    `json:"seq,omitempty"`
	Last      time.Time `json:"last"` // verified batch

	Left   string    `json:"left,omitempty"` // "revoked" or "gone"
	LeftAt time.Time `json:"left_at,omitzero"`
}

func printersCmd() *cobra.Command {
	var dir *string
	var approver string
	c := &cobra.Command{
		Use:   "printers --dir DIR",
		Short: "List the enrolled printers",
		Long: `List the enrolled printers: id, last verified batch, release, and the recipient to seal jobs to with age -r.

The printer's TPM has certified in which states of its system that key is used: in any state, or in those that
an approver has signed. With --approver, the public key of yours, another one's is told from it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := entries(*dir, approver)
			if err != nil {
				return err
			}
			return cli.Print(c, struct {
				Schema   int     `json:"schema"`
				Printers []entry `json:"printers"`
			}{store.Schema, list}, func(w io.Writer) error { return printEntries(w, list) })
		},
	}
	dir = dirFlag(c)
	c.Flags().StringVar(&approver, "approver", "", "public key of the approver of your releases")
	return c
}

// opensIn is "any state", "approved states", or, if an approver is given, "your approved
// states" and "states that another approver approved".
func opensIn(r verify.Record, approver string) (string, error) {
	policy, err := r.JobPolicy()
	if err != nil {
		return "", fmt.Errorf("printer %v: %w", r.Printer, err)
	}
	switch {
	case policy == nil:
		return "any state", nil
	case approver == "":
		return "approved states", nil
	}
	key, err := approval.LoadPub(approver)
	if err != nil {
		return "", err
	}
	if want, err := approval.KeyPolicy(key); err != nil || !bytes.Equal(policy, want[:]) {
		return "states that another approver approved", err
	}
	return "your approved states", nil
}

func entries(dir, approver string) ([]entry, error) {
	recs, err := store.Records(dir)
	if err != nil {
		return nil, err
	}
	last := map[string]store.Event{}
	for e, err := range store.Events(dir) {
		if err != nil {
			return nil, err
		}
		if e.Event == store.Batch && !e.Late {
			last[e.Printer] = e
		}
	}
	list := []entry{}
	for _, r := range recs {
		to, err := recipient(r)
		if err != nil {
			return nil, err
		}
		opens, err := opensIn(r, approver)
		if err != nil {
			return nil, err
		}
		e := last[r.Printer.String()]
		one := entry{Printer: r.Printer.String(), Enrolled: r.Enrolled, EK: hex.EncodeToString(r.EK), Recipient: to, Opens: opens,
			Release: e.Release, Seq: e.Seq, Last: e.At}
		d, left, err := store.Left(dir, r.Printer)
		if err != nil {
			return nil, err
		}
		if left {
			one.Left, one.LeftAt = d.String(), d.At
		}
		list = append(list, one)
	}
	return list, nil
}

func recipient(r verify.Record) (string, error) {
	key, err := r.JobKey()
	if err != nil {
		return "", fmt.Errorf("printer %v: %w", r.Printer, err)
	}
	return intake.Recipient(key)
}

func printEntries(w io.Writer, list []entry) error {
	for _, e := range list {
		last := "no batch yet"
		if !e.Last.IsZero() {
			last = fmt.Sprintf("batch %d at %s, release %d", e.Seq, e.Last.Local().Format(time.DateTime), e.Release)
		}
		if e.Left != "" {
			last += fmt.Sprintf("\n  %s at %s", e.Left, e.LeftAt.Local().Format(time.DateTime))
		}
		if _, err := fmt.Fprintf(w, "%s\n  %s\n  seal jobs to %s\n  opens them in %s\n", e.Printer, last, e.Recipient, e.Opens); err != nil {
			return err
		}
	}
	return nil
}

// eventFlags are what events was asked for.
type eventFlags struct {
	dir    *string
	since  time.Duration
	frames bool
}

func eventsCmd() *cobra.Command {
	var f eventFlags
	c := &cobra.Command{
		Use:   "events --dir DIR",
		Short: "Print what was verified and refused",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return events(c, f) },
	}
	f.dir = dirFlag(c)
	c.Flags().DurationVar(&f.since, "since", 0, "only the last so long, for example 1h")
	c.Flags().BoolVar(&f.frames, "frames", false, "with the evidence itself (JSON only)")
	return c
}

func events(c *cobra.Command, f eventFlags) error {
	all := []store.Event{}
	w, out := c.OutOrStdout(), cli.OutputOf(c)
	enc := json.NewEncoder(w)
	for e, err := range store.Events(*f.dir) {
		if err != nil {
			return err
		}
		if f.since > 0 && time.Since(e.At) > f.since {
			continue
		}
		if !f.frames {
			e.Frame = nil
		}
		switch out {
		case cli.JSONL:
			err = enc.Encode(e)
		case cli.JSON:
			all = append(all, e)
		default:
			_, err = fmt.Fprintln(w, line(e))
		}
		if err != nil {
			return err
		}
	}
	if out != cli.JSON {
		return nil
	}
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Schema int           `json:"schema"`
		Events []store.Event `json:"events"`
	}{store.Schema, all})
}
