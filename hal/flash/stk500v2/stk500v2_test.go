package stk500v2

import (
	"bytes"
	"encoding/hex"
	"testing"
	"testing/synctest"

	"platen/hal/flash/loader"
	"platen/hal/flash/loader/loadertest"
)

func mega(t *testing.T, s loader.Link) *Loader {
	t.Helper()
	l, err := loader.NewLayout(0, []loader.Run{{Count: 1024, Size: 256}}, 0, 992*256)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(s, l, 115200, "1e9801")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var enter = []string{
	"1b0100010e0114", "1b01000b0e0100084156524953505f3274",
	"1b02000c0e10c8641920005303ac530000" + "d6", "1b0200020e100005",
	"1b0300060e1b0430000000" + "3f", "1b0300040e1b001e00" + "17",
	"1b0400060e1b0430000100" + "39", "1b0400040e1b009800" + "96",
	"1b0500060e1b0430000200" + "3b", "1b0500040e1b000100" + "0e",
}

// TestBytes holds what is sent against the tables of AVR068.
func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := bytes.Repeat([]byte{0xa5}, 256)
		long := hex.EncodeToString(page)
		s := &loadertest.Script{T: t, Mode: loader.Mode{Baud: 115200}, Steps: append(append([]string(nil), enter...),
			// Page 513 is at byte 0x20100, word 0x10080; bit 31 says that there are more than 64 Ki words.
			"1b0600050e0680010080"+"11", "1b0600020e060011",
			"1b07010a0e130100c10a404c200000"+long+"ee", "1b0700020e130005",
			"1b0800050e0680010080"+"1f", "1b0800020e06001f",
			"1b0900040e1401002029", "1b0901030e1400"+long+"00"+"0a",
			"1b0a00030e1101010d", "1b0a00020e11000c",
		)}
		for i := 0; i < len(s.Steps); i++ { // the last byte of each is what makes the XOR zero
			p, err := hex.DecodeString(s.Steps[i])
			if err != nil {
				t.Fatal(err)
			}
			p[len(p)-1] = xor(p[:len(p)-1])
			s.Steps[i] = hex.EncodeToString(p)
		}
		l := mega(t, s)
		tr, err := l.Enter(t.Context())
		if err != nil || tr != (loader.Traits{MCU: "1e9801", Sequential: true}) || len(s.Resets) != 1 {
			t.Fatalf("%+v, %v, %d resets", tr, err, len(s.Resets))
		}
		if err := l.Write(t.Context(), 513, page); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 256)
		if err := l.Read(t.Context(), 513, got); err != nil || !bytes.Equal(got, page) {
			t.Fatalf("%x, %v", got, err)
		}
		if err := l.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Done()
	})
}

// TestSignOnBytes holds the checksum against an example worked out by hand: the sign-on
// that every programmer begins with.
func TestSignOnBytes(t *testing.T) {
	if got := hex.EncodeToString(appendMessage(nil, 1, cmdSignOn, nil)); got != "1b0100010e0114" {
		t.Errorf("sign-on is %s", got)
	}
}

func TestBadChips(t *testing.T) {
	ok, err := loader.NewLayout(0, []loader.Run{{Count: 4, Size: 256}}, 0, 1024)
	if err != nil {
		t.Fatal(err)
	}
	big, err := loader.NewLayout(0, []loader.Run{{Count: 4, Size: 512}}, 0, 2048)
	if err != nil {
		t.Fatal(err)
	}
	late, err := loader.NewLayout(0, []loader.Run{{Count: 4, Size: 256}}, 256, 512)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		l   loader.Layout
		sig string
	}{"short signature": {ok, "1e98"}, "no signature": {ok, ""}, "large pages": {big, "1e9801"}, "not at 0": {late, "1e9801"}, "no flash": {loader.Layout{}, "1e9801"}} {
		if _, err := New(nil, c.l, 115200, c.sig); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(nil, ok, 115200, "1e9801"); err != nil {
		t.Errorf("control: %v", err)
	}
}

// TestSplit finds messages among bytes that are none.
func TestSplit(t *testing.T) {
	m := appendMessage(nil, 7, cmdSignOn, []byte{0, 1, 2})
	for _, before := range []string{"", "x", "\x1b", "\x1b\x1b", "start\n\x1b\x01\x00\x00\x0e"} {
		buf := append([]byte(before), m...)
		skip, size := loader.Framed(whole)(append(buf, "\x1b junk"...))
		if !bytes.Equal(buf[skip:skip+size], m) {
			t.Errorf("behind %q: skip %d, size %d", before, skip, size)
		}
	}
	for n := range m {
		if _, size := loader.Framed(whole)(m[:n]); size != 0 {
			t.Errorf("%d of %d bytes are a message", n, len(m))
		}
		bad := bytes.Clone(m)
		bad[n] ^= 1
		if _, size := loader.Framed(whole)(bad); size != 0 {
			t.Errorf("with byte %d damaged it is a message", n)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("\x1b\x01\x00\x01\x0e\x01\x14"))
	f.Add(appendMessage([]byte("ok\n\x1b"), 3, cmdReadFlash, make([]byte, 258)))
	f.Add([]byte("\x1b\x01\xff\xff\x0e\x01"))
	f.Fuzz(func(t *testing.T, buf []byte) {
		skip, size := loader.Framed(whole)(buf)
		if skip < 0 || size < 0 || skip+size > len(buf) {
			t.Fatalf("skip %d, size %d of %d", skip, size, len(buf))
		}
		if size > 0 {
			m := buf[skip : skip+size]
			if again := appendMessage(nil, m[1], m[head], m[head+1:len(m)-1]); !bytes.Equal(again, m) {
				t.Fatalf("%x is taken for a message", m)
			}
		} else if skip+head+maxBody+1 <= len(buf) && buf[skip] == start {
			t.Fatalf("waits for more than a message can have")
		}
	})
}
