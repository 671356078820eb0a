package sim

import (
	"strings"
	"testing"
	"time"
)

// FuzzFirmware lets the firmware hear anything at all: it must not panic, hang, lose
// count of its rings, heat beyond its limits or say more than lines of text.
func FuzzFirmware(f *testing.F) {
	for _, s := range []string{
		"M115\nM503\nM105\n", flood(), "G28\nG1 X9999999999 Y-4 E3 F.0001\nG2 I1\nM112\n",
		"M104 S999\nM140 S999\nM109\nM155 S1\nG4 P99\n", "N1 M110 N5*\n\b\b\x00;x\nN6 G1*0*\n", "G92 X1E9\nM201 X.00001\nG1X5\nM410\n",
		"G1 X" + strings.Repeat("9", 120) + "\n", "M118 A1 E1 A1\nM84\nT9\nG\nM\nT\n",
	} {
		f.Add([]byte(s), uint8(3))
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, build uint8) {
		if len(b) > 4096 {
			return
		}
		cfg := Config{EmergencyParser: build&1 != 0, AdvancedOK: build&2 != 0, HostActions: build&4 != 0}
		if build&8 != 0 {
			cfg.Faults = Faults{Corrupt: Always / 2, DropOK: Always / 3, DupOK: Always / 3}
		}
		m, out := hear(t, cfg, 3*time.Second, say{100 * ms, string(b)})
		fw := m.fw.(*marlin2)
		if fw.queue.n > queueSize || m.rx.room() < 0 || m.plan.free() < 0 || fw.line.n >= lineSize {
			t.Fatalf("a ring overflowed: queue %d, buffer %d, planner %d, line %d", fw.queue.n, m.rx.n, m.plan.n, fw.line.n)
		}
		if m.therm.hotend().target > 260 || m.therm.bed().target > 140 {
			t.Fatalf("targets %v and %v", m.therm.hotend().target, m.therm.bed().target)
		}
		if m.now < 3*time.Second || !strings.HasSuffix(out, "\n") {
			t.Fatalf("it stopped at %v, saying %q", m.now, out[max(0, len(out)-20):])
		}
	})
}
