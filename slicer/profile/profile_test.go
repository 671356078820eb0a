package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"

	"platen/slicer"
)

func TestApply(t *testing.T) {
	s := slicer.Default()
	text := `# mine
[material]
hot_end = "240C" # and the first layer with it
fan = "40%"

[quality]
"layer_height" = "0.3mm"
walls=3
prime_line = false
infill_pattern = 'grid'
min_x = 1
`
	if err := Apply(&s, "x.toml", []byte(text)); err == nil || s != slicer.Default() {
		t.Fatalf("an unknown key: %v, and the settings changed: %v", err, s != slicer.Default())
	}
	if err := Apply(&s, "x.toml", []byte(strings.Replace(text, "min_x = 1\n", "", 1))); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"hot_end": "240C", "first_layer_hot_end": "240C", "fan": "40%", "layer_height": "0.3mm", "walls": "3",
		"prime_line": "false", "infill_pattern": "grid", "bed": "60C",
	} {
		if r, err := slicer.Lookup(key); err != nil || r.Text(&s) != want {
			t.Errorf("%s is %s, want %s: %v", key, r.Text(&s), want, err)
		}
	}
}

// Whatever is wrong is told with its file and line.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ text, say string }{
		{"[quality]\nlayer_hight = \"0.2mm\"", `x.toml:2: settings: there is no "layer_hight"; is it "layer_height"?`},
		{"[quality]\nwalls = 2\nlayer_height = \"0.2\"", "x.toml:3: settings: layer_height:"},
		{"[quality]\nlayer_height = \"0.2mm/s\"", "x.toml:2: settings: layer_height:"},
		{"[quality]\nlayer_height = \"9mm\"", "x.toml:2: settings: layer_height of 9mm is not between 0.02mm and 2mm"},
		{"[quality]\nlayer_height = 0.2", `x.toml:2: profile: layer_height: a value with its unit is wanted, such as "0.2mm"`},
		{"[quality]\nlayer_height = 2", "a value with its unit"},
		{"[quality]\nwalls = \"2\"", "x.toml:2: profile: walls: whole number is wanted, such as 2"},
		{"[quality]\nwalls = 2.0", "whole number"},
		{"[quality]\nprime_line = 1", "true or false"},
		{"[quality]\ninfill_pattern = true", "text is wanted"},
		{"[quality]\nwalls = [2]", "x.toml:2: profile: walls: the value is not"},
		{"[quality]\nwalls = [\n2\n]\n", "x.toml:3: profile: a value is written as"},
		{"[quality]\nwalls = {n = 2}", "x.toml:2: profile: walls: the value is not"},
		{"[quality.walls]\nn = 2", "x.toml:1: profile: a table is written as [quality]"},
		{"[quality]\nwalls = 1979-05-27", "x.toml:2: profile: walls: the value is not"},
		{"[quality]\nwalls = 1_0", "the value is not"},
		{"[quality]\nwalls = \"2\" 3", "the value is not"},
		{"[quality]\nlayer_height = \"0.2\\u006dm\"", "the value is not"},
		{"[quality]\nlayer_height = \"\"\"\n0.2mm\"\"\"", "x.toml:2: profile: layer_height: the value is not"},
		{"[material]\nwalls = 2", "x.toml:2: profile: walls belongs into [quality]"},
		{"[speed]\nwalls = 2", "x.toml:1: profile: there is no table [speed]"},
		{"walls = 2", "x.toml:1: profile: walls stands in no table: put it below"},
		{"quality.walls = 2", "x.toml:1: profile: a value is written as"},
		{"[[quality]]\nwalls = 2", "x.toml:1: profile: a table is written as"},
		{"quality = 2", "x.toml:1: profile: quality stands in no table"},
		{"[quality]\nwalls = 2\nwalls = 3", "x.toml:3: profile: walls is there twice"},
		{"[quality]\nwalls = 2\n[quality]\ntop_layers = 3", "x.toml:3: profile: [quality] is there twice"},
		{"[quality]\nwalls = ", "x.toml:2: profile: walls: the value is not"},
		{"[quality]\nwalls = " + strings.Repeat("[", 9000), "x.toml:2: profile: walls"},
		{"a" + strings.Repeat(".a", 8000) + " = 1", "x.toml:1: profile: a value is written as"},
		{strings.Repeat("#", MaxSize+1), "larger than"},
		{"\x00", "x.toml:1: profile: there is a byte"},
		{"[quality]\nwalls\x7f = 2", "x.toml:2: profile: there is a byte"},
		{"[quality]\nwalls = 2 # \xff", "x.toml:2: profile: there is a byte"},
		{"[quality]\na = 1\n\n[material]\nb = 2", "x.toml:5: settings: there is no \"b\""},
	} {
		s := slicer.Default()
		err := Apply(&s, "x.toml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.say) || s != slicer.Default() {
			t.Errorf("%.40q: %v, want %q", c.text, err, c.say)
		} else if !errors.Is(err, ErrProfile) && !errors.Is(err, slicer.ErrSettings) {
			t.Errorf("%.40q: %T", c.text, err)
		}
	}
}

