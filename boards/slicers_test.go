package boards

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

// slicerFiles are files as slicers write them; see the README there.
const slicerFiles = "../hal/gcodefile/testdata"

// TestFilesOfSlicers accepts what slicers write for a board, and refuses it on a
// smaller machine.
func TestFilesOfSlicers(t *testing.T) {
	for name, want := range map[string]struct {
		board    string
		filament int64 // µm fed in all, less what is drawn back
		roles    []motion.Role
		pauses   int
	}{
		"mk3-prusaslicer.gcode":  {"rpi-prusa-mk3-einsy", 23_561, []motion.Role{motion.Skirt, motion.OuterWall, motion.SolidInfill}, 1},
		"ender-orcaslicer.gcode": {"pi-creality-v427", 21_730, []motion.Role{motion.InnerWall, motion.Infill, motion.TopSkin}, 0},
		"ender-cura.gcode":       {"pi-creality-v427", 22_165, []motion.Role{motion.Skirt, motion.OuterWall, motion.Infill}, 0},
	} {
		b, err := Load(want.board)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(slicerFiles, name))
		if err != nil {
			t.Fatal(err)
		}
		roles, pauses, layers, filament := map[motion.Role]bool{}, 0, 0, unit.Length(0)
		for op, err := range gcodefile.Program(strings.NewReader(string(text)), b.GCode()) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			filament += op.E
			roles[op.Role] = roles[op.Role] || op.E > 0
			switch op.Kind {
			case motion.Pause:
				pauses++
			case motion.BeginLayer:
				layers++
			}
		}
		if layers != 2 || pauses != want.pauses || filament.Micrometres() != want.filament {
			t.Errorf("%s: %d layers, %d pauses, %d µm of filament", name, layers, pauses, filament.Micrometres())
		}
		for _, r := range want.roles {
			if !roles[r] {
				t.Errorf("%s: no line of role %v", name, r)
			}
		}
		for _, small := range []func(*envelope.Limits){
			func(l *envelope.Limits) { l.Max[motion.IX] = 100 * unit.Millimetre },
			func(l *envelope.Limits) { l.HotEnd.Max = 190 * unit.Degree },
			func(l *envelope.Limits) { l.MaxE = unit.Millimetre },
		} {
			o := b.GCode()
			small(&o.Limits)
			if _, err := gcodefile.Check(strings.NewReader(string(text)), o); err == nil {
				t.Errorf("control: %s is accepted by a machine that cannot print it", name)
			}
		}
	}
}
