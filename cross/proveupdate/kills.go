package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/slot"
	"platen/updater/trust"
)

// The child is this program as an agent that updates: folder and URL of the repository, and
// what it does.
const (
	envDir = "PLATEN_PROVE_DIR"
	envURL = "PLATEN_PROVE_URL"
	envHow = "PLATEN_PROVE_HOW" // "stage", "confirm" as slot b, or "careless"
)

// asChild is the child's whole life.
func asChild() (code int, child bool) {
	dir := os.Getenv(envDir)
	if dir == "" {
		return 0, false
	}
	err := errors.New("nothing to do")
	how := os.Getenv(envHow)
	if strings.HasPrefix(how, "disks ") {
		err = disksAlone(how)
	}
	switch how {
	case "stage":
		err = with(dir, slot.A, func(u *updater.Updater) error {
			_, err := u.Stage(context.Background())
			return err
		})
	case "confirm":
		err = with(dir, slot.B, func(u *updater.Updater) error { return u.Confirm() })
	case "careless":
		err = careless(dir)
	}
	switch {
	case errors.Is(err, errNoDisks):
		fmt.Fprintln(os.Stderr, err)
		return codeNoDisks, true
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// with does something with the updater of an agent that runs from a slot.
func with(dir string, running slot.Name, do func(*updater.Updater) error) error {
	root, err := os.ReadFile(filepath.Join(dir, "root.json"))
	if err != nil {
		return err
	}
	src, err := trust.New(trust.Config{Dir: filepath.Join(dir, "trust"), FactoryRoot: root, URL: os.Getenv(envURL)})
	if err != nil {
		return err
	}
	s, err := boot.Open(filepath.Join(dir, "slots"), running)
	if err != nil {
		return err
	}
	s.Log().SetSteps(128<<10, 16<<10)
	u, err := updater.New(updater.Config{Board: "sim", Kind: updater.KindAgent, Release: 1, Source: src, Bootloader: s, Log: s.Log()})
	if err != nil {
		return err
	}
	return do(u)
}

// careless is the control: an update that writes the file that starts, in its place, and
// says that it is done without making it durable. Half way it waits for the end of its input.
func careless(dir string) error {
	next := program(2)
	f, err := os.Create(filepath.Join(dir, "slots", "a", "platen"))
	if err != nil {
		return err
	}
	if _, err := f.Write(next[:len(next)/2]); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	for p := range slices.Chunk(next[len(next)/2:], 16<<10) {
		if _, err := f.Write(p); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return f.Close()
}

// program is the agent of a release, for what only looks at its bytes.
func program(n uint64) []byte {
	rng := rand.New(rand.NewPCG(n, 1))
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// install is the factory: release 1 in slot a of dir.
func (s *shop) install(dir string) error {
	root, err := s.repo.Root()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "root.json"), root, 0o644)
	}
	bin := filepath.Join(s.dir, "release-1")
	if err == nil {
		err = os.WriteFile(bin, program(1), 0o755)
	}
	if err == nil {
		err = boot.Install(filepath.Join(dir, "slots"), bin, 1)
	}
	return err
}

// child starts this program as an agent.
func (s *shop) child(dir, how string) *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), envDir+"="+dir, envURL+"="+s.srv.URL, envHow+"="+how)
	return c
}

// claimKills is that an update that is killed again and again, wherever, is staged in the
// end, and that the old release could start all the time.
func claimKills(kills int, seed uint64) (string, error) {
	dir, err := os.MkdirTemp("", "prove-update")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	s, err := newShop(dir)
	if err != nil {
		return "", err
	}
	defer s.close()
	begun, staged, err := s.killAll(update{"stage", filled, s.look}, kills, seed)
	if err != nil {
		return "", err
	}
	if begun == 0 {
		return "", errors.New("no kill came while a release was being written")
	}
	_, _, err = s.killAll(update{"careless", sizeOf, whole}, max(kills/10, 8), seed)
	if err == nil {
		return "", errors.New("control: an update in place survived every kill")
	}
	if !errors.Is(err, errTorn) {
		return "", fmt.Errorf("control: %w", err)
	}
	return fmt.Sprintf("%d kills, %d with a release half written, %d updates staged; update in place caught", kills, begun, staged), nil
}

// update is what is killed.
type update struct {
	how     string
	written func(dir string) (uint64, error) // changes once something is written
	look    func(dir string, done bool) (half bool, err error)
}

