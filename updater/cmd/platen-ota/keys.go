package main

import (
	"crypto"
	"fmt"
	"io"
	"slices"
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
snapshot and timestamp. For a delegated role the targets keys sign who has it, and its
new keys what it lists.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if e.Role == "" {
				return cli.Usage("name the role with --role: root, targets, snapshot, timestamp or a delegated one")
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
	c.Flags().StringVar(&e.Role, "role", "", "root, targets, snapshot, timestamp or a delegated one")
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
			where := fmt.Sprintf("root %d", done.Root)
			if done.Targets > 0 {
				where = fmt.Sprintf("targets %d", done.Targets)
			}
			_, err := fmt.Fprintf(w, "%s: key %.8s %s in %s\n", done.Role, done.Removed, text, where)
			return err
		})
	})
}

func (o *options) revokeCmd() *cobra.Command {
	var e publish.Exchange
	var rel publish.Item
	var keep uint64
	c := &cobra.Command{
		Use:   "revoke DIR --board ID [--release N] | revoke DIR --role ROLE --key ID | revoke DIR --role DELEGATED [--keep N]",
		Short: "Withdraw a release, take a key out of the trust, or take back what was delegated",
		Long: `Revoke withdraws a release: no printer takes it any more, and those that run it stay on
it until there is a newer one. Or it takes a key out of a role, without another one in
its place, as long as enough remain. Printers see it after the next publish.

Of a delegated role without --key it takes back all that the role was left, for example
because its keys were stolen: of its releases only those up to --keep remain, as releases
of the targets keys. Go on with numbers above all that it has used: printers that have a
later one take no lower one, and tell so.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case rel.Board != "" && e.Role == "":
				return o.roll(c, args[0], rel, func(r *updater.Rollout) { r.Withdrawn = true })
			case rel.Board == "" && e.Role != "" && e.Lost != "":
				e.None = true
				return o.exchange(c, args[0], e)
			case rel.Board == "" && e.Role != "" && !slices.Contains(topRoles, e.Role):
				return o.delegation(c, args[0], "is taken back from", func(r *publish.Repo) (publish.Delegated, error) {
					return r.Undelegate(e.Role, keep, o.keys, time.Now())
				})
			}
			return cli.Usage("name a release with --board and --release, or a key with --role and --key")
		},
	}
	o.keysFlag(c)
	releaseFlags(c, &rel)
	c.Flags().StringVar(&e.Role, "role", "", "role of the key: root, targets, snapshot, timestamp or a delegated one")
	c.Flags().Uint64Var(&keep, "keep", 0, "highest release of a delegated role that remains")
	c.Flags().StringVar(&e.Lost, "key", "", "beginning of the key's id")
	return c
}

// topRoles have keys that come and go, and are never taken back as a whole.
var topRoles = []string{"root", "targets", "snapshot", "timestamp"}

func releaseFlags(c *cobra.Command, i *publish.Item) {
	f := c.Flags()
	f.StringVar(&i.Board, "board", "", "board of the release")
	f.StringVar(&i.Kind, "name", publish.Agent, "what it replaces")
	f.Uint64Var(&i.Release, "release", 0, "its number (default: the newest)")
}
