package katapult

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"platen/hal/flash/loader"
	"platen/hal/flash/loader/loadertest"
)

func script(t *testing.T, steps ...string) *loadertest.Script {
	return &loadertest.Script{T: t, Mode: loader.Mode{Baud: 250000}, Steps: steps}
}

func chip(t *testing.T, link loader.Link) *Loader {
	t.Helper()
	layout, err := loader.NewLayout(0x08000000, []loader.Run{{Count: 32, Size: 128}}, 0x08000800, 8*128)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(link, layout, 250000, "stm32f103xe", Entry{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// frame is a frame in hexadecimal: command and words, as protocol.md draws it.
func frame(kind string, payload string) string {
	p, err := hex.DecodeString(kind + hex.EncodeToString([]byte{byte(len(payload) / 8)}) + payload)
	if err != nil {
		panic(err)
	}
	return "0188" + hex.EncodeToString(p) + hex.EncodeToString(binary.LittleEndian.AppendUint16(nil, CRC(p))) + "9903"
}

const connected = "11000000" + "00010100" + "00080008" + "40000000" + "73746d33326631303378650000000000" + "76302e3100000000"

// TestKnownFrames holds the CRC against frames that protocol.md spells out.
func TestKnownFrames(t *testing.T) {
	if got := frame("f1", ""); got != "0188f100689599"+"03" {
		t.Errorf("NACK is %s", got)
	}
	if got := CRC([]byte("123456789")); got != 0x6f91 { // the check value of CRC-16/MCRF4XX
		t.Errorf("CRC is %04x", got)
	}
}

// TestBytes holds what is sent against protocol.md.
func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block, blank := strings.Repeat("a5", 64), strings.Repeat("ff", 64)
		s := script(t,
			frame("11", ""), frame("a0", connected),
			frame("12", "80080008"+block), frame("a0", "12000000"+"80080008"),
			frame("12", "00090008"+blank), frame("a0", "12000000"+"00090008"),
			frame("14", "80080008"), frame("a0", "14000000"+"80080008"+block),
			frame("14", "c0080008"), frame("a0", "14000000"+"c0080008"+blank),
			frame("13", ""), frame("a0", "13000000"+"02000000"),
			frame("15", ""), frame("a0", "15000000"),
		)
		l := chip(t, s)
		tr, err := l.Enter(t.Context())
		if err != nil || tr != (loader.Traits{MCU: "stm32f103xe"}) {
			t.Fatalf("%+v, %v", tr, err)
		}
		page := append(bytes.Repeat([]byte{0xa5}, 64), bytes.Repeat([]byte{0xff}, 64)...)
		if err := l.Write(t.Context(), 1, page); err != nil {
			t.Fatal(err)
		}
		if err := l.Write(t.Context(), 2, bytes.Repeat([]byte{0xff}, 128)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 128)
		if err := l.Read(t.Context(), 1, got); err != nil || !bytes.Equal(got, page) {
			t.Fatalf("%x, %v", got, err)
		}
		if err := l.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Done()
	})
}

// TestLateAndWrongAnswers sends what a double-buffered or noisy line would.
func TestLateAndWrongAnswers(t *testing.T) {
	block := strings.Repeat("a5", 64)
	read, other := frame("14", "80080008"), frame("a0", "14000000"+"c0080008"+strings.Repeat("00", 64))
	good := frame("a0", "14000000"+"80080008"+block)
	rest := []string{frame("14", "c0080008"), frame("a0", "14000000"+"c0080008"+block)}
	for name, steps := range map[string][]string{
		"an answer about another block first": {read, other + good},
		"an answer to another command first":  {read, frame("a0", connected) + good},
		"refused once":                        {read, frame("f1", ""), read, good},
		"an error once":                       {read, frame("f2", ""), read, good},
		"busy for a while":                    {read, frame("f3", ""), read, frame("f3", ""), read, good},
		"no answer once":                      {read, "", read, good},
		"an answer with a wrong CRC":          {read, strings.Replace(good, "a5", "a4", 1), read, good},
		"garbage before":                      {read, "018801880100ff" + good},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := script(t, append(append([]string{frame("11", ""), frame("a0", connected)}, steps...), rest...)...)
				l := chip(t, s)
				if _, err := l.Enter(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 128)
				if err := l.Read(t.Context(), 1, got); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{0xa5}, 128)) {
					t.Errorf("%x, %v", got, err)
				}
				s.Done()
			})
		})
	}
}

func TestWhoAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		payload string
		want    error
	}{
		"as it should":     {connected, nil},
		"another name":     {strings.Replace(connected, "73746d33", "73746d34", 1), loader.ErrIdentity},
		"another start":    {strings.Replace(connected, "00080008", "00200008", 1), loader.ErrIdentity},
		"too large blocks": {strings.Replace(connected, "40000000", "00010000", 1), loader.ErrIdentity},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := script(t, frame("11", ""), frame("a0", c.payload))
				if _, err := chip(t, s).Enter(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				s.Done()
			})
		})
	}
}

func TestBadChips(t *testing.T) {
	fine, err := loader.NewLayout(0, []loader.Run{{Count: 4, Size: 1024}}, 0, 4096)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		l   loader.Layout
		mcu string
	}{"no name": {fine, ""}, "a name with a blank": {fine, "stm32 f4"}, "no flash": {loader.Layout{}, "rp2040"}} {
		if _, err := New(nil, c.l, 250000, c.mcu, Entry{}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(nil, fine, 250000, "rp2040", Entry{}); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestSplit(t *testing.T) {
	m := appendFrame(nil, cmdRequest, []byte{1, 2, 3, 4})
	for _, before := range []string{"", "x", "\x01", "\x01\x88", "\x01\x01\x88\xff\xff"} {
		buf := append([]byte(before), m...)
		skip, size := loader.Framed(whole)(append(buf, "\x01 junk"...))
		if !bytes.Equal(buf[skip:skip+size], m) {
			t.Errorf("behind %q: skip %d, size %d", before, skip, size)
		}
	}
	for n := range m {
		if _, size := loader.Framed(whole)(m[:n]); size != 0 {
			t.Errorf("%d of %d bytes are a frame", n, len(m))
		}
		bad := bytes.Clone(m)
		bad[n] ^= 1
		if _, size := loader.Framed(whole)(bad); size != 0 {
			t.Errorf("with byte %d damaged it is a frame", n)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("\x01\x88\xf1\x00\x68\x95\x99\x03"))
	f.Add(appendFrame([]byte("ok\n\x01"), ackOK, make([]byte, 72)))
	f.Fuzz(func(t *testing.T, buf []byte) {
		skip, size := loader.Framed(whole)(buf)
		if skip < 0 || size < 0 || skip+size > len(buf) {
			t.Fatalf("skip %d, size %d of %d", skip, size, len(buf))
		}
		if size > 0 {
			m := buf[skip : skip+size]
			if again := appendFrame(nil, m[2], m[4:len(m)-4]); !bytes.Equal(again, m) {
				t.Fatalf("%x is taken for a frame", m)
			}
			l := Loader{mcu: "x"}
			l.who(m[4 : len(m)-4]) // must not panic
		} else if len(buf)-skip > 8+4*4+maxBlock {
			t.Fatalf("waits for more than a frame can have")
		}
	})
}
