package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"platen/cross/rig"
	"platen/cross/rig/leak"
)

// sights are what one run of the canary left, place by place.
type sights struct {
	patterns int
	files    leak.Found
	deleted  []leak.Hit // in the raw image of the printer's file system
	mqtt     []leak.Hit
	frames   int
	sent     int        // MQTT bytes
	logs     int        // bytes of them
	core     []leak.Hit // of files
	cores    int        // files
	loose    []spot     // in the session's memory, neither locked nor hidden
	swapped  int        // mappings with pages in swap
	says     string     // what the session says that it gave up
	session  memory     // during the print
	agent    memory     // during the print
	rest     []string   // processes that were looked at afterwards
	restHits []string   // and what was found in which
	state    [2]standing
}

// canaries are the models of a run.
type canaries struct{ stl, pack, crash *leak.Canary }

// draw draws three canaries that nobody has seen yet.
func draw(seed uint64) canaries {
	return canaries{leak.NewCanary(seed, 24, 3), leak.NewCanary(seed+1, 24, 3), leak.NewCanary(seed+2, 24, 3)}
}

// patterns is everything to be looked for by now.
func (h *house) patterns(c canaries) *leak.Set {
	s := leak.NewSet()
	for _, one := range []*leak.Canary{c.stl, c.pack, c.crash} {
		s.AddCanary(one)
	}
	s.AddLines(h.wire.program(), 4000)
	return s
}

// jobs are the canaries as jobs. The leaking build gets them in clear: it is the agent's
// reading of what it should only pass on that is one of the leaks.
func (h *house) jobs(ctx context.Context, c canaries, clear bool) (stl, pack, crash job, err error) {
	p, err := c.pack.ThreeMF(zip.Deflate)
	if err != nil {
		return stl, pack, crash, err
	}
	for _, x := range []struct {
		to    *job
		name  string
		bytes []byte
	}{{&stl, c.stl.Word, c.stl.STL()}, {&pack, c.pack.Word, p}, {&crash, c.crash.Word, c.crash.STL()}} {
		if clear {
			x.to.file = h.desk.Path(x.name + ".in")
			err = os.WriteFile(x.to.file, x.bytes, 0o600)
		} else {
			*x.to, err = h.seal(ctx, x.name, x.bytes)
		}
		if err != nil {
			return stl, pack, crash, err
		}
	}
	return stl, pack, crash, nil
}

// canary prints canaries, one of which is paused in its middle and one of which ends by
// a crash, and says where they were seen. The printer is off afterwards.
func (h *house) canary(ctx context.Context, bin string, c canaries, wide bool) (*sights, error) {
	began := time.Now().Add(-time.Second)
	if err := h.on(ctx, bin, "idle"); err != nil {
		return nil, err
	}
	if err := h.enrolled(ctx); err != nil {
		return nil, err
	}
	stl, pack, crash, err := h.jobs(ctx, c, bin == h.leaky)
	if err != nil {
		return nil, err
	}
	v := &sights{}
	if err := h.during(ctx, v, stl, c); err != nil {
		return nil, err
	}
	client, err := h.print(pack)
	if err != nil {
		return nil, err
	}
	if err := printed(ctx, client); err != nil {
		return nil, err
	}
	if _, err := h.await(ctx, "idle"); err != nil {
		return nil, err
	}
	if err := h.remaining(v, c, wide); err != nil {
		return nil, err
	}
	if err := h.crash(ctx, crash); err != nil {
		return nil, err
	}
	inputs := []string{stl.file, pack.file, crash.file}
	return v, h.afterwards(v, c, began, wide, inputs)
}

// during looks at the processes while a job stands in its middle, and then has it printed.
func (h *house) during(ctx context.Context, v *sights, j job, c canaries) error {
	frames := h.broker.Kept()
	client, err := h.middle(ctx, j)
	if err != nil {
		return err
	}
	if err := h.inMemory(ctx, v, c); err != nil {
		return err
	}
	unix.Sync() // what a careless session has written reaches the disk
	for end := time.Now().Add(patience); h.broker.Kept() < frames+2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("no machine data comes to the broker during a print")
		}
	}
	return h.finish(ctx, client)
}

