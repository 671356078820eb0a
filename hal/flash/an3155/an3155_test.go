package an3155

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"platen/hal/flash/loader"
	"platen/hal/flash/loader/loadertest"
)

func script(t *testing.T, steps ...string) *loadertest.Script {
	return &loadertest.Script{T: t, Mode: loader.Mode{Baud: 57600, Even: true}, Steps: steps}
}

func chip(t *testing.T, link loader.Link, product string) *Loader {
	t.Helper()
	layout, err := loader.NewLayout(0x08000000, []loader.Run{{Count: 300, Size: 512}}, 0x08020000, 4*512)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(link, layout, 57600, product)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// entering is a conversation with an STM32F103 (bootloader 2.2, product 410) or one
// that has the extended erase command (3.1, product 413).
func entering(erase, product string) []string {
	return []string{
		"7f", "79",
		"00ff", "79 0b 31 00 01 02 11 21 31 " + erase + " 63 73 82 92 79",
		"02fd", "79 01 04" + product[1:] + " 79",
		"11ee", "79", "08020000 0a", "79", "03fc", "79 deadbeef",
	}
}

// TestBytes holds what is sent against the tables of AN3155.
func TestBytes(t *testing.T) {
	block := strings.Repeat("5a", 256)
	for _, c := range []struct {
		name, product, erase string
		erasing              []string
	}{
		{"extended erase", "413", "44", []string{"44bb", "79", "0000 0102 03", "79"}},
		{"erase", "410", "43", []string{"43bc", "79", "00 02 02", "79"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps := entering(c.erase, c.product)
				steps = append(steps, c.erasing...)
				steps = append(steps,
					// The second half is blank and not sent.
					"31ce", "79", "08020400 0e", "79", "ff"+block+"ff", "79",
					"11ee", "79", "08020400 0e", "79", "ff00", "79"+block,
					"11ee", "79", "08020500 0f", "79", "ff00", "79"+strings.Repeat("ff", 256),
				)
				s := script(t, steps...)
				l := chip(t, s, c.product)
				if c.erase == "43" { // its pages have numbers of one byte
					layout, err := loader.NewLayout(0x08020000, []loader.Run{{Count: 8, Size: 512}}, 0x08020000, 4*512)
					if err != nil {
						t.Fatal(err)
					}
					l.layout = layout
				}
				tr, err := l.Enter(t.Context())
				if err != nil || tr != (loader.Traits{MCU: c.product}) {
					t.Fatalf("%+v, %v", tr, err)
				}
				page := append(bytes.Repeat([]byte{0x5a}, 256), bytes.Repeat([]byte{0xff}, 256)...)
				if err := l.Write(t.Context(), 2, page); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 512)
				if err := l.Read(t.Context(), 2, got); err != nil || !bytes.Equal(got, page) {
					t.Fatalf("%x, %v", got, err)
				}
				if err := l.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.Done()
				if len(s.Resets) != 2 || !s.Resets[0] || s.Resets[1] {
					t.Errorf("resets with BOOT0 %v", s.Resets)
				}
			})
		})
	}
}

// TestFirstPage writes the first 32 bytes of the application in the very last write.
func TestFirstPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		head, rest, upper := strings.Repeat("11", 32), strings.Repeat("22", 224), strings.Repeat("33", 256)
		s := script(t, append(entering("44", "413"),
			"44bb", "79", "0000 0100 01", "79",
			"31ce", "79", "08020100 0b", "79", "ff"+upper+"ff", "79",
			"31ce", "79", "08020020 2a", "79", "df"+rest+"df", "79",
			"31ce", "79", "08020000 0a", "79", "1f"+head+"1f", "79",
		)...)
		l := chip(t, s, "413")
		if _, err := l.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		page, err := hex.DecodeString(head + rest + upper)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Write(t.Context(), 0, page); err != nil {
			t.Fatal(err)
		}
		s.Done()
	})
}

