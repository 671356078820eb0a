package boards

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

// TestEveryBoard loads every file and prints the first layer of nothing on it:
// what a board prints with must pass its own envelope.
func TestEveryBoard(t *testing.T) {
	for _, want := range []string{"sim", "rpi4-skr-mini-e3-v3", "rpi-prusa-mk3-einsy", "pi-creality-v427"} {
		if !slices.Contains(List(), want) {
			t.Errorf("%s is not in %v", want, List())
		}
	}
	for _, id := range List() {
		b, err := Load(id)
		if err != nil {
			t.Error(err)
			continue
		}
		if !b.Prints() {
			continue
		}
		corner := [3]unit.Length{b.Bed.X + b.Bed.Width, b.Bed.Y + b.Bed.Depth, b.Print.FirstLayerHeight}
		ops := []motion.Op{
			{Kind: motion.WaitHeater, Heater: motion.Bed, Temp: b.Print.FirstBed},
			{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: b.Print.FirstHotEnd},
			{Kind: motion.Home},
			{Kind: motion.Move, Axes: motion.Z, To: corner, Feed: b.Print.Lift},
			{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{b.Bed.X, b.Bed.Y}, Feed: b.Print.Travel},
			{Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, To: corner, E: unit.Millimetre, Feed: b.Print.OuterWall},
			{Kind: motion.Move, Axes: motion.E, E: -b.Print.Retract, Feed: b.Print.RetractSpeed},
			{Kind: motion.SetFan, Fan: b.Print.Fan},
			{Kind: motion.SetAccel, Accel: b.Print.Accel},
		}
		for _, err := range envelope.Check(b.Limits, func(yield func(motion.Op, error) bool) {
			for _, op := range ops {
				if !yield(op, nil) {
					return
				}
			}
		}) {
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}

// TestFiguresSaySource demands a word on the source for every figure of a real
// board, in the line or in the comment of its table.
func TestFiguresSaySource(t *testing.T) {
	for _, id := range List() {
		text, err := files.ReadFile(id + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(id, "sim") {
			continue
		}
		tableSaysIt := false
		for line := range strings.Lines(string(text)) {
			_, _, has := strings.Cut(line, "#")
			switch {
			case strings.HasPrefix(line, "["):
				tableSaysIt = has
			case strings.ContainsAny(line, "=") && !tableSaysIt && !has && strings.ContainsAny(line, "0123456789") &&
				!strings.HasPrefix(line, "id") && !strings.HasPrefix(line, "name") && !strings.HasPrefix(line, "targets") &&
				!strings.HasPrefix(line, "corner") && !strings.HasPrefix(line, "notes") && !strings.HasPrefix(line, "count") && !strings.HasPrefix(line, "fans"):
				t.Errorf("%s: %q says nothing of its source", id, strings.TrimSpace(line))
			}
		}
	}
}

func simText(t *testing.T) string {
	t.Helper()
	text, err := files.ReadFile("sim.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestValues(t *testing.T) {
	b, err := Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	const mm = unit.Millimetre
	if b.Controller.Baud != 250000 || b.Limits.Max != [3]unit.Length{220 * mm, 220 * mm, 250 * mm} ||
		b.Limits.MaxFeed[0] != 300_000 || b.Limits.HotEnd.Max != 260*unit.Degree || b.Limits.Bed.Max == 0 || b.Limits.Tools != 1 ||
		b.Nozzle != unit.Micrometres(400) || b.Print.Fan != unit.FullDuty || b.Print.Accel != 1000 || b.TPM != "/dev/tpmrm0" {
		t.Errorf("got %+v", b)
	}
}

// TestHeated prints at other temperatures than the file says: macros heat to them, and
// the limits of the board stay.
func TestHeated(t *testing.T) {
	for _, id := range List() {
		b, err := Load(id)
		if err != nil {
			t.Fatal(err)
		}
		if !b.Prints() {
			continue
		}
		before, l := b.Macros, b.Limits
		hot, err := b.Heated(l.HotEnd.Max-1000, l.HotEnd.Max-2000, 0, 0)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if start := hot.Macros[MacroStart]; start == before[MacroStart] || strings.Contains(start, "{") {
			t.Errorf("%s: start is %q", id, start)
		}
		if b.Macros != before || b.Print == hot.Print {
			t.Errorf("%s: the board itself has changed", id)
		}
		for _, far := range [][4]unit.Celsius{{l.HotEnd.Max + 1, b.Print.HotEnd, 0, 0}, {b.Print.HotEnd, l.MinExtrude - 1, 0, 0},
			{b.Print.HotEnd, b.Print.HotEnd, l.Bed.Max + 1, 0}, {b.Print.HotEnd, b.Print.HotEnd, 0, -1}} {
			if _, err := b.Heated(far[0], far[1], far[2], far[3]); err == nil {
				t.Errorf("%s: heated to %v", id, far)
			}
		}
	}
}

// TestMacros reads macros of a board's own, and those of one that has none.
func TestMacros(t *testing.T) {
	plain, err := Parse("sim.toml", []byte(simText(t)))
	if err != nil {
		t.Fatal(err)
	}
	if want := "M107\nM140 S60\nM104 S215\nG28\nM190 S60\nM109 S215\n"; plain.Macros[MacroStart] != want {
		t.Errorf("start is %q", plain.Macros[MacroStart])
	}
	if plain.Macros[MacroCancel] != plain.Macros[MacroEnd] || !strings.Contains(plain.Macros[MacroEnd], "G1 X0 Y220 F9000\n") {
		t.Errorf("end is %q, cancel is %q", plain.Macros[MacroEnd], plain.Macros[MacroCancel])
	}
	own, err := Parse("sim.toml", []byte(strings.Replace(strings.Replace(simText(t), "[tpm]", `[macros]
start = """
G28                ; a comment
G29
M190 S{bed}
M109 S{hot_end}
G1 Z{top} F{lift}  ; up
"""
pause = "G91\nG1 Z50 F{lift}\nG90"
level = "G28 Z\nG80"
end = "M104 S0\nM140 S0"
[tpm]`, 1), `baud = "250000baud"`, "baud = \"250000baud\"\nlevel = \"G29\"", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []motion.Kind
	top := unit.Length(0)
	seq := own.Sequence(gcodefile.State{}).Macro(MacroStart).Macro(MacroPause).Macro(MacroEnd)
	for op, err := range envelope.Check(own.Limits, envelope.Fit(own.Limits, seq.Ops())) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, op.Kind)
		top = max(top, op.To[motion.IZ])
	}
	want := []motion.Kind{motion.Home, motion.Home, motion.Level, motion.WaitHeater, motion.WaitHeater, motion.Move, motion.Move, motion.SetHeater, motion.SetHeater}
	if !slices.Equal(kinds, want) || top != own.Limits.Max[motion.IZ] || own.Macros[MacroCancel] != own.Macros[MacroEnd] {
		t.Errorf("got %v up to %v", kinds, top)
	}
}

// TestNoHotEnd reads a board of a machine that prints nothing.
func TestNoHotEnd(t *testing.T) {
	text := simText(t)
	cut := func(from, to string) {
		i, j := strings.Index(text, from), strings.Index(text, to)
		if i < 0 || j < i {
			t.Fatalf("no %q before %q", from, to)
		}
		text = text[:i] + text[j:]
	}
	cut("[heat]", "[tool]")
	cut("[print]", "[slots]")
	cut(`nozzle = "0.4mm"`, "[pause]")
	cut(`e = "60mm/s"`, `accel = "3000`)
	text = strings.Replace(text, "count = 1", "count = 0", 1)
	b, err := Parse("sim.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if b.Prints() || b.Macros[MacroStart] != "M107\nG28\n" {
		t.Errorf("got %+v", b.Macros)
	}
}

func TestUnknownBoard(t *testing.T) {
	for _, id := range []string{"", "nope", "../sim", "sim.toml"} {
		if _, err := Load(id); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "rpi4-skr-mini-e3-v3") {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestBadFiles changes one thing of a good file at a time.
func TestBadFiles(t *testing.T) {
	good := simText(t)
	if _, err := Parse("sim.toml", []byte(good)); err != nil {
		t.Fatalf("control: %v", err)
	}
	line := func(of string) string {
		before, _, ok := strings.Cut(good, of)
		if !ok {
			t.Fatalf("no %q in the file", of)
		}
		return "line " + strconv.Itoa(strings.Count(before, "\n")+1)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"no TOML", `id = "sim"`, `id = `, "line 4"},
		{"unknown key", `count = 1`, "count = 1\ncolour = \"red\"", `unknown key "tool.colour"`},
		{"unknown table", "[tpm]", "[fridge]\n[tpm]", `unknown key "fridge"`},
		{"missing key", `min_extrude = "170C"`, "", `key "heat.min_extrude" is missing`},
		{"missing table", "[tpm]\ndevice = \"/dev/tpmrm0\"", "", `key "tpm" is missing`},
		{"no unit", `"0.4mm"`, `"0.4"`, line("nozzle =")},
		{"a bare number", `baud = "250000baud"`, `baud = 250000`, line("baud =")},
		{"wrong unit", `x = "300mm/s"`, `x = "300mm"`, line(`x = "300`)},
		{"not a number", `"1.75mm"`, `"1,75mm"`, line("filament =")},
		{"not finite", `"1.75mm"`, `"NaNmm"`, line("filament =")},
		{"too long", `"0.4mm"`, `"1e9mm"`, line("nozzle =")},
		{"below zero degrees", `"170C"`, `"-1C"`, line("min_extrude =")},
		{"too hot to be true", `["30C", "260C"]`, `["30C", "600C"]`, line("hot_end =")},
		{"half a baud", `"250000baud"`, `"250000.5baud"`, line("baud =")},
		{"stands still", `travel = "150mm/s"`, `travel = "0mm/s"`, line("travel =")},
		{"no acceleration", `accel = "1000mm/s2"`, `accel = "0mm/s2"`, "line "},
		{"share over 100", `"100%"`, `"101%"`, line("fan =")},
		{"no duration", `"5m"`, `"5"`, line("hot =")},
		{"other id", `id = "sim"`, `id = "other"`, "not the name of the file"},
		{"no name", `name = "Simulated printer"`, `name = ""`, "name is empty"},
		{"other dialect", `"marlin"`, `"esperanto"`, "is not known"},
		{"other link", `baud = "250000baud"`, "baud = \"250000baud\"\nlink = \"string\"", "controller.link"},
		{"other reset", `baud = "250000baud"`, "baud = \"250000baud\"\nreset = \"hammer\"", "controller.reset"},
		{"other levelling", `baud = "250000baud"`, "baud = \"250000baud\"\nlevel = \"M112\"", "controller.level"},
		{"other target", `"linux/arm/v6"`, `"linux/mips"`, "targets"},
		{"two axes", `max = ["220mm", "220mm", "250mm"]`, `max = ["220mm", "220mm"]`, "volume.max needs three"},
		{"beyond the world", `max = ["220mm", "220mm", "250mm"]`, `max = ["220mm", "220mm", "512mm"]`, "lies beyond"},
		{"inside out", `max = ["220mm", "220mm", "250mm"]`, `max = ["220mm", "220mm", "0mm"]`, "no size along Z"},
		{"bed outside", `size = ["220mm", "220mm"]`, `size = ["220mm", "221mm"]`, "bed does not lie inside"},
		{"range of one", `bed = ["30C", "120C"]`, `bed = ["120C"]`, "heat.bed needs two"},
		{"range backwards", `bed = ["30C", "120C"]`, `bed = ["120C", "30C"]`, "heat.bed needs two"},
		{"cold extrusion", `"170C"`, `"20C"`, "min_extrude lies outside"},
		{"macro with an unknown word", `[tpm]`, "[macros]\nstart = \"\"\"\nG28\nM104 S{nozzle_heat}\n\"\"\"\n[tpm]", "macros.start, line 2: {nozzle_heat}"},
		{"macro with an unknown command", `[tpm]`, "[macros]\nend = \"\"\"M104 S0\nM302 P1\nM140 S0\"\"\"\n[tpm]", "macros.end, line 2: "},
		{"macro beyond the envelope", `[tpm]`, "[macros]\nend = \"M104 S0\\nM140 S0\\nG1 X300 F600\"\n[tpm]", "macros.end, line 3: "},
		{"start that does not home", `[tpm]`, "[macros]\nstart = \"M109 S{hot_end}\"\n[tpm]", "macros.start leaves the machine"},
		{"start that does not wait", `[tpm]`, "[macros]\nstart = \"G28\\nM104 S{hot_end}\"\n[tpm]", "macros.start leaves the machine"},
		{"end that leaves it hot", `[tpm]`, "[macros]\nend = \"M84\"\n[tpm]", "macros.end leaves a heater on"},
		{"cancel that leaves it hot", `[tpm]`, "[macros]\ncancel = \"M104 S0\"\n[tpm]", "macros.cancel leaves a heater on"},
		{"pause that cools down", `[tpm]`, "[macros]\npause = \"M104 S0\"\n[tpm]", "macros.resume leaves the machine"},
		{"resume that goes nowhere", `[tpm]`, "[macros]\nresume = \"G1 X1\"\n[tpm]", "macros.resume, line 1: "},
		{"pause within pause", `[tpm]`, "[macros]\npause = \"M601\"\n[tpm]", "macros.pause, line 1: "},
		{"levelling that is none", `[tpm]`, "[macros]\nlevel = \"G28\\nM500\"\n[tpm]", "macros.level, line 2: "},
		{"levelling that lets the motors go", `[tpm]`, "[macros]\nlevel = \"M84\"\n[tpm]", "macros.level leaves the machine"},
		{"levelling by itself", `[tpm]`, "[macros]\nlevel = \"G29\"\n[tpm]", "macros.level, line 1: "},
		{"unknown macro", `[tpm]`, "[macros]\nparty = \"G28\"\n[tpm]", `unknown key "macros.party"`},
		{"levelling without means", `[tpm]`, "[macros]\nstart = \"G28\\nG29\"\n[tpm]", "macros.start, line 2: "},
		{"levelled without levelling", `homed_at = ["0mm", "0mm", "0mm"]`, "homed_at = [\"0mm\", \"0mm\", \"0mm\"]\nlevelled_at = [\"0mm\", \"0mm\", \"0mm\"]", "levelled_at needs controller.level"},
		{"levelled in two axes", `homed_at = ["0mm", "0mm", "0mm"]`, "homed_at = [\"0mm\", \"0mm\", \"0mm\"]\nlevelled_at = [\"0mm\"]", "volume.levelled_at needs three"},
		{"recovery that homes Z", `[tpm]`, "[macros]\nrecover = \"M109 S200\\nG28\"\n[tpm]", "macros.recover homes Z"},
		{"recovery into the part", `[tpm]`, "[macros]\nrecover = \"M109 S200\\nG91\\nG1 Z-0.1 F60\\nG90\\nG28 X Y\"\n[tpm]", "macros.recover goes below"},
		{"recovery that stays cold", `[tpm]`, "[macros]\nrecover = \"G28 X Y\"\n[tpm]", "macros.recover leaves the machine"},
		{"recovery that homes nothing", `[tpm]`, "[macros]\nrecover = \"M109 S200\"\n[tpm]", "macros.recover leaves the machine"},
		{"recovery by a macro of what sinks", "keeps_z = true                  # it is a program\n", "[macros]\nrecover = \"G28 X Y\"\n", "volume.keeps_z"},
		{"no tool, but heat", `count = 1`, `count = 0`, "tool.count is 0"},
		{"five tools", `count = 1`, `count = 5`, "tool.count"},
		{"prints too hot", `first_hot_end = "215C"`, `first_hot_end = "261C"`, "lies outside heat"},
		{"prints too cold", `first_hot_end = "215C"`, `first_hot_end = "169C"`, "lies outside heat"},
		{"bed too hot", `first_bed = "60C"`, `first_bed = "121C"`, "lies outside heat"},
		{"prints too fast", `infill = "80mm/s"`, `infill = "301mm/s"`, "faster than speed"},
		{"lifts too fast", `lift = "5mm/s"`, `lift = "21mm/s"`, "faster than speed"},
		{"layer over nozzle", `layer_height = "0.2mm"`, `layer_height = "0.5mm"`, "does not suit"},
		{"thin line", `line_width = "0.45mm"`, `line_width = "0.1mm"`, "does not suit"},
		{"thick nozzle", `"0.4mm"`, `"4mm"`, "tool.nozzle"},
		{"long retraction", `retract = "1.5mm"`, `retract = "151mm"`, "print.retract"},
		{"other slots", `root = "none"`, `root = "three"`, "slots.root"},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s: %q is not in the file", c.name, c.old)
			continue
		}
		if _, err := Parse("sim.toml", []byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestOpen reads an own file, and refuses what is none.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine.toml")
	text := strings.Replace(simText(t), `id = "sim"`, `id = "mine"`, 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil || b.ID != "mine" || b.Sum != sha256.Sum256([]byte(text)) {
		t.Errorf("%+v, %v", b, err)
	}
	sim, err := Open("sim")
	if err != nil || sim.ID != "sim" || sim.Sum == b.Sum || sim.Sum == [32]byte{} {
		t.Errorf("%+v, %v", sim, err)
	}
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{path, dir + "/none.toml", "/dev/zero.toml", "nope"} {
		if _, err := Open(bad); err == nil {
			t.Errorf("%s is a board", bad)
		}
	}
	if err := os.Mkdir(dir+"/dir.toml", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir + "/dir.toml"); err == nil {
		t.Error("a folder is a board")
	}
}

func TestUnknownKeyHasItsLine(t *testing.T) {
	good := simText(t)
	bad := strings.Replace(good, "[print] ", "[print] #\ncolour = \"red\" #", 1)
	at := strings.Count(bad[:strings.Index(bad, "colour")], "\n") + 1
	_, err := Parse("sim.toml", []byte(bad))
	if err == nil || !strings.Contains(err.Error(), "line "+strconv.Itoa(at)+":") {
		t.Errorf("got %v, want line %d", err, at)
	}
}

func TestFindDevice(t *testing.T) {
	dir := t.TempDir()
	c := Controller{Device: filepath.Join(dir, "usb-Marlin_*")}
	if _, err := c.Find(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	for i, name := range []string{"usb-Marlin_1", "usb-Marlin_2"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := c.Find()
		if i == 0 && (err != nil || filepath.Base(got) != name) {
			t.Errorf("one: %q, %v", got, err)
		}
		if i == 1 && err == nil {
			t.Error("two devices, and one was taken")
		}
	}
	if _, err := (Controller{}).Find(); err == nil {
		t.Error("a board without a device found one")
	}
}

func FuzzParse(f *testing.F) {
	text, err := files.ReadFile("sim.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte("mm"), []byte("m"), 3))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := Parse("sim.toml", text)
		if (b == nil) == (err == nil) {
			t.Fatalf("board %v, error %v", b, err)
		}
	})
}
