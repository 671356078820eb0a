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
		for _, build := range []uint8{3, 1, 4, 3 << 1, 1 << 5, 1<<5 | 24, 2 << 5, 2<<5 | 24} {
			f.Add([]byte(s), build)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, build uint8) {
		if len(b) > 4096 {
			return
		}
		fw := family[int(build>>5)%len(family)]
		cfg := Config{Firmware: fw, EmergencyParser: build&1 != 0, AdvancedOK: build&2 != 0, HostActions: build&4 != 0, Leveling: build&4 != 0}
		if build&8 != 0 {
			const c = Always / 3
			cfg.Faults = Faults{
				Corrupt: c, CorruptReply: c, DropByte: c, Burst: c, Garbage: c, HalfLine: c, Delay: c, DropOK: c, DupOK: c, FakeOK: c, ResendStorm: c / 5,
				ActionAt: 2 * time.Second, WrongBaudAt: 2900 * time.Millisecond,
			}
		}
		if build&16 != 0 {
			cfg.Extruders, cfg.Chamber, cfg.Noise = 2, true, 300
		}
		const end = 9 * time.Second // an MK3 takes seven to start
		m, out := hear(t, cfg, end, say{100 * ms, string(b)}, say{7500 * ms, string(b)})
		if m.rx.room() < 0 || m.plan.free() < 0 {
			t.Fatalf("a ring overflowed: buffer %d, planner %d", m.rx.n, m.plan.n)
		}
		if fw, ok := m.fw.(*marlin2); ok {
			if fw.queue.n > queueSize || fw.line.n >= lineSize {
				t.Fatalf("a buffer overflowed: queue %d, line %d", fw.queue.n, fw.line.n)
			}
			if m.therm.hotend().target > 260 || m.therm.bed().target > 140 {
				t.Fatalf("targets %v and %v", m.therm.hotend().target, m.therm.bed().target)
			}
		}
		if m.now < end || out == "" {
			t.Fatalf("it stopped at %v, saying %q", m.now, out[max(0, len(out)-20):])
		}
	})
}

// family is the firmwares that this fuzzer knows; the others have their own.
var family = []Firmware{Marlin2, Marlin1, PrusaMK3}