// killAll kills updates: every other one at a random moment, the rest once they have
// written something, however long that takes them. begun counts the kills that left a
// release half written. After each update that got through, the printer is a new one.
func (s *shop) killAll(u update, kills int, seed uint64) (begun, staged int, err error) {
	rng := rand.New(rand.NewPCG(seed, 3))
	dir := ""
	for n := range kills {
		if dir == "" {
			if dir, err = os.MkdirTemp(s.dir, "printer"); err == nil {
				err = s.install(dir)
			}
			if err != nil {
				return begun, staged, err
			}
		}
		delay := time.Duration(rng.Int64N(int64(s.late)))
		if n%2 == 1 {
			delay = -1
		}
		done, err := s.kill(u, dir, delay)
		if err != nil {
			return begun, staged, err
		}
		half, err := u.look(dir, done)
		if err != nil {
			return begun, staged, fmt.Errorf("kill %d: %w", n, err)
		}
		if half {
			begun++
		}
		if done || n%8 == 7 { // what is still under way is finished without being killed
			if !done {
				if out, err := s.child(dir, u.how).CombinedOutput(); err != nil {
					return begun, staged, fmt.Errorf("after kill %d the update does not get through: %w: %s", n, err, out)
				}
				if _, err := u.look(dir, true); err != nil {
					return begun, staged, fmt.Errorf("after kill %d: %w", n, err)
				}
			}
			staged++
			if err := os.RemoveAll(dir); err != nil {
				return begun, staged, err
			}
			dir = ""
		}
	}
	return begun, staged, nil
}

// kill starts an update and kills it after delay, or, if that is negative, once it has
// written something: it is held in the middle until then. done reports that it was faster.
func (s *shop) kill(u update, dir string, delay time.Duration) (done bool, err error) {
	before, err := u.written(dir)
	if err != nil {
		return false, err
	}
	c := s.child(dir, u.how)
	if delay < 0 {
		s.hold.Store(int64(before) + heldBytes)
		defer s.hold.Store(0)
		if _, err := c.StdinPipe(); err != nil {
			return false, err
		}
	}
	if err := c.Start(); err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for now := before; err == nil && now == before; {
		select {
		case err := <-ended:
			return err == nil, nil
		case <-time.After(max(delay, time.Millisecond)):
		}
		if delay >= 0 {
			break
		}
		now, err = u.written(dir)
	}
	c.Process.Kill()
	return <-ended == nil, err
}

// filled is how much of a release an update has noted as written.
func filled(dir string) (uint64, error) {
	d, err := slot.OpenDir(filepath.Join(dir, "slots"))
	if err != nil {
		return 0, err
	}
	defer d.Close()
	rec, err := slot.NewLog(d).Load()
	return rec.Filling.Done, err
}

// sizeOf is the length of the file that starts.
func sizeOf(dir string) (uint64, error) {
	st, err := os.Stat(filepath.Join(dir, "slots", "a", "platen"))
	if err != nil {
		return 0, err
	}
	return uint64(st.Size()), nil
}

// errTorn reports that what would start is not all of one release.
var errTorn = errors.New("the release that starts is not whole")

// whole checks of the file that starts no more than that it is all of some release.
func whole(dir string, _ bool) (half bool, err error) {
	p, err := os.ReadFile(filepath.Join(dir, "slots", "a", "platen"))
	if err == nil && !bytes.Equal(p, program(1)) && !bytes.Equal(p, program(2)) {
		err = errTorn
	}
	return false, err
}

// look checks what would start: the old release whole, or, once it was staged, the new one.
// half reports that one is half written.
func (s *shop) look(dir string, staged bool) (half bool, err error) {
	d, err := slot.OpenDir(filepath.Join(dir, "slots"))
	if err != nil {
		return false, err
	}
	defer d.Close()
	rec, err := slot.NewLog(d).Load()
	if err != nil {
		return false, err
	}
	old, err := os.ReadFile(filepath.Join(dir, "slots", "a", "platen"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if !bytes.Equal(old, program(1)) {
		return false, errTorn
	}
	c := boot.Pick(d, quiet)
	defer c.Close()
	if staged && c.Entry.Release != 2 || !staged && c.Slot == slot.None {
		next, err := os.ReadFile(filepath.Join(dir, "slots", "b", "platen"))
		return false, fmt.Errorf("release %d starts: active %v, on trial %v, slot b whole %v (%v)", c.Entry.Release, rec.Active, rec.Trying, bytes.Equal(next, program(2)), err)
	}
	if c.Entry.Release == 2 && c.Entry.Digest != sha256.Sum256(program(2)) {
		return false, errors.New("what starts was not released")
	}
	return rec.Filling.Done > 0, nil
}
