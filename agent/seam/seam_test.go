package seam

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var samples = []Message{
	&Start{Job: [16]byte{1, 2}, Format: FormatAny, Size: 1 << 40},
	&Start{Job: [16]byte{3}, Format: FormatAny, Sealed: true, Size: 7, FileKey: [16]byte{9, 9}},
	&Key{Group: 63, Key: [32]byte{1, 2, 3}},
	&Command{KindPause}, &Command{KindResume}, &Command{KindCancel}, &Command{KindHalt}, &Command{KindQuit},
	&Skip{Object: 300},
	&Ready{Dialect: 1, Tools: 2, Confined: 0x5f, VaultBytes: 64 << 20, Job: [16]byte{8}, Firmware: 1 << 60},
	&Status{Phase: PhasePrinting, Fault: 3, Progress: 75, NHeaters: 2, Heaters: [MaxHeaters]Heater{{0, 60_000, 60_000}, {8, -15_000, 215_000}}, Resends: 4, LinkErrs: 1},
	&Receipt{Job: [16]byte{5}, Code: CodeRefused, Reason: ReasonTooBig},
	&Test{Job: [16]byte{6}},
	&Tested{Job: [16]byte{6}, Half: 1, Most: 1 << 30, Longest: 3, Noise: 4, Resends: 5, Errors: 6, Axes: [3]TestedAxis{{}, {7, true, 8, -9}, {1 << 31, true, 0, 1<<31 - 1}}},
	&Duty{N: 2, Heaters: [MaxHeaters]HeaterDuty{{0, 8, [DutyBins]uint8{10}}, {8, 1, [DutyBins]uint8{1, 2, 3, 4, 0}}}},
	&Start{Job: [16]byte{4}, Format: FormatAny, Size: 9, From: MostLayers - 1, Parked: true},
	&Layer{Layer: 1<<16 + 3, Mark: MarkParked},
}

func TestRoundTrip(t *testing.T) {
	for _, m := range samples {
		p := Append(nil, m)
		got, err := Parse(p)
		if err != nil {
			t.Errorf("%T: %v", m, err)
		} else if d := cmp.Diff(m, got); d != "" {
			t.Errorf("%T: %s", m, d)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	ok := Append(nil, samples[10])
	change := func(i int, v byte) []byte { p := bytes.Clone(ok); p[i] = v; return p }
	alter := func(m Message, i int, v byte) []byte { p := Append(nil, m); p[i] = v; return p }
	for name, p := range map[string][]byte{
		"empty": nil, "short": ok[:3], "truncated": ok[:len(ok)-1], "longer": append(bytes.Clone(ok), 0),
		"version": change(0, Version+1), "kind": change(1, 99), "phase": change(4, 200),
		"progress finer than a quarter": change(6, 30), "heaters": change(7, 200),
		"data in an unused heater":    change(8+9*7, 1),
		"huge":                        make([]byte, MaxMessage+1),
		"key of group 64":             func() []byte { p := Append(nil, samples[2]); p[4] = MostKeys; return p }(),
		"layer beyond all":            alter(samples[len(samples)-1], 6, 0x10),
		"mark of layers":              alter(samples[len(samples)-1], 8, 4),
		"no mark of layers":           alter(samples[len(samples)-1], 8, 0),
		"goes on beyond all":          alter(samples[len(samples)-2], 4+45, 0x10),
		"parked twice":                alter(samples[len(samples)-2], 4+47, 2),
		"a heater's share beyond all": alter(&Duty{N: 1}, 4+3, 11),
		"a heater's hours beyond all": alter(&Duty{N: 1}, 4+2, 9),
		"duty of an unused heater":    alter(&Duty{N: 1}, 4+1+7, 8),
		"an axis felt twice":          alter(&Tested{}, 4+40+4, 2),
		"key without seal":            func() []byte { p := Append(nil, samples[1]); p[4+17] = 0; return p }(),
	} {
		if m, err := Parse(p); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
	}
	if _, err := Parse(ok); err != nil {
		t.Errorf("control: %v", err)
	}
}

// TestUpwardCarriesNoBytes holds the shape of the upward messages: numbers and
// codes, no slices, strings or maps, and no array large enough for content.
func TestUpwardCarriesNoBytes(t *testing.T) {
	for _, m := range []any{Ready{}, Status{}, Receipt{}, Layer{}, Tested{}, Duty{}} {
		if why := carries(reflect.TypeOf(m)); why != "" {
			t.Errorf("%T has %s", m, why)
		}
	}
	type leak struct{ Note string }
	type leak2 struct{ Data [64]byte }
	for _, m := range []any{leak{}, leak2{}, struct{ B []byte }{}} {
		if carries(reflect.TypeOf(m)) == "" {
			t.Errorf("control: %T passes", m)
		}
	}
}

func carries(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if why := carries(t.Field(i).Type); why != "" {
				return t.Field(i).Name + ": " + why
			}
		}
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Len() > 16 {
			return "an array of bytes"
		}
		return carries(t.Elem())
	case reflect.String, reflect.Slice, reflect.Map, reflect.Interface, reflect.Pointer, reflect.Float32, reflect.Float64:
		return t.Kind().String()
	}
	return ""
}

func TestStartKeepsItsKey(t *testing.T) {
	s := Start{Sealed: true, FileKey: [16]byte{0xde, 0xad, 0xbe, 0xef}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "msg", s, "p", &s)
	text := fmt.Sprintf("%v %+v %#v %s", s, s, s, &s) + log.String()
	for _, leak := range []string{"222", "de ad", "dead", "0xde"} {
		if strings.Contains(text, leak) {
			t.Errorf("the key shows in %q", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range samples {
		f.Add(Append(nil, m))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := Parse(p)
		if err != nil {
			return
		}
		if back := Append(nil, m); !bytes.Equal(back, p) {
			t.Errorf("%x parses as %+v, which is %x", p, m, back)
		}
	})
}
