package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"platen/updater"
	"platen/updater/role"
)

// Marks are what a client remembers where a wiped or restored disk does not reach:
// the newest versions of the metadata it has verified, the highest release it has
// confirmed, and a moment that has certainly passed.
//
// The versions below Root count under the keys of that root. Once a newer root names
// other keys for the snapshot or the timestamp they are forgotten, as the specification
// has it (5.3.11): so those who hold the offline keys undo a fast-forward of a thief.
//
// Roles that the targets delegate to are not among them. The snapshot has their versions, so
// on an empty disk none of them is older than the newest snapshot that was seen, unless who
// signs another one has stolen its key and the timestamp's: then Release is the limit, and a
// release above it that the role has withdrawn since can come back.
type Marks struct {
	Root, Timestamp, Snapshot, Targets int64 // versions, 0: never seen

	Release uint64    // the updater's floor
	Time    time.Time // zero: none
	Ticks   uint64    // of Config.Ticks at Time, in ms
}

// Memory keeps Marks: an NV index of a TPM.
type Memory interface {
	// Load returns what was saved last, nil if nothing ever was. Anything else that is not
	// what was saved, empty for example, is damage: updater.ErrMarks.
	Load(ctx context.Context) ([]byte, error)
	// Save replaces it durably. A power cut leaves the old bytes or the new ones.
	Save(ctx context.Context, marks []byte) error
}

// MarksSize is the length in bytes of what a Memory keeps.
const MarksSize = 64

const memoryTime = time.Minute

// encode is the marks as a Memory keeps them: seven numbers, little-endian, and the
// first eight bytes of their SHA-256.
func (m Marks) encode() []byte {
	unix := int64(0)
	if !m.Time.IsZero() {
		unix = m.Time.Unix()
	}
	var b []byte
	for _, n := range [...]uint64{uint64(m.Root), uint64(m.Timestamp), uint64(m.Snapshot), uint64(m.Targets), m.Release, uint64(unix), m.Ticks} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:8]...)
}

// decodeMarks is the inverse of encode. ok is false for bytes that are not marks.
func decodeMarks(b []byte) (m Marks, ok bool) {
	if len(b) != MarksSize {
		return Marks{}, false
	}
	if sum := sha256.Sum256(b[:MarksSize-8]); !bytes.Equal(sum[:8], b[MarksSize-8:]) {
		return Marks{}, false
	}
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	m = Marks{Root: int64(at(0)), Timestamp: int64(at(1)), Snapshot: int64(at(2)), Targets: int64(at(3)), Release: at(4), Ticks: at(6)}
	if unix := int64(at(5)); unix != 0 {
		m.Time = time.Unix(unix, 0).UTC()
	}
	return m, true
}

// Remembered reads the marks of a memory; zero Marks if it has none. Marks that are not
// whole are updater.ErrMarks: what the disk says instead may be what somebody has put there,
// so only [Client.Repair] makes new ones.
func Remembered(ctx context.Context, m Memory) (Marks, error) {
	data, err := m.Load(ctx)
	if err != nil {
		return Marks{}, fmt.Errorf("read what was seen last: %w: %w", updater.ErrFloor, err)
	}
	if data == nil {
		return Marks{}, nil
	}
	marks, ok := decodeMarks(data)
	if !ok {
		return Marks{}, updater.ErrMarks
	}
	return marks, nil
}

// Repair makes new marks in the place of damaged ones: at least those of the disk and of the
// build, and of the release that is given. Whoever may say so has said that no later release
// ever ran. Versions of metadata count from the next refresh on. It does nothing to marks
// that are whole.
func (c *Client) Repair(ctx context.Context, release uint64) error {
	if c.cfg.Memory == nil {
		return nil
	}
	if _, err := Remembered(ctx, c.cfg.Memory); !errors.Is(err, updater.ErrMarks) {
		return err
	}
	before := c.floor
	c.lift(updater.Floor{Release: release})
	if err := c.save(ctx, Marks{Release: c.floor.Release, Time: c.floor.Time}); err != nil {
		c.floor = before
		return err
	}
	c.kept = true
	return nil
}

