package slicer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
)

// goldenFile holds a hash for each model and each of goldenSettings. When output
// changes on purpose, go test ./slicer -run TestGolden -update writes it anew; the
// commit says why.
const goldenFile = "testdata/golden.txt"

// goldenSettings are what models are sliced with: between them nearly every stage has
// something to do.
var goldenSettings = []struct {
	name string
	set  string
}{
	{"default", ""},
	{"fine", "layer_height=0.12mm walls=3 infill_pattern=grid infill_density=35% seam=rear outer_wall_first=true"},
	{"supported", "layer_height=0.3mm infill_pattern=gyroid support=grid support_bed_only=false brim=outer elephant_foot_compensation=0.1mm"},
	{"arcs", "arc_tolerance=0.02mm adaptive_layers=true copies=2 infill_pattern=triangles"},
	{"raised", "layer_height=0.25mm infill_pattern=cubic support=tree raft_layers=2 ironing=true top_pattern=concentric seam=random wipe_distance=1mm z_hop=0.3mm"},
}

// goldenModels are those of testdata/models that are not another's shape in another
// format.
var goldenModels = []string{
	"bracket.stl", "cube.stl", "cone.stl", "thin-box.stl", "tee.stl", "overlap.stl", "hollow-sphere.stl", "tug.stl", "thin.stl", "tee.obj", "bracket.3mf",
}

// busyModels are those that all settings are tried on.
var busyModels = []string{"tug.stl", "thin.stl"}

func goldenOf(t *testing.T, set string) Settings {
	t.Helper()
	s := Default()
	for pair := range strings.FieldsSeq(set) {
		key, text, _ := strings.Cut(pair, "=")
		r, err := Lookup(key)
		if err == nil {
			err = r.Set(&s, text)
		}
		if err != nil {
			t.Fatalf("%s: %v", pair, err)
		}
	}
	return s
}

// hashOp adds every figure of an operation.
func hashOp(h hash.Hash, buf []byte, op motion.Op) []byte {
	buf = append(buf[:0], byte(op.Kind), byte(op.Axes), byte(op.Role), op.Tool, byte(op.Heater), op.Index)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(op.Fan))
	buf = binary.LittleEndian.AppendUint16(buf, op.Object)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(op.Layer))
	for _, l := range []unit.Length{op.To[0], op.To[1], op.To[2], op.E, op.Centre[0], op.Centre[1], op.Width, op.Height} {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(l))
	}
	for _, v := range []int64{int64(op.Feed), int64(op.Accel), int64(op.Temp), int64(op.Wait)} {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(v))
	}
	h.Write(buf) // never fails
	return buf
}

// programHash is a hash of the operations that print a model.
func programHash(t *testing.T, file string, s Settings) string {
	t.Helper()
	return jobHash(t, openFile(t, file, s))
}

func jobHash(t *testing.T, j *Job) string {
	t.Helper()
	h := sha256.New()
	var buf []byte
	for op, err := range j.Program(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		buf = hashOp(h, buf, op)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:12])
}

// The same model and the same settings give the same operations, on every machine and
// for any number of processors.
func TestGolden(t *testing.T) {
	var lines []string
	all := 0
	for n, g := range goldenSettings {
		models := goldenModels
		if n > 0 {
			models = busyModels
		}
		for k, m := range models {
			all++
			if testing.Short() && !*update && k%len(busyModels) != 0 {
				continue
			}
			lines = append(lines, fmt.Sprintf("%s %s %s", g.name, m, programHash(t, m, goldenOf(t, g.set))))
		}
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(goldenFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		golden[strings.TrimSpace(line)] = true
	}
	changed := 0
	for _, l := range lines {
		if !golden[l] {
			changed++
			t.Errorf("%s is not golden", l)
		}
	}
	if changed > 0 {
		t.Log("if that is meant: go test ./slicer -run TestGolden -update")
	}
	if len(golden) != all {
		t.Errorf("%d golden hashes, want %d", len(golden), all)
	}
}

// short is 1 where time is short.
func short() int {
	if testing.Short() {
		return 1
	}
	return 0
}

// One processor, two or four: the operations are the same. The control is another
// setting, which they show.
func TestAnyNumberOfProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, g := range goldenSettings[2:4] {
		for _, m := range busyModels[:2-short()] {
			s := goldenOf(t, g.set)
			runtime.GOMAXPROCS(1)
			want := programHash(t, m, s)
			for _, n := range []int{2, 4} {
				runtime.GOMAXPROCS(n)
				if got := programHash(t, m, s); got != want {
					t.Errorf("%s, %s: not the same on %d processors", g.name, m, n)
				}
			}
			if s.Width++; programHash(t, m, s) == want {
				t.Errorf("%s, %s: control: the width of lines does not show", g.name, m)
			}
		}
	}
}
