package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/store"
)

// stand is a printer, a broker and a verifier, each in a process of its own, with a proxy
// that notes what the printer was told had arrived.
type stand struct {
	w        *world
	notes    *honest
	forget   *forgetful
	proxy    *proxy
	agent    *process
	verifier *process
}

// forgetful tells the printer once that a frame arrived, and lets it vanish.
type forgetful struct {
	*honest
	mu   sync.Mutex
	now  bool
	gone []byte
}

func (f *forgetful) frame(p []byte) ([]sending, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.now {
		return f.honest.frame(p)
	}
	f.now, f.gone = false, p
	return nil, true
}

func (f *forgetful) vanished() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

// stage enrols the printer and starts everybody.
func newStand(ctx context.Context, w *world) (*stand, error) {
	tpm, err := w.openTPM(ctx)
	if err != nil {
		return nil, err
	}
	defer tpm.Close()
	_, s, err := w.verifier(ctx, tpm)
	if s != nil {
		defer s.Close()
	}
	if err != nil {
		return nil, err
	}
	der, err := w.printers.Client(&x509.CertificateRequest{PublicKey: tpm.TLSKey().Public()}, tpm.ID())
	if err != nil {
		return nil, err
	}
	if err := writePEM(w.path("printer.pem"), "CERTIFICATE", der); err != nil {
		return nil, err
	}
	down, err := w.server()
	if err != nil {
		return nil, err
	}
	up, err := w.client(w.printers, tpm.ID())
	if err != nil {
		return nil, err
	}
	st := &stand{w: w, notes: &honest{seen: map[[32]byte][]byte{}}}
	st.forget = &forgetful{honest: st.notes}
	st.proxy, err = newProxy(w.broker.Addr, evidence.BatchTopic(tpm.ID()), down, up, st.forget)
	return st, err
}

// begin starts the two roles, the printer once the broker knows that the verifier wants
// its frames: what comes before is nobody's.
func (st *stand) begin(ctx context.Context) (err error) {
	if st.verifier, err = st.w.start(roleVerifier, st.w.broker.Addr); err != nil {
		return err
	}
	err = until(ctx, "the verifier subscribes", func() (bool, error) {
		if err := st.w.alive(st.verifier, roleVerifier); err != nil {
			return false, err
		}
		log, err := os.ReadFile(st.w.path("broker", "mosquitto.log"))
		return bytes.Contains(log, []byte(evidence.AllBatches)), err
	})
	if err != nil {
		return err
	}
	st.agent, err = st.w.start(roleAgent, st.proxy.addr)
	return err
}

func (st *stand) close() {
	for _, p := range []*process{st.agent, st.verifier} {
		if p != nil {
			p.kill()
		}
	}
	st.proxy.close()
}

// more waits until n frames more than before were acknowledged.
func (st *stand) more(ctx context.Context, n int) error {
	from := st.notes.count()
	return until(ctx, "a frame arrives", func() (bool, error) {
		if err := st.w.alive(st.agent, roleAgent); err != nil {
			return false, err
		}
		return st.notes.count() >= from+n, st.w.alive(st.verifier, roleVerifier)
	})
}

// kill ends one of the three and starts it again.
func (st *stand) kill(ctx context.Context, who int) (err error) {
	switch who {
	case 0:
		st.agent.kill()
		st.agent, err = st.w.start(roleAgent, st.proxy.addr)
	case 1:
		st.verifier.kill()
		st.verifier, err = st.w.start(roleVerifier, st.w.broker.Addr)
	default:
		// Mosquitto writes what it has not delivered down when it is told to end, and not
		// with each message: it is told to.
		st.w.broker.Stop()
		err = st.w.startBroker(ctx, st.w.broker.Addr)
	}
	return err
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

// killing kills agent, verifier and broker in turn, at moments drawn by chance.
func killing(ctx context.Context, w *world, kills int, seed uint64, say func(claim)) error {
	st, err := newStand(ctx, w)
	if err != nil {
		return err
	}
	defer st.close()
	if err := st.begin(ctx); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(seed, 2))
	var count [3]int
	for n := range kills {
		if err := st.more(ctx, 1); err != nil {
			return fmt.Errorf("after %d kills: %w", n, err)
		}
		time.Sleep(time.Duration(rnd.IntN(1100)) * time.Millisecond) // somewhere in what comes until the next
		who := n % len(count)
		if err := st.kill(ctx, who); err != nil {
			return err
		}
		count[who]++
	}
	if err := st.more(ctx, 2); err != nil {
		return err
	}
	c := claim{Name: "kills", Claim: "no frame that was acknowledged is lost, whoever is killed", State: holds}
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
	c.Evidence = fmt.Sprintf("%d SIGKILLs of the agent, %d of the verifier, %d restarts of Mosquitto: %d frames acknowledged, %d lost; %d in the log twice, as a kill between log and state leaves them",
		count[0], count[1], count[2], st.notes.count(), len(lost), twice)
	if waited != nil || len(lost) > 0 {
		c.State = failed
	}
	if err := st.vanishing(ctx, &c, len(gaps)); err != nil {
		return err
	}
	say(c)
	return nil
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
	seq := seqOf(st.forget.vanished())
	named := slices.ContainsFunc(now[min(gaps, len(now)):], func(e store.Event) bool { return e.From <= seq && seq <= e.To })
	c.Control = fmt.Sprintf("a frame that the broker acknowledged and threw away: %d found lost, and named missing: %v", len(lost), named)
	if len(lost) != 1 || !named {
		c.State, c.Control = failed, "NOT CAUGHT: "+c.Control
	}
	return nil
}
