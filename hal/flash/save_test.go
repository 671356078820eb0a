package flash

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"

	"platen/hal/flash/image"
	"platen/hal/sim/bootloader"
)

// TestSave: the firmware that is there is read, another one takes its place, and it is put
// back, whatever the bootloader and the format.
func TestSave(t *testing.T) {
	for name, c := range kinds() {
		for _, format := range []image.Format{image.Binary, image.Hex} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					old, next := firmware(c, c.Size-100, 1), firmware(c, 3000, 2)
					r := newRig(t, c, old, next)
					defer r.off()
					b := board(t, c)
					b.Format = format
					f, err := New(Config{Board: b, Link: r, Store: r.disk})
					if err != nil {
						t.Fatal(err)
					}
					var kept, image bytes.Buffer
					if err := f.Save(t.Context(), &kept); err != nil {
						t.Fatal(err)
					}
					if err := imageOf(&image, next, b); err != nil {
						t.Fatal(err)
					}
					if err := f.Install(t.Context(), 5, &image); err != nil {
						t.Fatal(err)
					}
					r.holds(next)
					if err := f.Install(t.Context(), 1<<63, bytes.NewReader(kept.Bytes())); err != nil {
						t.Fatal(err)
					}
					r.holds(old)
				})
			})
		}
	}
}

func imageOf(w *bytes.Buffer, p []byte, b Board) error { return image.Encode(w, p, b.Format, b.Layout) }

// TestSaveRefuses: what is not confirmed is not kept, nor what this board would not take
// back.
func TestSaveRefuses(t *testing.T) {
	for name, c := range kinds() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c, firmware(c, 3000, 1))
				defer func() { r.off() }()
				f := r.flasher()
				r.again(bootloader.Faults{CutAt: 3})
				if err := f.Install(t.Context(), 2, bytes.NewReader(firmware(c, 3000, 2))); err == nil {
					t.Fatal("there was no power cut")
				}
				r.again(bootloader.Faults{})
				var kept bytes.Buffer
				if err := f.Save(t.Context(), &kept); !errors.Is(err, ErrUnread) || kept.Len() > 0 {
					t.Errorf("after a cut: %v, %d bytes", err, kept.Len())
				}
				blank := newRig(t, c)
				defer blank.off()
				if err := blank.flasher().Save(t.Context(), &kept); !errors.Is(err, ErrUnread) || kept.Len() > 0 {
					t.Errorf("of nothing: %v, %d bytes", err, kept.Len())
				}
			})
		})
	}
}
