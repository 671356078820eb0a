// Command tuf-client is the update client of the printer behind the command line that
// the conformance suite of TUF (theupdateframework/tuf-conformance) starts: the same
// packages, store and checks as in platen, for any repository.
//
//	tuf-client --metadata-dir DIR init ROOT
//	tuf-client --metadata-dir DIR --metadata-url URL refresh
//	tuf-client --metadata-dir DIR --metadata-url URL --target-name PATH … --target-dir DIR --target-base-url URL download
//
// It ends with 0 if all went well and with 1 otherwise. The time is that of date(1),
// which the suite sets back and forth.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"platen/updater/slot"
	"platen/updater/trust"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tuf-client:", err)
		os.Exit(1)
	}
}

// names is a flag that may be given more than once.
type names []string

func (n *names) String() string     { return strings.Join(*n, " ") }
func (n *names) Set(s string) error { *n = append(*n, s); return nil }

// job is what the command line asks for.
type job struct {
	metadataDir, metadataURL, targetDir, targetURL string
	targets                                        names
}

func run(args []string) error {
	var j job
	fs := flag.NewFlagSet("tuf-client", flag.ContinueOnError)
	fs.StringVar(&j.metadataDir, "metadata-dir", "", "folder of verified metadata")
	fs.StringVar(&j.metadataURL, "metadata-url", "", "where the metadata is")
	fs.StringVar(&j.targetDir, "target-dir", "", "folder of verified files")
	fs.StringVar(&j.targetURL, "target-base-url", "", "where the files are")
	fs.Var(&j.targets, "target-name", "path of a file; may be repeated")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if j.metadataDir == "" {
		return errors.New("name the folder of metadata: --metadata-dir DIR")
	}
	switch word := fs.Arg(0); {
	case word == "init" && fs.NArg() == 2:
		return j.init(fs.Arg(1))
	case word == "refresh" && fs.NArg() == 1:
		return j.refresh(context.Background(), nil)
	case word == "download" && fs.NArg() == 1 && len(j.targets) > 0 && j.targetDir != "" && j.targetURL != "":
		return j.refresh(context.Background(), j.download)
	}
	return errors.New("say init ROOT, refresh, or download with --target-name, --target-dir and --target-base-url")
}

// factory is the file of the root that the client began with.
const factory = "factory"

func (j job) init(root string) error {
	data, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	dir, err := slot.OpenDir(j.metadataDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return errors.Join(slot.Replace(dir, factory, data), slot.Replace(dir, "root.json", data))
}

// refresh fetches the metadata, leaves the newest root beside it, and then does what is
// wanted with it.
func (j job) refresh(ctx context.Context, then func(context.Context, *trust.Client) error) (err error) {
	root, err := os.ReadFile(filepath.Join(j.metadataDir, factory))
	if err != nil {
		return fmt.Errorf("begin with init: %w", err)
	}
	now, err := date()
	if err != nil {
		return err
	}
	c, err := trust.New(trust.Config{
		Dir: j.metadataDir, FactoryRoot: root, URL: j.metadataURL, Files: j.targetURL, Foreign: true,
		Now: func() time.Time { return now },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	err = c.Refresh(ctx)
	dir, derr := slot.OpenDir(j.metadataDir)
	if derr != nil {
		return errors.Join(err, derr)
	}
	defer dir.Close()
	if err = errors.Join(err, slot.Replace(dir, "root.json", c.Root())); err != nil || then == nil {
		return err
	}
	return then(ctx, c)
}

func (j job) download(ctx context.Context, c *trust.Client) error {
	for _, name := range j.targets {
		if err := j.one(ctx, c, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// one fetches a file, unless its contents are there.
func (j job) one(ctx context.Context, c *trust.Client, name string) error {
	f, err := c.Lookup(ctx, name)
	if err != nil {
		return err
	}
	path := filepath.Join(j.targetDir, url.QueryEscape(name))
	if has, err := os.Open(path); err == nil {
		good := f.Holds(has)
		if has.Close(); good {
			return nil
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(j.targetDir), "download") // one file system, and not seen there
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := errors.Join(c.Fetch(ctx, f, tmp), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// date is the time of date(1): a Go program does not see what faketime(1) changes.
func date() (time.Time, error) {
	out, err := exec.Command("date", "+%s").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("ask date(1): %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask date(1): %w", err)
	}
	return time.Unix(n, 0), nil
}
