package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/store"
)

// more waits until n frames more than before were acknowledged.
func (st *stand) more(ctx context.Context, n int) error {
	from := st.notes.count()
	return until(ctx, "a frame arrives", func() (bool, error) {
		return st.notes.count() >= from+n, st.alive()
	})
}

// The victims of kills.
const (
	theAgent = iota
	theFleet
	theBroker
	victims
)

// kill ends one of the three by SIGKILL and starts it again.
func (st *stand) kill(ctx context.Context, who int) error {
	switch who {
	case theAgent:
		killed(st.agent)
		return st.startAgent()
	case theFleet:
		killed(st.fleet)
		return st.startFleet(ctx)
	}
	st.w.broker.Kill()
	return st.w.startBroker(ctx, st.w.broker.Addr)
}

// believed is every frame that the verifier's log holds, and the gaps that it names.
func (st *stand) believed() (frames map[[32]byte]int, gaps []store.Event, err error) {
	frames = map[[32]byte]int{}
	for e, err := range store.Events(st.w.path("fleet")) {
		switch {
		case err != nil:
			return nil, nil, err
		case e.Event == store.Batch:
			frames[identity(e.Frame)]++
		case e.Event == store.Missing:
			gaps = append(gaps, e)
		}
	}
	return frames, gaps, nil
}

// lost are the frames that the printer was told had arrived and the verifier has not.
func (st *stand) lost() ([][]byte, error) {
	have, _, err := st.believed()
	if err != nil {
		return nil, err
	}
	st.notes.mu.Lock()
	defer st.notes.mu.Unlock()
	var out [][]byte
	for id, frame := range st.notes.seen {
		if have[id] == 0 {
			out = append(out, frame)
		}
	}
	return out, nil
}

// settle waits until nothing but what may be lost is.
func (st *stand) settle(ctx context.Context, may int) error {
	return until(ctx, "all that was acknowledged is believed", func() (bool, error) {
		out, err := st.lost()
		return len(out) <= may, err
	})
}

// killing kills agent, fleet and broker in turn, at moments drawn by chance; and then fleet and
// broker together, which takes what was in the broker's memory alone.
func killing(ctx context.Context, w *world, bins string, kills int, seed uint64, say func(claim)) error {
	st, err := newStand(ctx, w, bins)
	if err != nil {
		return err
	}
	defer st.close()
	if err := st.begin(ctx); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(seed, 2))
	var count [victims]int
	for n := range kills {
		who := n % victims
		if err := st.moment(ctx, who, rnd); err != nil {
			return fmt.Errorf("after %d kills: %w", n, err)
		}
		if err := st.kill(ctx, who); err != nil {
			return err
		}
		count[who]++
	}
	if err := st.more(ctx, 2); err != nil {
		return err
	}
	c := claim{Name: "kills", Claim: "no frame that was acknowledged is lost, whoever is killed, and none is missing", State: holds}
	waited := st.settle(ctx, 0)
	lost, err := st.lost()
	if err != nil {
		return err
	}
	have, gaps, err := st.believed()
	if err != nil {
		return err
	}
	twice := 0
	for _, n := range have {
		if n > 1 {
			twice++
		}
	}
	c.Evidence = fmt.Sprintf("SIGKILL: %d of the agent, %d of the fleet, %d of Mosquitto: %d frames acknowledged, %d lost, %d gaps; %d in the log twice",
		count[theAgent], count[theFleet], count[theBroker], st.notes.count(), len(lost), len(gaps), twice)
	if waited != nil || len(lost) > 0 || len(gaps) > 0 || twice > 0 {
		c.State = failed
	}
	if err := st.vanishing(ctx, &c, len(gaps)); err != nil {
		return err
	}
	say(c)
	return st.together(ctx, max(1, kills/10), rnd, say)
}

