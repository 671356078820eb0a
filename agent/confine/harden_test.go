package confine

import (
	"strings"
	"testing"
	"testing/fstest"
)

const tcp = "  sl  local_address rem_address   st tx_queue rx_queue\n"

func files(of map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range of {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// TestHardening: a system that is closed is told from one that is open, finding by
// finding.
func TestHardening(t *testing.T) {
	good := files(map[string]string{
		"cmdline":                     "quiet init_on_free=1\n",
		"sys/kernel/modules_disabled": "1\n", "sys/kernel/kexec_load_disabled": "1\n",
		"sys/kernel/kptr_restrict": "2\n", "sys/kernel/dmesg_restrict": "1\n", "sys/kernel/perf_event_paranoid": "3\n",
		"self/mounts": "rootfs / rootfs ro 0 0\ntmpfs /run tmpfs rw,nosuid,nodev,noexec,size=4k 0 0\ntmpfs /etc tmpfs ro 0 0\ndevtmpfs /dev devtmpfs rw,nosuid 0 0\n",
		"net/tcp":     tcp + "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n   1: 0200000A:D431 01000008:01BB 01 00000000:00000000\n",
		"net/tcp6":    tcp + "   0: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A\n   1: 0000000000000000FFFF00000100007F:0277 00000000000000000000000000000000:0000 0A\n",
		"net/udp":     tcp + "   0: 00000000:0044 00000000:0000 07\n",
	})
	goodSys := files(map[string]string{"kernel/security/lockdown": "none integrity [confidentiality]\n"})
	for _, f := range Hardening(good, goodSys) {
		if f.Level != OK && f.Name != "secret memory" { // which is the machine's
			t.Errorf("%s: %v %s", f.Name, f.Level, f.What)
		}
	}
	for name, bad := range map[string]struct{ file, text, what string }{
		"init_on_free": {"cmdline", "quiet init_on_free=0 xinit_on_free=1\n", ""},
		"modules":      {"sys/kernel/modules_disabled", "0\n", ""},
		"kexec":        {"sys/kernel/kexec_load_disabled", "0\n", ""},
		"sysctls":      {"sys/kernel/perf_event_paranoid", "1\n", "kernel.perf_event_paranoid=2"},
		"mounts":       {"self/mounts", "tmpfs /dev/shm tmpfs rw,nosuid,nodev 0 0\n", "/dev/shm"},
		"ports":        {"net/tcp", tcp + "   0: 00000000:0016 00000000:0000 0A\n", "tcp 22"},
	} {
		proc := files(nil)
		for k, v := range good {
			proc[k] = v
		}
		proc[bad.file] = &fstest.MapFile{Data: []byte(bad.text)}
		for _, f := range Hardening(proc, goodSys) {
			if f.Name == "secret memory" {
				continue
			}
			if (f.Name == name) != (f.Level == Warn) {
				t.Errorf("%s: %s is %v", name, f.Name, f.Level)
			}
			if f.Name == name && (f.Remedy == "" || !strings.Contains(f.What+f.Remedy, bad.what)) {
				t.Errorf("%s: says %q, %q", name, f.What, f.Remedy)
			}
		}
	}
	for text, want := range map[string]Level{"[none] integrity confidentiality\n": Warn, "none [integrity] confidentiality\n": Warn, "none integrity [confidentiality]\n": OK} {
		if f := lockdown(files(map[string]string{"kernel/security/lockdown": text})); f.Level != want {
			t.Errorf("lockdown %q: %v", text, f.Level)
		}
	}
	for file, line := range map[string]string{"net/udp": "   0: 00000000:14E9 00000000:0000 07\n", "net/tcp6": "   0: 00000000000000000000000000000000:0050 0:0 0A\n"} {
		if f := ports(files(map[string]string{file: tcp + line})); f.Level != Warn {
			t.Errorf("%s: %q is not seen", file, line)
		}
	}
}
