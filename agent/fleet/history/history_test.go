package history

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
	"platen/cross/rig/rigtest"
)

var (
	agent = sha256.Sum256([]byte("agent"))
	known = verify.ReleaseMap{agent: 7}
	us    = evidence.RecipientID{9}
)

// printer is an enrolled printer with a real TPM.
func printer(t *testing.T) (*attest.TPM, verify.Record) {
	t.Helper()
	sw := rigtest.Swtpm(t)
	tpm, err := attest.New(t.Context(), attest.Config{Path: sw.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tpm.Close() }) // the software TPM is gone by now
	if err := tpm.ExtendAgent(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for _, file := range sw.CAs {
		text, err := os.ReadFile(file)
		if err != nil || !roots.AppendCertsFromPEM(text) {
			t.Fatalf("%s: %v", file, err)
		}
	}
	req, err := tpm.EnrolRequest(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	ch, s, err := verify.EnrolBegin(req, verify.Policy{Roots: roots, Releases: known})
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := tpm.Activate(t.Context(), req, ch)
	if err != nil {
		t.Fatal(err)
	}
	e, err := verify.EnrolFinish(s, rsp)
	if err != nil {
		t.Fatal(err)
	}
	return tpm, e.Record
}

// said is n frames of a chain.
func said(t *testing.T, tpm *attest.TPM, to evidence.RecipientID, n int) [][]byte {
	t.Helper()
	chain, err := tpm.NewChain(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	log, err := tpm.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for i := range n {
		msgs := [][]byte{{0xa0}, {byte(i % 24)}}
		h, err := chain.Next(msgs, []byte("a nonce that is known elsewhere")[:24], 0)
		if err != nil {
			t.Fatal(err)
		}
		d, err := h.Digest()
		if err != nil {
			t.Fatal(err)
		}
		q, err := tpm.Quote(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Commit(h); err != nil {
			t.Fatal(err)
		}
		frame, err := evidence.Encode(evidence.Batch{Header: chain.Last(), Msgs: msgs, Quote: q.Signed(), Log: log}, evidence.WireSize)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, frame)
	}
	return out
}

func check(t *testing.T, history []byte, records ...verify.Record) Report {
	t.Helper()
	rep, err := Check(bytes.NewReader(history), records, known)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func mirror(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// exported is what platen-fleet events --frames -o jsonl prints.
func exported(t *testing.T, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for i, f := range frames {
		for _, e := range []store.Event{{Event: store.Missing, From: uint64(i)}, {Event: store.Refused}, {Event: store.Batch, Frame: evidence.Trim(f)}} {
			if err := enc.Encode(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b.Bytes()
}

func TestCheck(t *testing.T) {
	tpm, rec := printer(t)
	f := said(t, tpm, us, 8)
	other := said(t, tpm, evidence.RecipientID{8}, 2)
	whole := Report{Frames: 10, Believed: 10, Messages: 20, Chains: 2, Begins: []Beginning{}, Refused: []Refusal{}, Missing: []Gap{},
		Printers: []Claims{{UEID: ueid(rec.Printer), Nonce: "YSBub25jZSB0aGF0IGlzIGtub3duIGVs", BootCount: tpm.BootCount(), SWName: "platen", SWVersion: []string{"7"}}}}
	for name, history := range map[string][]byte{"mirror": mirror(append(slices.Clone(f), other...)...), "log": exported(t, append(slices.Clone(f), other...)...)} {
		got := check(t, history, rec)
		if d := cmp.Diff(whole, got); d != "" || !got.Clean() {
			t.Errorf("%s: %s", name, d)
		}
	}
	gap := func(from, to uint64) Gap { return Gap{rec.Printer.String(), us.String(), tpm.BootCount(), from, to, 0} }
	for name, c := range map[string]struct {
		frames  [][]byte
		missing []Gap
		refused []Refusal
		again   int
	}{
		"dropped":                   {[][]byte{f[0], f[3], f[4]}, []Gap{gap(2, 3)}, []Refusal{}, 0},
		"late":                      {[][]byte{f[0], f[4], f[2], f[5]}, []Gap{gap(2, 2), gap(4, 4)}, []Refusal{}, 0},
		"late, filled":              {[][]byte{f[0], f[3], f[2], f[1], f[4]}, []Gap{}, []Refusal{}, 0},
		"no beginning":              {[][]byte{f[5], f[6]}, []Gap{}, []Refusal{}, 0},
		"no beginning, and a gap":   {[][]byte{f[3], f[6]}, []Gap{gap(5, 6)}, []Refusal{}, 0},
		"no beginning, late":        {[][]byte{f[5], f[2], f[6]}, []Gap{gap(4, 5)}, []Refusal{}, 0},
		"no beginning, but at last": {[][]byte{f[1], f[0], f[2]}, []Gap{}, []Refusal{}, 0},
		"twice":                     {[][]byte{f[0], f[1], f[1], f[0]}, []Gap{}, []Refusal{}, 2},
		"changed": {[][]byte{f[0], changed(t, f[1]), f[1]}, []Gap{},
			[]Refusal{{2, rec.Printer.String(), 2, verify.WrongRoot}}, 0},
		"noise": {[][]byte{f[0], make([]byte, len(f[0])), f[1]}, []Gap{}, []Refusal{{Frame: 2, Reason: verify.BadEncoding}}, 0},
	} {
		got := check(t, mirror(c.frames...), rec)
		if d := cmp.Diff(c.missing, got.Missing, cmpopts.IgnoreUnexported(Gap{})); d != "" {
			t.Errorf("%s: missing: %s", name, d)
		}
		if d := cmp.Diff(c.refused, got.Refused); d != "" || got.Repeated != c.again || got.Clean() != (len(c.missing)+len(c.refused) == 0) {
			t.Errorf("%s: %+v %s", name, got, d)
		}
	}
	for name, c := range map[string]struct {
		frames [][]byte
		begins uint64
	}{"at the sixth": {f[5:], 6}, "late": {[][]byte{f[5], f[2], f[6]}, 3}, "at the first": {f[:2], 0}, "at last": {[][]byte{f[1], f[0]}, 0}} {
		want := []Beginning{}
		if c.begins != 0 {
			want = append(want, Beginning{rec.Printer.String(), us.String(), tpm.BootCount(), c.begins})
		}
		if d := cmp.Diff(want, check(t, mirror(c.frames...), rec).Begins); d != "" {
			t.Errorf("begins %s: %s", name, d)
		}
	}
	// What is missing at the front of a later chain is missing.
	later := said(t, tpm, us, 3)
	if got := check(t, mirror(f[5], f[6], f[7], later[1]), rec); len(got.Begins) != 1 || len(got.Missing) != 1 || got.Missing[0].To != 1 {
		t.Errorf("a later chain without its first: %+v", got)
	}
	if got := check(t, mirror(f[0])); len(got.Refused) != 1 || got.Refused[0].Reason != verify.UnknownPrinter {
		t.Errorf("of a printer that nobody knows: %+v", got)
	}
	if got := check(t, nil, rec); got.Frames != 0 || !got.Clean() {
		t.Errorf("an empty one: %+v", got)
	}
}

// changed is a frame with another message.
func changed(t *testing.T, frame []byte) []byte {
	t.Helper()
	b, err := evidence.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	b.Msgs[0] = []byte{0xa1}
	out, err := evidence.Encode(b, len(frame))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestUnreadable: what is no history is an error, not a report.
func TestUnreadable(t *testing.T) {
	frame := make([]byte, evidence.WireSize)
	for name, h := range map[string][]byte{
		"cut":       frame[:100],
		"no event":  []byte("{\"event\":\n"),
		"no frames": []byte(`{"event":"batch","schema":1,"seq":1}` + "\n"),
	} {
		if rep, err := Check(bytes.NewReader(h), nil, known); err == nil {
			t.Errorf("%s: %+v", name, rep)
		}
	}
	if _, err := Check(broken{}, nil, known); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a reader that fails: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, os.ErrClosed }
