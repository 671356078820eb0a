package bootscript

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"platen/updater/boot/grub"
	"platen/updater/boot/rpi"
	"platen/updater/boot/uboot"
	"platen/updater/slot"
)

// tool runs a program of a Debian package.
func tool(t *testing.T, debian, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs " + debian)
		}
		t.Skip("needs " + debian)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return string(out)
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func device(path string) func(slot.Mode) (slot.File, error) {
	return func(m slot.Mode) (slot.File, error) { return slot.OpenDevice(path, m) }
}

// agent is what the agent does with an environment.
type agent interface {
	Try(slot.Name) (string, error)
	Confirm(slot.Name) error
}

// board is one that starts.
type board struct {
	t     *testing.T
	agent agent
	start func() string // which root file system it starts: a or b
}

// starts expects starts, one after the other, of a board whose agent says nothing.
func (b board) starts(when string, want ...string) {
	b.t.Helper()
	for i, w := range want {
		if got := b.start(); got != w {
			b.t.Errorf("%s, start %d: %q, want %s", when, i+1, got, w)
		}
	}
}

func (b board) does(_ string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestGRUB has GRUB itself run the script on what the agent writes.
func TestGRUB(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, folder := range []string{"fs", "cfg"} {
		if err := os.Mkdir(at(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"platen-0", "platen-1", "platen-tried", "started"} {
		tool(t, "grub-common", "grub-editenv", at("fs/"+name+".env"), "create")
	}
	text, err := Print("grub", Board{Parts: [2]string{"hd0,gpt2", "hd0,gpt3"}, Roots: [2]string{"/dev/sda2", "/dev/sda3"}, Env: "(hd0)", Kernel: "/vmlinuz", Args: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	put(t, at("script"), text)
	tool(t, "grub-common", "grub-script-check", at("script"))
	put(t, at("cfg/grub.cfg"), text+"save_env --file (hd0)/started.env platen_boot root platen_root\nexit\n")
	put(t, at("device.map"), "(hd0) "+at("disk")+"\n")
	env, err := grub.Open(device(at("fs/platen-0.env")), device(at("fs/platen-1.env")))
	if err != nil {
		t.Fatal(err)
	}
	b := board{t: t, agent: env, start: func() string {
		put(t, at("disk"), "")
		tool(t, "e2fsprogs", "mkfs.ext4", "-q", "-F", "-O", "^has_journal,^64bit,^metadata_csum", "-d", at("fs"), at("disk"), "4M")
		tool(t, "grub-emu", "grub-emu", "-d", at("cfg"), "-m", at("device.map"), "-r", "host")
		for _, name := range []string{"platen-tried.env", "started.env"} {
			tool(t, "e2fsprogs", "debugfs", "-R", "dump "+name+" "+at("fs/"+name), at("disk"))
		}
		p, err := os.ReadFile(at("fs/started.env"))
		v, ok := grub.Parse(p)
		if n := v["platen_boot"]; err != nil || !ok || v["root"] != map[string]string{"a": "hd0,gpt2", "b": "hd0,gpt3"}[n] || v["platen_root"] != map[string]string{"a": "/dev/sda2", "b": "/dev/sda3"}[n] {
			t.Fatalf("started %v, %v", v, err)
		}
		return v["platen_boot"]
	}}
	b.starts("before anything was written", "a")
	b.does("", env.Confirm(slot.A))
	b.starts("confirmed", "a")
	b.does(env.Try(slot.B))
	b.starts("on trial, once", "b", "a", "a")
	for range 7 { // generations of two digits, and past 8 and 9, which are no octal numbers
		b.does(env.Try(slot.B))
		b.does("", env.Confirm(slot.A))
	}
	b.does(env.Try(slot.B))
	b.starts("on trial again", "b")
	b.does("", env.Confirm(slot.B))
	b.starts("confirmed", "b", "b")
	b.does(env.Try(slot.A))
	torn := 0
	for _, name := range []string{"fs/platen-0.env", "fs/platen-1.env"} { // the newest is torn: the one before counts
		p, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := grub.Parse(p); v["platen_trial"] == "a" {
			torn++
			put(t, at(name), strings.Replace(string(p), "platen_end=", "platen_end=9", 1)[:1024])
		}
	}
	b.starts("torn", "b")
	if torn != 1 {
		t.Errorf("%d blocks were torn", torn)
	}
}

// uboot is a board with U-Boot: a shell that has its commands. start is what it does at a
// start.
func ubootBoard(t *testing.T, style uboot.Style, vars, start string) board {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	const size = 8192
	put(t, at("vars"), vars)
	tool(t, "u-boot-tools", "mkenvimage", "-r", "-s", fmt.Sprint(size), "-o", at("env"), at("vars"))
	first, err := os.ReadFile(at("env"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, at("env"), string(append(first, make([]byte, size)...)))
	put(t, at("fw_env.config"), fmt.Sprintf("%s 0x0 0x%x\n%s 0x%x 0x%x\n", at("env"), size, at("env"), size, size))
	env, err := uboot.Open(uboot.Config{Size: size, Style: style, Copies: []uboot.Copy{{Open: device(at("env"))}, {Open: device(at("env")), Offset: size}}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, at("shell"), `set -u
config=$1
setenv() { name=$1; shift; eval "$name=\$*"; }
setexpr() { eval "$1=\$(($2 $3 $4))"; }
run() { eval "text=\$$1"; eval "$text"; }
saveenv() {
	for name in BOOT_ORDER BOOT_a_LEFT BOOT_b_LEFT bootcount; do
		eval "value=\${$name-}"
		[ -z "$value" ] || printf '%s=%s\n' "$name" "$value"
	done >"$config.vars"
	fw_setenv -c "$config" -s "$config.vars" || exit 1
}
load() { test "$1 $2" = "mmc 0:$platen_part"; }
booti() { echo "$platen_part $bootargs"; exit 0; }
reset() { echo reset; exit 0; }
BOOT_ORDER= BOOT_a_LEFT= BOOT_b_LEFT= platen_trial= upgrade_available= bootcount= bootlimit=
kernel_addr_r=0x1 fdtcontroladdr=0x2
fw_printenv -c "$config" | sed "s/'/'\\\\''/g; s/^\\([A-Za-z_]*\\)=\\(.*\\)/\\1='\\2'/" >"$config.now"
. "$config.now"
`+start)
	tool(t, "libubootenv-tool", "fw_printenv", "-c", at("fw_env.config"))
	return board{t: t, agent: env, start: func() string {
		for range 9 { // resets
			out, err := exec.Command("sh", at("shell"), at("fw_env.config")).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			switch text := strings.TrimSpace(string(out)); {
			case text == "5 root=/dev/mmcblk0p5 panic=10 quiet":
				return "a"
			case text == "6 root=/dev/mmcblk0p6 panic=10 quiet":
				return "b"
			case !strings.HasSuffix(text, "reset"):
				return text
			}
		}
		return "nothing but resets"
	}}
}

var mmc = Board{Parts: [2]string{"5", "6"}, Roots: [2]string{"/dev/mmcblk0p5", "/dev/mmcblk0p6"}, Device: "mmc 0", Kernel: "/boot/Image", Boot: "booti", Args: "quiet"}

// TestUBootCount: the variables for U-Boot's own counter, which is here in place of it.
func TestUBootCount(t *testing.T) {
	vars, err := Print("uboot", mmc)
	if err != nil {
		t.Fatal(err)
	}
	b := ubootBoard(t, uboot.BootCount, vars, `
if test "$upgrade_available" = 1; then bootcount=$((bootcount + 1)); saveenv; fi
if test "$upgrade_available" = 1 && test $bootcount -gt $bootlimit; then run altbootcmd; else run bootcmd; fi
`)
	b.starts("as it came", "a", "a")
	b.does(b.agent.Try(slot.B))
	b.starts("on trial", "b", "b", "b", "a", "a")
	b.does("", b.agent.Confirm(slot.A))
	b.does(b.agent.Try(slot.B))
	b.starts("on trial again", "b")
	b.does("", b.agent.Confirm(slot.B))
	b.starts("confirmed", "b", "b", "b", "b", "b")
	b.does(b.agent.Try(slot.A))
	b.starts("back on trial", "a", "a", "a", "b")
}

// TestUBootOrder: the script that counts by itself.
func TestUBootOrder(t *testing.T) {
	text, err := Print("uboot-order", mmc)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "boot.cmd")
	put(t, script, text)
	tool(t, "u-boot-tools", "mkimage", "-A", "arm", "-T", "script", "-d", script, script+".scr")
	if p, err := os.ReadFile(script + ".scr"); err != nil || !bytes.HasSuffix(p, []byte(text)) {
		t.Errorf("mkimage keeps another text: %v", err)
	}
	b := ubootBoard(t, uboot.BootOrder, "bootdelay=0\n", text)
	b.starts("as it came", "a", "a", "a", "b")
	b.does("", b.agent.Confirm(slot.A))
	b.does(b.agent.Try(slot.B))
	b.starts("on trial", "b", "b", "b", "a", "a", "a", "b")
	b.does(b.agent.Try(slot.B))
	b.starts("on trial again", "b")
	b.does("", b.agent.Confirm(slot.B))
	b.starts("confirmed", "b", "b", "b", "a")
}

// TestRaspberryPi: the file is one that the agent's side takes.
func TestRaspberryPi(t *testing.T) {
	text, err := Print("rpi", Board{Parts: [2]string{"2", "3"}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "autoboot.txt")
	put(t, path, text)
	e, err := rpi.Open(rpi.Config{Open: device(path), Partitions: [2]int{2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, err := e.Load(); err != nil || n != slot.A || !strings.Contains(text, "[tryboot]\nboot_partition=3\n") {
		t.Errorf("%q: starts %v, %v", text, n, err)
	}
}

// TestRefused: what would end a line, and what is missing.
func TestRefused(t *testing.T) {
	for name, change := range map[string]func(b *Board){
		"a quote": func(b *Board) { b.Args = `quiet"; run evil` }, "a line": func(b *Board) { b.Kernel = "x\nreset" },
		"a variable": func(b *Board) { b.Device = "${x}" }, "no kernel": func(b *Board) { b.Kernel = "" }, "one partition": func(b *Board) { b.Parts[1] = "5" },
	} {
		b := mmc
		change(&b)
		if text, err := Print("uboot", b); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
	if _, err := Print("lilo", mmc); err == nil {
		t.Error("a bootloader that is not there")
	}
	if _, err := Print("uboot", mmc); err != nil { // the control
		t.Error(err)
	}
}
