package pid1

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"platen/agent/pid1/newc"
	"platen/updater/approval"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCmdline(t *testing.T) {
	b := board{cmdline: parseCmdline("console=ttyAMA0 quiet platen.slot=b\n")}
	if got := b.runningSlot(); got != "b" {
		t.Errorf("slot %q", got)
	}
	if args := b.console(); args != nil {
		t.Errorf("nobody asked for a console: %v", args)
	}
	b.cmdline = parseCmdline("quiet platen.console=ttyAMA0")
	if d := cmp.Diff([]string{"/init", "console", "ttyAMA0"}, b.console()); d != "" {
		t.Error(d)
	}
}

func TestConsoleRefuses(t *testing.T) {
	for _, tty := range []string{"", "../mem", "a/b", "."} {
		if err := serveConsole(tty); err == nil || !strings.Contains(err.Error(), "not a terminal") {
			t.Errorf("%q: %v", tty, err)
		}
	}
}

func TestSlotOf(t *testing.T) {
	for guid, want := range map[string]string{GUIDSlotA: "a", strings.ToUpper(GUIDSlotB): "b", "1c5f9b1a": ""} {
		var b []byte
		for _, u := range utf16.Encode([]rune(guid + "\x00")) {
			b = append(b, byte(u), byte(u>>8))
		}
		if got := slotOf(b); got != want {
			t.Errorf("%s: %q", guid, got)
		}
	}
}

func TestRelease(t *testing.T) {
	r, err := readRelease("7 1760000000\n")
	if err != nil || r.number != 7 || !r.built.Equal(time.Unix(1760000000, 0)) {
		t.Errorf("%+v, %v", r, err)
	}
	for _, text := range []string{"", "7", "a b", "7 b", "-1 5"} {
		if _, err := readRelease(text); err == nil {
			t.Errorf("%q: taken", text)
		}
	}
}

// TestPartitions: a disk that has all of them counts, and what another one has does not.
func TestPartitions(t *testing.T) {
	dir := t.TempDir()
	add := func(disk, dev, name string) {
		t.Helper()
		put(t, filepath.Join(dir, "devices", disk, dev, "uevent"), "DEVNAME="+dev+"\nDEVTYPE=partition\nPARTNAME="+name+"\n")
		if err := os.MkdirAll(dir+"/class", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../devices/"+disk+"/"+dev, dir+"/class/"+dev); err != nil {
			t.Fatal(err)
		}
	}
	look := func() (map[string]string, string, error) {
		t.Helper()
		disks, err := partitions(dir + "/class")
		if err != nil {
			t.Fatal(err)
		}
		return complete(disks)
	}
	if found, missing, err := look(); found != nil || missing == "" || err != nil {
		t.Errorf("no disk: %v, %q, %v", found, missing, err)
	}
	add("vda", "vda1", "platen-state") // what an older image left there
	add("vda", "vda2", "other")
	add("vda", "vda8", "platen-env") // two, and not all
	add("vda", "vda9", "platen-env")
	want := map[string]string{}
	for i, p := range parts {
		if found, missing, err := look(); found != nil || missing == "" || err != nil {
			t.Errorf("%d of %d: %v, %q, %v", i, len(parts), found, missing, err)
		}
		want[p] = fmt.Sprintf("vdb%d", i+1)
		add("vdb", want[p], PartPrefix+p)
	}
	found, missing, err := look()
	if d := cmp.Diff(want, found); d != "" || missing != "" || err != nil {
		t.Errorf("%q, %v %s", missing, err, d)
	}
	for i, p := range parts {
		add("vdc", fmt.Sprintf("vdc%d", i+1), PartPrefix+p)
	}
	if _, _, err := look(); err == nil || !strings.Contains(err.Error(), "vdb and vdc") {
		t.Errorf("two disks: %v", err)
	}
	add("vdb", "vdb9", "platen-state")
	if _, _, err := look(); err == nil || !strings.Contains(err.Error(), "platen-state") {
		t.Errorf("a name twice: %v", err)
	}
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/platen.toml", "built in")
	if err := unpack(bytes.NewReader(make([]byte, 512)), dir); err != nil {
		t.Errorf("an empty partition: %v", err)
	}
	var b bytes.Buffer
	if err := newc.Write(&b, []newc.Entry{{Name: "platen.toml", Mode: newc.Regular, Data: []byte("its own")}, {Name: "keys", Mode: newc.Dir},
		{Name: "keys/owner.pub", Mode: newc.Regular, Data: []byte("key")}}); err != nil {
		t.Fatal(err)
	}
	disk := append(b.Bytes(), make([]byte, 512)...)
	if err := unpack(bytes.NewReader(disk), dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"platen.toml": "its own", "keys/owner.pub": "key"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if err := unpack(bytes.NewReader(bytes.Repeat([]byte("junk"), 512)), dir); err == nil {
		t.Error("junk is taken for an archive")
	}
}

func TestApprovals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slot")
	list := `[{"release":3,"pcrs":[{"pcr":4,"value":"` + strings.Repeat("ab", 32) + `"}],"signature":"AA=="}]`
	slot := make([]byte, ApprovalAt+ApprovalMax)
	copy(slot[ApprovalAt:], list)
	put(t, path, string(slot))
	if got := approvals(path); len(got) != 1 || got[0].Release != 3 || got[0].PCRs[0].Index != 4 {
		t.Errorf("%+v", got)
	}
	put(t, path, string(make([]byte, len(slot))))
	if got := approvals(path); got != nil {
		t.Errorf("of zeros: %+v", got)
	}
	if got := approvals(path + "-none"); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestApprover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "approver")
	if key, err := approver(path + ".pub"); key != nil || err != nil {
		t.Errorf("none: %v, %v", key, err)
	}
	want, err := approval.GenerateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := approver(path + ".pub"); err != nil || !want.Equal(key) {
		t.Errorf("%v", err)
	}
	put(t, path+".pub", "no key") // damaged: never taken for none
	if _, err := approver(path + ".pub"); err == nil {
		t.Error("a damaged key is taken for none")
	}
}