// remember reads the marks, once.
func (c *Client) remember(ctx context.Context) error {
	if c.cfg.Memory == nil || c.kept {
		return nil
	}
	m, err := Remembered(ctx, c.cfg.Memory)
	if err != nil {
		return err
	}
	c.marks, c.kept = m, true
	c.lift(updater.Floor{Release: m.Release, Time: m.Time})
	return nil
}

// keep writes marks that differ from those that are kept.
func (c *Client) keep(ctx context.Context, m Marks) error {
	if c.cfg.Memory == nil || m == c.marks {
		return nil
	}
	return c.save(ctx, m)
}

// save writes marks, which count from then on.
func (c *Client) save(ctx context.Context, m Marks) error {
	if err := c.cfg.Memory.Save(ctx, m.encode()); err != nil {
		return fmt.Errorf("keep what was seen last: %w: %w", updater.ErrFloor, err)
	}
	c.marks = m
	return nil
}

// markPeriod is how far the time of the marks may lag behind: each write costs the TPM
// some of its life, and the TPM's own count of time goes on between them.
const markPeriod = 24 * time.Hour

// mark keeps what a refresh has verified.
func (c *Client) mark(ctx context.Context, set *trustedmetadata.TrustedMetadata) error {
	if c.cfg.Memory == nil {
		return nil
	}
	next := c.marks
	next.Root, next.Timestamp = set.Root.Signed.Version, set.Timestamp.Signed.Version
	next.Snapshot, next.Targets = set.Snapshot.Signed.Version, set.Targets[metadata.TARGETS].Signed.Version
	next.Release = max(next.Release, c.floor.Release)
	if next != c.marks || c.floor.Time.Sub(c.marks.Time) >= markPeriod {
		if ticks, ok := c.time.ticks(ctx, c.cfg); ok || c.cfg.Ticks == nil {
			next.Time, next.Ticks = c.floor.Time, ticks
		}
	}
	return c.keep(ctx, next)
}

// walk is the way of a refresh over the roots: it notices where it passes the root that
// the marks were made under.
type walk struct {
	*trustedmetadata.TrustedMetadata
	marks Marks
	then  *metadata.Metadata[metadata.RootType] // the root of the marks, nil if it was not passed

	broken map[role.Place]error // of which the role's metadata cannot be used
}

// pass is called at each root.
func (w *walk) pass() {
	if w.Root.Signed.Version == w.marks.Root {
		w.then = w.Root
	}
}

// arrive is called at the newest root: marks made under other keys are forgotten.
func (w *walk) arrive() error {
	if w.Root.Signed.Version < w.marks.Root {
		return fmt.Errorf("root %d after root %d: %w", w.Root.Signed.Version, w.marks.Root, updater.ErrRollback)
	}
	if w.then == nil || !sameKeys(w.then, w.Root, metadata.TIMESTAMP) || !sameKeys(w.then, w.Root, metadata.SNAPSHOT) {
		w.marks.Timestamp, w.marks.Snapshot, w.marks.Targets = 0, 0, 0
	}
	return nil
}

func sameKeys(a, b *metadata.Metadata[metadata.RootType], role string) bool {
	x, y := a.Signed.Roles[role], b.Signed.Roles[role]
	if x == nil || y == nil {
		return false
	}
	p, q := slices.Sorted(slices.Values(x.KeyIDs)), slices.Sorted(slices.Values(y.KeyIDs))
	return slices.Equal(p, q)
}

// above refuses a version below its mark.
func above(role string, version, mark int64) error {
	if version < mark {
		return fmt.Errorf("%s %d after %s %d: %w", role, version, role, mark, updater.ErrRollback)
	}
	return nil
}
