package slicer

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite generated files")

// notInTable are the fields that are no settings of a profile: each with its reason.
var notInTable = map[string]string{
	"Bare": "the board says it, not who slices",
}

// leaves lists the fields of s that hold a value, by name.
func leaves(s reflect.Value, name string, f func(name string, v reflect.Value)) {
	switch s.Kind() {
	case reflect.Struct:
		for i := range s.NumField() {
			leaves(s.Field(i), strings.TrimPrefix(name+"."+s.Type().Field(i).Name, "."), f)
		}
	case reflect.Array:
		for i := range s.Len() {
			leaves(s.Index(i), name+"."+string(rune('0'+i)), f)
		}
	default:
		f(name, s)
	}
}

// bump changes a value to a neighbouring one.
func bump(v reflect.Value) {
	switch {
	case v.CanInt():
		v.SetInt(v.Int() ^ 1)
	case v.CanUint():
		v.SetUint(v.Uint() ^ 1)
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	}
}

// Every field of Settings is in the table once, every row is about a field of its own.
func TestTableIsWhole(t *testing.T) {
	hit := map[string]int{}
	s := Default()
	leaves(reflect.ValueOf(&s).Elem(), "", func(name string, v reflect.Value) {
		before := Default()
		bump(v)
		if reflect.DeepEqual(s, before) {
			t.Fatalf("%s: cannot be changed by this test: teach bump its type", name)
		}
		n := 0
		for _, r := range Table() {
			if r.get(&s) != r.get(&before) {
				n++
				hit[r.Key]++
			}
		}
		want := 1
		if notInTable[name] != "" {
			want = 0
		}
		if n != want {
			t.Errorf("%s is in %d rows of the table, want %d", name, n, want)
		}
		bump(v)
	})
	for _, r := range Table() {
		if hit[r.Key] != 1 {
			t.Errorf("%s is about %d fields", r.Key, hit[r.Key])
		}
	}
}

// Rows read well, and their defaults are what they allow.
func TestRows(t *testing.T) {
	s, seen := Default(), map[string]bool{}
	for i := range Table() {
		r := &Table()[i]
		if seen[r.Key] || r.Key == "" || strings.Trim(r.Key, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("%q is not a key, or is one twice", r.Key)
		}
		seen[r.Key] = true
		if r.Section == "" || r.Group == "" || len(r.Doc) < 10 || len(r.Doc) > 120 || strings.HasSuffix(r.Doc, ".") {
			t.Errorf("%s: section %q, group %q, doc %q", r.Key, r.Section, r.Group, r.Doc)
		}
		if err := r.check(r.get(&s)); err != nil {
			t.Errorf("default: %v", err)
		}
		if r.kind == kindChoice && len(r.choices) < 2 || r.lo >= r.hi {
			t.Errorf("%s: nothing to choose: %s", r.Key, r.Range())
		}
		if f := r.follows; f != "" {
			l, err := Lookup(f)
			if err != nil || l.kind != r.kind || l.lo != r.lo || l.hi != r.hi {
				t.Errorf("%s cannot follow %s", r.Key, f)
			}
		}
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
}

// Any value is written so that it is read back as it was, and so are its bounds.
func TestValuesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &Table()[rapid.IntRange(0, len(Table())-1).Draw(t, "row")]
		v := rapid.Int64Range(r.lo, r.hi).Draw(t, "value")
		s := Default()
		r.set(&s, v)
		back := Default()
		if err := r.Set(&back, r.Text(&s)); err != nil {
			t.Fatal(err)
		}
		if back != s {
			t.Fatalf("%s: %d is written %s and read as %d", r.Key, v, r.Text(&s), r.get(&back))
		}
		if err := r.SetLoosely(&back, r.Text(&s)); err != nil || back != s {
			t.Fatalf("%s: %s is not read loosely: %v", r.Key, r.Text(&s), err)
		}
	})
}

// A value beyond the range is refused, by itself and in Validate.
func TestRanges(t *testing.T) {
	for i := range Table() {
		r := &Table()[i]
		if r.kind == kindSwitch || r.kind == kindDuty { // their types have no more
			continue
		}
		for _, v := range []int64{r.lo - 1, r.hi + 1} {
			s := Default()
			if r.set(&s, v); r.get(&s) != v {
				continue // its type has no room for it
			}
			if err := s.Validate(); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), r.Key) {
				t.Errorf("%s of %d: %v", r.Key, v, err)
			}
			if err := r.Set(&s, r.text(v)); !errors.Is(err, ErrSettings) {
				t.Errorf("%s is set to %d: %v", r.Key, v, err)
			}
		}
	}
}

