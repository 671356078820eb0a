package dm

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// TestTable holds the order's bytes against struct dm_ioctl and struct dm_target_spec.
func TestTable(t *testing.T) {
	c := Crypt{Name: "state", Device: "/dev/vda5", Key: bytes.Repeat([]byte{0xab}, KeySize), Offset: 1 << 20, Size: 95 << 20}
	b, err := c.table()
	if err != nil {
		t.Fatal(err)
	}
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	for _, f := range []struct {
		name      string
		got, want uint32
	}{
		{"version", u32(0), 4}, {"size of it all", u32(12), uint32(len(b))}, {"start of the data", u32(16), 312}, {"targets", u32(20), 1},
		{"flags", u32(28), 1 << 15}, {"length in sectors", u32(312 + 8), 95 << 11}, {"next", u32(312 + 20), uint32(len(b) - 312)},
	} {
		if f.got != f.want {
			t.Errorf("%s: %d, want %d", f.name, f.got, f.want)
		}
	}
	if !strings.HasPrefix(string(b[48:]), "state\x00") || !strings.HasPrefix(string(b[312+24:]), "crypt\x00") {
		t.Error("names are not where they belong")
	}
	params := "aes-xts-plain64 " + strings.Repeat("ab", KeySize) + " 0 /dev/vda5 2048\x00"
	if !strings.HasPrefix(string(b[312+40:]), params) || len(b)%8 != 0 {
		t.Errorf("parameters %q", b[312+40:])
	}
}

func TestTableRefuses(t *testing.T) {
	good := Crypt{Name: "x", Device: "/dev/y", Key: make([]byte, KeySize), Size: 512}
	if _, err := good.table(); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, spoil := range map[string]func(*Crypt){
		"key": func(c *Crypt) { c.Key = c.Key[:32] }, "name": func(c *Crypt) { c.Name = "" }, "offset": func(c *Crypt) { c.Offset = 1 },
		"size": func(c *Crypt) { c.Size = 0 }, "long name": func(c *Crypt) { c.Name = strings.Repeat("x", 128) },
	} {
		c := good
		if spoil(&c); true {
			if _, err := c.table(); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
	}
}