// TestNothingIsRepeated: after an error nothing is sent until the chip was reset.
func TestNothingIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, append(entering("44", "413"), "11ee", "79", "08020400 0e", "1f")...)
		l := chip(t, s, "413")
		if _, err := l.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second sends nothing, or the script would say so
			if err := l.Read(t.Context(), 2, make([]byte, 512)); !errors.Is(err, loader.ErrLine) {
				t.Errorf("read: %v", err)
			}
		}
		s.Done()
		s.Steps = entering("44", "413")
		if _, err := l.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Done()
	})
}

func TestAnswers(t *testing.T) {
	good := entering("44", "413")
	for name, c := range map[string]struct {
		steps []string
		want  error
	}{
		"another chip":        {append(append([]string(nil), good[:4]...), "02fd", "79 01 0414 79"), loader.ErrIdentity},
		"protected":           {append(append([]string(nil), good[:6]...), "11ee", "1f"), loader.ErrProtected},
		"no answer":           {[]string{"7f", "", "7f", "", "7f", "", "7f", ""}, loader.ErrSilent},
		"garbage":             {[]string{"7f", "00", "7f", "55", "7f", "00", "7f", "00"}, loader.ErrSilent},
		"an endless list":     {repeat(4, "7f", "79", "00ff", "79 ff 00"), loader.ErrLine},
		"a list without ack":  {repeat(4, "7f", "79", "00ff", "79 01 3100 1f"), loader.ErrLine},
		"an id of one byte":   {repeat(4, "7f", "79", "00ff", "79 01 3144 79", "02fd", "79 00 13 79"), loader.ErrLine},
		"in sync before":      {append([]string{"7f", "1f"}, good[2:]...), nil},
		"the second time":     {append([]string{"7f", ""}, good...), nil},
		"noise before":        {append([]string{"7f", "79 "}, good[2:]...), nil},
		"a refused read of 4": {repeat(4, append(append([]string(nil), good[:6]...), "11ee", "79", "08020000 0a", "1f")...), loader.ErrLine},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := script(t, c.steps...)
				if _, err := chip(t, s, "413").Enter(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				s.Done()
			})
		})
	}
}

// TestShortErase refuses a chip whose erase command has no numbers for its pages.
func TestShortErase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t, entering("43", "410")[:6]...)
		if _, err := chip(t, s, "410").Enter(t.Context()); !errors.Is(err, loader.ErrIdentity) {
			t.Errorf("got %v", err)
		}
		s.Done()
	})
}

func repeat(n int, steps ...string) (all []string) {
	for range n {
		all = append(all, steps...)
	}
	return all
}

func TestBadChips(t *testing.T) {
	odd, err := loader.NewLayout(0, []loader.Run{{Count: 4, Size: 64}}, 0, 256)
	if err != nil {
		t.Fatal(err)
	}
	fine, err := loader.NewLayout(0x08000000, []loader.Run{{Count: 4, Size: 1024}}, 0x08000000, 4096)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		l  loader.Layout
		id string
	}{"no id": {fine, ""}, "long id": {fine, "10410"}, "a name": {fine, "stm32"}, "small pages": {odd, "410"}, "no flash": {loader.Layout{}, "410"}} {
		if _, err := New(nil, c.l, 115200, c.id); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(nil, fine, 115200, "0x410"); err != nil {
		t.Errorf("control: %v", err)
	}
}

// FuzzEnter lets the chip answer anything.
func FuzzEnter(f *testing.F) {
	f.Add([]byte("\x79\x79\x0b\x31\x00\x01\x02\x11\x21\x31\x44\x63\x73\x82\x92\x79\x79\x01\x04\x13\x79\x79\x79\x79\x00\x00\x00\x00"))
	f.Add([]byte("\x79\x1f\x1f\x1f"))
	f.Fuzz(func(t *testing.T, answers []byte) {
		synctest.Test(t, func(t *testing.T) {
			p := &parrot{left: answers}
			l := chip(t, p, "413")
			tr, err := l.Enter(t.Context())
			if err == nil && tr.MCU != "413" {
				t.Errorf("%q was taken", tr.MCU)
			}
			if err == nil {
				got := make([]byte, 512)
				l.Read(t.Context(), 0, got)
			}
		})
	})
}
