package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"platen/agent/attest"
	"platen/agent/catalog"
	"platen/agent/evidence"
	"platen/agent/fleet/ingest"
	"platen/agent/fleet/store"
	"platen/agent/uplink"
)

// teller sends an honest printer's frames, one after the other, as its agent does.
type teller struct {
	tpm   *attest.TPM
	proxy *proxy
	cfg   uplink.Config
	link  *uplink.Link
	chain *evidence.Chain
	enc   *catalog.Encoder
	liar  *liar
	log   *told  // what the verifier says
	nonce []byte // the last one heard
	at    time.Time
}

// message is an honest message of the catalogue.
func (t *teller) message() ([]byte, error) {
	t.at = t.at.Add(time.Minute)
	s, ok := catalog.Of(catalog.AgentUptime, t.at.Unix()%10_000)
	if !ok {
		return nil, errors.New("the catalogue has lost an item")
	}
	return t.enc.Encode(nil, catalog.Moment{At: t.at}, []catalog.Sample{s})
}

// next makes the next frame; fork makes another one of the same number beside it.
func (t *teller) next(ctx context.Context, nonce []byte, fork bool) (frame, forked []byte, err error) {
	msg, err := t.message()
	if err != nil {
		return nil, nil, err
	}
	log, err := t.tpm.Log(ctx)
	if err != nil {
		return nil, nil, err
	}
	bind := func(msgs [][]byte) (evidence.Header, []byte, error) {
		h, err := t.chain.Next(msgs, nonce, 0)
		if err != nil {
			return h, nil, err
		}
		raw, err := h.Bytes()
		if err != nil {
			return h, nil, err
		}
		d, err := h.Digest()
		if err != nil {
			return h, nil, err
		}
		q, err := t.tpm.Quote(ctx, d)
		if err != nil {
			return h, nil, err
		}
		wire, err := evidence.Encode(evidence.Batch{Header: raw, Msgs: msgs, Quote: q.Signed(), Log: log.Tail(evidence.MaxLog)}, evidence.WireSize)
		return h, wire, err
	}
	if fork {
		if _, forked, err = bind([][]byte{msg, msg}); err != nil {
			return nil, nil, err
		}
	}
	h, frame, err := bind([][]byte{msg})
	if err != nil {
		return nil, nil, err
	}
	return frame, forked, t.chain.Commit(h)
}

// aConnection is how many frames go over one: a printer takes so many packets a minute from
// a broker and no more.
const aConnection = 100

// dial connects anew, with nothing under way.
func (t *teller) dial() (err error) {
	if t.link != nil {
		if err := t.link.Close(); err != nil {
			return err
		}
		t.proxy.settled()
	}
	t.link, err = uplink.Dial(t.cfg)
	return err
}

// send sends n frames.
func (t *teller) send(ctx context.Context, n int) error {
	for i := range n {
		if i%aConnection == aConnection-1 {
			if err := t.dial(); err != nil {
				return err
			}
		}
		nonce, err := t.link.Nonce(ctx)
		if err != nil {
			return err
		}
		if nonce != nil { // a new connection may be slow to bring one
			t.nonce = nonce
		}
		frame, forked, err := t.next(ctx, t.nonce, i%5 == 0)
		if err != nil {
			return err
		}
		t.liar.mu.Lock()
		t.liar.fork = forked
		t.liar.mu.Unlock()
		sending, cancel := context.WithTimeout(ctx, patience)
		err = t.link.Publish(sending, frame)
		cancel()
		if err != nil {
			return err
		}
		if err := t.judged(ctx, aConnection*t.liar.each/10); err != nil {
			return err
		}
	}
	return nil
}

// judged waits until no more than so many messages are not judged yet.
func (t *teller) judged(ctx context.Context, behind int) error {
	return until(ctx, "what was sent is judged", func() (bool, error) {
		n := t.log.count()
		t.liar.mu.Lock()
		defer t.liar.mu.Unlock()
		return n+behind >= len(t.liar.sent), t.liar.err
	})
}

// told collects events.
type told struct {
	mu     sync.Mutex
	events []store.Event
	judged int // those that are a message's: believed or refused
}

func (l *told) emit(e store.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	if e.Event == store.Batch || e.Event == store.Refused {
		l.judged++
	}
}

func (l *told) all() []store.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

func (l *told) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.judged
}

