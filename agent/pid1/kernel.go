package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mounted is a file system of the kernel.
type mounted struct {
	kind, at string
	flags    uintptr
	data     string
	optional bool
}

const safely = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mounts are in this order. Nothing that can be written to can be executed, but for
// [slotsDir], see openState.
var mounts = []mounted{
	{kind: "proc", at: "/proc", flags: safely, data: "hidepid=invisible"},
	{kind: "sysfs", at: "/sys", flags: safely},
	{kind: "devtmpfs", at: "/dev", flags: unix.MS_NOSUID | unix.MS_NOEXEC, data: "size=1m,mode=0755"},
	{kind: "tmpfs", at: "/run", flags: safely, data: "size=4m,mode=0755"},
	{kind: "tmpfs", at: "/tmp", flags: safely, data: "size=4m,mode=1777"},
	{kind: "securityfs", at: "/sys/kernel/security", flags: safely, optional: true},
}

func mountAll() error {
	for _, m := range mounts {
		if err := m.mount(); err != nil && !m.optional {
			return err
		}
	}
	return nil
}

func (m mounted) mount() error {
	if err := os.MkdirAll(m.at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.kind, m.at, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("%s: %w", m.at, err)
	}
	return nil
}

// modulesDir holds modules and the order in which they are loaded.
const modulesDir = "/lib/modules"

// loadModules loads modules by the list. Of a board that lacks a device its module may be
// missing or refused: then its line begins with "-".
func (b *board) loadModules() error {
	text, err := os.ReadFile(filepath.Join(modulesDir, "order"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // everything is built in
	}
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(text)) {
		name, optional := strings.CutPrefix(name, "-")
		if err := loadModule(filepath.Join(modulesDir, name+".ko")); err != nil && !optional {
			return fmt.Errorf("module %s: %w", name, err)
		}
	}
	return nil
}

func loadModule(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err = unix.FinitModule(int(f.Fd()), "", 0); errors.Is(err, unix.EEXIST) {
		err = nil
	}
	return err
}

// setting is a sysctl. Required ones are on every kernel that boots an image of ours.
type setting struct {
	name, value string
	required    bool
}

// hardening holds from before anything but the init runs.
var hardening = []setting{
	{"kernel/core_pattern", "core", true}, // no helper gets one, and the limit is 0
	{"fs/suid_dumpable", "0", true},
	{"kernel/kptr_restrict", "2", true},
	{"kernel/dmesg_restrict", "1", true},
	{"kernel/randomize_va_space", "2", true},
	{"kernel/yama/ptrace_scope", "3", false},
	{"kernel/unprivileged_bpf_disabled", "1", false},
	{"net/core/bpf_jit_harden", "2", false},
	{"kernel/perf_event_paranoid", "3", false},
	{"kernel/sysrq", "0", false},
	{"kernel/panic_on_oops", "1", true}, // and panic=-1 restarts
	{"vm/unprivileged_userfaultfd", "0", false},
	{"user/max_user_namespaces", "0", false},
	{"dev/tty/ldisc_autoload", "0", false},
	{"fs/protected_symlinks", "1", true},
	{"fs/protected_hardlinks", "1", true},
	{"fs/protected_fifos", "2", true},
	{"fs/protected_regular", "2", true},
	{"net/ipv4/conf/all/accept_redirects", "0", false},
	{"net/ipv4/conf/default/accept_redirects", "0", false},
	{"net/ipv4/conf/all/send_redirects", "0", false},
	{"net/ipv4/conf/all/accept_source_route", "0", false},
	{"net/ipv4/icmp_echo_ignore_broadcasts", "1", false},
	{"net/ipv4/tcp_syncookies", "1", false},
	{"net/ipv6/conf/all/accept_redirects", "0", false},
	{"net/ipv6/conf/default/accept_redirects", "0", false},
}

// closing holds once everything of the kernel that is needed is there.
var closing = []setting{
	{"kernel/kexec_load_disabled", "1", false},
	{"kernel/modules_disabled", "1", false},
}

func (b *board) sysctls(list []setting) error {
	for _, s := range list {
		err := os.WriteFile("/proc/sys/"+s.name, []byte(s.value), 0)
		if err != nil && s.required {
			return err
		}
	}
	return nil
}

// EFI's variable in which the stub of an image says which partition it was started from:
// UTF-16, after four bytes of attributes.
const loaderPartition = "/sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// runningSlot is "a", "b", or "" if nobody says so.
func (b *board) runningSlot() string {
	if s := b.cmdline["platen.slot"]; s == "a" || s == "b" {
		return s
	}
	vars := mounted{kind: "efivarfs", at: "/sys/firmware/efi/efivars", flags: safely}
	if _, err := os.Stat("/sys/firmware/efi"); err != nil || vars.mount() != nil {
		return ""
	}
	text, err := os.ReadFile(loaderPartition)
	if err != nil || len(text) < 4 {
		return ""
	}
	return slotOf(text[4:])
}

// slotOf is the slot whose partition has this GUID, in UTF-16.
func slotOf(utf16 []byte) string {
	guid := strings.ToLower(string(bytes.ReplaceAll(utf16, []byte{0}, nil)))
	switch guid {
	case GUIDSlotA:
		return "a"
	case GUIDSlotB:
		return "b"
	}
	return ""
}
