package updatertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"platen/updater"
)

// InstallerRig is something without slots that the suite can switch off and on. When it
// is made, no release was ever installed.
type InstallerRig interface {
	// Start switches on, or off and on.
	Start(t *testing.T) updater.Installer
	// Image is what Install is given for a release; images of two releases differ.
	Image(release uint64) []byte
	// Holds reports whether what is there is exactly the image of a release.
	Holds(t *testing.T, release uint64) bool
	// Foreign is what Install must refuse.
	Foreign() []byte
	// Cut has the power fail soon after the next Install has begun to change something.
	Cut()
}

// InstallerCase is one test of the suite.
type InstallerCase struct {
	Name string
	Test func(t *testing.T, r InstallerRig)
}

// InstallerCases is the suite that every updater.Installer passes. Each case gets a new
// rig; cases may run in a bubble of testing/synctest.
func InstallerCases() []InstallerCase {
	return []InstallerCase{
		{"a release is installed and stays", installed},
		{"a newer and an older one replace it", replaced},
		{"what is foreign is refused and changes nothing", foreign},
		{"a source that fails changes nothing that counts", sourceFails},
		{"a power cut never leaves a release that is not there", cutOff},
	}
}

// says fails unless the installer says that a release is there, and it is.
func says(t *testing.T, r InstallerRig, i updater.Installer, want uint64) {
	t.Helper()
	got, err := i.Installed(t.Context())
	if err != nil || got != want {
		t.Errorf("release %d is installed, %v; want %d", got, err, want)
	}
	if want != 0 && !r.Holds(t, want) {
		t.Errorf("release %d is not what is there", want)
	}
}

func install(t *testing.T, r InstallerRig, i updater.Installer, release uint64) {
	t.Helper()
	if err := i.Install(t.Context(), release, bytes.NewReader(r.Image(release))); err != nil {
		t.Fatalf("install release %d: %v", release, err)
	}
}

func installed(t *testing.T, r InstallerRig) {
	i := r.Start(t)
	says(t, r, i, 0)
	install(t, r, i, 4)
	says(t, r, i, 4)
	for range 3 {
		says(t, r, r.Start(t), 4)
	}
}

func replaced(t *testing.T, r InstallerRig) {
	i := r.Start(t)
	for _, release := range []uint64{4, 5, 3, 3} {
		install(t, r, i, release)
		says(t, r, i, release)
	}
	says(t, r, r.Start(t), 3)
}

func foreign(t *testing.T, r InstallerRig) {
	i := r.Start(t)
	install(t, r, i, 4)
	if err := i.Install(t.Context(), 5, bytes.NewReader(r.Foreign())); err == nil {
		t.Error("something foreign was installed")
	}
	says(t, r, i, 4)
	says(t, r, r.Start(t), 4)
}

// truncated is a source that breaks off.
type truncated struct{ r io.Reader }

var errBroken = errors.New("the source broke off")

func (s truncated) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err == io.EOF {
		err = errBroken
	}
	return n, err
}

func sourceFails(t *testing.T, r InstallerRig) {
	i := r.Start(t)
	install(t, r, i, 4)
	p := r.Image(5)
	if err := i.Install(t.Context(), 5, truncated{bytes.NewReader(p[:len(p)/2])}); !errors.Is(err, errBroken) {
		t.Errorf("install: %v", err)
	}
	truthful(t, r, i, 4)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := i.Install(ctx, 5, bytes.NewReader(p)); err == nil {
		t.Error("installed although the context had ended")
	}
	i = r.Start(t)
	truthful(t, r, i, 4)
	install(t, r, i, 5)
	says(t, r, r.Start(t), 5)
}

// truthful fails unless the installer says that nothing is there, or the old release and
// it is.
func truthful(t *testing.T, r InstallerRig, i updater.Installer, old uint64) {
	t.Helper()
	switch got, err := i.Installed(t.Context()); {
	case err != nil || got != 0 && got != old:
		t.Errorf("release %d is installed, %v; want %d or none", got, err, old)
	case got == old && !r.Holds(t, old):
		t.Errorf("release %d is said to be there, and is not", old)
	}
}

func cutOff(t *testing.T, r InstallerRig) {
	i := r.Start(t)
	install(t, r, i, 4)
	for release := uint64(5); release < 10; release++ {
		i = r.Start(t)
		r.Cut()
		if err := i.Install(t.Context(), release, bytes.NewReader(r.Image(release))); err == nil {
			t.Fatal("there was no power cut")
		}
		i = r.Start(t)
		truthful(t, r, i, release-1)
		install(t, r, i, release)
		says(t, r, i, release)
	}
}
