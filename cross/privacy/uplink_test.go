package privacy

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/seam"
	"platen/agent/telemetry"
)

// frame is one frame as the recipient's broker gets it.
type frame struct {
	at   time.Duration // since the beginning of the bubble
	data []byte
}

// uplink is everything of an agent that decides what a recipient is sent, with a link
// that keeps it.
type uplink struct {
	machine *telemetry.Machine
	begin   time.Time

	mu     sync.Mutex
	frames []frame
	mirror [][]byte
	stop   func()
}

// smuggler is a source that says in an item that may leave what may not: the control of
// most claims. It reports v in place of the count of boots.
type smuggler func() int64

// AppendSamples appends the smuggled value.
func (s smuggler) AppendSamples(_ context.Context, dst []catalog.Sample) ([]catalog.Sample, error) {
	v, _ := catalog.Of(catalog.AgentBoot, s())
	return append(dst, v), nil
}

// host says what a board says that has nothing to do.
type host struct{}

// AppendSamples appends the data of the board.
func (host) AppendSamples(_ context.Context, dst []catalog.Sample) ([]catalog.Sample, error) {
	for id, v := range map[catalog.ID]int64{catalog.HostCPU: 5, catalog.HostMemory: 30, catalog.HostDisk: 40, catalog.HostSoCTemp: 45_000} {
		s, _ := catalog.Of(id, v)
		dst = append(dst, s)
	}
	return dst, nil
}

// newUplink starts an agent's telemetry under one grant of profile p, on a machine that is
// idle, and always if unguarded says that it is.
func newUplink(t *testing.T, p catalog.Profile, seed uint64, leak func() int64, unguarded bool) *uplink {
	t.Helper()
	u := &uplink{machine: telemetry.NewMachine(), begin: time.Now()}
	jobs := telemetry.NewJobs("", rand.NewPCG(seed, 1), nil)
	u.machine.Follow(jobs)
	u.machine.Set(seam.Status{Phase: seam.PhaseIdle, Ambient: seam.NoAmbient})
	g, err := consent.New(consent.Terms{Recipient: evidence.RecipientID{1}, Name: "x", Profile: p, From: u.begin, Serial: 1})
	if err != nil {
		t.Fatal(err)
	}
	sources := []telemetry.Source{u.machine, host{}, telemetry.Agent{Release: 1, Boot: 1, Started: u.begin}}
	if leak != nil {
		sources = append(sources, smuggler(leak))
	}
	loaded := u.machine.Loaded
	if unguarded {
		loaded = func() bool { return false }
	}
	col, err := telemetry.New(telemetry.Config{
		Grants: grant{g}, Quoter: quoter{}, Sources: sources, Jobs: jobs,
		Dial:   func(consent.Grant) (telemetry.Link, error) { return link{u}, nil },
		Loaded: loaded, Urgent: u.machine.Urgent(),
		Sent: func(_ evidence.RecipientID, f []byte) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.mirror = append(u.mirror, bytes.Clone(f))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		col.Run(ctx) // ends with ctx
	}()
	u.stop = func() { cancel(); <-done }
	return u
}

// grant is one grant that stays.
type grant struct{ g consent.Grant }

func (g grant) Grants(now time.Time) []consent.Grant {
	if g.g.InForce(now) != nil {
		return nil
	}
	return []consent.Grant{g.g}
}

func (grant) Changed() <-chan struct{} { return nil }

// quoter stands in for the TPM: structures of the real size, signed by nobody. What a TPM
// signs is a digest, and says no more than that.
type quoter struct{}

func (quoter) NewChain(_ context.Context, r evidence.RecipientID) (*evidence.Chain, error) {
	return evidence.NewChain(evidence.PrinterID{7}, r, 1, 1000), nil
}

func (quoter) Quote(context.Context, [32]byte) (evidence.Quote, error) {
	return evidence.Quote{Attest: make([]byte, 145), Sig: make([]byte, 72)}, nil
}

func (quoter) Log(context.Context) (evidence.Log, error) {
	return evidence.Log{Digests: [][32]byte{{1}}}, nil
}

// link keeps frames.
type link struct{ u *uplink }

func (link) Nonce(context.Context) ([]byte, error) { return make([]byte, 32), nil }

func (l link) Publish(_ context.Context, f []byte) error {
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	l.u.frames = append(l.u.frames, frame{time.Since(l.u.begin), bytes.Clone(f)})
	return nil
}

func (link) Close() error { return nil }

// read is what the recipient reads of a frame: when it came, its length, and everything in
// it but what is random: numbers of jobs, and digests over them.
func (f frame) read() (string, [][]byte, error) {
	b, err := evidence.Decode(f.data)
	if err != nil {
		return "", nil, err
	}
	h, err := evidence.ParseHeader(b.Header)
	if err != nil {
		return "", nil, err
	}
	text := fmt.Sprintf("%v %d %d %d %d %d\n", f.at, len(f.data), h.Seq, h.First, h.Count, h.Dropped)
	for _, m := range b.Msgs {
		same, err := withoutID(m)
		if err != nil {
			return "", nil, err
		}
		text += fmt.Sprintf("  %x\n", same)
	}
	return text, b.Msgs, nil
}

// withoutID is a message with a job's random number set to zero.
func withoutID(msg []byte) ([]byte, error) {
	var m map[uint16]int64
	if err := cbor.Unmarshal(msg, &m); err != nil {
		return nil, err
	}
	if _, ok := m[uint16(catalog.JobID)]; ok {
		m[uint16(catalog.JobID)] = 0
	}
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	return enc.Marshal(m)
}

// transcript is all that a recipient reads, and the messages.
func (u *uplink) transcript(t *testing.T) (string, []catalog.Message) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	var text bytes.Buffer
	var all []catalog.Message
	for _, f := range u.frames {
		s, msgs, err := f.read()
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(s)
		for _, m := range msgs {
			msg, err := catalog.Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, msg)
		}
	}
	return text.String(), all
}

// keys are the numbers of the fields of a message, known or not.
func keys(t *testing.T, msg []byte) (ids []uint16) {
	t.Helper()
	var m map[uint16]int64
	if err := cbor.Unmarshal(msg, &m); err != nil {
		t.Fatal(err)
	}
	for id := range m {
		ids = append(ids, id)
	}
	return ids
}

// withField is a message with one field more.
func withField(t *testing.T, msg []byte, id uint16, v int64) []byte {
	t.Helper()
	var m map[uint16]int64
	if err := cbor.Unmarshal(msg, &m); err != nil {
		t.Fatal(err)
	}
	m[id] = v
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := enc.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// kindsOf lists the kinds of data that a value's type can carry.
func kindsOf(v any) string {
	seen := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		if t.Kind() != reflect.Struct {
			seen[t.Kind().String()] = true
			return
		}
		for i := range t.NumField() {
			walk(t.Field(i).Type)
		}
	}
	walk(reflect.TypeOf(v))
	return strings.Join(slices.Sorted(maps.Keys(seen)), " ")
}
