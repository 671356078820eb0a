package approval

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func made(t *testing.T) (a Approval, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "approver")
	if _, err := GenerateKey(path); err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	a, err = Approval{Release: 7, PCRs: []PCR{{8, Digest{1}}, {14, Digest{2}}}}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return a, path
}

func TestSignAndVerify(t *testing.T) {
	a, path := made(t)
	pub, err := LoadPub(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if !a.Verify(pub) {
		t.Error("a good approval does not verify")
	}
	for name, change := range map[string]func(*Approval){
		"value":     func(a *Approval) { a.PCRs[1].Value[31] ^= 1 },
		"register":  func(a *Approval) { a.PCRs[0].Index = 9 },
		"left out":  func(a *Approval) { a.PCRs = a.PCRs[1:] },
		"none":      func(a *Approval) { a.PCRs = nil },
		"signature": func(a *Approval) { a.Signature[10] ^= 1 },
		"unsigned":  func(a *Approval) { a.Signature = nil },
	} {
		b := Approval{a.Release, slices.Clone(a.PCRs), slices.Clone(a.Signature)}
		if change(&b); b.Verify(pub) {
			t.Errorf("%s: verifies", name)
		}
	}
	if _, other := made(t); other != "" {
		if pub, err = LoadPub(other + ".pub"); err != nil || a.Verify(pub) {
			t.Errorf("another approver's: %v", err)
		}
	}
}

func TestParse(t *testing.T) {
	a, _ := made(t)
	text, err := json.Marshal([]Approval{a})
	if err != nil {
		t.Fatal(err)
	}
	list, err := Parse(text)
	if err != nil || cmp.Diff([]Approval{a}, list) != "" {
		t.Errorf("%v: %s", err, cmp.Diff([]Approval{a}, list))
	}
	many, err := json.Marshal(make([]Approval, most+1))
	if err != nil {
		t.Fatal(err)
	}
	const zero = `"0000000000000000000000000000000000000000000000000000000000000000"`
	for _, bad := range []string{
		"", "{}", string(text) + "[]", string(many), `[{"pcrs":[]}]`, `[{"pcrs":[{"pcr":24,"value":` + zero + `}]}]`,
		`[{"pcrs":[{"pcr":4,"value":` + zero + `},{"pcr":4,"value":` + zero + `}]}]`,
		`[{"pcrs":[{"pcr":4,"value":"00"}]}]`, `[{"extra":1,"pcrs":[{"pcr":4,"value":` + zero + `}]}]`,
	} {
		if _, err := Parse([]byte(bad)); err != ErrList {
			t.Errorf("%.60s: %v", bad, err)
		}
	}
	if _, err := Parse([]byte(`[{"pcrs":[{"pcr":4,"value":` + zero + `}]}]`)); err != nil {
		t.Errorf("control: %v", err)
	}
}

// FuzzParse: what is taken is well formed, and is the same when it is written again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"release":1,"pcrs":[{"pcr":14,"value":"0000000000000000000000000000000000000000000000000000000000000000"}],"signature":"AA=="}]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := Parse(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		same, err := Parse(again)
		if err != nil || len(same) != len(list) {
			t.Fatalf("%d approvals became %d: %v", len(list), len(same), err)
		}
		for i, a := range list {
			if a.Signed() != same[i].Signed() || len(a.Differs(&[numPCRs]Digest{})) > numPCRs {
				t.Fatal("an approval changed")
			}
		}
	})
}

func TestStates(t *testing.T) {
	one, two := Measured{1, sha256.Sum256([]byte("1"))}, Measured{2, sha256.Sum256([]byte("2"))}
	after := func(runs ...Measured) (v Digest) {
		for _, r := range runs {
			v = Extend(v, r.Digest)
		}
		return v
	}
	got, err := States([]Measured{one, two}, []PCR{{15, Digest{5}}, {8, Digest{9}}})
	if err != nil {
		t.Fatal(err)
	}
	state := func(release uint64, v Digest) Approval {
		return Approval{Release: release, PCRs: []PCR{{8, Digest{9}}, {14, v}, {15, Digest{5}}}}
	}
	want := []Approval{state(1, after(one)), state(2, after(two)), state(2, after(one, two)), state(1, after(one, two, one))}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	most, err := States(make([]Measured, MostReleases), nil)
	if err != nil || len(most) > 64 {
		t.Errorf("%d states, %v", len(most), err)
	}
	for _, n := range []int{0, MostReleases + 1} {
		if _, err := States(make([]Measured, n), nil); err == nil {
			t.Errorf("states of %d releases", n)
		}
	}
}

func TestKeys(t *testing.T) {
	_, path := made(t)
	if _, err := GenerateKey(path); err == nil {
		t.Error("a key was replaced")
	}
	if _, err := LoadKey(path + ".pub"); err == nil {
		t.Error("a public key is no private one")
	}
	if _, err := LoadPub(path); err == nil {
		t.Error("a private key is no public one")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err == nil {
		t.Error("took a key that others can read")
	}
}
