package agent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/agent/config"
	"platen/updater/boot/grub"
	"platen/updater/boot/rpi"
	"platen/updater/boot/uboot"
	"platen/updater/slot"
)

// put writes files into a folder.
func put(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, p := range files {
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// rootfsRig is a folder with two root file systems, of which a runs, and the configuration of
// a board with this bootloader.
func rootfsRig(t *testing.T, bootloader string) *config.UpdateRootfs {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, dir, map[string][]byte{"root-a": make([]byte, 4096), "root-b": make([]byte, 8192), "running": []byte("a\n")})
	c := &config.UpdateRootfs{A: at("root-a"), B: at("root-b"), Running: at("running"), Bootloader: bootloader, Partitions: []int{2, 3}}
	switch bootloader {
	case "grub":
		empty, err := grub.Block()
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, map[string][]byte{"grub-0": empty, "grub-1": empty})
		c.Env = []string{at("grub-0"), at("grub-1")}
	case "rpi":
		env, err := rpi.Open(rpi.Config{Open: func(slot.Mode) (slot.File, error) { return nil, os.ErrInvalid }, Partitions: [2]int{2, 3}})
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, map[string][]byte{"autoboot.txt": env.File(slot.A)})
		c.Env = []string{at("autoboot.txt")}
	default: // two copies in one file, the second behind the first
		text := fmt.Sprintf("# device offset size\n\n%s 0x0 0x800\n%s 0x1000 0x800 0x1000\n", at("env"), at("env"))
		put(t, dir, map[string][]byte{"env": make([]byte, 0x1800), "fw_env.config": []byte(text)})
		c.Env = []string{at("fw_env.config")}
		env, err := openEnv(c, "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := env.(*uboot.Env).Encode(uboot.Vars{"bootlimit": "3", "altbootcmd": "run other"}, 7)
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, map[string][]byte{"env": append(p, make([]byte, 0x1000)...)})
	}
	return c
}

// TestRootOfConfiguration takes a root file system through each bootloader that a
// configuration can name: written, on trial, confirmed, read from the files again each time.
func TestRootOfConfiguration(t *testing.T) {
	for _, bootloader := range []string{"uboot", "uboot-order", "grub", "rpi"} {
		t.Run(bootloader, func(t *testing.T) {
			cfg := rootfsRig(t, bootloader)
			store, err := slot.OpenDir(t.TempDir(), "a", "b")
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			root, err := OpenRoot(cfg, "", slot.NewLog(store), store.Path())
			if err != nil {
				t.Fatal(err)
			}
			if n, err := root.Current(); n != slot.A || err != nil {
				t.Fatalf("%s runs: %v", n, err)
			}
			env := func() (active, trying slot.Name) {
				e, err := openEnv(cfg, "")
				if err != nil {
					t.Fatal(err)
				}
				if active, trying, err = e.Load(); err != nil {
					t.Fatal(err)
				}
				return active, trying
			}
			if err := root.Confirm(slot.A); err != nil {
				t.Fatal(err)
			}
			if w, err := root.Open(slot.A); err == nil {
				t.Errorf("the root file system that runs can be written: %v", w.Close())
			}
			text := bytes.Repeat([]byte("root "), 1000)
			w, err := root.Open(slot.B)
			if err == nil {
				_, err = w.Write(text)
			}
			if err == nil {
				err = w.Close()
			}
			if err == nil {
				err = root.Try(slot.B)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(cfg.B); err != nil || !bytes.HasPrefix(got, text) || len(got) != 8192 {
				t.Errorf("%d bytes on the other partition, %v", len(got), err)
			}
			// A Raspberry Pi is told of a trial by its restart alone.
			if active, trying := env(); active != slot.A || trying != slot.B && bootloader != "rpi" {
				t.Errorf("on trial: %s starts, %s is tried", active, trying)
			}
			put(t, filepath.Dir(cfg.Running), map[string][]byte{"running": []byte("b\n")})
			if root, err = OpenRoot(cfg, "", slot.NewLog(store)); err != nil {
				t.Fatal(err)
			}
			if err := root.Confirm(slot.B); err != nil {
				t.Fatal(err)
			}
			if active, trying := env(); active != slot.B || trying == slot.A {
				t.Errorf("confirmed: %s starts, %s is tried", active, trying)
			}
		})
	}
}

// TestRootOfConfigurationRefused: what cannot be a bootloader's environment is said with the
// file that is wrong.
func TestRootOfConfigurationRefused(t *testing.T) {
	for name, text := range map[string]string{
		"a line is not":            "/dev/mmcblk0 0x1000\n",
		"no number":                "/dev/mmcblk0 there 0x800\n",
		"offset or size":           "/dev/mmcblk0 -4096 0x800\n",
		"the copies differ":        "/dev/mmcblk0 0 0x800\n/dev/mmcblk0 0x1000 0x400\n",
		"opening the bootloader's": "# nothing\n",
	} {
		cfg := rootfsRig(t, "uboot")
		put(t, filepath.Dir(cfg.Env[0]), map[string][]byte{"fw_env.config": []byte(text)})
		if _, err := OpenRoot(cfg, "", nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", text, err)
		}
	}
	cfg := rootfsRig(t, "grub")
	if err := os.Remove(cfg.B); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRoot(cfg, "", nil, t.TempDir()); err == nil {
		t.Error("a device that is missing is not missed")
	}
	if root, err := OpenRoot(nil, "", nil); root != nil || err != nil {
		t.Errorf("without a configuration: %v, %v", root, err)
	}
}

// TestRestart: the command of the configuration is told what it has to be told, and nothing if
// there is nothing.
func TestRestart(t *testing.T) {
	out := filepath.Join(t.TempDir(), "told")
	cfg := &config.UpdateRootfs{Restart: []string{"sh", "-c", `echo "$# $*" >"$0"`, out}}
	for arg, want := range map[string]string{"": "0 \n", rpi.TrybootArg: "1 0 tryboot\n"} {
		if err := Restart(cfg)(context.Background(), arg); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(out); string(got) != want || err != nil {
			t.Errorf("told %q: %q, %v", arg, got, err)
		}
	}
	cfg.Restart = []string{"sh", "-c", "echo first; echo it may not >&2; exit 1"}
	if err := Restart(cfg)(context.Background(), ""); err == nil || !strings.Contains(err.Error(), "it may not") {
		t.Errorf("a restart that fails: %v", err)
	}
}
