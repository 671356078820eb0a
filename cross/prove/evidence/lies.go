package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// expect is what must become of one message that went to the broker.
type expect struct {
	what    string          // kind of lie, or "honest", or "late"
	seq     uint64          // of an honest frame
	reasons []verify.Reason // why a lie may be refused; none for a frame to be believed
}

// torn are the reasons for which a frame with one bit changed may be refused: which, the
// bit decides.
var torn = []verify.Reason{verify.BadEncoding, verify.PrinterSwapped, verify.WrongRecipient, verify.BadSignature, verify.WrongPCRs,
	verify.WrongQualifying, verify.WrongRoot, verify.LogMismatch, verify.SettingsMismatch}

// lie is one way to change an honest frame, and why it must be refused.
type lie struct {
	what    string
	reasons []verify.Reason
	tell    func(l *liar, honest []byte, b evidence.Batch, h evidence.Header) ([]byte, error)
}

// lies that can be told of any frame.
var lies = []lie{
	{"flipped bit", torn, func(l *liar, g []byte, _ evidence.Batch, _ evidence.Header) ([]byte, error) {
		out := bytes.Clone(g)
		bit := l.rnd.IntN(8 * len(out))
		out[bit/8] ^= 1 << (bit % 8)
		return out, nil
	}},
	{"noise", []verify.Reason{verify.BadEncoding}, func(l *liar, g []byte, _ evidence.Batch, _ evidence.Header) ([]byte, error) {
		out := make([]byte, len(g))
		for i := range out {
			out[i] = byte(l.rnd.Uint32())
		}
		return out, nil
	}},
	{"cut short", []verify.Reason{verify.BadEncoding}, func(l *liar, g []byte, _ evidence.Batch, _ evidence.Header) ([]byte, error) {
		return g[:8+l.rnd.IntN(int(binary.BigEndian.Uint32(g[4:])))], nil
	}},
	{"other messages", []verify.Reason{verify.WrongRoot}, func(_ *liar, g []byte, b evidence.Batch, _ evidence.Header) ([]byte, error) {
		b.Msgs = append([][]byte{{0xa0}}, b.Msgs[1:]...)
		return evidence.Encode(b, len(g))
	}},
	{"an older quote", []verify.Reason{verify.WrongQualifying}, func(l *liar, g []byte, b evidence.Batch, _ evidence.Header) ([]byte, error) {
		b.Quote = l.quote
		return evidence.Encode(b, len(g))
	}},
	{"a later number", []verify.Reason{verify.WrongQualifying}, func(_ *liar, g []byte, b evidence.Batch, h evidence.Header) ([]byte, error) {
		h.Seq += 7
		return withHeader(b, h, len(g))
	}},
	{"no drops", []verify.Reason{verify.WrongQualifying}, func(_ *liar, g []byte, b evidence.Batch, h evidence.Header) ([]byte, error) {
		h.Dropped++
		return withHeader(b, h, len(g))
	}},
	{"another printer's", []verify.Reason{verify.PrinterSwapped}, func(l *liar, g []byte, b evidence.Batch, h evidence.Header) ([]byte, error) {
		h.Printer[0] ^= 1
		return l.forged(b, h, len(g))
	}},
	{"another recipient's", []verify.Reason{verify.WrongRecipient}, func(l *liar, g []byte, b evidence.Batch, h evidence.Header) ([]byte, error) {
		h.Recipient[0] ^= 1
		return l.forged(b, h, len(g))
	}},
	{"forged", []verify.Reason{verify.BadSignature}, func(l *liar, g []byte, b evidence.Batch, h evidence.Header) ([]byte, error) {
		h.Seq++
		return l.forged(b, h, len(g))
	}},
	{"truncated log", []verify.Reason{verify.LogMismatch}, func(_ *liar, g []byte, b evidence.Batch, _ evidence.Header) ([]byte, error) {
		b.Log.Digests = nil
		return evidence.Encode(b, len(g))
	}},
	{"other settings", []verify.Reason{verify.SettingsMismatch}, func(_ *liar, g []byte, b evidence.Batch, _ evidence.Header) ([]byte, error) {
		b.Log.Settings.Board[5] ^= 1
		return evidence.Encode(b, len(g))
	}},
	{"other registers", []verify.Reason{verify.WrongPCRs}, func(_ *liar, g []byte, b evidence.Batch, _ evidence.Header) ([]byte, error) {
		b.Quote.PCRs[1][3] ^= 1
		return evidence.Encode(b, len(g))
	}},
}

func withHeader(b evidence.Batch, h evidence.Header, size int) ([]byte, error) {
	raw, err := h.Bytes()
	if err != nil {
		return nil, err
	}
	b.Header = raw
	return evidence.Encode(b, size)
}

// forged has the attacker's own key sign a quote over a header, so that all but the key is right.
func (l *liar) forged(b evidence.Batch, h evidence.Header, size int) ([]byte, error) {
	raw, err := h.Bytes()
	if err != nil {
		return nil, err
	}
	old, now := sha256.Sum256(b.Header), sha256.Sum256(raw)
	b.Header, b.Quote.Attest = raw, bytes.Replace(b.Quote.Attest, old[:], now[:], 1)
	digest := sha256.Sum256(b.Quote.Attest)
	r, s, err := ecdsa.Sign(crand.Reader, l.key, digest[:])
	if err != nil {
		return nil, err
	}
	var num [32]byte
	sig := []byte{0, 0x18, 0, 0x0b, 0, 32} // ECDSA, SHA-256
	sig = append(append(sig, r.FillBytes(num[:])...), 0, 32)
	b.Quote.Sig = append(sig, s.FillBytes(num[:])...)
	return evidence.Encode(b, size)
}

