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
	"io/fs"
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
	draft  string // file for what would be signed; "": it is signed at once
}

func root() *cobra.Command {
	r := cli.Root("platen-ota", "make and maintain a repository of signed updates", long)
	o := &options{}
	r.PersistentFlags().StringVar(&o.online, "online", "", "folder of the online keys and settings (default DIR.online)")
	r.AddCommand(o.initCmd(), o.addCmd(), o.deltaCmd(), o.paperCmd(), o.approveCmd(), o.rolloutCmd(), o.publishCmd(),
		o.statusCmd(), verifyCmd(), o.bundleCmd(), o.delegateCmd(), o.rotateCmd(), o.revokeCmd(), o.renewCmd(), o.expireCmd(), o.logInitCmd(), o.rootCmd(),
		keyCmd(), pubCmd(), idCmd(), signCmd(), o.submitCmd(), sbomCmd(), provenanceCmd(), bootloaderCmd())
	return r
}

func (o *options) keysFlag(c *cobra.Command) {
	c.Flags().StringSliceVar(&o.keys, "keys", nil, "folder of offline keys; give it several times if they are kept apart (default: where init made them)")
	c.Flags().StringVar(&o.draft, "draft", "", "sign nothing: write this file, for each signer's platen-ota sign, and then for submit; a copy of DIR without DIR.online will do")
}

// change runs what root or targets keys sign: at once, or into a draft.
func (o *options) change(r *publish.Repo, change func() error) error {
	if o.draft == "" {
		return change()
	}
	d, err := r.Draft(change)
	if err != nil {
		return err
	}
	return d.Save(o.draft)
}

// open opens the repository for one command. Who drafts may have nothing but its public
// folder.
func (o *options) open(dir string, use func(*publish.Repo) error) error {
	r, err := publish.Open(dir, o.online)
	if errors.Is(err, fs.ErrNotExist) && o.draft != "" && o.online == "" {
		r, err = publish.OpenPublic(dir)
	}
	if err != nil {
		return exit(err)
	}
	return exit(errors.Join(use(r), r.Close()))
}

// exit gives wrong requests the exit code for wrong usage.
func exit(err error) error {
	for _, wrong := range [...]error{publish.ErrExists, publish.ErrNoRepo, publish.ErrRelease, publish.ErrRole, publish.ErrDraft} {
		if errors.Is(err, wrong) {
			return &cli.ExitError{Code: cli.ExitUsage, Err: err}
		}
	}
	return err
}

