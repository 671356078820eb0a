// Platen-ota makes and maintains the repository of signed updates that printers
// fetch from.
//
// The commands are thin: package publish does the work, and its documentation says
// which keys belong where.
package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/updater/publish"
)

const long = `Platen-ota makes and maintains the repository of signed updates that printers
fetch from: a folder of static files that any web server can serve.

Start with init, which makes keys and an empty repository; add releases files,
publish announces them. Run publish at least every few days, with or without
news: printers stop believing metadata that nobody renews.

Root and targets keys are the offline keys. Keep them away from the machine that
serves, and apart from each other. Snapshot and timestamp keys are online, in the
folder DIR.online beside the repository; whoever steals them cannot release.`

func main() { cli.Main(root()) }

// options are the flags of all commands.
type options struct {
	online string
	keys   []string
}

func root() *cobra.Command {
	r := cli.Root("platen-ota", "make and maintain a repository of signed updates", long)
	o := &options{}
	r.PersistentFlags().StringVar(&o.online, "online", "", "folder of the online keys and settings (default DIR.online)")
	r.AddCommand(o.initCmd(), o.addCmd(), approverCmd(), o.approveCmd(), o.publishCmd(), o.statusCmd(), o.rotateCmd(), o.renewCmd(), o.rootCmd())
	return r
}

func (o *options) keysFlag(c *cobra.Command) {
	c.Flags().StringSliceVar(&o.keys, "keys", nil, "folder of offline keys; give it several times if they are kept apart (default: where init made them)")
}

// open opens the repository for one command.
func (o *options) open(dir string, use func(*publish.Repo) error) error {
	r, err := publish.Open(dir, o.online)
	if err != nil {
		return exit(err)
	}
	return exit(errors.Join(use(r), r.Close()))
}

// exit gives wrong requests the exit code for wrong usage.
func exit(err error) error {
	for _, wrong := range [...]error{publish.ErrExists, publish.ErrNoRepo, publish.ErrRelease} {
		if errors.Is(err, wrong) {
			return &cli.ExitError{Code: cli.ExitUsage, Err: err}
		}
	}
	return err
}

func (o *options) initCmd() *cobra.Command {
	p := publish.DefaultPolicy()
	c := &cobra.Command{
		Use:   "init DIR --keys KEYDIR",
		Short: "Make keys and an empty repository",
		Long: `Init makes fresh keys and an empty, published repository in DIR. DIR/1.root.json
is the factory root that printers are made with.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(o.keys) != 1 {
				return cli.Usage("name one folder for the offline keys with --keys, outside of %s", args[0])
			}
			r, err := publish.Init(args[0], o.keys[0], o.online, p, time.Now())
			if err != nil {
				return exit(err)
			}
			return errors.Join(r.Close(), o.printMade(c, args[0], p))
		},
	}
	o.keysFlag(c)
	f := c.Flags()
	f.IntVar(&p.RootKeys, "root-keys", p.RootKeys, "number of root keys")
	f.IntVar(&p.RootThreshold, "root-threshold", p.RootThreshold, "root keys that have to sign")
	f.IntVar(&p.TargetsKeys, "targets-keys", p.TargetsKeys, "number of targets keys")
	f.IntVar(&p.TargetsThreshold, "targets-threshold", p.TargetsThreshold, "targets keys that have to sign a release")
	f.DurationVar(&p.RootValid, "root-valid", p.RootValid, "how long root metadata is valid")
	f.DurationVar(&p.TargetsValid, "targets-valid", p.TargetsValid, "how long targets metadata is valid")
	f.DurationVar(&p.SnapshotValid, "snapshot-valid", p.SnapshotValid, "how long a snapshot is valid")
	f.DurationVar(&p.TimestampValid, "timestamp-valid", p.TimestampValid, "how long a publication is valid")
	return c
}

// printMade says where what init made is, and what to do with it.
func (o *options) printMade(c *cobra.Command, dir string, p publish.Policy) error {
	online := o.online
	if online == "" {
		online = publish.OnlineDir(dir)
	}
	made := struct {
		Dir     string `json:"dir"`
		Root    string `json:"root"`
		Offline string `json:"offline_keys"`
		Online  string `json:"online_keys"`
	}{dir, filepath.Join(dir, "1.root.json"), o.keys[0], online}
	return cli.Print(c, made, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "repository  %s (serve this folder)\nroot        %s (build it into printers)\noffline     %s (%d of %d root keys, %d of %d targets keys sign: take them away)\nonline      %s\n",
			made.Dir, made.Root, made.Offline, p.RootThreshold, p.RootKeys, p.TargetsThreshold, p.TargetsKeys, made.Online)
		return err
	})
}

func (o *options) addCmd() *cobra.Command {
	var item publish.Item
	c := &cobra.Command{
		Use:   "add DIR --release N --board ID --file BIN",
		Short: "Sign a file as a release",
		Long: `Add copies a file into the repository and signs it with the targets keys. Printers
see it after the next publish. Release numbers of a board only rise.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if item.Release == 0 || item.Board == "" || item.File == "" {
				return cli.Usage("add needs --release, --board and --file; see platen-ota add --help")
			}
			return o.open(args[0], func(r *publish.Repo) error {
				rel, err := r.Add(item, o.keys, time.Now())
				if err != nil {
					return err
				}
				return cli.Print(c, rel, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "release %d of %s for %s: %d bytes, sha256 %s (now publish)\n", rel.Release, rel.Kind, rel.Board, rel.Size, rel.SHA256)
					return err
				})
			})
		},
	}
	o.keysFlag(c)
	f := c.Flags()
	f.Uint64Var(&item.Release, "release", 0, "release number, above every earlier one")
	f.StringVar(&item.Board, "board", "", "board the file is for")
	f.StringVar(&item.File, "file", "", "file to release")
	f.StringVar(&item.Kind, "name", "agent", "what the file replaces")
	return c
}

