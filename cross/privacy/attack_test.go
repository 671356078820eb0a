package privacy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/seam"
)

// series is what an uplink says of a job over time: for each message from the first that
// says that something is printed, the values it has.
type series struct {
	values []map[catalog.ID]int64
	record map[catalog.ID]int64 // of the job
}

// ignored are items that say when something is told, or bear a random number.
var ignored = []catalog.ID{catalog.JobID, catalog.JobStart, catalog.AgentUptime, catalog.HostUptime}

// seriesOf reads what a recipient was sent as an attacker does.
func seriesOf(msgs []catalog.Message) series {
	s := series{record: map[catalog.ID]int64{}}
	begun := false
	for _, m := range msgs {
		if v, _ := m.Get(catalog.State); v == catalog.StatePrinting {
			begun = true
		}
		if !begun {
			continue
		}
		vals := map[catalog.ID]int64{}
		for _, v := range m.Values {
			switch {
			case slices.Contains(ignored, v.Item.ID):
			case v.Item.Class == catalog.ClassJob:
				s.record[v.Item.ID] = v.Value
			default:
				vals[v.Item.ID] = v.Value
			}
		}
		s.values = append(s.values, vals)
	}
	return s
}

// distance is how different two series are: the mean difference of values in steps of
// their items, a value that only one of them has counting as many.
func (s series) distance(o series) float64 {
	const missing = 8
	d := 0.0
	for id, v := range s.record {
		if w, ok := o.record[id]; !ok || w != v {
			d += 100
		}
	}
	for i := range max(len(s.values), len(o.values)) {
		if i >= len(s.values) || i >= len(o.values) {
			d += missing
			continue
		}
		for id, v := range s.values[i] {
			w, ok := o.values[i][id]
			if !ok {
				d += missing
				continue
			}
			it, _ := catalog.Lookup(id)
			d += math.Abs(float64(v-w)) / float64(it.Resolution)
		}
		for id := range o.values[i] {
			if _, ok := s.values[i][id]; !ok {
				d += missing
			}
		}
	}
	return d / float64(max(len(s.values), len(o.values), 1))
}

// followed prints a part on a machine that is nothing but its path, at a pace that differs
// by chance from print to print, and returns what a vendor is sent. leak, if not nil, says
// what of it is told besides, of the time since the job began.
func followed(t *testing.T, v *voxels, seed uint64, leak func(v *voxels, at time.Duration) int64) (msgs []catalog.Message) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 2))
		pace := 0.98 + 0.04*r.Float64()
		begin := time.Now()
		since := func() time.Duration { return time.Duration(float64(max(time.Since(begin)-quiet, 0)) / pace) }
		var leaks func() int64
		if leak != nil {
			leaks = func() int64 { return leak(v, since()) }
		}
		u := newUplink(t, catalog.Vendor, seed, leaks, false)
		defer u.stop()
		time.Sleep(time.Millisecond) // reports come beside the grid, not at the same moments
		tell := func(p seam.Phase, target int32) {
			st := seam.Status{Phase: p, NHeaters: 1, Ambient: seam.NoAmbient}
			st.Heaters[0] = seam.Heater{ID: 8, Actual: 22_000, Target: target}
			if target > 0 { // what holds its temperature is never quite at it
				st.Heaters[0].Actual = target + int32(r.IntN(3000)) - 1500
			}
			u.machine.Set(st)
		}
		for ; time.Since(begin) < quiet; time.Sleep(10 * time.Second) {
			tell(seam.PhaseIdle, 0)
		}
		for ; since() < v.took; time.Sleep(10 * time.Second) {
			tell(seam.PhasePrinting, 210_000)
		}
		tell(seam.PhaseDone, 0)
		u.machine.Ended(seam.Receipt{Code: seam.CodeDone, Material: uint8(3 + len(v.path)/2000)})
		bucket := time.Hour
		for bucket < time.Since(begin)-quiet {
			bucket *= 2
		}
		rest := listening(bucket)
		if !*full {
			rest = bucket + 70*time.Minute // until its record has come
		}
		for end := begin.Add(quiet + rest); time.Now().Before(end); time.Sleep(10 * time.Second) {
			tell(seam.PhaseIdle, 0)
		}
		synctest.Wait()
		_, msgs = u.transcript(t)
	})
	return msgs
}

// layerEvery is the number of the layer as it was five minutes ago at most.
func layerEvery(v *voxels, at time.Duration) int64 {
	_, _, z := v.place(at.Truncate(5 * time.Minute))
	return int64(z)
}

// positionNow is where the head is.
func positionNow(v *voxels, at time.Duration) int64 {
	x, y, z := v.place(at)
	if at <= 0 || at >= v.took {
		return 0
	}
	return int64(1 + x + 100*y + 10_000*z)
}

// identified is how often the attacker names the part of an uplink, of which others of the
// same parts are known, and how often chance would, both inside of buckets of durations.
// Where several are as near, one of them is drawn.
func identified(known, seen []series, buckets []int64) (hits, chance float64) {
	for i, s := range seen {
		best, ties, mine, n := math.Inf(1), 0, false, 0
		for j, k := range known {
			if buckets[j] != buckets[i] {
				continue
			}
			n++
			switch d := s.distance(k); {
			case d < best:
				best, ties, mine = d, 1, j == i
			case d == best:
				ties++
				mine = mine || j == i
			}
		}
		if mine {
			hits += 1 / float64(ties)
		}
		chance += 1 / float64(n)
	}
	return hits / float64(len(seen)), chance / float64(len(seen))
}

// likest are the parts, without the one at i, whose uplinks are nearest to s: an eighth of
// all, and all that are as near as those.
func likest(s series, i int, known []series, parts []*voxels) []*voxels {
	far := make([]float64, 0, len(known))
	for j, k := range known {
		if j != i {
			far = append(far, s.distance(k))
		}
	}
	sorted := slices.Sorted(slices.Values(far))
	most := sorted[len(sorted)/8]
	var out []*voxels
	for n, d := range far {
		if d <= most {
			out = append(out, parts[n+bit(n >= i)])
		}
	}
	return out
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// rebuilt is how well parts are rebuilt, in the mean: by one who knows the bounding box of
// each and what parts are like, and by one who has its uplink besides.
func rebuilt(parts []*voxels, known, seen []series) (without, with float64) {
	for i, v := range parts {
		others := slices.Delete(slices.Clone(parts), i, i+1)
		box := v.iou(func(int, int, int) bool { return true })
		without += max(box, v.iou(v.mean(others)))
		with += max(box, v.iou(v.mean(likest(seen[i], i, known, parts))))
	}
	n := float64(len(parts))
	return without / n, with / n
}

// traced is how well parts are rebuilt by one who is sent where the head is.
func traced(t *testing.T, parts []*voxels) float64 {
	t.Helper()
	sum := 0.0
	for i, v := range parts {
		var spots []spot
		for _, m := range followed(t, v, uint64(5000+i), positionNow) {
			if n, ok := m.Get(catalog.AgentBoot); ok && n > 0 {
				n--
				spots = append(spots, spot{int(n % 100), int(n / 100 % 100), int(n / 10_000)})
			}
		}
		sum += v.iou(around(spots))
	}
	return sum / float64(len(parts))
}
