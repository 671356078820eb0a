package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"platen/cross/rig"
	"platen/cross/rig/leak"
)

// victim is what a kill takes.
type victim int

// The victims.
const (
	theAgent victim = iota
	theSession
	both
	thePower
	victims
)

// deaths are the ways a process is killed: by the kernel, and by what a bug does.
var deaths = []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGBUS}

// killed is what came of killing.
type killed struct {
	counts [victims]int
	found  []leak.Hit
}

// claim is the claim about kills; control is what the leaking build left.
func (k *killed) claim(control []leak.Hit) claim {
	c := k.counts
	return judged("kills", "whatever is killed at whatever moment, the disk is clean and the next agent comes up", len(k.found) > 0,
		fmt.Sprintf("%d kills: agent %d, session %d, both %d, power %d (the image as it was at that moment)%s",
			c[theAgent]+c[theSession]+c[both]+c[thePower], c[theAgent], c[theSession], c[both], c[thePower], first(k.found)),
		len(control) > 0, "a session that keeps a file, killed: "+kindsOf(control))
}

// kills kills agent, session, both or the power again and again, at moments drawn by
// chance, and looks at the disk each time; then another agent has to come up.
func (p *proof) kills(ctx context.Context) (*killed, error) {
	h := p.h
	rng := rand.New(rand.NewPCG(p.o.seed, 1))
	if err := h.on(ctx, h.box.Bin("platen"), "idle"); err != nil {
		return nil, err
	}
	c := draw(p.o.seed + 20)
	j, err := h.seal(ctx, c.stl.Word, c.stl.STL())
	if err != nil {
		return nil, err
	}
	before := h.wire.count()
	client, err := h.print(j)
	if err != nil {
		return nil, err
	}
	if err := printed(ctx, client); err != nil {
		return nil, err
	}
	if _, err := h.await(ctx, "idle"); err != nil {
		return nil, err
	}
	moves := h.wire.count() - before
	s := h.patterns(c)
	k := &killed{}
	for done, tries := 0, 0; done < p.o.kills; tries++ {
		if tries > 10*(p.o.kills+1) {
			return nil, fmt.Errorf("%d of %d times there was nothing to kill", tries-done, tries)
		}
		v := victim(done) % victims
		if v == thePower && h.image == "" {
			v = both
		}
		hits, took, err := p.kill(ctx, j, v, rng.IntN(moves), rng, s)
		if err != nil {
			return nil, fmt.Errorf("kill %d: %w", done+1, err)
		}
		if took {
			k.counts[v]++
			done++
		}
		k.found = append(k.found, hits...)
	}
	h.off(syscall.SIGTERM)
	return k, nil
}

// kill starts a job, kills, looks and brings the printer back. took says that what was to be
// killed was alive: a session that has just ended is not.
func (p *proof) kill(ctx context.Context, j job, v victim, moment int, rng *rand.Rand, s *leak.Set) (hits []leak.Hit, took bool, err error) {
	h := p.h
	if err := p.reach(j, moment, rng); err != nil {
		return nil, false, err
	}
	if hits, took, err = p.take(ctx, v, deaths[rng.IntN(len(deaths))], s); err != nil {
		return nil, false, err
	}
	unix.Sync()
	more, err := h.disk(s)
	if err != nil {
		return nil, false, err
	}
	return append(hits, more...), took, h.back(ctx)
}

