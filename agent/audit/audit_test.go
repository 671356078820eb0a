package audit

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/evidence"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// soft is an attestation key and a counter in memory, in the TPM's own structures.
type soft struct {
	key    *ecdsa.PrivateKey
	public []byte

	mu     sync.Mutex
	count  uint64
	fresh  bool
	quotes int
	down   error
	slow   chan struct{} // a quote waits for it

	counted func(n uint64) // told of each count
}

func be(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		if raw, ok := p.([]byte); ok {
			b = append(b, raw...)
		} else if b2, err := binary.Append(nil, binary.BigEndian, p); err == nil {
			b = append(b, b2...)
		}
	}
	return b
}

func tpm2b(b []byte) []byte { return be(uint16(len(b)), b) }

func newSoft(t *testing.T) *soft {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	public := be(uint16(algECC), uint16(algSHA256), uint32(restricted|signs), uint16(0), uint16(algNull), uint16(algECDSA), uint16(algSHA256),
		uint16(curveP256), uint16(algNull), tpm2b(point[1:33]), tpm2b(point[33:]))
	return &soft{key: key, public: public, count: 41, fresh: true}
}

func (s *soft) ID() evidence.PrinterID {
	name := sha256.Sum256(s.public)
	return sha256.Sum256(be(uint16(algSHA256), name[:]))
}

func (s *soft) AttestationKey(context.Context) ([]byte, error) { return s.public, nil }

func (s *soft) CountHead(_ context.Context, add bool) (uint64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return 0, false, s.down
	}
	fresh := s.fresh
	s.fresh = false
	if add {
		s.count++
		if s.counted != nil {
			s.counted(s.count)
		}
	}
	return s.count, fresh, nil
}

func (s *soft) Quote(ctx context.Context, qualifying [32]byte) (evidence.Quote, error) {
	s.mu.Lock()
	slow, down := s.slow, s.down
	s.quotes++
	s.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return evidence.Quote{}, ctx.Err()
		}
	}
	if down != nil {
		return evidence.Quote{}, down
	}
	q := evidence.Quote{PCRs: evidence.PCRs{{1}, {2}}}
	values := q.PCRs.Digest()
	q.Attest = be(uint32(tpmGenerated), uint16(stAttest), tpm2b(make([]byte, 34)), tpm2b(qualifying[:]), make([]byte, 25),
		uint32(1), uint16(algSHA256), uint8(3), selection(), tpm2b(values[:]))
	digest := sha256.Sum256(q.Attest)
	r, v, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		return q, err
	}
	q.Sig = be(uint16(algECDSA), uint16(algSHA256), tpm2b(r.Bytes()), tpm2b(v.Bytes()))
	return q, nil
}

// tally is how often it has quoted and counted.
func (s *soft) tally() (quotes int, count uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quotes, s.count
}