func TestHasSlots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "platen.toml")
	for text, want := range map[string]bool{"board = \"sim\"\n": false, "a = 1\n[update] # x\nurl = \"\"\n": true, "[update.rootfs]\n": true, "# [update]\n": false} {
		put(t, path, text)
		if got, err := hasSlots(path); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestWatchdogOf(t *testing.T) {
	for text, want := range map[string]string{
		"watchdog_time = \"60s\"\nwatchdog = \"/dev/watchdog\" # x\n": "/dev/watchdog",
		"board = \"sim\"\n":                        "",
		"[update]\nwatchdog = \"/dev/watchdog\"\n": "",
		"# watchdog = \"/dev/watchdog\"\n":         "",
	} {
		if got := watchdogOf(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestNetworkFile(t *testing.T) {
	c, err := parseNetwork("# QEMU\naddress = 10.0.2.15/24\ngateway = 10.0.2.2\ndns=10.0.2.3\ndns=10.0.2.4\n")
	if err != nil || c.address != netip.MustParsePrefix("10.0.2.15/24") || c.gateway.String() != "10.0.2.2" || len(c.dns) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := parseNetwork("\n"); err != nil || c.address.IsValid() {
		t.Errorf("nothing is DHCP: %+v, %v", c, err)
	}
	for _, text := range []string{"adress=1.2.3.4/8", "address=1.2.3.4", "address=fe80::1/64", "gateway=x", "dns=host"} {
		if _, err := parseNetwork(text); err == nil {
			t.Errorf("%q: taken", text)
		}
	}
}

// TestNetlink holds messages against rtnetlink(7), byte by byte, on a little-endian machine.
func TestNetlink(t *testing.T) {
	if got, want := hex.EncodeToString(addressMessage(2, netip.MustParsePrefix("10.0.2.15/24"))),
		"28000000"+"1400"+"0505"+"0000000000000000"+"02180000"+"02000000"+"080002000a00020f"+"080001000a00020f"; got != want {
		t.Errorf("address\n%s\n%s", got, want)
	}
	if got, want := hex.EncodeToString(routeMessage(2, netip.MustParseAddr("10.0.2.2"))),
		"2c000000"+"1800"+"0505"+"0000000000000000"+"02000000"+"fe030001"+"00000000"+"080005000a000202"+"0800040002000000"; got != want {
		t.Errorf("route\n%s\n%s", got, want)
	}
}

// TestReplaced: an address that changes is removed, one that is renewed is not.
func TestReplaced(t *testing.T) {
	had := netip.MustParsePrefix("10.0.2.15/24")
	if got, want := hex.EncodeToString(replaced(2, had, netip.MustParsePrefix("10.0.2.16/24"))),
		"28000000"+"1500"+"0500"+"0000000000000000"+"02180000"+"02000000"+"080002000a00020f"+"080001000a00020f"; got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	if replaced(2, had, had) != nil || replaced(2, netip.Prefix{}, had) != nil {
		t.Error("what is kept is removed")
	}
}

// TestNetworkAgain: what fails is tried until it succeeds, and said once.
func TestNetworkAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	b := board{out: &out}
	tries, waits := 0, 0
	again(ctx, func(context.Context) error {
		if tries++; tries < 4 {
			return errors.New([]string{"no interface", "no interface", "its address"}[tries-1])
		}
		return nil
	}, func() { waits++ }, b.say)
	if got := out.String(); tries != 4 || waits != 3 || got != "platen-init: no network: no interface\nplaten-init: no network: its address\n" {
		t.Errorf("%d tries, %d waits, said %q", tries, waits, got)
	}
	again(ctx, func(context.Context) error { cancel(); return errors.New("late") }, func() { t.Error("waits after the end") }, func(string, ...any) { t.Error("says the end") })
}

func TestReadNetwork(t *testing.T) {
	dir := t.TempDir()
	if c, err := readNetwork(dir + "/none"); err != nil || c.address.IsValid() {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := readNetwork(dir); err == nil {
		t.Error("a folder is read")
	}
}

func TestFirstInterface(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/lo/x", "")
	if _, err := firstInterface(dir); err == nil {
		t.Error("the loopback is an interface")
	}
	put(t, dir+"/eth0/x", "")
	put(t, dir+"/bonding_masters", "")
	if got, err := firstInterface(dir); got != "eth0" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/uptime", "4.52 3.00\n")
	put(t, dir+"/stat", "cpu  100 0 50 900 7 3 2 0 0 0\ncpu0 1 1\n")
	put(t, dir+"/meminfo", "MemTotal:  128000 kB\nMemFree: 5 kB\nMemAvailable: 88000 kB\n")
	if got := usage(dir); got != "uptime_s=4.52 cpu_s=1.55 memory_kib=40000" {
		t.Error(got)
	}
}

// TestMountsAreSafe: whatever may be written to is not executed, and nothing has devices or
// lends rights but /dev.
func TestMountsAreSafe(t *testing.T) {
	for _, m := range mounts {
		if m.at == "/dev" {
			if want := uintptr(unix.MS_NOSUID | unix.MS_NOEXEC); m.flags&want != want {
				t.Errorf("/dev: %#x", m.flags)
			}
		} else if m.flags&safely != safely {
			t.Errorf("%s: %#x", m.at, m.flags)
		}
	}
}