// A text full of mistakes does not have all of them told, and takes no time.
func TestManyMistakes(t *testing.T) {
	s := slicer.Default()
	err := Apply(&s, "x.toml", []byte("[quality]\n"+strings.Repeat("no_such_setting_anywhere = 1\n", 500)))
	if n := strings.Count(err.Error(), "\n") + 1; n != mostErrors || s != slicer.Default() {
		t.Errorf("%d mistakes are told", n)
	}
}

// What is written as TOML allows is read: quoted keys, comments, spaces, signs.
func TestForms(t *testing.T) {
	s := slicer.Default()
	text := "\t[ \"quality\" ] # best\r\n'walls'\t=+3#three\r\n  layer_height = '0.3mm' # 0.3\n\n#\nprime_line=false\ninfill_pattern = \"grid\""
	if err := Apply(&s, "x.toml", []byte(text)); err != nil || s.Walls != 3 || s.Height.Micrometres() != 300 || s.PrimeLine || s.Pattern != slicer.PatternGrid {
		t.Errorf("%v: %+v", err, s)
	}
}

// A table that must not be there is refused whole, and others are not.
func TestWithout(t *testing.T) {
	text := []byte("[model]\ncopies = 2\n[quality]\nwalls = 5\n")
	s := slicer.Default()
	if err := Apply(&s, "x.toml", text, slicer.Model, slicer.Printer); !errors.Is(err, ErrProfile) || s != slicer.Default() {
		t.Errorf("got %v", err)
	}
	if err := Apply(&s, "x.toml", text, slicer.Printer); err != nil || s.Copies != 2 || s.Walls != 5 {
		t.Errorf("got %v", err)
	}
}

// random sets some settings to anything they may be.
func random(t *rapid.T) slicer.Settings {
	s := slicer.Default()
	for range rapid.IntRange(0, 30).Draw(t, "changes") {
		r := rapid.SampledFrom(slicer.Table()).Draw(t, "row")
		r.Draw(&s, rapid.Uint64().Draw(t, "value"))
	}
	return s
}

// Settings become a profile and settings again, and are what they were.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := random(t), random(t)
		for _, whole := range []bool{false, true} {
			text, got := Format(from, to, whole), from
			if err := Apply(&got, "x.toml", text); err != nil && len(text) <= MaxSize {
				t.Fatal(err)
			} else if err == nil && got != to {
				t.Fatalf("%s\ndoes not say it", text)
			}
		}
	})
}