func (s *soft) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func open(t *testing.T, d slot.FS, s *soft) *Log {
	t.Helper()
	l, err := Open(t.Context(), d, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func add(t *testing.T, l *Log, e Entry) Ref {
	t.Helper()
	ref, err := l.Append(e)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func head(t *testing.T, l *Log) {
	t.Helper()
	if err := l.sign(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func export(t *testing.T, l *Log) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.Export(t.Context(), &b, "n0nce"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func kind(err error) string {
	if te, ok := errors.AsType[*TamperError](err); ok {
		return te.Kind
	}
	return fmt.Sprint(err)
}

func fault(n int) Entry { return Entry{Event: Fault, Code: fmt.Sprintf("code-%d", n)} }

func job(n int) Entry { return Entry{Event: JobBegan, Job: fmt.Sprintf("%032x", n)} }

func TestExportVerifies(t *testing.T) {
	s, d := newSoft(t), updatertest.NewDisk()
	l := open(t, d, s)
	for i := range 5 {
		add(t, l, job(i))
		head(t, l)
	}
	text := export(t, l)
	var events []string
	rep, err := Verify(bytes.NewReader(text), s.ID(), func(e Entry) error { events = append(events, string(e.Event)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if rep.First != 1 || rep.Last != l.End() || rep.Heads != 7 || rep.Nonce != "n0nce" || rep.Count != s.count || len(events) != int(rep.Last.N) {
		t.Errorf("report %+v of %v; the TPM counts %d", rep, events, s.count)
	}
	again := open(t, d, s) // the same log, after a restart
	if again.Damage() != nil || again.End() != l.End() {
		t.Errorf("opened again: %v, %v", again.Damage(), again.End())
	}
	if _, err := Verify(bytes.NewReader(text), evidence.PrinterID{1}, nil); err == nil {
		t.Error("verified for another printer")
	}
	other := newSoft(t)
	swapped := bytes.Replace(text, []byte(s.ID().String()), []byte(other.ID().String()), 1)
	if _, err := Verify(bytes.NewReader(swapped), other.ID(), nil); err == nil {
		t.Error("verified under another printer's id")
	}
}

// T29: whatever is done to an exported log, whoever has the printer's id sees it.
func TestExportShowsTampering(t *testing.T) {
	s := newSoft(t)
	l := open(t, updatertest.NewDisk(), s)
	for i := range 6 {
		add(t, l, job(i))
		if i%2 == 1 {
			head(t, l)
		}
	}
	text := export(t, l)
	lines := bytes.SplitAfter(text, []byte("\n"))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	without := func(i int) []byte { return join(join(lines[:i]...), join(lines[i+1:]...)) }
	rogue := newSoft(t) // another TPM signs for this one
	rogue.public, rogue.fresh = s.public, true
	forged := open(t, updatertest.NewDisk(), rogue)
	add(t, forged, job(9))
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"control":             {text, "<nil>"},
		"edited":              {bytes.Replace(text, []byte(`"job":"00000000000000000000000000000002"`), []byte(`"job":"00000000000000000000000000000007"`), 1), "edited"},
		"removed":             {without(3), "edited"},
		"doubled":             {join(join(lines[:4]...), lines[3], join(lines[4:]...)), "edited"},
		"first entry gone":    {without(1), "truncated"},
		"cut behind an entry": {join(lines[:3]...), "truncated"},
		"no entries":          {lines[0], "truncated"},
		"last head edited":    {bytes.Replace(text, []byte("n0nce"), []byte("0ther"), 1), "signature"},
		"a field more":        {bytes.Replace(text, []byte(`"event"`), []byte(`"note":"x","event"`), 1), "edited"},
		"another TPM's":       {export(t, forged), "signature"},
	} {
		if _, err := Verify(bytes.NewReader(c.text), s.ID(), nil); kind(err) != c.want {
			t.Errorf("%s: %s, want %s", name, kind(err), c.want)
		}
	}
}

// T29: a fork and a log that was put back show against an earlier export.
func TestForksShow(t *testing.T) {
	s, d := newSoft(t), updatertest.NewDisk()
	l := open(t, d, s)
	add(t, l, job(1))
	early := export(t, l)
	was, err := Verify(bytes.NewReader(early), s.ID(), nil)
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, job(2))
	if err := Extends(was, export(t, l)); err != nil {
		t.Errorf("control: %v", err)
	}
	// The same TPM, made to sign another story.
	s.fresh = true
	fork := open(t, updatertest.NewDisk(), s)
	for i := range 5 {
		add(t, fork, job(10+i))
		head(t, fork)
	}
	if err := Extends(was, export(t, fork)); kind(err) != "forked" {
		t.Errorf("fork: %v", err)
	}
	now, err := Verify(bytes.NewReader(export(t, l)), s.ID(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Extends(now, early); kind(err) != "rolled-back" {
		t.Errorf("an old export: %v", err)
	}
}

// T29: the printer itself notices that its log was edited, cut, emptied or put back, goes
// on with a new one, and says so in it.
func TestPrinterNoticesTampering(t *testing.T) {
	fill := func(t *testing.T) (*soft, *updatertest.Disk, []byte) {
		s, d := newSoft(t), updatertest.NewDisk()
		l := open(t, d, s)
		add(t, l, Entry{Event: Grant, Recipient: "ac", Serial: 1})
		head(t, l)
		old, _ := d.Contents("log-0")
		add(t, l, Entry{Event: Revoke, Recipient: "ac", Serial: 1})
		head(t, l)
		return s, d, old
	}
	for name, c := range map[string]struct {
		change func(log, old []byte) []byte
		want   string
	}{
		"control":   {func(b, _ []byte) []byte { return b }, ""},
		"edited":    {func(b, _ []byte) []byte { return bytes.Replace(b, []byte("revoke"), []byte("grant\"  ")[:6], 1) }, "edited"},
		"emptied":   {func(_, _ []byte) []byte { return nil }, "truncated"},
		"put back":  {func(_, old []byte) []byte { return old }, "rolled-back"},
		"last gone": {func(b, _ []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }, "rolled-back"},
		"serial":    {func(b, _ []byte) []byte { return bytes.Replace(b, []byte(`"serial":1`), []byte(`"serial":2`), 1) }, "edited"},
		"noise":     {func([]byte, []byte) []byte { return []byte("\n\nnoise\n") }, "edited"},
	} {
		t.Run(name, func(t *testing.T) {
			s, d, old := fill(t)
			b, _ := d.Contents("log-0")
			d.Damage("log-0", c.change(bytes.Clone(b), old))
			l := open(t, d, s)
			got := ""
			if l.Damage() != nil {
				got = l.Damage().Kind
			}
			if got != c.want {
				t.Fatalf("noticed %q, want %q", got, c.want)
			}
			if n := len(l.Consents()); (n == 1) != (c.want == "") {
				t.Errorf("%d entries of consent", n)
			}
			add(t, l, job(1))
			text := export(t, l)
			if _, err := Verify(bytes.NewReader(text), s.ID(), nil); err != nil {
				t.Errorf("the new log: %v", err)
			}
			if strings.Contains(string(text), `"tampered"`) != (c.want != "") {
				t.Errorf("what the new log says of it:\n%s", text)
			}
			if l := open(t, d, s); l.Damage() != nil {
				t.Errorf("opened again: %v", l.Damage())
			}
		})
	}
}

// T29: a log that is full makes room for itself, and says where it begins.
func TestFullLogRotates(t *testing.T) {
	s, d := newSoft(t), updatertest.NewDisk()
	l := open(t, d, s)
	l.limit = 2 << 10
	n := 0
	for l.segs[0].at == 0 || n < 120 { // until the first segment was overwritten, and on
		add(t, l, job(n))
		n++
		if n == 50 {
			head(t, l)
		}
	}
	total := 0
	for at := range segments {
		b, _ := d.Contents(segmentName(at))
		total += len(b)
	}
	if total > segments*(2<<10+slack) {
		t.Errorf("the log takes %d bytes", total)
	}
	text := export(t, l)
	rep, err := Verify(bytes.NewReader(text), s.ID(), nil)
	if err != nil || rep.First == 1 || rep.First != l.segs[0].first {
		t.Errorf("%+v, %v", rep, err)
	}
	again := open(t, d, s)
	if again.Damage() != nil || again.End() != l.End() {
		t.Errorf("opened again: %v", again.Damage())
	}
	// Somebody else may not shorten it in front.
	lines := bytes.SplitAfter(text, []byte("\n"))
	if _, err := Verify(bytes.NewReader(append(bytes.Clone(lines[0]), bytes.Join(lines[5:], nil)...)), s.ID(), nil); kind(err) != "truncated" {
		t.Errorf("shortened: %v", err)
	}
	d.Damage(segmentName(l.segs[0].at), nil)
	if l := open(t, d, s); l.Damage() == nil || l.Damage().Kind != "truncated" {
		t.Errorf("without its first segment: %v", l.Damage())
	}
}

// A power cut at any point, torn in any way, leaves a log that opens, holds what Append
// has returned for, and was not tampered with.
func TestPowerCut(t *testing.T) {
	s, d := newSoft(t), updatertest.NewDisk()
	s.counted = func(n uint64) { d.Mark(fmt.Sprintf("count %d", n)) } // of which no cut takes anything away
	l := open(t, d, s)
	for i := range 3 {
		d.Mark(fmt.Sprintf("entry %d", add(t, l, job(i)).N))
		if i == 1 {
			head(t, l)
		}
	}
	l.size = l.limit // the next entry begins a segment
	d.Mark(fmt.Sprintf("entry %d", add(t, l, job(9)).N))
	states := 0
	for c := range d.Crashes(1) {
		last, count := uint64(0), uint64(41)
		for _, m := range c.Acked {
			fmt.Sscanf(m, "entry %d", &last)
			fmt.Sscanf(m, "count %d", &count)
		}
		tpm := &soft{key: s.key, public: s.public, count: count, fresh: count == 41}
		got, err := Open(t.Context(), c.Disk, tpm, nil)
		if err != nil || got.Damage() != nil {
			t.Fatalf("%s: %v, %v", c.At, err, got.Damage())
		}
		if got.End().N < last {
			t.Fatalf("%s: %d entries, %d were there", c.At, got.End().N, last)
		}
		if _, err := got.Append(job(7)); err != nil {
			t.Fatalf("%s: %v", c.At, err)
		}
		if again, err := Open(t.Context(), c.Disk, tpm, nil); err != nil || again.Damage() != nil || again.End() != got.End() {
			t.Fatalf("%s: opened again: %v", c.At, err)
		}
		states++
	}
	if states < 50 {
		t.Errorf("control: only %d states", states)
	}
}

var errFull = errors.New("no space left on device")

// full is a disk that takes nothing while it is full.
type full struct {
	*updatertest.Disk
	mu   sync.Mutex
	full bool
}

func (f *full) set(v bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = v
}

func (f *full) is() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full
}

func (f *full) Open(name string, m slot.Mode) (slot.File, error) {
	if f.is() && m != slot.Read {
		return nil, errFull
	}
	file, err := f.Disk.Open(name, m)
	return &fullFile{file, f}, err
}

type fullFile struct {
	slot.File
	f *full
}

func (f *fullFile) WriteAt(p []byte, off int64) (int, error) {
	if f.f.is() {
		n, _ := f.File.WriteAt(p[:len(p)/2], off) // as much as there was room for
		return n, errFull
	}
	return f.File.WriteAt(p, off)
}

// T29: a full disk holds nobody up; what there was no room for is counted, and grants,
// which need the log, are refused.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newSoft(t), &full{Disk: updatertest.NewDisk()}
		l := open(t, d, s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		d.set(true)
		begin := time.Now()
		for i := range maxWaiting + 10 {
			l.Note(job(i))
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("noting took %v", d)
		}
		synctest.Wait()
		if _, err := l.Append(Entry{Event: Grant, Serial: 1}); !errors.Is(err, errFull) {
			t.Errorf("a grant on a full disk: %v", err)
		}
		d.set(false)
		time.Sleep(2 * retry)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		jobs, lost := 0, uint64(0)
		text := export(t, l)
		rep, err := Verify(bytes.NewReader(text), s.ID(), func(e Entry) error {
			switch e.Event {
			case JobBegan:
				jobs++
			case Lost:
				lost += e.Serial
			}
			return nil
		})
		if err != nil || jobs+int(lost) != maxWaiting+10 || jobs < maxWaiting || lost == 0 {
			t.Errorf("%d jobs and %d lost of %d: %+v, %v", jobs, lost, maxWaiting+10, rep, err)
		}
	})
}

// A TPM that is slow, or fails, holds up no entry; heads come a minute after the first
// entry they cover, and at most two dozen a day are counted.
func TestHeadsAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSoft(t)
		l := open(t, updatertest.NewDisk(), s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		s.mu.Lock()
		s.slow = make(chan struct{})
		s.mu.Unlock()
		for i := range 10 {
			l.Note(fault(i))
			time.Sleep(2 * time.Second)
		}
		time.Sleep(2 * signAfter)
		for i := range 10 { // the TPM is asked, and does not answer
			add(t, l, fault(20+i))
		}
		before, _ := s.tally()
		close(s.slow)
		synctest.Wait()
		if n, _ := s.tally(); n > before+1 || before != 2 {
			t.Errorf("%d quotes, %d before", n, before)
		}
		time.Sleep(2 * signAfter)
		quotes, counted := s.tally()
		for i := range 60 { // an hour of a fault a minute
			l.Note(fault(100 + i))
			time.Sleep(time.Minute)
		}
		q, n := s.tally()
		if n-counted > maxTokens {
			t.Errorf("counted %d times in an hour", n-counted)
		}
		if q -= quotes; q < 20 || q > 61 {
			t.Errorf("%d heads in an hour", q)
		}
		s.fail(errors.New("TPM is in lockout"))
		add(t, l, fault(999))
		time.Sleep(2 * signAfter)
		add(t, l, fault(1000))
		s.fail(nil)
		time.Sleep(2 * signAfter)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if l.unsigned != 0 {
			t.Errorf("%d entries are not covered", l.unsigned)
		}
	})
}

// An export while entries are being written loses none and writes none twice.
func TestExportBesideRun(t *testing.T) {
	s := newSoft(t)
	l := open(t, updatertest.NewDisk(), s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	const n = 120
	for i := range n {
		l.Note(job(i))
		if i%40 == 0 {
			_ = export(t, l)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	text := export(t, l)
	seen := map[string]int{}
	if _, err := Verify(bytes.NewReader(text), s.ID(), func(e Entry) error { seen[e.Job]++; return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if seen[job(i).Job] != 1 {
			t.Errorf("job %d is in the log %d times", i, seen[job(i).Job])
		}
	}
}

func TestRefusalsThatRepeatThemselves(t *testing.T) {
	l := open(t, updatertest.NewDisk(), newSoft(t))
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 1000 {
		l.Note(Entry{At: at.Add(time.Duration(i) * 100 * time.Millisecond), Event: Refused, Code: "ticket-signature"})
	}
	l.Note(Entry{At: at, Event: Refused, Code: "grant-serial"})
	if len(l.waiting) != 3 || l.waiting[0].Serial != 1 || l.waiting[1].Serial != 600 || l.waiting[2].Code != "grant-serial" {
		t.Errorf("%+v", l.waiting)
	}
}

// No field takes a name or a text.
func TestEntriesHoldNoText(t *testing.T) {
	l := open(t, updatertest.NewDisk(), newSoft(t))
	for name, e := range map[string]Entry{
		"code": {Event: Fault, Code: "Bracket v2.stl"}, "job": {Event: JobBegan, Job: "bracket"}, "digest": {Event: Grant, Digest: "x y"},
		"recipient": {Event: Grant, Recipient: "Acme"}, "event": {Event: "Note to all"}, "long": {Event: Fault, Code: strings.Repeat("a", 49)},
		"no event": {}, "head of nobody": {Event: Signed},
	} {
		if _, err := l.Append(e); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	add(t, l, Entry{Event: Fault, Code: "thermal-runaway"})
}

// TestJobsAreCoarse: neither an entry nor the clock in a head says to less than hours when a
// job began or ended; a fault is told to the second, and signed within minutes.
func TestJobsAreCoarse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := newSoft(t)
		l := open(t, updatertest.NewDisk(), signer)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- l.Run(ctx) }()
		defer func() { cancel(); <-ran }()
		quotes := func(after time.Duration) int {
			time.Sleep(after)
			synctest.Wait()
			n, _ := signer.tally()
			return n
		}
		quotes(2 * signAfter) // the first head
		begin := time.Now().UTC().Truncate(jobGrid).Add(jobGrid)
		before := quotes(time.Until(begin) + 17*time.Minute + 3*time.Second)
		l.Note(job(1))
		quotes(41*time.Minute + 7*time.Second)
		l.Note(Entry{Event: JobEnded, Job: job(1).Job, Code: "done"})
		if n := quotes(time.Hour) - before; n != 0 {
			t.Errorf("%d heads within the hours of a job", n)
		}
		if n := quotes(jobGrid) - before; n != 1 {
			t.Errorf("%d heads after them, want 1", n)
		}
		l.Note(Entry{Event: Fault, Code: "thermal"})
		fault := time.Now().UTC().Truncate(time.Second)
		if n := quotes(2*signAfter) - before; n != 2 {
			t.Errorf("control: %d heads after a fault, want 1", n-1)
		}
		want := map[Event]time.Time{JobBegan: begin, JobEnded: begin, Fault: fault}
		if _, err := Verify(bytes.NewReader(export(t, l)), signer.ID(), func(e Entry) error {
			at, ok := want[e.Event]
			if ok && !e.At.Equal(at) {
				t.Errorf("%s at %v, want %v", e.Event, e.At, at)
			}
			delete(want, e.Event)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(want) != 0 {
			t.Errorf("entries not found: %v", want)
		}
	})
}
