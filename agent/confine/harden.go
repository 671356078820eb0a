package confine

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Hardening checks what the system does beside a session that makes a way to its memory,
// or from the network into the board, shorter: proc and sys are the roots of /proc and
// /sys. Nothing of it keeps a session from taking jobs.
func Hardening(proc, sys fs.FS) []Finding {
	return []Finding{initOnFree(proc), secretMemory(), lockdown(sys), modules(proc), kexec(proc), sysctls(proc), mounts(proc), ports(proc)}
}

// warn is a finding that keeps nobody from working.
func warn(name, what, remedy string) Finding {
	return Finding{Name: name, Level: Warn, What: what, Remedy: remedy}
}

func initOnFree(proc fs.FS) Finding {
	const name = "init_on_free"
	text, err := readAll(proc, "cmdline")
	if err != nil || !slices.Contains(strings.Fields(text), "init_on_free=1") {
		return warn(name, "the kernel leaves in memory what was freed", "init_on_free=1 on the kernel's command line")
	}
	return Finding{Name: name, What: "the kernel overwrites what is freed"}
}

func secretMemory() Finding {
	const name = "secret memory"
	fd, err := memfdSecret()
	if err != nil {
		return warn(name, "the vault is locked, but not secret: the kernel has it mapped", "a 64-bit kernel of Linux 5.14 or later, before 6.5 with secretmem.enable=1")
	}
	_ = unix.Close(fd) // nothing was written to it
	return Finding{Name: name, What: "not even the kernel has the vault mapped"}
}

func lockdown(sys fs.FS) Finding {
	const name, remedy = "lockdown", "lockdown=confidentiality on the kernel's command line (CONFIG_SECURITY_LOCKDOWN_LSM)"
	text, err := readAll(sys, "kernel/security/lockdown")
	switch {
	case err != nil:
		return warn(name, "the kernel has none, or it cannot be seen: root reads all memory", remedy)
	case strings.Contains(text, "[confidentiality]"):
		return Finding{Name: name, What: "root neither reads nor changes the kernel's memory"}
	case strings.Contains(text, "[integrity]"):
		return warn(name, "root cannot change the kernel's memory, but may read it", remedy)
	}
	return warn(name, "root reads and changes all memory", remedy)
}

func modules(proc fs.FS) Finding {
	const name = "modules"
	text, err := readAll(proc, "sys/kernel/modules_disabled")
	if err == nil && strings.TrimSpace(text) == "0" {
		return warn(name, "modules can be loaded into the kernel", "sysctl kernel.modules_disabled=1, once all that is needed is loaded")
	}
	return Finding{Name: name, What: "no more modules are loaded"}
}

func kexec(proc fs.FS) Finding {
	const name = "kexec"
	text, err := readAll(proc, "sys/kernel/kexec_load_disabled")
	if err == nil && strings.TrimSpace(text) == "0" {
		return warn(name, "another kernel can be started, with the memory as it is", "sysctl kernel.kexec_load_disabled=1")
	}
	return Finding{Name: name, What: "no other kernel can be started"}
}

// least are settings of the kernel, with what they are to be at least. One that a kernel
// does not have protects from nothing that is there.
var least = []struct {
	name  string
	value int
}{
	{"kernel.kptr_restrict", 1}, {"kernel.dmesg_restrict", 1}, {"kernel.perf_event_paranoid", 2},
	{"kernel.unprivileged_bpf_disabled", 1}, {"kernel.yama.ptrace_scope", 1}, {"fs.protected_symlinks", 1}, {"fs.protected_hardlinks", 1},
}

func sysctls(proc fs.FS) Finding {
	const name = "sysctls"
	var open []string
	for _, s := range least {
		text, err := readAll(proc, "sys/"+strings.ReplaceAll(s.name, ".", "/"))
		if v, nerr := strconv.Atoi(strings.TrimSpace(text)); err == nil && (nerr != nil || v < s.value) {
			open = append(open, fmt.Sprintf("%s=%d", s.name, s.value))
		}
	}
	if len(open) > 0 {
		return warn(name, "other users of the system may look further than they have to", "sysctl -w "+strings.Join(open, " "))
	}
	return Finding{Name: name, What: "other users see neither kernel nor other processes"}
}

// mounts looks for memory that anybody may write to and start programs from, and for
// places that make others' rights or devices.
func mounts(proc fs.FS) Finding {
	const name = "mounts"
	text, err := readAll(proc, "self/mounts")
	if err != nil {
		return warn(name, "cannot be read", "mount /proc")
	}
	var open []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "tmpfs" && f[2] != "ramfs" || f[1] == "/" || f[1] == "/dev" || strings.HasPrefix(f[1], "/proc/") || strings.HasPrefix(f[1], "/sys/") || slices.Contains(open, f[1]) {
			continue
		}
		has := strings.Split(f[3], ",")
		if !slices.Contains(has, "ro") && !(slices.Contains(has, "nosuid") && slices.Contains(has, "nodev") && slices.Contains(has, "noexec")) {
			open = append(open, f[1])
		}
	}
	if len(open) > 0 {
		return warn(name, "programs can be put into memory and started from it: "+strings.Join(open, ", "), "mount it with nosuid,nodev,noexec")
	}
	return Finding{Name: name, What: "nothing is started from memory that anybody may write to"}
}

// ports looks for whatever can be reached from outside. Platen itself listens on nothing.
func ports(proc fs.FS) Finding {
	const name = "ports"
	var open []string
	for _, table := range []struct{ file, kind, state string }{{"net/tcp", "tcp", "0A"}, {"net/tcp6", "tcp", "0A"}, {"net/udp", "udp", "07"}, {"net/udp6", "udp", "07"}} {
		text, err := readAll(proc, table.file)
		if err != nil {
			continue // there is no such protocol
		}
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != table.state {
				continue
			}
			address, hex, _ := strings.Cut(f[1], ":")
			port, err := strconv.ParseUint(hex, 16, 16)
			if err != nil || loopback(address) || table.kind == "udp" && (port == 68 || port == 546) { // answers of DHCP
				continue
			}
			if is := fmt.Sprintf("%s %d", table.kind, port); !slices.Contains(open, is) {
				open = append(open, is)
			}
		}
	}
	if len(open) > 0 {
		return warn(name, "something listens to the network: "+strings.Join(open, ", "), "end it, or let nobody reach it: Platen needs none of it")
	}
	return Finding{Name: name, What: "nothing listens to the network"}
}

// loopback reports whether an address of /proc/net is one of this machine alone. They are
// written as words in the byte order of the machine, which is little-endian.
func loopback(address string) bool {
	switch {
	case len(address) == 8:
		return strings.HasSuffix(address, "7F")
	case strings.HasPrefix(address, "0000000000000000FFFF0000"):
		return strings.HasSuffix(address, "7F")
	}
	return address == "00000000000000000000000001000000"
}