// What is written here is TOML to others too, and says the same to them.
func TestIsTOML(t *testing.T) {
	texts := [][]byte{Format(slicer.Settings{}, slicer.Default(), true)}
	for _, n := range Names() {
		p, _ := Find(n)
		texts = append(texts, p.Text)
	}
	for _, text := range texts {
		var tables map[string]map[string]any
		if _, err := toml.Decode(string(text), &tables); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		s, n := slicer.Default(), 0
		if err := Apply(&s, "x.toml", text); err != nil {
			t.Fatal(err)
		}
		for section, keys := range tables {
			for key, v := range keys {
				n++
				r, err := slicer.Lookup(key)
				if err != nil || string(r.Section) != section {
					t.Fatalf("%s in %s: %v", key, section, err)
				}
				if want := r.Text(&s); fmt.Sprint(v) != want {
					t.Errorf("%s is %v to others, %s here", key, v, want)
				}
			}
		}
		if want := strings.Count(string(text), " = "); n != want {
			t.Errorf("%d values, %d lines", n, want)
		}
	}
}

func TestBuiltins(t *testing.T) {
	want := []string{"abs", "draft", "fine", "normal", "petg", "pla", "tpu"}
	if got := Names(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("%v", got)
	}
	for _, q := range append(Names(), "") {
		for _, m := range Names() {
			s := slicer.Default()
			for _, name := range []string{q, m} {
				if p, ok := Find(name); ok {
					if len(p.Doc) < 3 || strings.Contains(p.Doc, "[") {
						t.Errorf("%s: %q", name, p.Doc)
					}
					if err := Apply(&s, name, p.Text); err != nil {
						t.Error(err)
					}
				}
			}
			if err := s.Validate(); err != nil {
				t.Errorf("%s with %s: %v", q, m, err)
			}
		}
	}
}

// A stack says as one profile what its profiles say one after the other.
func TestStack(t *testing.T) {
	var k Stack
	if k.Text() != nil {
		t.Error("an empty stack has a text")
	}
	base, want := slicer.Default(), slicer.Default()
	base.FirstHotEnd, base.Walls, want.FirstHotEnd, want.Walls = 230_000, 9, 230_000, 9
	for _, p := range []string{
		"[material]\nhot_end = \"240C\"\n[quality]\nwalls = 2", // 2 is the default as well: it counts
		"[quality]\nlayer_height = \"0.1mm\"",
	} {
		if err := k.Add("x.toml", []byte(p)); err != nil {
			t.Fatal(err)
		}
		if err := Apply(&want, "x.toml", []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Set("walls=3", "fan=50"); err != nil {
		t.Fatal(err)
	}
	want.Walls = 3
	want.Fan = 128
	if err := k.Set("wals=3"); !errors.Is(err, slicer.ErrSettings) {
		t.Errorf("got %v", err)
	}
	if err := k.Set("walls"); !errors.Is(err, slicer.ErrSettings) {
		t.Errorf("got %v", err)
	}
	if err := Apply(&base, "stack", k.Text()); err != nil {
		t.Fatal(err)
	}
	if base != want {
		t.Errorf("%s", Format(want, base, false))
	}
}

func TestOpen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mine.toml")
	if err := os.WriteFile(name, []byte("[quality]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := Open(name); err != nil || string(b) != "[quality]\n" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := Open("petg"); err != nil || !strings.HasPrefix(string(b), "# PETG") {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Open("pteg"); !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), "petg") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(name + "x.toml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// No text makes the reader fail in another way than by an error.
func FuzzApply(f *testing.F) {
	for _, n := range Names() {
		p, _ := Find(n)
		f.Add(p.Text)
	}
	f.Add([]byte("[quality]\nwalls = [[[[[[["))
	f.Add([]byte("a.b.c = 1\n[quality]\nwalls.x = 2"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := slicer.Default()
		if err := Apply(&s, "x.toml", text); err != nil {
			if s != slicer.Default() {
				t.Fatal("settings changed beside an error")
			}
			return
		}
		again := s
		if err := Apply(&again, "x.toml", text); err != nil || again != s {
			t.Fatalf("not the same again: %v", err)
		}
	})
}