// The fates of honest frames, one after the other.
const (
	passes = iota
	doubled
	passesToo
	dropped
	delayed // until three more have come
	reordered
	fates
)

// liar is a schemer that passes some frames on, doubles, drops, delays and reorders
// others, and tells lies between them.
type liar struct {
	each int // lies an honest frame
	rnd  *rand.Rand
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	quiet  bool // passes everything on
	n      int
	quote  evidence.Signed // of the frame before
	passed [][]byte
	held   map[int][]byte // by the frame before which it comes at last
	fork   []byte         // of the frame to come
	sent   []expect
	gone   []uint64 // numbers of frames dropped
	err    error
}

func newLiar(seed uint64, each int) (*liar, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	return &liar{each: each, rnd: rand.New(rand.NewPCG(seed, 1)), key: key, held: map[int][]byte{}, quiet: true}, err
}

func (l *liar) acked([]byte) {}

func (l *liar) frame(g []byte) ([]sending, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := evidence.Decode(g)
	if err != nil {
		l.err = err
		return nil, true
	}
	h, err := evidence.ParseHeader(b.Header)
	if err != nil {
		l.err = err
		return nil, true
	}
	var out []sending
	send := func(what string, seq uint64, payload []byte, reasons ...verify.Reason) {
		l.sent = append(l.sent, expect{what, seq, reasons})
		out = append(out, sending{payload: payload, genuine: reasons == nil && what == "honest"})
	}
	if l.quiet {
		send("honest", h.Seq, g)
		l.quote = b.Quote
		return out, false
	}
	told := l.rnd.IntN(l.each + 1) // so many before the frame, the others after it
	l.tell(send, told, g, b, h)
	l.n++
	ack := true
	switch l.n % fates {
	case dropped:
		l.gone = append(l.gone, h.Seq)
	case delayed:
		l.held[l.n+3] = g
	case reordered:
		l.held[l.n+1] = g
	default:
		send("honest", h.Seq, g)
		ack = false
		l.passed = append(l.passed, g)
		if l.n%fates == doubled {
			send("doubled", 0, g, verify.Replayed)
		}
		if l.fork != nil {
			send("forked", 0, l.fork, verify.Forked)
		}
	}
	l.fork = nil
	if late := l.held[l.n]; late != nil {
		delete(l.held, l.n)
		send("late", seqOf(late), late)
		l.passed = append(l.passed, late)
	}
	l.tell(send, l.each-told, g, b, h)
	l.quote = b.Quote
	return out, ack
}

// tell sends n lies.
func (l *liar) tell(send func(string, uint64, []byte, ...verify.Reason), n int, g []byte, b evidence.Batch, h evidence.Header) {
	for range n {
		pick := l.rnd.IntN(len(lies) + 1)
		if pick == len(lies) {
			if len(l.passed) > 0 {
				send("replayed", 0, l.passed[l.rnd.IntN(len(l.passed))], verify.Replayed)
				continue
			}
			pick = 0
		}
		bad, err := lies[pick].tell(l, g, b, h)
		if err != nil {
			l.err = fmt.Errorf("%s: %w", lies[pick].what, err)
			return
		}
		send(lies[pick].what, 0, bad, lies[pick].reasons...)
	}
}

func seqOf(frame []byte) uint64 {
	b, err := evidence.Decode(frame)
	if err != nil {
		return 0
	}
	h, err := evidence.ParseHeader(b.Header)
	if err != nil {
		return 0
	}
	return h.Seq
}

// tally is what became of everything that was sent.
type tally struct {
	lies, honest, late int
	kinds              map[string]int // lies by kind
	missing            []uint64       // numbers that were named as missing
	wrong              []string
}

// account holds events, in the order of their messages, against what must become of each.
func account(sent []expect, events []store.Event) tally {
	t := tally{kinds: map[string]int{}}
	note := func(format string, args ...any) {
		if len(t.wrong) < 8 {
			t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
		}
	}
	n := 0
	for _, e := range events {
		if e.Event == store.Missing {
			for seq := e.From; seq <= e.To; seq++ {
				t.missing = append(t.missing, seq)
			}
		}
		if e.Event != store.Batch && e.Event != store.Refused {
			continue
		}
		if n >= len(sent) {
			note("an event more than messages: %s %s", e.Event, e.Reason)
			continue
		}
		want := sent[n]
		n++
		switch {
		case want.reasons != nil && e.Event == store.Refused && slices.Contains(want.reasons, verify.Reason(e.Reason)):
			t.lies++
			t.kinds[want.what]++
		case want.reasons == nil && e.Event == store.Batch && e.Seq == want.seq && e.Late == (want.what == "late"):
			if t.honest++; e.Late {
				t.late++
			}
		default:
			note("message %d (%s, number %d) became %s %s, number %d", n, want.what, want.seq, e.Event, e.Reason, e.Seq)
		}
	}
	if n != len(sent) {
		note("%d of %d messages became an event", n, len(sent))
	}
	return t
}
