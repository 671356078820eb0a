package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/updater"
	"platen/updater/publish"
)

// rolloutFlags are who gets a release.
type rolloutFlags struct {
	percent float64
	rings   []string
}

func (f *rolloutFlags) register(c *cobra.Command) {
	c.Flags().Float64Var(&f.percent, "percent", 100, "share of the printers that get it, in steps of 0.01")
	c.Flags().StringSliceVar(&f.rings, "ring", nil, "ring of printers that get it whatever the share; repeat it")
}

func (f *rolloutFlags) share() (uint16, error) {
	if !(f.percent >= 0 && f.percent <= 100) {
		return 0, cli.Usage("--percent is from 0 to 100")
	}
	return uint16(f.percent*100 + 0.5), nil
}

// initial is the rollout of a new release, nil for every printer.
func (f *rolloutFlags) initial(c *cobra.Command) (*updater.Rollout, error) {
	if !c.Flags().Changed("percent") && !c.Flags().Changed("ring") {
		return nil, nil
	}
	share, err := f.share()
	if !c.Flags().Changed("percent") {
		share = 0
	}
	return &updater.Rollout{Share: share, Rings: f.rings}, err
}

// set reads NAME=N.
func set(flags []string) ([]publish.Member, error) {
	var list []publish.Member
	for _, text := range flags {
		kind, number, _ := strings.Cut(text, "=")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, cli.Usage("--with %s: write what it replaces and the number of its release, such as controller=7", text)
		}
		list = append(list, publish.Member{Kind: kind, Release: n})
	}
	return list, nil
}

func (o *options) rolloutCmd() *cobra.Command {
	var rel publish.Item
	var flags rolloutFlags
	var pause, resume bool
	c := &cobra.Command{
		Use:   "rollout DIR --board ID --percent N",
		Short: "Say who gets a release: a share of the printers, rings, nobody for now",
		Long: `Rollout changes who gets a release, as signed metadata says: printers decide for
themselves, by a hash of who they are, and nobody is asked. A printer that is in 10 per
cent is in 20 as well. Those that have the release keep it. Printers see the change after
the next publish. To end a rollout for good, see revoke.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			share, err := flags.share()
			changed := c.Flags().Changed
			if err != nil {
				return err
			}
			if rel.Board == "" || pause && resume || !(pause || resume || changed("percent") || changed("ring")) {
				return cli.Usage("rollout needs --board, and --percent, --ring, --pause or --resume")
			}
			return o.roll(c, args[0], rel, func(r *updater.Rollout) {
				if changed("percent") {
					r.Share = share
				}
				if changed("ring") {
					r.Rings = flags.rings
				}
				r.Paused = r.Paused && !resume || pause
			})
		},
	}
	o.keysFlag(c)
	releaseFlags(c, &rel)
	flags.register(c)
	c.Flags().BoolVar(&pause, "pause", false, "no more printers get it for now")
	c.Flags().BoolVar(&resume, "resume", false, "go on after a pause")
	return c
}

// roll changes the rollout of a release.
func (o *options) roll(c *cobra.Command, dir string, item publish.Item, edit func(*updater.Rollout)) error {
	return o.open(dir, func(r *publish.Repo) error {
		var rel publish.Release
		err := o.change(r, func() (err error) {
			rel, err = r.Rollout(item.Board, item.Kind, item.Release, edit, o.keys, time.Now())
			return err
		})
		if err != nil {
			return err
		}
		return cli.Print(c, rel, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "release %d of %s for %s:%s (now publish)\n", rel.Release, rel.Kind, rel.Board, orAll(rolloutText(rel)))
			return err
		})
	})
}

func orAll(text string) string {
	if text == "" {
		return "  all printers"
	}
	return text
}

// rolloutText is who gets a release, if not every printer.
func rolloutText(rel publish.Release) string {
	r := rel.Rollout
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("  %g%% of printers", float64(r.Share)/100)
	if len(r.Rings) > 0 {
		text += ", rings " + strings.Join(r.Rings, " ")
	}
	switch {
	case r.Withdrawn:
		text = "  WITHDRAWN"
	case r.Paused:
		text += ", PAUSED"
	}
	return text
}

func (o *options) deltaCmd() *cobra.Command {
	var rel publish.Item
	var back int
	c := &cobra.Command{
		Use:   "delta DIR --board ID",
		Short: "Make and sign the short ways to a release from those before it",
		Long: `Delta compares a release with those before it and signs what differs. Printers that
have one of those fetch that instead, and check what comes out as they would the whole.
It takes six bytes of memory for each of the file, at most for 256 MiB of it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if rel.Board == "" || back < 1 {
				return cli.Usage("delta needs --board, and to go back by at least one release")
			}
			return o.open(args[0], func(r *publish.Repo) error {
				var list []publish.Added
				err := o.change(r, func() (err error) {
					list, err = r.Delta(rel.Board, rel.Kind, rel.Release, back, o.keys, time.Now())
					return err
				})
				if err != nil {
					return err
				}
				return cli.Print(c, list, func(w io.Writer) error {
					for _, a := range list {
						if _, err := fmt.Fprintf(w, "%s  %d bytes, %.2f%% of %d (now publish)\n", a.Path, a.Size, 100*float64(a.Size)/float64(a.Whole), a.Whole); err != nil {
							return err
						}
					}
					return nil
				})
			})
		},
	}
	o.keysFlag(c)
	releaseFlags(c, &rel)
	c.Flags().IntVar(&back, "back", 2, "from how many of the releases before")
	return c
}

func (o *options) paperCmd() *cobra.Command {
	var rel publish.Item
	var name string
	c := &cobra.Command{
		Use:   "paper DIR FILE --board ID",
		Short: "Sign a file that belongs to a release: SBOM, provenance, licence texts",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if rel.Board == "" {
				return cli.Usage("paper needs --board")
			}
			if name == "" {
				name = filepath.Base(args[1])
			}
			return o.open(args[0], func(r *publish.Repo) error {
				var a publish.Added
				err := o.change(r, func() (err error) {
					a, err = r.AddPaper(rel.Board, rel.Kind, rel.Release, name, args[1], o.keys, time.Now())
					return err
				})
				if err != nil {
					return err
				}
				return cli.Print(c, a, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s  %d bytes (now publish)\n", a.Path, a.Size)
					return err
				})
			})
		},
	}
	o.keysFlag(c)
	releaseFlags(c, &rel)
	c.Flags().StringVar(&name, "as", "", "its name in the repository (default: that of the file)")
	return c
}

func (o *options) bundleCmd() *cobra.Command {
	var boards []string
	var out string
	c := &cobra.Command{
		Use:   "bundle DIR --out FILE.tuf",
		Short: "Write one file for printers without a network",
		Long: `Bundle writes what is published into one file: put it on a stick, and a printer that is
told to look there checks it as it would a server's, its age included. Publish first: a
bundle is good for as long as the timestamp in it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return cli.Usage("name the file with --out")
			}
			return o.open(args[0], func(r *publish.Repo) error {
				f, err := os.CreateTemp(filepath.Dir(out), ".bundle-*")
				if err != nil {
					return err
				}
				defer os.Remove(f.Name()) // gone after the rename
				err = r.Bundle(f, boards)
				if err == nil {
					err = f.Sync()
				}
				if cerr := f.Close(); err == nil {
					err = cerr
				}
				if err != nil {
					return err
				}
				return os.Rename(f.Name(), out)
			})
		},
	}
	c.Flags().StringSliceVar(&boards, "board", nil, "board whose releases go along; repeat it (default: all)")
	c.Flags().StringVar(&out, "out", "", "file to write")
	return c
}
