package slot_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"platen/updater/slot"
	"platen/updater/updatertest"
)

// golden is a record in which every field has a value of its own.
func golden() slot.Record {
	sum := func(b byte) (d [32]byte) {
		for i := range d {
			d[i] = b
		}
		return d
	}
	return slot.Record{Generation: 1, Active: slot.A, Trying: slot.B, Tries: 3, Turns: 4, Why: slot.BadHeat, Flashes: 6,
		Floor: 7, Bad: 8, Clock: 1_800_000_000, Armed: [16]byte{9, 15: 10},
		Slots: [2]slot.Slot{{Release: 11, Size: 12, Digest: sum(13), Confirmed: true, Root: slot.A, Image: slot.B},
			{Release: 14, Size: 15, Digest: sum(16), Root: slot.B, Image: slot.A}},
		Roots:   [2]slot.Part{{Release: 17, Size: 18, Digest: sum(19)}, {Release: 20, Size: 21, Digest: sum(22)}},
		Images:  [2]slot.Part{{Release: slot.Factory, Size: 24, Digest: sum(25)}, {Release: 26, Size: 27, Digest: sum(28)}},
		Filling: slot.Filling{Kind: slot.Image, Place: slot.B, Digest: sum(29), Done: 30}}
}

// What golden is in version 2: its first 64 bytes, and the digest at its end, of all of it.
// They never change, since printers have such records.
const (
	goldenHead = "504c544e534c4f54" + "0200010203040b06" + "0100000000000000" + "0700000000000000" +
		"0800000000000000" + "00d2496b00000000" + "0900000000000000" + "000000000000000a"
	goldenSum = "481ca595e6d455d6efad3445a7d6e96c7fb14a2ccfe74645bec368e5e01f57f7"
)

// written is a disk with the golden record, and the 448 bytes of it.
func written(t *testing.T) (*updatertest.Disk, []byte) {
	t.Helper()
	d := updatertest.NewDisk()
	mustUpdate(t, slot.NewLog(d), func(r *slot.Record) error { *r = golden(); return nil })
	p, _ := d.Contents("slots")
	return d, p[:448]
}

// TestGolden: a record is written as releases before wrote it, and read back.
func TestGolden(t *testing.T) {
	d, p := written(t)
	if got := hex.EncodeToString(p[:64]); got != goldenHead {
		t.Errorf("it begins with\n%s, want\n%s", got, goldenHead)
	}
	if got := hex.EncodeToString(p[416:]); got != goldenSum {
		t.Errorf("its digest is %s, want %s", got, goldenSum)
	}
	if got, err := slot.NewLog(d).Load(); err != nil || got != golden() {
		t.Errorf("read back: %+v, %v", got, err)
	}
}

// TestNewerRecords: what a newer program has added is passed over; a record for which this
// one is too old is not read.
func TestNewerRecords(t *testing.T) {
	for name, c := range map[string]struct {
		at   []int // bytes that are not 0 any more, or are another number
		read bool
	}{
		"additions": {[]int{9, 64 + 51, 64 + 55, 120 + 51, 120 + 55, 370, 375}, true},
		"version":   {[]int{8}, false},
	} {
		d, p := written(t)
		for _, i := range c.at {
			p[i]++
		}
		sum := sha256.Sum256(p[:416])
		d.Damage("slots", append(p[:416:416], sum[:]...))
		if got, err := slot.NewLog(d).Load(); (err == nil && got == golden()) != c.read {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
