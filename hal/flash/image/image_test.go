package image

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"platen/hal/flash/loader"

	"pgregory.net/rapid"
)

// layout is an application area of 128 KiB at an address.
func layout(t testing.TB, start loader.Address) loader.Layout {
	t.Helper()
	l, err := loader.NewLayout(start, []loader.Run{{Count: 64, Size: 2048}}, start, 128<<10)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rec is one record with its checksum.
func rec(kind byte, offset int, data ...byte) string {
	p := append([]byte{byte(len(data)), byte(offset >> 8), byte(offset), kind}, data...)
	var sum byte
	for _, b := range p {
		sum -= b
	}
	return ":" + strings.ToUpper(hex.EncodeToString(append(p, sum))) + "\n"
}

const end = ":00000001FF\n"

func TestHex(t *testing.T) {
	l := layout(t, 0x08000000)
	text := rec(recLinear, 0, 0x08, 0x00) + rec(recData, 4, 5, 6, 7, 8) + rec(recData, 0, 1, 2, 3, 4) +
		rec(recStartLin, 0, 8, 0, 0, 1) + rec(recLinear, 0, 0x08, 0x01) + rec(recData, 0, 9) + end
	for name, text := range map[string]string{
		"as it is": text, "with CR": strings.ReplaceAll(text, "\n", "\r\n"), "lower case": strings.ToLower(text),
		"without the last line end": strings.TrimSuffix(text, "\n"), "blank lines behind": text + "\n\r\n",
		"comments before": "; device = mk3\n\n" + text,
	} {
		m, err := Parse(strings.NewReader(text), Hex, l)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := append([]byte{1, 2, 3, 4, 5, 6, 7, 8}, bytes.Repeat([]byte{0xff}, 1<<16-8)...)
		if want = append(want, 9); !bytes.Equal(m.Bytes(), want) {
			t.Errorf("%s: %d bytes", name, m.Size())
		}
	}
	avr := layout(t, 0)
	m, err := Parse(strings.NewReader(rec(recData, 0, 1, 2, 3, 4)+rec(recSegment, 0, 0x10, 0x00)+rec(recData, 2, 5)+end), Hex, avr)
	if err != nil || m.Size() != 1<<16+3 || m.Bytes()[1<<16+2] != 5 {
		t.Errorf("segments: %v", err)
	}
	page := make([]byte, 2048)
	m.Page(avr, 32, page)
	if !bytes.Equal(page[:4], []byte{0xff, 0xff, 5, 0xff}) || !loader.Blank(page[3:]) {
		t.Errorf("the last page begins with %x", page[:4])
	}
	m.Page(avr, 40, page)
	if !loader.Blank(page) {
		t.Error("a page behind the image is not blank")
	}
}

func TestBadHex(t *testing.T) {
	l := layout(t, 0x08000000)
	begin := rec(recLinear, 0, 0x08, 0x00) + rec(recData, 0, 1, 2, 3, 4)
	if _, err := Parse(strings.NewReader(begin+end), Hex, l); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":               {"", "end record"},
		"no end":                {begin, "end record"},
		"a checksum":            {begin + ":0100080001F7\n" + end, "line 3: its checksum"},
		"a letter":              {begin + ":01000800G1F6\n" + end, "line 3"},
		"cut off":               {begin + ":0100080001\n" + end, "line 3"},
		"half a byte":           {begin + ":0100080001F\n" + end, "line 3"},
		"no colon":              {begin + "0100080001F6\n" + end, "line 3"},
		"blank before":          {" " + begin + end, "line 1"},
		"an empty line":         {begin + "\n" + end, "line 3"},
		"data after the end":    {begin + end + rec(recData, 8, 1), "line 4: something follows"},
		"a comment within":      {begin + "; text\n" + end, "line 3"},
		"a long comment":        {";" + strings.Repeat("x", 600) + "\n" + begin + end, "line 1: it is longer"},
		"nothing but comments":  {"; text\n;\n", "end record"},
		"two ends":              {begin + end + end, "line 4"},
		"longer than its count": {begin + ":0100080001F600\n" + end, "line 3"},
		"an unknown type":       {begin + rec(6, 0) + end, "line 3: its type"},
		"a long end":            {begin + rec(recEnd, 0, 1), "line 3: its type"},
		"a short base":          {begin + rec(recLinear, 0, 1) + end, "line 3: its type"},
		"below the application": {rec(recLinear, 0, 0x07, 0xff) + rec(recData, 0xfff0, 1) + end, "line 2: it lies outside"},
		"behind it":             {begin + rec(recLinear, 0, 0x08, 0x02) + rec(recData, 0, 1) + end, "line 4: it lies outside"},
		"over its end":          {begin + rec(recLinear, 0, 0x08, 0x01) + rec(recData, 0xffff, 1, 2) + end, "line 4: it runs over"},
		"given twice":           {begin + rec(recData, 3, 4) + end, "line 3: it gives a byte"},
		"given twice the same":  {begin + rec(recData, 0, 1, 2, 3, 4) + end, "line 3: it gives a byte"},
		"at the top of memory":  {rec(recLinear, 0, 0xff, 0xff) + rec(recData, 0xfff0, make([]byte, 16)...) + end, "line 2: it lies outside"},
		"starts late":           {rec(recLinear, 0, 0x08, 0x00) + rec(recData, 4, 1, 2, 3, 4) + end, "does not begin"},
		"a line without end":    {":" + strings.Repeat("0", 5000), "line 1: it is longer"},
	} {
		_, err := Parse(strings.NewReader(c.text), Hex, l)
		if !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestBinary(t *testing.T) {
	l := layout(t, 0x08000000)
	good := append([]byte{0, 0x50, 0, 0x20, 0x11, 0, 0, 0x08}, make([]byte, 100)...)
	m, err := Parse(bytes.NewReader(good), Binary, l)
	if err != nil || !bytes.Equal(m.Bytes(), good) {
		t.Fatalf("control: %v", err)
	}
	if err := m.CheckVectors(l); err != nil {
		t.Errorf("vectors: %v", err)
	}
	for name, change := range map[string]func(p []byte){
		"stack in flash":  func(p []byte) { p[3] = 0x08 },
		"odd stack":       func(p []byte) { p[0] = 1 },
		"no Thumb":        func(p []byte) { p[4] = 0x10 },
		"another address": func(p []byte) { p[6] = 1 },
		"behind its end":  func(p []byte) { p[5] = 1 },
		"below":           func(p []byte) { p[7] = 7 },
	} {
		bad := bytes.Clone(good)
		change(bad)
		m, err := Parse(bytes.NewReader(bad), Binary, l)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.CheckVectors(l); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, p := range map[string][]byte{
		"nothing": nil, "three bytes": good[:3], "blank": bytes.Repeat([]byte{0xff}, 100), "zeros": make([]byte, 100),
		"one too many": append(bytes.Clone(good), make([]byte, 128<<10-len(good)+1)...),
	} {
		if _, err := Parse(bytes.NewReader(p), Binary, l); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse(bytes.NewReader(good), 0, l); !errors.Is(err, ErrImage) {
		t.Errorf("no format: %v", err)
	}
	full := append(bytes.Clone(good), make([]byte, 128<<10-len(good))...)
	if _, err := Parse(bytes.NewReader(full), Binary, l); err != nil {
		t.Errorf("as large as can be: %v", err)
	}
	broken := errors.New("broken")
	if _, err := Parse(io.MultiReader(bytes.NewReader(good), &failing{broken}), Binary, l); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	// An endless reader is not read to its end.
	if _, err := Parse(endless{}, Binary, l); !errors.Is(err, ErrImage) {
		t.Errorf("endless: %v", err)
	}
	if _, err := Parse(endless{}, Hex, l); !errors.Is(err, ErrImage) {
		t.Errorf("endless: %v", err)
	}
}

// records repeats one record for ever.
type records struct{ at int }

func (r *records) Read(p []byte) (int, error) {
	const one = ":020000040800F2\n"
	for i := range p {
		p[i] = one[r.at%len(one)]
		r.at++
	}
	return len(p), nil
}

func TestEndlessRecords(t *testing.T) {
	r := &records{}
	if _, err := Parse(r, Hex, layout(t, 0x08000000)); !errors.Is(err, ErrImage) || r.at > 4<<20 {
		t.Errorf("%v after %d bytes", err, r.at)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ':'
	}
	return len(p), nil
}

// TestHexSameAsBinary writes random images as HEX, in random pieces and order.
func TestHexSameAsBinary(t *testing.T) {
	l := layout(t, 0x08000000)
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Byte(), 8, 600).Draw(t, "image")
		p[0] = 1
		var pieces []string
		for at := 0; at < len(p); {
			n := min(rapid.IntRange(1, 255).Draw(t, "length"), len(p)-at)
			pieces = append(pieces, rec(recData, at, p[at:at+n]...))
			at += n
		}
		pieces = rapid.Permutation(pieces).Draw(t, "order")
		m, err := Parse(strings.NewReader(rec(recLinear, 0, 8, 0)+strings.Join(pieces, "")+end), Hex, l)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.Bytes(), p) {
			t.Fatal("another image")
		}
	})
}