func TestSet(t *testing.T) {
	for _, c := range []struct{ key, text, strict, loose string }{
		{"layer_height", "0.3mm", "0.3mm", "0.3mm"},
		{"layer_height", "300um", "", "0.3mm"},
		{"layer_height", " 0.3 ", "", "0.3mm"},
		{"layer_height", "0.3", "", "0.3mm"},
		{"layer_height", "0.3mm/s", "", ""},
		{"layer_height", "NaNmm", "", ""},
		{"layer_height", "0x1p-2mm", "", ""},
		{"layer_height", "3mm", "", ""},
		{"travel_speed", "200mm/s", "200mm/s", "200mm/s"},
		{"travel_speed", "200mm", "", ""},
		{"acceleration", "1500mm/s2", "1500mm/s2", "1500mm/s2"},
		{"acceleration", "1500mm/s²", "", "1500mm/s2"},
		{"hot_end", "240C", "240C", "240C"},
		{"hot_end", "240°C", "", "240C"},
		{"hot_end", "900C", "", ""},
		{"infill_density", "15%", "15%", "15%"},
		{"infill_density", "101%", "", ""},
		{"fan", "40%", "40%", "40%"},
		{"scale_x", "150%", "150%", "150%"},
		{"rotate_z", "-45.5deg", "-45.5deg", "-45.5deg"},
		{"min_layer_time", "1m10s", "1m10s", "1m10s"},
		{"min_layer_time", "10", "", "10s"},
		{"walls", "3", "3", "3"},
		{"walls", "3mm", "", ""},
		{"walls", "3.0", "", ""},
		{"walls", "-1", "", ""},
		{"infill_pattern", "grid", "grid", "grid"},
		{"infill_pattern", "Grid", "", ""},
		{"prime_line", "false", "false", "false"},
		{"prime_line", "no", "", ""},
	} {
		for _, loose := range []bool{false, true} {
			want := c.strict
			if loose {
				want = c.loose
			}
			s := Default()
			err := NewSource(&s, loose).Set(c.key, c.text)
			r, _ := Lookup(c.key)
			switch {
			case want == "" && (!errors.Is(err, ErrSettings) || s != Default() || !strings.Contains(err.Error(), c.key)):
				t.Errorf("%s = %s: %v", c.key, c.text, err)
			case want != "" && (err != nil || r.Text(&s) != want):
				t.Errorf("%s = %s is %s: %v, want %s", c.key, c.text, r.Text(&s), err, want)
			}
		}
	}
}

func TestUnknownSettings(t *testing.T) {
	for _, c := range []struct{ key, say string }{
		{"layer_hight", `is it "layer_height"?`}, {"perimeters_of_all", "see platen-slice settings"}, {"wall", `"walls"`}, {"", "see"},
	} {
		s := Default()
		if err := NewSource(&s, false).Set(c.key, "1"); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%q: %v", c.key, err)
		}
	}
}

// CopySection copies what is in a section and nothing else.
func TestCopySection(t *testing.T) {
	for _, section := range []Section{Printer, Material, Quality, Model} {
		from, to := Default(), Default()
		for i := range Table() {
			Table()[i].Draw(&from, 1)
		}
		CopySection(&to, &from, section)
		base := Default()
		for _, r := range Table() {
			want := r.get(&base)
			if r.Section == section {
				want = r.get(&from)
			}
			if r.get(&to) != want {
				t.Errorf("%s: %s is %s", section, r.Key, r.Text(&to))
			}
		}
	}
}

// What follows another setting does so within one source, unless that gives it too,
// in whichever order.
func TestFollowing(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want string
	}{
		{[]string{"hot_end=240C"}, "240C"},
		{[]string{"hot_end=240C", "first_layer_hot_end=250C"}, "250C"},
		{[]string{"first_layer_hot_end=250C", "hot_end=240C"}, "250C"},
		{[]string{"bed=80C"}, "215C"},
	} {
		s := Default()
		src := NewSource(&s, false)
		for _, kv := range c.set {
			k, v, _ := strings.Cut(kv, "=")
			if err := src.Set(k, v); err != nil {
				t.Fatal(err)
			}
		}
		r, _ := Lookup("first_layer_hot_end")
		if got := r.Text(&s); got != c.want {
			t.Errorf("%v: %s", c.set, got)
		}
	}
}

// SETTINGS.md is what the table says.
func TestReference(t *testing.T) {
	var b bytes.Buffer
	if err := Reference(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("SETTINGS.md", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile("SETTINGS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, b.Bytes()) {
		t.Error("SETTINGS.md is not what the table says: go test ./slicer -run TestReference -update rewrites it")
	}
}
