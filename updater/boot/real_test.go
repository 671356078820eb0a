package boot_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"platen/updater/boot/grub"
	"platen/updater/boot/uboot"
	"platen/updater/slot"
)

// tool runs a program of U-Boot or GRUB; without it the test is skipped, or fails in CI.
func tool(t *testing.T, debian, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("needs %s (%s)", name, debian)
		}
		t.Skipf("needs %s (%s)", name, debian)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func device(path string) func(slot.Mode) (slot.File, error) {
	return func(m slot.Mode) (slot.File, error) { return slot.OpenDevice(path, m) }
}

// TestUBootTools: what mkenvimage and fw_setenv write is read, and fw_printenv reads what
// we write, over a wrap of the flags.
func TestUBootTools(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "env.txt")
	if err := os.WriteFile(text, []byte("bootlimit=3\naltbootcmd=run other; saveenv\nplaten_slot=a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const size = 0x4000
	for _, copies := range []int{1, 2} {
		dev := filepath.Join(dir, fmt.Sprintf("dev-%d", copies))
		args := []string{"-s", fmt.Sprint(size), "-o", dev}
		if copies == 2 {
			args = append(args, "-r")
		}
		tool(t, "u-boot-tools", "mkenvimage", append(args, text)...)
		first, err := os.ReadFile(dev)
		if err != nil {
			t.Fatal(err)
		}
		conf := fmt.Sprintf("%s 0x0 0x%x\n", dev, size)
		cfg := uboot.Config{Size: size, Copies: []uboot.Copy{{Open: device(dev)}}}
		if copies == 2 {
			first = append(first, make([]byte, size)...)
			conf += fmt.Sprintf("%s 0x%x 0x%x\n", dev, size, size)
			cfg.Copies = append(cfg.Copies, uboot.Copy{Open: device(dev), Offset: size})
		}
		config := filepath.Join(dir, "fw_env.config")
		if err := os.WriteFile(dev, first, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, []byte(conf), 0o644); err != nil {
			t.Fatal(err)
		}
		e, err := uboot.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.Vars()
		if want := (uboot.Vars{"bootlimit": "3", "altbootcmd": "run other; saveenv", "platen_slot": "a"}); err != nil || !maps.Equal(v, want) {
			t.Fatalf("of mkenvimage: %v, %v", v, err)
		}
		for i := range 300 { // more than a byte of flags counts
			if err := e.Set(uboot.Vars{"n": fmt.Sprint(i + 1)}); err != nil {
				t.Fatal(err)
			}
			if i > 240 && i < 270 {
				if got := tool(t, "libubootenv-tool", "fw_printenv", "-c", config, "n"); got != fmt.Sprintf("n=%d\n", i+1) {
					t.Fatalf("change %d: fw_printenv says %q", i, got)
				}
			}
		}
		tool(t, "libubootenv-tool", "fw_setenv", "-c", config, "platen_slot", "b")
		if v, err = e.Vars(); err != nil || v["platen_slot"] != "b" || v["n"] != "300" {
			t.Errorf("of fw_setenv: %v, %v", v, err)
		}
		if _, err := e.Try(slot.A); err != nil {
			t.Fatal(err)
		}
		got := tool(t, "libubootenv-tool", "fw_printenv", "-c", config)
		for _, want := range []string{"platen_slot=a\n", "upgrade_available=1\n", "bootcount=0\n", "altbootcmd=run other; saveenv\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("fw_printenv does not say %q:\n%s", want, got)
			}
		}
	}
}

// TestGRUBTools: what grub-editenv writes is read, and it reads what we write.
func TestGRUBTools(t *testing.T) {
	dir := t.TempDir()
	files := [2]string{filepath.Join(dir, "platen-0.env"), filepath.Join(dir, "platen-1.env")}
	for _, f := range files {
		tool(t, "grub-common", "grub-editenv", f, "create")
	}
	e, err := grub.Open(device(files[0]), device(files[1]))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Confirm(slot.A); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	said := tool(t, "grub-common", "grub-editenv", files[0], "list") + tool(t, "grub-common", "grub-editenv", files[1], "list")
	for _, want := range []string{"platen_gen=0000000001\nplaten_slot=a\nplaten_trial=-\nplaten_end=0000000001\n",
		"platen_gen=0000000002\nplaten_slot=a\nplaten_trial=b\nplaten_end=0000000002\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("grub-editenv does not say %q:\n%s", want, said)
		}
	}
	tried := filepath.Join(dir, "tried.env")
	tool(t, "grub-common", "grub-editenv", tried, "create")
	tool(t, "grub-common", "grub-editenv", tried, "set", "platen_tried=0000000002", "saved_entry=x y")
	p, err := os.ReadFile(tried)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := grub.Parse(p); !ok || v["platen_tried"] != "0000000002" || v["saved_entry"] != "x y" {
		t.Errorf("of grub-editenv: %v, %v", v, ok)
	}
}
