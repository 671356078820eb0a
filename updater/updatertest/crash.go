package updatertest

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"path"
	"slices"
)

// Crash is a state a power cut may leave.
type Crash struct {
	Disk  *Disk    // with an empty record of its own
	Acked []string // marks entered before the cut
	At    string   // which cut, to find it again
}

// Crashes goes through the states that cuts may leave. Equal seeds give equal states.
func (d *Disk) Crashes(seed uint64) iter.Seq[Crash] { return d.Some(seed, 1) }

// Some goes through one in each of the states of [Disk.Crashes]: those that are left out are
// not made.
func (d *Disk) Some(seed uint64, each int) iter.Seq[Crash] { return d.cuts(seed, each, 0) }

// Now goes through the states that a cut may leave at this moment.
func (d *Disk) Now(seed uint64) iter.Seq[Crash] {
	d.mu.Lock()
	n := len(d.log)
	d.mu.Unlock()
	return d.cuts(seed, 1, n)
}

// cuts goes through one in each of the states that are left by cuts after so many effects
// and later ones.
func (d *Disk) cuts(seed uint64, each, after int) iter.Seq[Crash] {
	d.mu.Lock()
	log, base := slices.Clone(d.log), d.base.clone()
	d.mu.Unlock()
	return func(yield func(Crash) bool) {
		rng := rand.New(rand.NewPCG(seed, 0))
		m, durable, all := base.clone(), 0, 0
		for n := after; n <= len(log); n++ {
			c := cutAt{log: log[:n], open: unsynced(log[:n]), rng: rng, seed: seed}
			first := n
			if len(c.open) > 0 {
				first = c.open[0]
			}
			for ; durable < first; durable++ { // these stay as they are
				m.apply(log[durable])
			}
			c.base, c.durable = m, durable
			for combo := range c.combos() {
				for how := range c.tears(combo) {
					if all++; all%each == 0 && !yield(c.crash(combo, how)) {
						return
					}
				}
			}
		}
	}
}

// cutAt is a cut after the effects in log.
type cutAt struct {
	log     []effect
	open    []int // those that are not durable
	base    image // after the first durable effects
	durable int
	rng     *rand.Rand // draws combinations
	seed    uint64
}

// combos are the sets of open effects that may have reached the medium.
func (c cutAt) combos() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		if len(c.open) <= 8 {
			for combo := range uint64(1) << len(c.open) {
				if !yield(combo) {
					return
				}
			}
			return
		}
		for range 64 {
			if !yield(c.rng.Uint64()) {
				return
			}
		}
		_ = yield(0) && yield(^uint64(0))
	}
}

// tears are the ways in which a set can have reached it: one if there is no write in it.
func (c cutAt) tears(combo uint64) int {
	for at, i := range c.open {
		if chosen(combo, at) && c.log[i].kind == wrote {
			return tears
		}
	}
	return 1
}

func chosen(combo uint64, at int) bool { return combo>>(at%64)&1 == 1 }

// crash is one state.
func (c cutAt) crash(combo uint64, how int) Crash {
	rng := rand.New(rand.NewPCG(c.seed^combo, uint64(len(c.log)*tears+how)))
	m := c.base.clone()
	for i, e := range c.log[c.durable:] {
		at, open := slices.BinarySearch(c.open, c.durable+i)
		m.grow(e.file)
		switch {
		case open && !chosen(combo, at):
		case open && how > 0 && e.kind == wrote:
			m.files[e.file] = tear(m.files[e.file], e, how, rng)
		default:
			m.apply(e)
		}
	}
	return Crash{from(m), marks(c.log), fmt.Sprintf("effect %d, combination %#x, tear %d", len(c.log), combo, how)}
}

// apply is an effect that reached the medium whole.
func (m *image) apply(e effect) {
	m.grow(e.file)
	switch e.kind {
	case cut:
		m.files[e.file] = nil
	case linked:
		m.names[e.to] = e.file
	case renamed:
		delete(m.names, e.from)
		m.names[e.to] = e.file
	case wrote:
		m.files[e.file] = put(m.files[e.file], e.data, e.off)
	}
}

// The ways a write reaches the medium: whole, some sectors, up to some byte, its
// length only.
const tears = 4

// unsynced lists the effects that are not durable at the end of log.
func unsynced(log []effect) []int {
	files, dirs := map[int]bool{}, map[string]bool{}
	var open []int
	for i := len(log) - 1; i >= 0; i-- {
		switch e := log[i]; e.kind {
		case synced:
			files[e.file] = true
		case syncedDir:
			dirs[e.to] = true
		case wrote, cut:
			if !files[e.file] {
				open = append(open, i)
			}
		case linked, renamed:
			if !dirs[path.Dir(e.to)] {
				open = append(open, i)
			}
		}
	}
	slices.Reverse(open)
	return open
}

func marks(log []effect) []string {
	var m []string
	for _, e := range log {
		if e.kind == marked {
			m = append(m, e.to)
		}
	}
	return m
}

func (m *image) grow(file int) {
	for len(m.files) <= file {
		m.files = append(m.files, nil)
	}
}

func tear(file []byte, e effect, how int, rng *rand.Rand) []byte {
	end := e.off + int64(len(e.data))
	switch how {
	case 1: // some sectors
		file = lengthen(file, end)
		for at := e.off; at < end; {
			next := min((at/sector+1)*sector, end)
			if rng.IntN(2) == 0 {
				copy(file[at:next], e.data[at-e.off:next-e.off])
			}
			at = next
		}
		return file
	case 2: // up to some byte
		return put(file, e.data[:rng.IntN(len(e.data)+1)], e.off)
	}
	return lengthen(file, end) // the length only
}