// attack sends messages through a lying proxy and Mosquitto to a verifier, and then
// commands to the printer.
func attack(ctx context.Context, w *world, messages int, seed uint64, say func(claim)) error {
	tpm, err := w.openTPM(ctx)
	if err != nil {
		return err
	}
	defer tpm.Close()
	v, s, err := w.verifier(ctx, tpm)
	if s != nil {
		defer s.Close()
	}
	if err != nil {
		return err
	}
	log := &told{}
	in := ingest.New(v, s, log.emit, nil)
	in.Allow(1e12, 1e12) // the flood that a printer is not allowed is what this is
	bridge, err := ingest.NewBridge(in, *w.bridgeConfig())
	if err != nil {
		return err
	}
	defer bridge.Close()
	each := min(49, messages/(2*fates))
	honest := max(messages/(each+1), 2*fates)
	l, err := newLiar(seed, each)
	if err != nil {
		return err
	}
	t, p, err := w.teller(ctx, tpm, l)
	if err != nil {
		return err
	}
	defer p.close()
	t.log = log
	defer func() { _ = t.link.Close() }()  // the proof is over either way
	if err := t.send(ctx, 1); err != nil { // with nothing else yet, so that both ends know each other
		return err
	}
	l.set(false)
	if err := t.send(ctx, honest); err != nil {
		return err
	}
	l.set(true)
	if err := t.send(ctx, 4); err != nil { // which shows what is missing
		return err
	}
	if err := t.judged(ctx, 0); err != nil {
		return err
	}
	events := log.all()
	sent := slices.Clone(l.sent) // the printer is silent
	say(l.claim(account(sent, events), controls(sent, events)))
	c, err := commands(ctx, t, p, bridge)
	if err != nil {
		return err
	}
	say(c)
	if c, err = w.tenants(l.passed[0], tpm.ID()); err != nil {
		return err
	}
	say(c)
	return l.err
}

func (l *liar) set(quiet bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quiet = quiet
}

// teller connects the printer through a lying proxy.
func (w *world) teller(ctx context.Context, tpm *attest.TPM, s schemer) (*teller, *proxy, error) {
	down, err := w.server()
	if err != nil {
		return nil, nil, err
	}
	up, err := w.client(w.printers, tpm.ID())
	if err != nil {
		return nil, nil, err
	}
	p, err := newProxy(w.broker.Addr, evidence.BatchTopic(tpm.ID()), down, up, s)
	if err != nil {
		return nil, nil, err
	}
	t := &teller{tpm: tpm, proxy: p, at: time.Unix(1_800_000_000, 0)}
	t.liar, _ = s.(*liar)
	if t.enc, err = catalog.NewEncoder(catalog.Owner, []catalog.ID{catalog.AgentUptime}); err != nil {
		return nil, nil, err
	}
	if t.chain, err = tpm.NewChain(ctx, w.recipient); err != nil {
		return nil, nil, err
	}
	t.cfg = uplink.Config{Broker: p.addr, Roots: w.ops.Pool(), Certificate: up.Certificates[0], Printer: tpm.ID()}
	return t, p, t.dial()
}

// controls plants one mistake after the other into what the verifier said, and returns
// those that the account does not notice.
func controls(sent []expect, events []store.Event) []string {
	var deaf []string
	plant := func(what string, find func(store.Event) bool, change func([]store.Event, int) []store.Event) {
		i := slices.IndexFunc(events, find)
		if i < 0 {
			deaf = append(deaf, what+": there is nothing to plant it in")
			return
		}
		if t := account(sent, change(slices.Clone(events), i)); len(t.wrong) == 0 {
			deaf = append(deaf, what)
		}
	}
	refused := func(e store.Event) bool { return e.Event == store.Refused }
	plant("a lie is believed", refused, func(e []store.Event, i int) []store.Event { e[i].Event = store.Batch; return e })
	plant("a lie has no name", refused, func(e []store.Event, i int) []store.Event { e[i].Reason = ""; return e })
	plant("a lie leaves no trace", refused, func(e []store.Event, i int) []store.Event { return slices.Delete(e, i, i+1) })
	plant("an honest frame is refused", func(e store.Event) bool { return e.Event == store.Batch },
		func(e []store.Event, i int) []store.Event { e[i].Event = store.Refused; return e })
	plant("a late frame passes for one in time", func(e store.Event) bool { return e.Late },
		func(e []store.Event, i int) []store.Event { e[i].Late = false; return e })
	return deaf
}

func (l *liar) claim(t tally, deaf []string) claim {
	for _, seq := range l.gone {
		if !slices.Contains(t.missing, seq) {
			t.wrong = append(t.wrong, fmt.Sprintf("frame %d vanished and nobody noticed", seq))
		}
	}
	kinds := slices.Sorted(maps.Keys(t.kinds))
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%d %s", t.kinds[k], k)
	}
	c := claim{Name: "lies", Claim: "a broker that flips, drops, doubles, reorders, delays and injects is found out, message by message",
		Evidence: fmt.Sprintf("%d messages through Mosquitto: %d lies refused, each for a reason of its kind (%s); %d honest frames believed, %d of them late and named so; %d dropped, each named missing",
			t.lies+t.honest+len(l.gone), t.lies, strings.Join(kinds, ", "), t.honest, t.late, len(l.gone)),
		Control: "five mistakes planted in what the verifier said, each noticed", State: holds}
	if t.wrong != nil || t.late == 0 || len(l.gone) == 0 || len(t.kinds) < len(lies)+3 {
		c.State, c.Evidence = failed, c.Evidence+": WRONG: "+strings.Join(t.wrong, "; ")
	}
	if deaf != nil {
		c.State, c.Control = failed, "NOT CAUGHT: "+strings.Join(deaf, "; ")
	}
	return c
}

