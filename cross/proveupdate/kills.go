package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/publish"
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
	if err != nil {
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
	s.Log().SetEvery(128 << 10)
	u, err := updater.New(updater.Config{Board: "sim", Kind: updater.KindAgent, Release: 1, Source: src, Bootloader: s, Log: s.Log()})
	if err != nil {
		return err
	}
	return do(u)
}

// careless is the control: an update that writes the file that starts, in its place, and
// says that it is done without making it durable.
func careless(dir string) error {
	next := program(2)
	f, err := os.Create(filepath.Join(dir, "slots", "a", "platen"))
	if err != nil {
		return err
	}
	for p := range slices.Chunk(next, 16<<10) {
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

// shop is a repository behind a web server.
type shop struct {
	dir  string
	repo *publish.Repo
	srv  *httptest.Server
	slow time.Duration // between two pieces of a release
}

func newShop(dir string) (*shop, error) {
	now := time.Now()
	repo, err := publish.Init(filepath.Join(dir, "repo"), filepath.Join(dir, "keys"), "", publish.DefaultPolicy(), now)
	if err != nil {
		return nil, err
	}
	s := &shop{dir: dir, repo: repo}
	files := http.FileServer(http.Dir(filepath.Join(dir, "repo")))
	s.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		files.ServeHTTP(paced{w, s.slow}, r)
	}))
	file := filepath.Join(dir, "release-2")
	if err := os.WriteFile(file, program(2), 0o755); err != nil {
		return nil, err
	}
	if _, err = repo.Add(publish.Item{Release: 2, Board: "sim", File: file}, nil, now); err == nil {
		_, err = repo.Publish(now)
	}
	return s, err
}

func (s *shop) close() {
	s.srv.Close()
	s.repo.Close()
}

// paced writes in pieces with pauses.
type paced struct {
	http.ResponseWriter
	pause time.Duration
}

func (p paced) Write(data []byte) (n int, err error) {
	for piece := range slices.Chunk(data, 16<<10) {
		m, err := p.ResponseWriter.Write(piece)
		if n += m; err != nil {
			return n, err
		}
		if p.pause > 0 {
			time.Sleep(p.pause)
		}
	}
	return n, nil
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
	begun, staged, err := s.killAll("stage", kills, seed)
	if err != nil {
		return "", err
	}
	if begun == 0 {
		return "", errors.New("no kill came while a release was being written")
	}
	if _, _, err := s.killAll("careless", max(kills/10, 8), seed); err == nil {
		return "", errors.New("control: an update in place survived every kill")
	}
	return fmt.Sprintf("%d kills, %d with a release half written, %d updates staged; update in place caught", kills, begun, staged), nil
}

// killAll kills updates at random moments. begun counts the kills that left a release half
// written. After each update that got through, the printer is a new one.
func (s *shop) killAll(how string, kills int, seed uint64) (begun, staged int, err error) {
	rng := rand.New(rand.NewPCG(seed, 3))
	dir := ""
	s.slow = 300 * time.Microsecond
	for n := range kills {
		if dir == "" {
			if dir, err = os.MkdirTemp(s.dir, "printer"); err == nil {
				err = s.install(dir)
			}
			if err != nil {
				return begun, staged, err
			}
		}
		c := s.child(dir, how)
		if err := c.Start(); err != nil {
			return begun, staged, err
		}
		time.AfterFunc(time.Duration(rng.IntN(120))*time.Millisecond, func() { c.Process.Kill() })
		done := c.Wait() == nil
		half, err := s.look(dir, done)
		if err != nil {
			return begun, staged, fmt.Errorf("kill %d: %w", n, err)
		}
		if half {
			begun++
		}
		if done || n%8 == 7 { // what is still under way is finished without being killed
			if !done {
				if out, err := s.child(dir, how).CombinedOutput(); err != nil {
					return begun, staged, fmt.Errorf("after kill %d the update does not get through: %w: %s", n, err, out)
				}
				if _, err := s.look(dir, true); err != nil {
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
	if err != nil || !bytes.Equal(old, program(1)) {
		return false, errors.New("the release that runs is not whole")
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
