package translog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"platen/updater"
)

// book is a log in memory.
type book struct {
	t      *testing.T
	signer note.Signer
	key    string
	hashes []tlog.Hash
	n      int64
}

func newBook(t *testing.T, name string) *book {
	t.Helper()
	secret, key, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return &book{t: t, signer: s, key: key}
}

// ReadHashes is tlog.HashReader.
func (b *book) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, b.hashes[i])
	}
	return out, nil
}

func (b *book) add(leaf []byte) {
	b.t.Helper()
	more, err := tlog.StoredHashes(b.n, leaf, b)
	if err != nil {
		b.t.Fatal(err)
	}
	b.hashes = append(b.hashes, more...)
	b.n++
}

func (b *book) checkpoint(signers ...note.Signer) []byte {
	b.t.Helper()
	root, err := tlog.TreeHash(b.n, b)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := note.Sign(&note.Note{Text: Checkpoint(b.signer.Name(), tlog.Tree{N: b.n, Hash: root})}, signers...)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

func (b *book) prove(i int64, checkpoint []byte) Proof {
	b.t.Helper()
	hashes, err := tlog.ProveRecord(b.n, i, b)
	if err != nil {
		b.t.Fatal(err)
	}
	return Proof{i, hashes, checkpoint}
}

func release(n uint64) updater.Target {
	return updater.Target{Board: "sim", Kind: "agent", Release: n, Size: 1000 + int64(n), SHA256: sha256.Sum256([]byte{byte(n)})}
}

func policy(t *testing.T, log string, witnesses []string, quorum int) *Policy {
	t.Helper()
	p, err := NewPolicy(log, witnesses, quorum)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, updater.ErrLog) || updater.Code(err) != "log" {
		t.Errorf("%s: %v", what, err)
	}
}

// TestInclusion: every release of the log is proved in trees of every size, and nothing
// else is.
func TestInclusion(t *testing.T) {
	b := newBook(t, "example.org/log")
	p := policy(t, b.key, nil, 0)
	most := uint64(18)
	if testing.Short() {
		most = 9
	}
	for n := range most {
		b.add(Leaf(release(n)))
		checkpoint := b.checkpoint(b.signer)
		for i := range n + 1 {
			text := b.prove(int64(i), checkpoint).Format()
			if err := p.Check(release(i), text); err != nil {
				t.Fatalf("release %d of %d: %v", i, n+1, err)
			}
			refused(t, "a release that the log has not", p.Check(release(n+1), text))
			other := release(i)
			other.SHA256[0] ^= 1
			refused(t, "another image", p.Check(other, text))
		}
	}
	text := b.prove(7, b.checkpoint(b.signer)).Format()
	if got, err := Parse(text); err != nil || !bytes.Equal(got.Format(), text) {
		t.Errorf("a proof is not what it was: %v", err)
	}
	extra := bytes.Replace(text, []byte("index"), []byte("extra cGxhdGVu\nindex"), 1)
	if err := p.Check(release(7), extra); err != nil {
		t.Errorf("with extra data: %v", err)
	}
}

// TestForgedProofs: a changed byte anywhere that counts, another log, nobody's signature.
func TestForgedProofs(t *testing.T) {
	b, foreign := newBook(t, "example.org/log"), newBook(t, "example.org/log")
	for n := range uint64(9) {
		b.add(Leaf(release(n)))
		foreign.add(Leaf(release(n)))
	}
	p := policy(t, b.key, nil, 0)
	good := b.prove(4, b.checkpoint(b.signer))
	if err := p.Check(release(4), good.Format()); err != nil {
		t.Fatal(err) // the control
	}
	text := good.Format()
	step := 1
	if testing.Short() {
		step = 5
	}
	for i := 0; i < len(text); i += step {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if p.Check(release(4), bad) == nil {
			t.Errorf("byte %d of the proof does not count", i)
		}
	}
	moved := good
	moved.Index = 5
	refused(t, "another index", p.Check(release(4), moved.Format()))
	refused(t, "another key of that name", p.Check(release(4), foreign.prove(4, foreign.checkpoint(foreign.signer)).Format()))
	refused(t, "no proof", p.Check(release(4), nil))
	refused(t, "too much", p.Check(release(4), append(text, make([]byte, MaxProof)...)))
	named := newBook(t, "example.org/other")
	named.n, named.hashes = b.n, b.hashes
	mixed := policy(t, named.key, nil, 0)
	unsigned, _, _ := strings.Cut(string(b.checkpoint(b.signer)), "\n\n")
	by, err := note.Sign(&note.Note{Text: unsigned + "\n"}, named.signer)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "a log signs for another log's name", mixed.Check(release(4), b.prove(4, by).Format()))
}

