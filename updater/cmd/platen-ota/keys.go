package main

import (
	"crypto"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/updater"
	"platen/updater/publish"
)

func (o *options) rotateCmd() *cobra.Command {
	var e publish.Exchange
	var fresh string
	c := &cobra.Command{
		Use:   "rotate DIR --role ROLE [--key ID] [--new PUB]",
		Short: "Replace a key of a role by another one, and publish",
		Long: `Rotate takes a key out of the trust, for example because it was lost or stolen, and
puts another one in its place: the one whose public key --new names, or one that it
makes. Enough root keys have to sign. After online keys were stolen, rotate both
snapshot and timestamp.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if e.Role == "" {
				return cli.Usage("name the role with --role: root, targets, snapshot or timestamp")
			}
			if fresh != "" {
				k, err := publish.OpenPub(fresh)
				if err != nil {
					return err
				}
				e.Fresh = crypto.PublicKey(k)
			}
			return o.exchange(c, args[0], e)
		},
	}
	o.keysFlag(c)
	c.Flags().StringVar(&e.Role, "role", "", "root, targets, snapshot or timestamp")
	c.Flags().StringVar(&e.Lost, "key", "", "beginning of the id of the key to replace (default: the oldest)")
	c.Flags().StringVar(&fresh, "new", "", "public key that takes its place")
	return c
}

// exchange changes the keys of a role.
func (o *options) exchange(c *cobra.Command, dir string, e publish.Exchange) error {
	return o.open(dir, func(r *publish.Repo) error {
		var done publish.Rotated
		err := o.change(r, func() (err error) {
			done, err = r.Rotate(e, o.keys, time.Now())
			return err
		})
		if err != nil {
			return err
		}
		return cli.Print(c, done, func(w io.Writer) error {
			text := "replaced by " + done.Added[:min(8, len(done.Added))]
			if done.Added == "" {
				text = "taken out"
			}
			_, err := fmt.Fprintf(w, "%s: key %.8s %s in root %d\n", done.Role, done.Removed, text, done.Root)
			return err
		})
	})
}

func (o *options) revokeCmd() *cobra.Command {
	var e publish.Exchange
	var rel publish.Item
	c := &cobra.Command{
		Use:   "revoke DIR --board ID [--release N] | revoke DIR --role ROLE --key ID",
		Short: "Withdraw a release, or take a key out of the trust",
		Long: `Revoke withdraws a release: no printer takes it any more, and those that run it stay on
it until there is a newer one. Or it takes a key out of a role, without another one in
its place, as long as enough remain. Printers see it after the next publish.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case rel.Board != "" && e.Role == "":
				return o.roll(c, args[0], rel, func(r *updater.Rollout) { r.Withdrawn = true })
			case rel.Board == "" && e.Role != "" && e.Lost != "":
				e.None = true
				return o.exchange(c, args[0], e)
			}
			return cli.Usage("name a release with --board and --release, or a key with --role and --key")
		},
	}
	o.keysFlag(c)
	releaseFlags(c, &rel)
	c.Flags().StringVar(&e.Role, "role", "", "role of the key: root, targets, snapshot or timestamp")
	c.Flags().StringVar(&e.Lost, "key", "", "beginning of the key's id")
	return c
}

func releaseFlags(c *cobra.Command, i *publish.Item) {
	f := c.Flags()
	f.StringVar(&i.Board, "board", "", "board of the release")
	f.StringVar(&i.Kind, "name", publish.Agent, "what it replaces")
	f.Uint64Var(&i.Release, "release", 0, "its number (default: the newest)")
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
