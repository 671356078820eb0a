package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/updater/publish"
)

func (o *options) delegateCmd() *cobra.Command {
	var g publish.Grant
	var keys []string
	c := &cobra.Command{
		Use:   "delegate DIR --board ID --name KIND --key PUB... [--threshold N]",
		Short: "Leave the releases of a kind for a board to somebody else's keys",
		Long: `Delegate leaves what is released of a kind for a board to a role of its own, which has
its own keys: the controller's firmware to the team that writes it, say. From then on add,
delta, rollout, approve and paper for it are signed by those keys alone, and by no others;
everything else is not theirs. With --draft both sides sign: the targets keys what they
leave, the role's keys its empty list, which proves that they have them.

What was released before stays with the targets keys. Later: rotate --role changes the
role's keys, renew --role signs its list for another term, revoke --role takes it back.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if g.Board == "" || g.Kind == "" {
				return cli.Usage("delegate needs --board and --name; see platen-ota delegate --help")
			}
			var err error
			if g.Keys, err = publicKeys(keys); err != nil {
				return err
			}
			return o.delegation(c, args[0], "is left to", func(r *publish.Repo) (publish.Delegated, error) {
				return r.Delegate(g, o.keys, time.Now())
			})
		},
	}
	o.keysFlag(c)
	f := c.Flags()
	f.StringVar(&g.Board, "board", "", "board that it is about")
	f.StringVar(&g.Kind, "name", "", "what it is about: agent, rootfs, controller, or any other")
	f.StringVar(&g.Role, "role", "", "name of the role (default BOARD-NAME)")
	f.IntVar(&g.Threshold, "threshold", 1, "keys that have to sign")
	f.StringSliceVar(&keys, "key", nil, "public key of somebody who signs; repeat it (default: one is made in the folder of --keys)")
	return c
}

// delegation changes who has what.
func (o *options) delegation(c *cobra.Command, dir, verb string, change func(*publish.Repo) (publish.Delegated, error)) error {
	return o.open(dir, func(r *publish.Repo) error {
		var d publish.Delegated
		err := o.change(r, func() (err error) {
			d, err = change(r)
			return err
		})
		if err != nil {
			return err
		}
		return cli.Print(c, d, func(w io.Writer) error {
			var ids []string
			for _, id := range d.Keys {
				ids = append(ids, id[:min(8, len(id))])
			}
			for _, rel := range d.Kept { // which somebody should know again
				if _, err := fmt.Fprintf(w, "%s %d is kept: sha256 %s\n", d.Of, rel.Release, rel.SHA256); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintf(w, "%s %s %s: %d of %s (now publish)\n", d.Of, verb, d.Role, d.Threshold, strings.Join(ids, " "))
			return err
		})
	})
}

func (o *options) expireCmd() *cobra.Command {
	var p publish.Policy
	c := &cobra.Command{
		Use:   "expire DIR",
		Short: "Show or change for how long metadata is valid",
		Long: `Expire changes the terms of metadata that is signed from now on: publish signs
snapshot and timestamp anew, renew root and targets.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.open(args[0], func(r *publish.Repo) error {
				now, err := r.Expire(p.RootValid, p.TargetsValid, p.SnapshotValid, p.TimestampValid)
				if err != nil {
					return err
				}
				return cli.Print(c, now, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "root %v\ntargets %v\nsnapshot %v\ntimestamp %v\n", now.RootValid, now.TargetsValid, now.SnapshotValid, now.TimestampValid)
					return err
				})
			})
		},
	}
	termFlags(c, &p)
	return c
}

func (o *options) logInitCmd() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "log-init DIR --name NAME",
		Short: "Begin a transparency log, into which publish enters every release",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if name == "" {
				return cli.Usage("give the log a name with --name, such as updates.example.com/log")
			}
			return o.open(args[0], func(r *publish.Repo) error {
				key, err := r.InitLog(name)
				if err != nil {
					return err
				}
				made := struct {
					Key string `json:"key"`
				}{key}
				return cli.Print(c, made, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, key)
					return err
				})
			})
		},
	}
	c.Flags().StringVar(&name, "name", "", "name of the log")
	return c
}
