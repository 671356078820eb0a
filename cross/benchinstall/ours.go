package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/boot/grub"
	"platen/updater/publish"
	"platen/updater/slot"
	"platen/updater/trust"
)

// envInstall names, for a child of this program, the folder of a printer to update.
const envInstall = "PLATEN_BENCH_INSTALL"

// ours is a signed repository with a set: a small agent, and the root file system.
type ours struct {
	dir  string
	root []byte
}

func newOurs(dir, image string) (*ours, error) {
	now := time.Now()
	repo, err := publish.Init(filepath.Join(dir, "repo"), filepath.Join(dir, "keys"), "", publish.DefaultPolicy(), now)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	agent := filepath.Join(dir, "agent")
	if err := os.WriteFile(agent, []byte("an agent"), 0o755); err != nil {
		return nil, err
	}
	for _, item := range []publish.Item{
		{Release: 2, Board: "sim", Kind: updater.KindRoot, File: image},
		{Release: 2, Board: "sim", File: agent, Set: []publish.Member{{Kind: updater.KindRoot, Release: 2}}},
	} {
		if _, err := repo.Add(item, nil, now); err != nil {
			return nil, err
		}
	}
	if _, err := repo.Publish(now); err != nil {
		return nil, err
	}
	root, err := repo.Root()
	return &ours{dir, root}, err
}

// install updates a new printer, in a process of its own.
func (o *ours) install(ctx context.Context) (cost, error) {
	dir, err := os.MkdirTemp(o.dir, "printer")
	if err != nil {
		return cost{}, err
	}
	defer os.RemoveAll(dir)
	if err := o.factory(dir); err != nil {
		return cost{}, err
	}
	c := exec.CommandContext(ctx, "/proc/self/exe")
	c.Env = append(os.Environ(), envInstall+"="+dir)
	return measured(c)
}

// factory makes a printer that runs on its first root file system.
func (o *ours) factory(dir string) error {
	d, err := slot.OpenDir(filepath.Join(dir, "slots"), "a", "b")
	if err != nil {
		return err
	}
	defer d.Close()
	empty, err := grub.Block()
	if err != nil {
		return err
	}
	for name, p := range map[string][]byte{"env-0": empty, "env-1": empty, "root-a": make([]byte, 4096), "root-b": nil} {
		if err := slot.Replace(d, name, p); err != nil {
			return err
		}
	}
	env, err := environment(d)
	if err == nil {
		err = env.Confirm(slot.A)
	}
	if err == nil {
		err = boot.Install(d.Path(), filepath.Join(o.dir, "agent"), 1)
	}
	return errors.Join(err, os.WriteFile(filepath.Join(dir, "root.json"), o.root, 0o644))
}

func environment(d slot.FS) (*grub.Env, error) {
	at := func(name string) func(slot.Mode) (slot.File, error) {
		return func(m slot.Mode) (slot.File, error) { return d.Open(name, m) }
	}
	return grub.Open(at("env-0"), at("env-1"))
}

// installHere is the child: an agent that stages a release.
func installHere(dir string) error {
	root, err := os.ReadFile(filepath.Join(dir, "root.json"))
	if err != nil {
		return err
	}
	src, err := trust.New(trust.Config{Dir: filepath.Join(dir, "trust"), FactoryRoot: root, URL: filepath.Join(filepath.Dir(dir), "repo"), MaxTarget: 1 << 40})
	if err != nil {
		return err
	}
	d, err := slot.OpenDir(filepath.Join(dir, "slots"))
	if err != nil {
		return err
	}
	env, err := environment(d)
	if err != nil {
		return err
	}
	s := boot.OpenFS(d, slot.A)
	parts, err := boot.NewRoot(boot.RootConfig{Log: s.Log(), Env: env, Running: slot.A,
		Open: func(n slot.Name, m slot.Mode) (slot.File, error) { return d.Open("root-"+n.String(), m) }})
	if err != nil {
		return err
	}
	u, err := updater.New(updater.Config{Board: "sim", Kind: updater.KindAgent, Release: 1, Source: src, Bootloader: s, Log: s.Log(), Root: parts})
	if err != nil {
		return err
	}
	_, err = u.Stage(context.Background())
	return err
}