// reach starts a job and waits for a moment of it: so many moves, or somewhere before the first.
func (p *proof) reach(j job, moment int, rng *rand.Rand) error {
	h := p.h
	reached := h.wire.after(moment)
	client, err := h.print(j)
	if err != nil {
		return err
	}
	if rng.IntN(4) == 0 { // while it is taken in and read
		time.Sleep(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
		return nil
	}
	select {
	case <-reached:
	case <-client.Done:
	case <-time.After(patience):
		return errors.New("the print does not go on")
	}
	return nil
}

// take kills one of the victims, and reports whether it was alive.
func (p *proof) take(ctx context.Context, v victim, death syscall.Signal, s *leak.Set) (hits []leak.Hit, took bool, err error) {
	h := p.h
	session := h.session()
	switch v {
	case theAgent:
		if err := h.agent.Cmd.Process.Signal(death); errors.Is(err, os.ErrProcessDone) {
			return nil, false, nil
		} else if err != nil {
			return nil, false, err
		}
		select {
		case <-h.agent.Done:
		case <-time.After(patience):
			return nil, false, errors.New("the agent does not end")
		}
	case theSession:
		if session == 0 {
			return nil, false, nil
		}
		if err := rig.Kill(session, death); errors.Is(err, syscall.ESRCH) {
			return nil, false, nil
		} else if err != nil {
			return nil, false, err
		}
	case both:
		h.off(death)
		return nil, session != 0, nil
	case thePower:
		hits, err = h.cut(ctx, s)
	}
	return hits, err == nil, err
}

// back brings the printer to where it takes the next job.
func (h *house) back(ctx context.Context) error {
	any := []string{"idle", "loading", "printing", "paused", "done"}
	select {
	case <-h.agent.Done:
		if err := h.on(ctx, h.box.Bin("platen"), any...); err != nil {
			return err
		}
	default:
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		st, err := h.await(ctx, any...)
		if err != nil {
			return err
		}
		if st.Tickets != "" {
			return fmt.Errorf("the record of copies does not stand: %s", st.Tickets)
		}
		if st.Phase == "idle" {
			_ = h.owner(ctx, "discard", "--yes")
			return nil
		}
		_ = h.owner(ctx, "cancel") // it may have ended by itself by now
	}
	return errors.New("the printer does not come back")
}

// disk looks at the printer's file system, block by block, or file by file where it has
// none of its own; and at what lies beside it.
func (h *house) disk(s *leak.Set) ([]leak.Hit, error) {
	if h.image != "" {
		return s.File(h.image)
	}
	f, err := s.Tree([]string{h.box.Dir}, h.began)
	return f.Hits, err
}

// cut takes the power away: what the image holds at one moment, without any sync, is what
// the printer wakes up with. It returns what of a model is in it.
func (h *house) cut(ctx context.Context, s *leak.Set) ([]leak.Hit, error) {
	session := h.session()
	for _, pid := range []int{h.agent.Cmd.Process.Pid, session} {
		if pid == 0 {
			continue
		}
		if err := rig.Freeze(pid); err != nil {
			return nil, err
		}
	}
	snapshot, err := still(h.image)
	if err != nil {
		return nil, err
	}
	if session != 0 {
		rig.Kill(session, syscall.SIGKILL)
	}
	h.off(syscall.SIGKILL)
	hits, err := s.Reader(bytes.NewReader(snapshot), "the image at a power cut")
	if err != nil {
		return nil, err
	}
	if err := h.unmount(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(h.image, snapshot, 0o600); err != nil {
		return nil, err
	}
	if err := h.mount(ctx); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(h.box.Path("run")); err != nil { // it is memory on a board
		return nil, err
	}
	if err := h.tpm.Reset(ctx); err != nil {
		return nil, err
	}
	return hits, h.measure(ctx)
}

// still reads a file that may be written to until two readings are alike.
func still(path string) ([]byte, error) {
	one, err := os.ReadFile(path)
	for range 50 {
		if err != nil {
			return nil, err
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		two, err := io.ReadAll(f)
		f.Close()
		if err == nil && bytes.Equal(one, two) {
			return two, nil
		}
		one = two
	}
	return nil, errors.New("the image does not come to rest")
}

// killLeaky is the control: the leaking build, killed in mid-print.
func (p *proof) killLeaky(ctx context.Context) ([]leak.Hit, error) {
	h, c := p.h, draw(p.o.seed+30)
	if err := h.on(ctx, h.leaky, "idle"); err != nil {
		return nil, err
	}
	j, _, _, err := h.jobs(ctx, c, true)
	if err != nil {
		return nil, err
	}
	if _, err := h.middle(ctx, j); err != nil {
		return nil, err
	}
	h.wire.setSlow(false)
	h.off(syscall.SIGKILL)
	unix.Sync()
	own := leak.NewSet() // this one alone, not what the leaking build has left before
	own.AddCanary(c.stl)
	return h.disk(own)
}
