// Package translog is the second lock of updates: a release counts only if a public log
// has it, so that nobody, whatever keys he holds, can make one that only a single
// printer is shown.
//
// Start at [Policy.Check]: it holds a release against a proof that lies beside the
// target, offline. The formats are those of C2SP: the proof is a tlog-proof, its tree a
// tlog-checkpoint in a signed note, its leaf hashed as RFC 6962 has it; witnesses, who
// vouch that the log shows everybody the same, sign as tlog-cosignature has it. What a
// log records of a release is [Leaf]. The log itself is made by package publish.
package translog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"platen/updater"
)

// MaxProof bounds a proof, in bytes.
const MaxProof = 32 << 10

// Leaf is what a log records of a release: all that makes two printers run the same.
func Leaf(t updater.Target) []byte {
	return fmt.Appendf(nil, "platen release v1\nboard %s\nkind %s\nrelease %d\nsize %d\nsha256 %x\n", t.Board, t.Kind, t.Release, t.Size, t.SHA256)
}

// Policy is which log has to have a release, and whose word on the log is asked for.
type Policy struct {
	log       note.Verifier
	witnesses []note.Verifier
	quorum    int
}

// NewPolicy reads keys as signed notes have them, NAME+ID+KEY: that of the log, and
// those of its witnesses, of whom quorum have to have signed.
func NewPolicy(log string, witnesses []string, quorum int) (*Policy, error) {
	v, err := note.NewVerifier(strings.TrimSpace(log))
	if err != nil {
		return nil, errors.New("the log's key is not one of an Ed25519 log (NAME+ID+KEY): take it from platen-ota or the log's operator")
	}
	p := &Policy{log: v, quorum: quorum}
	for _, text := range witnesses {
		w, err := newWitness(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		p.witnesses = append(p.witnesses, w)
	}
	if quorum < 0 || quorum > len(witnesses) {
		return nil, errors.New("more witnesses have to sign than there are")
	}
	return p, nil
}

// Check holds a release against its proof. An error wraps updater.ErrLog.
func (p *Policy) Check(t updater.Target, proof []byte) error {
	if err := p.check(Leaf(t), proof); err != nil {
		return fmt.Errorf("release %d: %w (%w)", t.Release, updater.ErrLog, err)
	}
	return nil
}

func (p *Policy) check(leaf, text []byte) error {
	proof, err := Parse(text)
	if err != nil {
		return err
	}
	tree, err := p.Open(proof.Checkpoint)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof.Hashes, tree.N, tree.Hash, proof.Index, tlog.RecordHash(leaf))
}

// Open is the tree of a checkpoint that the log, and enough of the witnesses, have signed.
func (p *Policy) Open(checkpoint []byte) (tlog.Tree, error) {
	n, err := note.Open(checkpoint, note.VerifierList(append([]note.Verifier{p.log}, p.witnesses...)...))
	if err != nil {
		return tlog.Tree{}, err
	}
	byLog, byWitness := false, map[string]bool{}
	for _, s := range n.Sigs {
		if s.Name == p.log.Name() && s.Hash == p.log.KeyHash() {
			byLog = true
			continue
		}
		byWitness[s.Name+"+"+strconv.FormatUint(uint64(s.Hash), 16)] = true
	}
	if !byLog {
		return tlog.Tree{}, errors.New("the log has not signed the checkpoint")
	}
	if len(byWitness) < p.quorum {
		return tlog.Tree{}, fmt.Errorf("%d of %d witnesses that are asked for have signed", len(byWitness), p.quorum)
	}
	return parseTree(p.log.Name(), n.Text)
}

// parseTree reads the three lines of a checkpoint that count: the log's name, the number
// of leaves and the root.
func parseTree(origin, text string) (tlog.Tree, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] != origin {
		return tlog.Tree{}, errors.New("the checkpoint is another log's")
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != lines[1] {
		return tlog.Tree{}, errors.New("the checkpoint has no size")
	}
	h, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, errors.New("the checkpoint has no root")
	}
	return tlog.Tree{N: n, Hash: h}, nil
}

// Checkpoint is the text of a checkpoint, to be signed.
func Checkpoint(origin string, tree tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, tree.N, tree.Hash)
}

// Proof says where in a log a leaf is.
type Proof struct {
	Index      int64
	Hashes     tlog.RecordProof
	Checkpoint []byte // a signed note
}

const proofHead = "c2sp.org/tlog-proof@v1\n"

// maxHashes bounds the way from a leaf to the root.
const maxHashes = 63

// Parse reads a proof.
func Parse(text []byte) (Proof, error) {
	bad := errors.New("that is no proof of a log")
	if len(text) > MaxProof {
		return Proof{}, bad
	}
	rest, ok := bytes.CutPrefix(text, []byte(proofHead))
	head, checkpoint, found := bytes.Cut(rest, []byte("\n\n"))
	if !ok || !found {
		return Proof{}, bad
	}
	lines := strings.Split(string(head), "\n")
	if strings.HasPrefix(lines[0], "extra ") { // of no meaning here
		lines = lines[1:]
	}
	if len(lines) == 0 || len(lines) > maxHashes+1 {
		return Proof{}, bad
	}
	digits, ok := strings.CutPrefix(lines[0], "index ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 0 || strconv.FormatInt(n, 10) != digits {
		return Proof{}, bad
	}
	p := Proof{Index: n, Checkpoint: checkpoint}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil || h.String() != line {
			return Proof{}, bad
		}
		p.Hashes = append(p.Hashes, h)
	}
	return p, nil
}

// Format is the inverse of Parse.
func (p Proof) Format() []byte {
	b := fmt.Appendf(nil, "%sindex %d\n", proofHead, p.Index)
	for _, h := range p.Hashes {
		b = append(b, h.String()+"\n"...)
	}
	return append(append(b, '\n'), p.Checkpoint...)
}

// witness verifies cosignatures (cosignature/v1): Ed25519 over the moment and the
// checkpoint.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// The kind of key of a cosignature, in signed notes.
const cosignature = 4

func newWitness(text string) (*witness, error) {
	bad := errors.New("a witness's key is not one of Ed25519 cosignatures (NAME+ID+KEY)")
	name, rest, _ := strings.Cut(text, "+")
	id, key64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(key64)
	hash, herr := strconv.ParseUint(id, 16, 32)
	if err != nil || herr != nil || name == "" || len(key) != 1+ed25519.PublicKeySize || key[0] != cosignature {
		return nil, bad
	}
	w := &witness{name, uint32(hash), key[1:]}
	if w.hash != keyID(name, key) {
		return nil, bad
	}
	return w, nil
}

// keyID is how signed notes name a key.
func keyID(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

// Name is the witness's.
func (w *witness) Name() string { return w.name }

// KeyHash is the id of its key.
func (w *witness) KeyHash() uint32 { return w.hash }

// Verify checks a cosignature: eight bytes of time and a signature.
func (w *witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(w.key, cosigned(binary.BigEndian.Uint64(sig), msg), sig[8:])
}

func cosigned(unix uint64, msg []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", unix), msg...)
}