// inMemory looks at session and agent while a job is paused.
func (h *house) inMemory(ctx context.Context, v *sights, c canaries) error {
	st, err := h.await(ctx, "paused")
	if err != nil {
		return err
	}
	v.says = st.Confined
	session := h.session()
	if session == 0 {
		return errors.New("there is no session while a job is paused")
	}
	s := h.patterns(c)
	if v.session, err = look(session, s); err != nil {
		return err
	}
	if v.agent, err = look(h.agent.Cmd.Process.Pid, s); err != nil {
		return err
	}
	for _, x := range v.session.hits {
		if !x.area.locked {
			v.loose = append(v.loose, x)
		}
	}
	all, err := areas(session)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.swapped {
			v.swapped++
		}
	}
	for i, pid := range []int{session, h.agent.Cmd.Process.Pid} {
		if v.state[i], err = stands(pid); err != nil {
			return err
		}
	}
	return nil
}

// remaining looks at the memory of all processes that are left after a job.
func (h *house) remaining(v *sights, c canaries, wide bool) error {
	s := h.patterns(c)
	all, err := processes()
	if err != nil {
		return err
	}
	if !wide {
		all = h.family(all)
	}
	for _, p := range all {
		if p.pid == os.Getpid() {
			continue // it is the printer's controller, and it looks
		}
		m, err := look(p.pid, s)
		if err != nil && rig.Ended(p.pid) {
			continue
		}
		if err != nil {
			return fmt.Errorf("looking at the memory of %s: %w", filepath.Base(p.exe), err)
		}
		v.rest = append(v.rest, filepath.Base(p.exe))
		if len(m.hits) > 0 {
			v.restHits = append(v.restHits, fmt.Sprintf("%s (%s)", filepath.Base(p.exe), kinds(m.hits)))
		}
	}
	return nil
}

// crash ends session and agent in the middle of a job by what a bug would end them with.
func (h *house) crash(ctx context.Context, j job) error {
	if _, err := h.middle(ctx, j); err != nil {
		return err
	}
	h.wire.setSlow(false)
	if err := rig.Kill(h.session(), syscall.SIGABRT); err != nil {
		return err
	}
	h.off(syscall.SIGABRT)
	return nil
}

// afterwards looks at everything that was written.
func (h *house) afterwards(v *sights, c canaries, began time.Time, wide bool, inputs []string) error {
	unix.Sync()
	s := h.patterns(c)
	v.patterns = s.Len()
	skip := inputs
	if h.image != "" {
		skip = append(skip, h.image) // block by block below
	}
	roots := []string{h.desk.Dir, h.box.Dir, os.TempDir(), "/var/tmp", "/dev/shm", "/run", "/var/log", "."}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".local"), filepath.Join(home, ".config"), filepath.Join(home, ".cache", "platen"))
	}
	if wide {
		roots = append(roots, "/")
	}
	var err error
	if v.files, err = s.Tree(roots, began, skip...); err != nil {
		return err
	}
	if err := h.left(v); err != nil {
		return err
	}
	sent := h.mqtt.bytes()
	v.sent, v.frames = len(sent), h.broker.Kept()
	if v.mqtt, err = s.Reader(bytes.NewReader(sent), "MQTT"); err != nil || h.image == "" {
		return err
	}
	if err := h.shred(v.files.Hits); err != nil { // what is found then is in blocks of no file
		return err
	}
	v.deleted, err = s.File(h.image)
	return err
}

// left counts logs and cores.
func (h *house) left(v *sights) error {
	logs, err := filepath.Glob(h.box.Path("*.log"))
	if err != nil {
		return err
	}
	for _, l := range logs {
		if fi, err := os.Stat(l); err == nil {
			v.logs += int(fi.Size())
		}
	}
	cores, err := filepath.Glob(h.box.Path("core*"))
	if err != nil {
		return err
	}
	v.cores = len(cores)
	for _, hit := range v.files.Hits {
		if filepath.Dir(hit.Path) == h.box.Dir && strings.HasPrefix(filepath.Base(hit.Path), "core") {
			v.core = append(v.core, hit)
		}
	}
	return nil
}

// shred overwrites the printer's files that hold something and syncs them.
func (h *house) shred(hits []leak.Hit) error {
	done := map[string]bool{}
	for _, hit := range hits {
		if done[hit.Path] || !strings.HasPrefix(hit.Path, h.box.Dir+"/") {
			continue
		}
		done[hit.Path] = true
		f, err := os.OpenFile(hit.Path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(blank(f), f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// blank overwrites what a file has, and leaves its holes as they are: a core is mostly
// holes.
func blank(f *os.File) error {
	for at := int64(0); ; {
		from, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		if at, err = f.Seek(from, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := f.WriteAt(make([]byte, at-from), from); err != nil {
			return err
		}
	}
}