// moment waits for a moment at which somebody may be killed: at least one frame after the kill
// before, and somewhere in what comes until the next. A broker that promises by memory alone keeps
// its word while there is somebody to pass frames on to: before it is killed, the fleet is there.
func (st *stand) moment(ctx context.Context, who int, rnd *rand.Rand) error {
	if err := st.more(ctx, 1); err != nil {
		return err
	}
	if who == theBroker {
		if err := st.settle(ctx, 0); err != nil {
			return err
		}
	}
	time.Sleep(time.Duration(rnd.IntN(1100)) * time.Millisecond)
	return nil
}

// together kills the fleet and, some frames later, the broker, which has acknowledged them and
// has nobody to pass them on to: what it loses is named missing, frame by frame.
func (st *stand) together(ctx context.Context, times int, rnd *rand.Rand, say func(claim)) error {
	before, err := st.lost() // by the control of the claim before
	if err != nil {
		return err
	}
	for range times {
		if err := st.more(ctx, 1); err != nil {
			return err
		}
		killed(st.fleet)
		enough := st.notes.count() + 1 + rnd.IntN(2)
		if err := until(ctx, "the broker keeps a frame", func() (bool, error) { return st.notes.count() >= enough, nil }); err != nil {
			return err
		}
		if err := st.kill(ctx, theBroker); err != nil {
			return err
		}
		if err := st.startFleet(ctx); err != nil {
			return err
		}
	}
	if err := st.more(ctx, 2); err != nil {
		return err
	}
	unnamed := [][]byte{}
	lost := [][]byte{}
	waited := until(ctx, "all that was acknowledged is believed or named missing", func() (bool, error) {
		if lost, err = st.lost(); err != nil {
			return false, err
		}
		_, gaps, err := st.believed()
		unnamed = slices.DeleteFunc(slices.Clone(lost), func(f []byte) bool { return named(gaps, f) })
		return len(unnamed) == 0, err
	})
	c := claim{Name: "together", Claim: "what a broker loses that dies while the fleet is away is named missing, frame by frame", State: holds,
		Evidence: fmt.Sprintf("SIGKILL of Mosquitto %d times while the fleet was killed: %d frames acknowledged in all, %d lost, %d of them not named",
			times, st.notes.count(), len(lost)-len(before), len(unnamed)),
		Control: fmt.Sprintf("the frame that vanished before is among the lost: %v", len(before) == 1)}
	if waited != nil || len(unnamed) > 0 || len(before) != 1 {
		c.State = failed
	}
	say(c)
	return nil
}

// named reports whether a frame is in one of the gaps.
func named(gaps []store.Event, frame []byte) bool {
	seq := seqOf(frame)
	return slices.ContainsFunc(gaps, func(e store.Event) bool { return e.From <= seq && seq <= e.To })
}

// vanishing is the control: a frame that is acknowledged and then lost is found.
func (st *stand) vanishing(ctx context.Context, c *claim, gaps int) error {
	st.forget.mu.Lock()
	st.forget.now = true
	st.forget.mu.Unlock()
	if err := until(ctx, "a frame vanishes", func() (bool, error) { return st.forget.vanished() != nil, nil }); err != nil {
		return err
	}
	if err := st.more(ctx, 2); err != nil {
		return err
	}
	if err := st.settle(ctx, 1); err != nil {
		return err
	}
	lost, err := st.lost()
	if err != nil {
		return err
	}
	_, now, err := st.believed()
	if err != nil {
		return err
	}
	missed := named(now[min(gaps, len(now)):], st.forget.vanished())
	c.Control = fmt.Sprintf("a frame that the broker acknowledged and threw away: %d found lost, and named missing: %v", len(lost), missed)
	if len(lost) != 1 || !missed {
		c.State, c.Control = failed, "NOT CAUGHT: "+c.Control
	}
	return nil
}

// fleetOf is who the fleet of the world is.
func fleetOf(dir string) (evidence.RecipientID, error) {
	f, err := store.Peek(filepath.Join(dir, "fleet"))
	return f.Recipient, err
}
