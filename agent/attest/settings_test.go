package attest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/cross/rig/rigtest"
)

// TestSettings: what an agent runs with is measured once, again when it changes, and found
// again by the next agent of the boot; a log whose last event was never measured, or that a
// reset has outlived, is cut to what the PCR holds.
func TestSettings(t *testing.T) {
	s, dir := rigtest.Swtpm(t), t.TempDir()
	file := filepath.Join(dir, "pcr13.eventlog")
	one := evidence.Settings{Config: [32]byte{1}, Board: [32]byte{2}}
	two := one
	two.Controller = [32]byte{3}
	tpm := open(t, s, dir)
	measured := func(want ...evidence.Settings) {
		t.Helper()
		var l evidence.SettingsLog
		for _, w := range want {
			l = l.With(w)
		}
		q, err := tpm.Quote(t.Context(), [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		log, err := tpm.Log(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if q.PCRs.Settings() != l.Value() || log.Settings.Value() != l.Value() {
			t.Errorf("PCR 13 is %x, its log says %x, want %x", q.PCRs.Settings(), log.Settings.Value(), l.Value())
		}
	}
	extend := func(s evidence.Settings) {
		t.Helper()
		if err := tpm.ExtendSettings(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	measured()
	extend(one)
	extend(one)
	measured(one)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	extend(two)
	extend(one)
	measured(one, two, one)
	longer, err := evidence.SettingsLog{}.With(one).With(two).With(one).With(two).EventLog()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		log  []byte
		want []evidence.Settings
	}{{nil, []evidence.Settings{one, two, one}}, {longer, []evidence.Settings{one, two, one}}} {
		closeTPM(t, tpm)
		if c.log != nil {
			if err := os.WriteFile(file, c.log, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		tpm = open(t, s, dir)
		extend(one)
		measured(c.want...)
	}
	closeTPM(t, tpm)
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	tpm = open(t, s, dir)
	measured()
	extend(two)
	measured(two)
	closeTPM(t, tpm)
	if err := os.WriteFile(file, before[:len(before)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := attest.New(t.Context(), attest.Config{Path: s.Path(), StateDir: dir}); err == nil || !strings.Contains(err.Error(), "remove") {
		t.Errorf("a log that is none: %v", err)
	}
}
