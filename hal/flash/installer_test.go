package flash

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal/sim/bootloader"
	"platen/updater"
	"platen/updater/updatertest"
)

// installerRig is a printer in the eyes of the updater's suite.
type installerRig struct {
	*rig
	cuts int
}

func newInstallerRig(t *testing.T, c bootloader.Config) *installerRig {
	r := &installerRig{rig: &rig{cfg: c}}
	images := [][]byte{firmware(c, c.Size, 1)}
	for release := range uint64(12) {
		images = append(images, r.Image(release))
	}
	r.rig = newRig(t, c, images...)
	t.Cleanup(func() { r.off() })
	return r
}

func (r *installerRig) Start(t *testing.T) updater.Installer {
	r.t, r.disk = t, atOnce(t, r.disk)
	r.again(bootloader.Faults{})
	time.Sleep(10 * time.Second) // longer than any bootloader waits
	f := r.flasher()
	f.cfg.Probe = r.ask
	return f
}

func (r *installerRig) Image(release uint64) []byte {
	return firmware(r.cfg, 3000+int(release)*7, release)
}

func (r *installerRig) Foreign() []byte { return bytes.Repeat([]byte{0xff}, r.cfg.Size+1) }

func (r *installerRig) Holds(_ *testing.T, release uint64) bool {
	return bytes.HasPrefix(r.chip.App(), r.Image(release))
}

func (r *installerRig) Cut() {
	r.cuts++
	r.again(bootloader.Faults{CutAt: 2 * r.cuts})
}

// TestInstallerSuite runs the updater's suite for what has no slots on every bootloader.
func TestInstallerSuite(t *testing.T) {
	for name, c := range kinds() {
		for _, test := range updatertest.InstallerCases() {
			t.Run(name+"/"+test.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { test.Test(t, newInstallerRig(t, c)) })
			})
		}
	}
}