func (o *options) publishCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "publish DIR",
		Short: "Announce what was added, and renew the timestamp",
		Long: `Publish checks every released file, then signs a snapshot and, last of all, the
timestamp with the online keys. Repeat it before the timestamp expires.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.open(args[0], func(r *publish.Repo) error {
				v, err := r.Publish(time.Now())
				if err != nil {
					return err
				}
				return printVersions(c, v)
			})
		},
	}
}

func printVersions(c *cobra.Command, v publish.Versions) error {
	return cli.Print(c, v, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "published root %d, targets %d, snapshot %d, timestamp %d: valid until %s\n",
			v.Root, v.Targets, v.Snapshot, v.Timestamp, v.Expires.Format(time.RFC3339))
		return err
	})
}

func (o *options) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status DIR",
		Short: "Show releases, versions and expiry",
		Long:  "Status exits with 3 if something has expired or was added but not published.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.open(args[0], func(r *publish.Repo) error {
				st, err := r.Status(time.Now())
				if err != nil {
					return err
				}
				if err := cli.Print(c, st, func(w io.Writer) error { return printStatus(w, st) }); err != nil {
					return err
				}
				return attention(st)
			})
		},
	}
}

func printStatus(w io.Writer, st publish.Status) error {
	var b strings.Builder
	for _, r := range st.Roles {
		mark := ""
		if r.Expired {
			mark = "  EXPIRED"
		}
		fmt.Fprintf(&b, "%-10s version %-5d %d of %d keys  until %s%s\n", r.Role, r.Version, r.Threshold, r.Keys, r.Expires.Format(time.RFC3339), mark)
	}
	for _, r := range st.Releases {
		approved := ""
		if n := len(r.Approvals); n > 0 {
			approved = fmt.Sprintf("  %d states approved", n)
		}
		fmt.Fprintf(&b, "release    %-5d %s %s  %d bytes  sha256 %s%s\n", r.Release, r.Board, r.Kind, r.Size, r.SHA256, approved)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// attention is an error with exit code 3 if somebody has to do something.
func attention(st publish.Status) error {
	for _, r := range st.Roles {
		if r.Expired {
			return &cli.ExitError{Code: cli.ExitDegraded, Err: fmt.Errorf("%s has expired: publish, or renew with the offline keys", r.Role)}
		}
	}
	if !st.Published {
		return &cli.ExitError{Code: cli.ExitDegraded, Err: errors.New("the newest releases are not announced yet: publish")}
	}
	return nil
}

func (o *options) rotateCmd() *cobra.Command {
	var role, key string
	c := &cobra.Command{
		Use:   "rotate DIR --role ROLE [--key ID]",
		Short: "Replace a key of a role by a fresh one, and publish",
		Long: `Rotate takes a key out of the trust, for example because it was lost or stolen, and
makes a fresh one for it. Enough root keys have to be there. After online keys were
stolen, rotate both snapshot and timestamp.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if role == "" {
				return cli.Usage("name the role with --role: root, targets, snapshot or timestamp")
			}
			return o.open(args[0], func(r *publish.Repo) error {
				done, err := r.Rotate(role, key, o.keys, time.Now())
				if err != nil {
					return err
				}
				return cli.Print(c, done, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s: key %.8s replaced by %.8s in root %d\n", done.Role, done.Removed, done.Added, done.Root)
					return err
				})
			})
		},
	}
	o.keysFlag(c)
	c.Flags().StringVar(&role, "role", "", "root, targets, snapshot or timestamp")
	c.Flags().StringVar(&key, "key", "", "beginning of the id of the key to replace (default: the oldest)")
	return c
}

func (o *options) renewCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "renew DIR",
		Short: "Sign root and targets for another term, and publish",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.open(args[0], func(r *publish.Repo) error {
				v, err := r.Renew(o.keys, time.Now())
				if err != nil {
					return err
				}
				return printVersions(c, v)
			})
		},
	}
	o.keysFlag(c)
	return c
}

func (o *options) rootCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "root DIR",
		Short: "Print the factory root, which printers are made with",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.open(args[0], func(r *publish.Repo) error {
				data, err := r.Root()
				if err != nil {
					return err
				}
				_, err = c.OutOrStdout().Write(data)
				return err
			})
		},
	}
}
