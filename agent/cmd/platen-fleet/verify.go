package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/fleet/history"
	"platen/agent/fleet/releases"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// verifyFlags are what verify was given.
type verifyFlags struct {
	dir        string
	printers   []string
	agents     []string
	repo, root string
}

func verifyCmd() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify FILE --repo URL|DIR --root FILE",
		Short: "Judge an exported history of evidence, offline",
		Long: `Judge a history of evidence that somebody has kept: what is believed, what is refused and why, and what is
missing. FILE is what platen-fleet events --frames -o jsonl prints, or what platen mirror export writes; - is
standard input. What enrolment established of the printers comes from the fleet's folder (--dir), or from single
files of its folder "printers" (--printer). The releases that may have run are those of a repository (--repo, a
URL or a folder), verified from the root metadata in --root as printers do; --agent names further ones by
their files, such as those that the repository does not have any more.

It exits with 1 if anything was refused or is missing. A history may begin within a chain, as a mirror does whose
oldest frames made room for others: it says where, and that is no failure.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return verifyHistory(c, args[0], f) },
	}
	c.Flags().StringVar(&f.dir, "dir", "", "folder of the fleet's state")
	c.Flags().StringSliceVar(&f.printers, "printer", nil, "file with what the fleet keeps of a printer")
	c.Flags().StringSliceVar(&f.agents, "agent", nil, "agent of a release, as NUMBER=FILE")
	c.Flags().StringVar(&f.repo, "repo", "", "update repository, as URL or folder")
	c.Flags().StringVar(&f.root, "root", "", "file of the root metadata that --repo is verified from")
	return c
}

// verifiedView is what verify prints.
type verifiedView struct {
	Schema int `json:"schema"`
	history.Report
}

func verifyHistory(c *cobra.Command, path string, f verifyFlags) error {
	if f.dir == "" && len(f.printers) == 0 || len(f.agents) == 0 && f.repo == "" {
		return cli.Usage("verify needs --dir or --printer, and --repo or --agent for the releases that ran")
	}
	if (f.repo == "") != (f.root == "") {
		return cli.Usage("--repo and --root go together: a repository is verified from a root that you have")
	}
	known, err := knownReleases(c, f)
	if err != nil {
		return err
	}
	records, err := readRecords(f)
	if err != nil {
		return err
	}
	in := io.Reader(c.InOrStdin())
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	rep, err := history.Check(in, records, known)
	if err != nil {
		return err
	}
	if err := cli.Print(c, verifiedView{store.Schema, rep}, func(w io.Writer) error { return writeVerified(w, rep) }); err != nil {
		return err
	}
	if !rep.Clean() {
		return fmt.Errorf("%d frames are refused and there are %d gaps", len(rep.Refused), len(rep.Missing))
	}
	return nil
}

// knownReleases are those that may have run.
func knownReleases(c *cobra.Command, f verifyFlags) (verify.Releases, error) {
	agents, err := readAgents(f.agents)
	if err != nil || f.repo == "" {
		return verify.ReleaseMap(agents), err
	}
	return releases.Read(c.Context(), f.repo, f.root, agents, slog.New(slog.DiscardHandler))
}

// readRecords reads what the fleet knows of printers.
func readRecords(f verifyFlags) ([]verify.Record, error) {
	var records []verify.Record
	if f.dir != "" {
		var err error
		if records, err = store.Records(f.dir); err != nil {
			return nil, err
		}
	}
	for _, path := range f.printers {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var p struct {
			Record verify.Record `json:"record"`
		}
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, fmt.Errorf("%s: not a file of the fleet's folder printers: %w", path, err)
		}
		records = append(records, p.Record)
	}
	return records, nil
}

func writeVerified(w io.Writer, r history.Report) error {
	_, err := fmt.Fprintf(w, "%d frames: %d believed, %d more than once; %d messages in %d chains, %d lost by printers\n",
		r.Frames, r.Believed, r.Repeated, r.Messages, r.Chains, r.Dropped)
	for _, b := range r.Begins {
		if err == nil {
			_, err = fmt.Fprintf(w, "%s boot %d: begins at batch %d; what was before is not in it\n", b.Printer, b.Boot, b.Batch)
		}
	}
	for _, x := range r.Refused {
		if err == nil {
			_, err = fmt.Fprintf(w, "frame %d (%s batch %d) refused: %s\n", x.Frame, x.Printer, x.Seq, x.Reason)
		}
	}
	for _, g := range r.Missing {
		if err == nil {
			_, err = fmt.Fprintf(w, "%s boot %d: batches %d to %d are missing\n", g.Printer, g.Boot, g.From, g.To)
		}
	}
	return err
}
