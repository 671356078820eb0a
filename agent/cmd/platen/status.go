package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/confine"
	"platen/agent/intake"
)

func statusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the printer on one screen", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var st *intake.Status
			if _, err := ask(c.Context(), intake.Request{Op: intake.OpStatus}, nil, func(r intake.Reply) { st = r.Status }); err != nil {
				return err
			}
			if st == nil {
				return errors.New("the agent gave no status")
			}
			return cli.Print(c, st, func(w io.Writer) error { return writeStatus(w, st) })
		},
	}
}

func writeStatus(w io.Writer, st *intake.Status) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(k, format string, a ...any) { fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{k}, a...)...) }
	row("printer", "%s", st.Printer)
	row("board", "%s", st.Board)
	row("release", "%d (%s), slot %s %s", st.Release, st.Version, st.Slot, st.Update)
	row("seal to", "%s", st.Recipient)
	row("state", "%s %d%%, fault %s", st.Phase, st.Progress, st.Fault)
	if st.Broken != nil {
		row("broken print", "%s", brokenText(st.Broken))
	}
	for _, h := range st.Heaters {
		row(h.Name, "%d °C of %d °C", h.Actual, h.Target)
	}
	if st.Trip != "" {
		row("supervision", "%s", st.Trip)
	}
	if st.Sensors > 0 {
		row("sensors", "%d, missing: %s", st.Sensors, cmp.Or(strings.Join(st.Missing, ", "), "none"))
	}
	if len(st.Sticks) > 0 {
		row("usb", "%s: see platen usb", strings.Join(st.Sticks, ", "))
	}
	row("watchdog", "%s", st.Watchdog)
	row("confined", "%s, %d MiB locked", st.Confined, st.VaultBytes>>20)
	row("keys", "%s", keysRow(st))
	if st.TPM != "" {
		row("tpm", "%s: %s", st.TPM, st.TPMRemedy)
	}
	row("enrolled", "%t", st.Enrolled)
	row("tickets", "count %d%s", st.Count, strings.TrimSuffix(", "+st.Tickets, ", "))
	row("queue", "%s", st.Queue)
	if len(st.Recipients) == 0 {
		row("sends to", "nobody")
	}
	for _, g := range st.Recipients {
		row("sends to", "%q (%s), profile %s, until %s", g.Name, g.ID, g.Profile, g.Expires.Format("2006-01-02 15:04"))
	}
	row("boot", "%d, up %s", st.Boot, st.Uptime)
	return t.Flush()
}

func updateCmd() *cobra.Command {
	var bundle string
	var usb bool
	c := &cobra.Command{
		Use: "update", Short: "Look for a newer release now, and stage it", Args: cobra.NoArgs,
		Long: `Looks for a newer release now and stages it; the printer restarts into it once it is idle.

A printer without a network takes releases from a file that platen-ota bundle has made, at hand (--bundle) or on
a USB stick (--usb, with usb = true in the configuration). Signatures, dates and floors count there as well.

Where the configuration asks for the owner's word (update.owner), a release waits for it:

    platen update waiting > release.txt                            at the printer
    platen update sign release.txt --key owner > approved.txt      where the owner's key is
    platen update approve approved.txt                             at the printer`,
		RunE: func(c *cobra.Command, _ []string) error {
			var file *os.File
			if bundle != "" {
				var err error
				if file, err = os.Open(bundle); err != nil {
					return err
				}
				defer file.Close()
			}
			var got intake.Reply
			r, err := ask(c.Context(), intake.Request{Op: intake.OpUpdate, USB: usb}, file, func(r intake.Reply) { got = r })
			if err != nil {
				return refused(c, r, err)
			}
			return cli.Print(c, printEvent{Event: got.Event, Text: got.Text}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, got.Event, got.Text)
				return err
			})
		},
	}
	c.Flags().StringVar(&bundle, "bundle", "", "file with releases, in place of the repository")
	c.Flags().BoolVar(&usb, "usb", false, "from bundles on USB sticks, in place of the repository")
	c.MarkFlagsMutuallyExclusive("bundle", "usb")
	c.AddCommand(updateWaitingCmd(), updateSignCmd(), updateApproveCmd(), updateForgiveCmd(), updateRepairCmd())
	return c
}

// finding is one line of platen doctor.
type finding struct {
	Name   string `json:"name"`
	Level  string `json:"level"`
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
}

func doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check what this system can hold, with the remedy for what it cannot", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			vault := int64(64 << 20)
			cfg, cerr := config.Load(configPath)
			if cerr == nil {
				vault = int64(cfg.Vault)
			}
			found := confine.System(os.DirFS("/proc"), vault)
			found = append(found, confine.Hardening(os.DirFS("/proc"), os.DirFS("/sys"))...)
			found = append(found, doctorConfig(c, cfg, cerr)...)
			var out []finding
			worst := confine.OK
			for _, f := range found {
				worst = max(worst, f.Level)
				out = append(out, finding{f.Name, f.Level.String(), f.What, f.Remedy})
			}
			if err := cli.Print(c, out, func(w io.Writer) error { return writeFindings(w, out) }); err != nil {
				return err
			}
			switch worst {
			case confine.Fail:
				return errors.New("this system cannot take jobs yet: see above")
			case confine.Warn:
				return &cli.ExitError{Code: cli.ExitDegraded, Err: errors.New("this system works, but see above")}
			}
			return nil
		},
	}
}

func doctorConfig(c *cobra.Command, cfg *config.Config, err error) []confine.Finding {
	f := confine.Finding{Name: "configuration"}
	if err != nil {
		f.Level, f.What, f.Remedy = confine.Fail, err.Error(), "write "+configPath
		if _, serr := os.Stat(configPath); serr == nil {
			f.Remedy = "correct " + configPath
		}
		return []confine.Finding{f}
	}
	f.What = "is in order"
	out := append([]confine.Finding{f, doctorClock(cfg), doctorTPM(c, cfg.TPM), doctorKeys(c, cfg)}, doctorBox(cfg)...)
	out = append(out, doctorController(cfg)...)
	out = append(out, doctorUSB(cfg)...)
	out = append(out, doctorPrint(c.Context())...)
	meminfo, _ := os.ReadFile(filepath.Join(cfg.Proc, "meminfo")) // without it, nothing is said of memory
	out = append(out, doctorQueue(cfg, string(meminfo)))
	if cfg.OwnerKey == nil {
		out = append(out, confine.Finding{Name: "owner", Level: confine.Warn, What: "no owner is known: no machine data can be granted to anyone", Remedy: "platen consent keygen, then owner_key in the configuration"})
	}
	if len(cfg.OperatorKeys) == 0 {
		out = append(out, confine.Finding{Name: "operators", Level: confine.Warn, What: "no operator is trusted: sealed jobs are refused", Remedy: "operator_keys in the configuration"})
	}
	return out
}

func writeFindings(w io.Writer, found []finding) error {
	for i, f := range found {
		fmt.Fprintf(w, "%2d. %-4s %-14s %s\n", i+1, f.Level, f.Name, f.What)
		if f.Remedy != "" {
			fmt.Fprintf(w, "             %s\n", f.Remedy)
		}
	}
	return nil
}