func FuzzHex(f *testing.F) {
	f.Add([]byte(rec(recLinear, 0, 0x08, 0x00) + rec(recData, 0, 1, 2, 3, 4) + end))
	f.Add([]byte(rec(recSegment, 0, 0xff, 0xff) + rec(recData, 0xffff, 1) + end))
	f.Add([]byte(":00000001FF"))
	l := layout(f, 0x08000000)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(bytes.NewReader(text), Hex, l)
		if (m == nil) == (err == nil) {
			t.Fatalf("image %v, error %v", m, err)
		}
		if err != nil {
			if !errors.Is(err, ErrImage) {
				t.Fatal(err)
			}
			return
		}
		if m.Size() > l.Size() {
			t.Fatal(fmt.Sprint("an image of ", m.Size(), " bytes"))
		}
		// What was read can be written down again, and reads the same.
		var again strings.Builder
		again.WriteString(rec(recLinear, 0, 8, 0))
		for at := 0; at < m.Size(); at += 16 {
			if at == 1<<16 {
				again.WriteString(rec(recLinear, 0, 8, 1))
			}
			again.WriteString(rec(recData, at&0xffff, m.Bytes()[at:min(at+16, m.Size())]...))
		}
		n, err := Parse(strings.NewReader(again.String()+end), Hex, l)
		if err != nil || !bytes.Equal(n.Bytes(), m.Bytes()) {
			t.Fatalf("not the same again: %v", err)
		}
	})
}