// tenants publishes an honest frame under another printer's name, as one printer would that
// the broker knows, and under its own, which is the control.
func (w *world) tenants(frame []byte, own evidence.PrinterID) (claim, error) {
	c := claim{Name: "tenants", Claim: "what one printer says under another's name does not get past the broker", State: holds}
	tlsConfig, err := w.client(w.printers, own)
	if err != nil {
		return c, err
	}
	try := func(topic string) (code byte, err error) {
		conn, err := tls.Dial("tcp", w.broker.Addr, tlsConfig)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return 0, err
		}
		// MQTT 5.0, section 3.1: name and version of the protocol, a clean start, a minute, no properties.
		hello := append([]byte("\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x05"), "stray"...)
		if err := errors.Join(packet{1 << 4, hello}.write(conn), publish(topic, 1, frame, false).write(conn)); err != nil {
			return 0, err
		}
		for r := bufio.NewReader(conn); ; {
			pk, err := readPacket(r)
			if err != nil {
				return 0, err
			}
			if pk.kind() == packetPuback && len(pk.body) > 2 {
				return pk.body[2], nil // section 3.4.2.1
			}
			if pk.kind() == packetPuback {
				return 0, nil
			}
		}
	}
	const tries = 5
	denied := 0
	for n := range byte(tries) {
		code, err := try(evidence.BatchTopic(evidence.PrinterID{1, n}))
		if err != nil {
			return c, err
		}
		if code >= 0x80 {
			denied++
		}
	}
	code, err := try(evidence.BatchTopic(own))
	if err != nil {
		return c, err
	}
	c.Evidence = fmt.Sprintf("%d frames, %d refused by Mosquitto's list of who may what", tries, denied)
	c.Control = fmt.Sprintf("under its own name the same frame passes, with code %d", code)
	if denied != tries || code >= 0x80 {
		c.State = failed
	}
	return c, nil
}

// commands has the broker say to the printer what brokers say, and more.
func commands(ctx context.Context, t *teller, p *proxy, bridge *ingest.Bridge) (claim, error) {
	c := claim{Name: "commands", Claim: "nothing that a broker says to a printer is done: it has ears for a nonce alone", State: holds}
	before, err := t.link.Nonce(ctx)
	if err != nil {
		return c, err
	}
	id, own := t.tpm.ID(), evidence.NonceTopic(t.tpm.ID())
	deaf := []packet{
		publish(own, 0, []byte("kept by the broker"), true),
		publish(evidence.NonceTopic(evidence.PrinterID{1}), 0, []byte("another printer's"), false),
		publish("platen/v1/"+id.String()+"/command", 0, []byte(`{"print":"part.stl"}`), false),
		publish("platen/v1/"+id.String()+"/config", 0, []byte("fleet = 'https://elsewhere'"), false),
		publish(evidence.OfferTopic(id), 0, []byte("a job that nobody signed"), false),
		publish(own, 0, make([]byte, evidence.MaxNonce+1), false),
	}
	for _, pk := range deaf {
		topic, _, payload, err := parsePublish(pk)
		if err != nil {
			return c, err
		}
		if err := p.say(topic, payload, pk.head&1 == 1); err != nil {
			return c, err
		}
	}
	// What it does hear comes behind the rest: once that has come, so has all before it.
	lie := []byte("a nonce of the broker's own")[:evidence.MaxNonce-8]
	if err := p.say(own, lie, false); err != nil {
		return c, err
	}
	var heard [][]byte
	if err := until(ctx, "the printer hears a nonce", func() (bool, error) {
		n, err := t.link.Nonce(ctx)
		heard = append(heard, n)
		return string(n) == string(lie), err
	}); err != nil {
		return c, err
	}
	strange := slices.DeleteFunc(heard, func(n []byte) bool { return string(n) == string(before) || string(n) == string(lie) })
	if err := t.send(ctx, 1); err != nil {
		return c, err
	}
	if err := t.judged(ctx, 0); err != nil {
		return c, err
	}
	events := t.log.all()
	reason := events[len(events)-1].Reason
	bridge.SendNonces()
	if err := until(ctx, "the printer hears the verifier again", func() (bool, error) {
		n, err := t.link.Nonce(ctx)
		return string(n) != string(lie), err
	}); err != nil {
		return c, err
	}
	if err := t.send(ctx, 1); err != nil {
		return c, err
	}
	if err := t.judged(ctx, 0); err != nil {
		return c, err
	}
	events = t.log.all()
	last := events[len(events)-1]
	c.Evidence = fmt.Sprintf("%d commands, retained and other printers' messages without effect", len(deaf))
	c.Control = fmt.Sprintf("a nonce of the broker's own is heard, and the frame over it refused as %s; the next one over the verifier's is believed", reason)
	if len(strange) > 0 || reason != "nonce_unknown" || last.Event != store.Batch {
		c.State, c.Evidence = failed, fmt.Sprintf("%s; heard %d others; then %s and %s", c.Evidence, len(strange), reason, last.Event)
	}
	return c, nil
}