// cosigner is a witness that signs.
type cosigner struct {
	*witness
	secret ed25519.PrivateKey
	text   string
}

func newCosigner(t *testing.T, name string) *cosigner {
	t.Helper()
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := append([]byte{cosignature}, public...)
	text := fmt.Sprintf("%s+%08x+%s", name, keyID(name, key), base64.StdEncoding.EncodeToString(key))
	w, err := newWitness(text)
	if err != nil {
		t.Fatal(err)
	}
	return &cosigner{w, secret, text}
}

// Sign is note.Signer.
func (c *cosigner) Sign(msg []byte) ([]byte, error) {
	sig := binary.BigEndian.AppendUint64(nil, 1700000000)
	return append(sig, ed25519.Sign(c.secret, cosigned(1700000000, msg))...), nil
}

// TestWitnesses: the log alone can show one printer a tree of its own; with witnesses it
// needs as many of them as are asked for.
func TestWitnesses(t *testing.T) {
	b := newBook(t, "example.org/log")
	b.add(Leaf(release(0)))
	w := []*cosigner{newCosigner(t, "w1"), newCosigner(t, "w2"), newCosigner(t, "w3")}
	p := policy(t, b.key, []string{w[0].text, w[1].text, w[2].text}, 2)
	check := func(signers ...note.Signer) error {
		return p.Check(release(0), b.prove(0, b.checkpoint(signers...)).Format())
	}
	if err := check(b.signer, w[0], w[2]); err != nil {
		t.Errorf("two of three: %v", err)
	}
	stranger := newCosigner(t, "w2") // another key under that name
	refused(t, "the log alone", check(b.signer))
	refused(t, "one witness", check(b.signer, w[1]))
	refused(t, "a stranger", check(b.signer, w[0], stranger))
	refused(t, "witnesses without the log", check(w[0], w[1], w[2]))
	one := b.checkpoint(b.signer, w[0])
	lines := strings.SplitAfter(string(one), "\n")
	twice := strings.Join(append(lines, lines[len(lines)-2]), "")
	refused(t, "one witness twice", p.Check(release(0), b.prove(0, []byte(twice)).Format()))
}

func TestKeysThatAreNone(t *testing.T) {
	b, w := newBook(t, "example.org/log"), newCosigner(t, "w1")
	for what, make := range map[string]func() (*Policy, error){
		"no log":          func() (*Policy, error) { return NewPolicy("", nil, 0) },
		"a witness's":     func() (*Policy, error) { return NewPolicy(w.text, nil, 0) },
		"a log's":         func() (*Policy, error) { return NewPolicy(b.key, []string{b.key}, 1) },
		"half a key":      func() (*Policy, error) { return NewPolicy(b.key, []string{w.text[:20]}, 1) },
		"another name":    func() (*Policy, error) { return NewPolicy(b.key, []string{"x" + w.text}, 1) },
		"too many needed": func() (*Policy, error) { return NewPolicy(b.key, []string{w.text}, 2) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(proofHead + "index 0\n\nexample.org/log\n1\n"))
	f.Add([]byte(proofHead + "extra eA==\nindex 3\ngSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n\nx\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(p.Format())
		if err != nil || again.Index != p.Index || len(again.Hashes) != len(p.Hashes) {
			t.Errorf("a proof is another one after it was written: %v", err)
		}
	})
}