func (o *options) initCmd() *cobra.Command {
	p := publish.DefaultPolicy()
	var rootKeys, targetsKeys []string
	c := &cobra.Command{
		Use:   "init DIR --keys KEYDIR | init DIR --root-key PUB... --targets-key PUB... --draft FILE",
		Short: "Make keys and an empty repository",
		Long: `Init makes fresh keys and an empty, published repository in DIR. DIR/1.root.json
is the factory root that printers are made with.

With --root-key and --targets-key, the public keys of people who made theirs with
"platen-ota key", only the online keys are made. FILE then goes to each of them for
"platen-ota sign", and comes back for "platen-ota submit".`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(rootKeys)+len(targetsKeys) > 0 {
				return o.ceremony(c, args[0], rootKeys, targetsKeys, p)
			}
			if len(o.keys) != 1 || o.draft != "" {
				return cli.Usage("name one folder for the offline keys with --keys, outside of %s, or public keys with --root-key and --targets-key", args[0])
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
	f.StringSliceVar(&rootKeys, "root-key", nil, "public key of somebody who signs roots; repeat it")
	f.StringSliceVar(&targetsKeys, "targets-key", nil, "public key of somebody who signs releases; repeat it")
	f.IntVar(&p.RootKeys, "root-keys", p.RootKeys, "number of root keys that are made")
	f.IntVar(&p.RootThreshold, "root-threshold", p.RootThreshold, "root keys that have to sign")
	f.IntVar(&p.TargetsKeys, "targets-keys", p.TargetsKeys, "number of targets keys that are made")
	f.IntVar(&p.TargetsThreshold, "targets-threshold", p.TargetsThreshold, "targets keys that have to sign a release")
	termFlags(c, &p)
	return c
}

func termFlags(c *cobra.Command, p *publish.Policy) {
	f := c.Flags()
	f.DurationVar(&p.RootValid, "root-valid", p.RootValid, "how long root metadata is valid")
	f.DurationVar(&p.TargetsValid, "targets-valid", p.TargetsValid, "how long targets metadata is valid")
	f.DurationVar(&p.SnapshotValid, "snapshot-valid", p.SnapshotValid, "how long a snapshot is valid")
	f.DurationVar(&p.TimestampValid, "timestamp-valid", p.TimestampValid, "how long a publication is valid")
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
	var with, pcrs, parts []string
	var rollout rolloutFlags
	c := &cobra.Command{
		Use:   "add DIR --release N --board ID --file BIN",
		Short: "Sign a file as a release",
		Long: `Add copies a file into the repository and signs it with the targets keys. Printers
see it after the next publish. Release numbers of a board only rise. What is delegated is
signed with the keys of the role that has it: see delegate.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if item.Release == 0 || item.Board == "" || item.File == "" {
				return cli.Usage("add needs --release, --board and --file; see platen-ota add --help")
			}
			var err error
			if item.Rollout, err = rollout.initial(c); err != nil {
				return err
			}
			if item.Set, err = set(with); err != nil {
				return err
			}
			if item.PCRs, err = registers(pcrs); err != nil {
				return err
			}
			if item.Measured, err = measuredParts(parts); err != nil {
				return err
			}
			return o.open(args[0], func(r *publish.Repo) error {
				var rel publish.Release
				err := o.change(r, func() (err error) {
					rel, err = r.Add(item, o.keys, time.Now())
					return err
				})
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
	f.StringVar(&item.Kind, "name", "agent", "what the file replaces: agent, rootfs or controller")
	f.StringSliceVar(&item.Hardware, "hardware", nil, "revision of the board it is for; repeat it (default: any)")
	f.StringSliceVar(&with, "with", nil, "NAME=N: a release of another kind that is installed and taken back together with it")
	f.StringArrayVar(&pcrs, "pcr", nil, "of a root file system: a register after a start of it, INDEX=SHA256, or all of them, FILE:BOOTLOADER, from the pcrs.json that make image leaves; repeat it for more")
	f.StringArrayVar(&parts, "measured", nil, "what printers measure beside or instead of the file, a FILE, its SHA256 or a FOLDER of board files: all that an agent may run with, or what an Intel HEX file is in flash; repeat it for more")
	rollout.register(c)
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
		for _, role := range v.Lapsed {
			if err == nil {
				_, err = fmt.Fprintf(w, "%s has EXPIRED: printers take nothing of it until renew --role %s\n", role, role)
			}
		}
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
		if r.Of != "" {
			mark += "  for " + r.Of
		}
		fmt.Fprintf(&b, "%-10s version %-5d %d of %d keys  until %s%s\n", r.Role, r.Version, r.Threshold, r.Keys, r.Expires.Format(time.RFC3339), mark)
	}
	for _, r := range st.Releases {
		more := rolloutText(r)
		if n := len(r.Approvals); n > 0 {
			more += fmt.Sprintf("  %d states approved", n)
		}
		fmt.Fprintf(&b, "release    %-5d %s %s  %d bytes  sha256 %s%s\n", r.Release, r.Board, r.Kind, r.Size, r.SHA256, more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// attention is an error with exit code 3 if somebody has to do something.
func attention(st publish.Status) error {
	for _, r := range st.Roles {
		if r.Expired && r.Of != "" {
			return &cli.ExitError{Code: cli.ExitDegraded, Err: fmt.Errorf("%s has expired: renew --role %s with its keys", r.Role, r.Role)}
		}
		if r.Expired {
			return &cli.ExitError{Code: cli.ExitDegraded, Err: fmt.Errorf("%s has expired: publish, or renew with the offline keys", r.Role)}
		}
	}
	if !st.Published {
		return &cli.ExitError{Code: cli.ExitDegraded, Err: errors.New("the newest releases are not announced yet: publish")}
	}
	return nil
}

func (o *options) renewCmd() *cobra.Command {
	var role string
	c := &cobra.Command{
		Use:   "renew DIR [--role DELEGATED]",
		Short: "Sign root and targets, or a delegated role, for another term, and publish",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.open(args[0], func(r *publish.Repo) error {
				var v publish.Versions
				err := o.change(r, func() (err error) {
					if role != "" {
						return r.RenewRole(role, o.keys, time.Now())
					}
					v, err = r.Renew(o.keys, time.Now())
					return err
				})
				if err == nil && role != "" && o.draft == "" {
					v, err = r.Publish(time.Now())
				}
				if err != nil || o.draft != "" {
					return err
				}
				return printVersions(c, v)
			})
		},
	}
	o.keysFlag(c)
	c.Flags().StringVar(&role, "role", "", "delegated role that is renewed (default: root and targets)")
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
