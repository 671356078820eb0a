package w1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"platen/hal"
	"platen/hal/sensor"
)

const id = "28-0316a2790cff"

// answer is what the kernel says of nine bytes.
func answer(pad [9]byte, crcOK bool, milli int) string {
	hex := ""
	for _, b := range pad {
		hex += fmt.Sprintf("%02x ", b)
	}
	yes := "NO"
	if crcOK {
		yes = "YES"
	}
	return fmt.Sprintf("%s: crc=%02x %s\n%st=%d\n", hex, crc(pad[:8]), yes, hex, milli)
}

// warm is a scratchpad for a temperature in sixteenths of a degree.
func warm(sixteenths int16) [9]byte {
	p := [9]byte{byte(sixteenths), byte(sixteenths >> 8), 0x4b, 0x46, 0x7f, 0xff, 0x0e, 0x10}
	p[8] = crc(p[:8])
	return p
}

// The recording in the kernel's own documentation has a right checksum.
func TestCRC(t *testing.T) {
	if c := crc([]byte{0x72, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x0e, 0x10}); c != 0x57 {
		t.Errorf("%#x, want 0x57", c)
	}
}

func TestReadings(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "bus/w1/devices", id, "w1_slave")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(root, []Channel{{"ambient", id}, {"gone", "28-000000000000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wrong := warm(25 * 16)
	wrong[0] ^= 4
	for _, c := range []struct {
		name, text string
		want       int64
		why        error
	}{
		{"ordinary", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n", 23125, nil},
		{"below zero", answer(warm(-162), true, -10125), -10125, nil},
		{"kernel finds a bad checksum", answer(warm(400), false, 25000), 0, errCRC},
		{"kernel does not, we do", answer(wrong, true, 25000), 0, errCRC},
		{"zeros", answer([9]byte{}, true, 0), 0, errZero},
		{"power-on value", answer(warm(85*16), true, 85000), 0, errPowerOn},
		{"power-on value again", answer(warm(85*16), true, 85000), 0, errPowerOn},
		{"hot", answer(warm(80*16), true, 80000), 80000, nil},
		{"a real 85", answer(warm(85*16), true, 85000), 85000, nil},
		{"out of range", answer(warm(2001), true, 125062), 0, errForm},
		{"empty", "", 0, errForm},
		{"one line", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n", 0, errForm},
		{"no number", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 t=warm\n", 0, errForm},
		{"no hexadecimal", "zz 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 t=1\n", 0, errForm},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := s.AppendSamples(t.Context(), nil)
		lost, _ := errors.AsType[*sensor.Lost](err)
		if lost == nil || lost.Channels&2 == 0 {
			t.Fatalf("%s: the thermometer that is not there is not missed: %v", c.name, err)
		}
		if c.why == nil && (len(got) != 1 || got[0].Value != c.want || lost.Channels != 2) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		if c.why != nil && (len(got) != 0 || lost.Channels != 3 || !errors.Is(lost.First, c.why)) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.why)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "bus/w1/devices", id, "w1_slave")
	os.MkdirAll(filepath.Dir(path), 0o700)
	os.WriteFile(path, []byte(answer(warm(400), true, 25000)), 0o600)
	s, err := Open(root, []Channel{{"ambient", id}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	buf := make([]hal.Sample, 0, 2)
	if n := testing.AllocsPerRun(100, func() { buf, _ = s.AppendSamples(t.Context(), buf[:0]) }); n != 0 || len(buf) != 1 {
		t.Errorf("%v allocations, %d samples", n, len(buf))
	}
}

func TestIDs(t *testing.T) {
	for _, bad := range []string{"", "28", "28-0316a2790c", "../0316a2790cff", "28/0316a2790cff"} {
		if _, err := Open("/", []Channel{{"x", bad}}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// FuzzParse: whatever a bus says, a temperature comes of it only with a right checksum.
func FuzzParse(f *testing.F) {
	f.Add([]byte(answer(warm(400), true, 25000)))
	f.Add([]byte(answer(warm(-400), false, -25000)))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parse(text)
		if err == nil && (v < -55_000 || v > 125_000) {
			t.Fatalf("%d", v)
		}
	})
}
