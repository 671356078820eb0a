package privacy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"platen/agent/catalog"
	"platen/agent/seam"
)

var (
	full   = flag.Bool("full", false, "all designs and parts: minutes")
	device = flag.String("platen", "", "the device's binary, whose catalogue is compared; empty leaves that out")
)

// claim is one line of the proof.
type claim struct {
	name, what, seen, control string
	holds                     bool // the claim, and its control
}

// TestProve shows T-P1 to T-P6, P5 and P9, each with its control.
func TestProve(t *testing.T) {
	for _, prove := range []func(*testing.T) claim{
		typed, noninterference, reconstruction, identification, constant, mirrored, listed, selfTested, serviced,
	} {
		c := prove(t)
		state := "ok"
		if !c.holds {
			state = "FAILED"
			t.Errorf("%s: %s", c.name, c.what)
		}
		fmt.Printf("%-7s %s  %s\n        seen:    %s\n        control: %s\n", state, c.name, c.what, c.seen, c.control)
	}
}

// typed is T-P1: nothing but numbers of listed items can be put into the encoder, and its
// package and its caller's are built without any that could hold a design.
func typed(t *testing.T) claim {
	c := claim{name: "T-P1", what: "the encoder takes catalogued numbers only, and what feeds it sees no package that has designs"}
	_, unlisted := catalog.Of(9999, 1)
	kinds := kindsOf(catalog.Sample{})
	withName := kindsOf(struct {
		catalog.Sample
		Name string
	}{})
	reach := strings.Join(designs(imports(t, "./agent/telemetry/...", "./agent/uplink", "./agent/catalog", "./agent/evidence")), " ")
	control := designs(imports(t, "./agent/session"))
	c.seen = fmt.Sprintf("a sample holds %s; item 9999 is taken: %v; packages with designs within reach: [%s]", kinds, unlisted, reach)
	c.control = fmt.Sprintf("a sample with a name holds %s; from a session %d such packages are within reach", withName, len(control))
	c.holds = kinds == "int64 uint8" && !unlisted && reach == "" && strings.Contains(withName, "string") && len(control) > 5
	return c
}

// imports lists what packages import, tests left out, and what those import.
func imports(t *testing.T, of ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps"}, of...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Fields(string(out))
}

// designs are those packages that handle design data.
func designs(all []string) (out []string) {
	for _, p := range all {
		if strings.HasPrefix(p, "platen/slicer") || p == "platen/agent/session" || p == "platen/hal/gcodefile" || p == "platen/hal/bgcode" {
			out = append(out, p)
		}
	}
	return out
}

// noninterference is T-P2.
func noninterference(t *testing.T) claim {
	pairs, sizes := 50, []float64{14, 34, 56, 90}
	if !*full {
		pairs, sizes = 1, []float64{9}
	}
	c := claim{name: "T-P2", what: fmt.Sprintf("%d pairs of designs, each printed on the simulator with the same seed and in the same bucket: what the vendor decrypts is the same, byte for byte, but for random numbers", pairs)}
	r := rand.New(rand.NewPCG(20, 26))
	waiting := map[int64]outcome{}
	buckets := map[int64]int{}
	done, same, lines := 0, 0, 0
	var frames int
	for n := 0; done < pairs; n++ {
		o := printed(t, drawDesign(r, sizes[n%len(sizes)]), catalog.Vendor, uint64(n/2), honest)
		if n == 0 {
			first = o
		}
		b := bucketOf(o)
		w, ok := waiting[b]
		if !ok || w.seed != o.seed {
			waiting[b] = o
			continue
		}
		delete(waiting, b)
		done++
		frames += len(o.frames)
		buckets[b]++
		if w.moves == o.moves || w.took == o.took {
			t.Errorf("pair %d is no pair of different designs: %d moves and %v both", done, w.moves, w.took)
		}
		if w.text == o.text {
			same++
		} else {
			t.Errorf("pair %d, prints of %v and %v: %s", done, w.took, o.took, cmp.Diff(strings.Split(w.text, "\n"), strings.Split(o.text, "\n")))
		}
		lines += len(o.msgs)
	}
	a := printed(t, drawDesign(r, sizes[0]), catalog.Vendor, 1, layers)
	b := printed(t, drawDesign(r, sizes[0]), catalog.Vendor, 1, layers)
	c.seen = fmt.Sprintf("%d of %d pairs the same, %d frames each way, %d messages; buckets: %s", same, done, frames, lines, hours(buckets))
	c.control = fmt.Sprintf("with the number of the layer sent along: the same is %v (%d and %d layers)", a.text == b.text, a.layers, b.layers)
	c.holds = same == pairs && lines > 100*pairs && a.text != b.text
	return c
}

// bucketOf is the duration that the record of an uplink tells, 0 without one.
func bucketOf(o outcome) int64 {
	for _, m := range o.msgs {
		if v, ok := m.Get(catalog.JobDuration); ok {
			return v
		}
	}
	return 0
}

func hours(buckets map[int64]int) string {
	var out []string
	for b, n := range buckets {
		out = append(out, fmt.Sprintf("%d to %d h", n, b/3600))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// library is T-P3's set of parts: what each of them sends, twice.
type library struct {
	parts       []*voxels
	known, seen []series
	buckets     []int64
}

func newLibrary(t *testing.T, n int, leak func(*voxels, time.Duration) int64) *library {
	r := rand.New(rand.NewPCG(3, 9))
	l := &library{}
	for i := range n {
		v := drawVoxels(r)
		if !*full {
			v.plan(max(v.cellTime/8, 200*time.Millisecond))
		}
		l.parts = append(l.parts, v)
		l.known = append(l.known, seriesOf(followed(t, v, uint64(i), leak)))
		l.seen = append(l.seen, seriesOf(followed(t, v, uint64(1000+i), leak)))
		l.buckets = append(l.buckets, l.known[i].record[catalog.JobDuration])
	}
	return l
}

// sizes are how many parts T-P3 is shown on, and its controls.
func sizes() (parts, controls int) {
	if *full {
		return 250, 60
	}
	return 4, 3
}

var (
	shared *library // of both halves of T-P3
	first  outcome  // of T-P2, looked at again by T-P5 and T-P6
)

func theLibrary(t *testing.T) *library {
	if shared == nil {
		n, _ := sizes()
		shared = newLibrary(t, n, nil)
	}
	return shared
}

// reconstruction is the first half of T-P3.
func reconstruction(t *testing.T) claim {
	l := theLibrary(t)
	_, few := sizes()
	c := claim{name: "T-P3a", what: fmt.Sprintf("%d parts are not rebuilt from what the vendor is sent any better than from their bounding boxes and from what parts are like (at most 0.02)", len(l.parts))}
	without, with := rebuilt(l.parts, l.known, l.seen)
	if few = min(few, 40); !*full {
		few = 2
	}
	box, _ := rebuilt(l.parts[:few], l.known[:few], l.seen[:few])
	slow := slices.Clone(l.parts[:few])
	for _, v := range slow {
		if !*full { // as slow as they are in full: a position a minute is to be something
			v.plan(8 * v.cellTime)
		}
	}
	trace := traced(t, slow)
	c.seen = fmt.Sprintf("mean IoU %.3f with the uplink, %.3f without", with, without)
	c.control = fmt.Sprintf("with a position a minute sent along, %d parts: %.3f, %.3f without", few, trace, box)
	c.holds = with <= without+0.02 && trace > box+0.02
	return c
}

// identification is the second half of T-P3.
func identification(t *testing.T) claim {
	l := theLibrary(t)
	_, few := sizes()
	c := claim{name: "T-P3b", what: fmt.Sprintf("which of %d known parts is printed cannot be told inside of a bucket (at most twice chance)", len(l.parts))}
	hits, chance := identified(l.known, l.seen, l.buckets)
	leaky := newLibrary(t, few, layerEvery)
	h, ch := identified(leaky.known, leaky.seen, leaky.buckets)
	count := map[int64]int{}
	for _, b := range l.buckets {
		count[b]++
	}
	c.seen = fmt.Sprintf("named in %.1f %%, by chance %.1f %%; buckets: %s", 100*hits, 100*chance, hours(count))
	c.control = fmt.Sprintf("with the layer every five minutes, %d parts: %.1f %%, by chance %.1f %%", few, 100*h, 100*ch)
	c.holds = hits <= 2*chance && h > 2*ch
	return c
}

// constant is T-P4.
func constant(t *testing.T) claim {
	c := claim{name: "T-P4", what: "one frame of one size a minute, at most 64 KiB an hour, whatever the printer does; a fault comes at once and takes the place of the next"}
	hourly := map[int]int{}
	lengths, bodies := map[int]bool{}, map[int]bool{}
	early := 0
	synctest.Test(t, func(t *testing.T) {
		u := newUplink(t, catalog.Vendor, 4, nil, false)
		defer u.stop()
		for i := range 8 * 360 {
			st := seam.Status{Phase: seam.PhaseIdle, Ambient: seam.NoAmbient}
			switch h := i / 360; {
			case h == 2 || h == 3:
				st.Phase = seam.PhasePrinting
			case i == 5*360+100:
				st.Phase, st.Fault = seam.PhaseFault, 3
			case i == 7*360+30: // a self-test, whose figures are told
				u.machine.Take(&seam.Tested{Half: 7000, Most: 8000, Longest: 9000})
				u.machine.TestEnded(seam.Receipt{Code: seam.CodeDone})
			}
			u.machine.Set(st)
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		u.mu.Lock()
		defer u.mu.Unlock()
		last := -time.Minute
		for _, f := range u.frames {
			hourly[int(f.at/time.Hour)] += len(f.data)
			lengths[len(f.data)] = true
			bodies[len(bytes.TrimRight(f.data, "\x00"))] = true
			if f.at%time.Minute != 0 {
				early++
			}
			if gap := f.at - last; gap > 2*time.Minute {
				t.Errorf("no frame for %v", gap)
			}
			last = f.at
		}
	})
	least, most := math.MaxInt, 0
	for h := range 8 {
		least, most = min(least, hourly[h]), max(most, hourly[h])
	}
	c.seen = fmt.Sprintf("%d to %d bytes an hour in 8 hours, %d length, %d frame off the grid, for a fault", least, most, len(lengths), early)
	c.control = fmt.Sprintf("without their padding frames would have %d lengths", len(bodies))
	c.holds = least == most && most <= 64<<10 && len(lengths) == 1 && early == 1 && len(bodies) > 1
	return c
}

// mirrored is T-P5.
func mirrored(t *testing.T) claim {
	c := claim{name: "T-P5", what: "the owner's mirror holds what was captured on the way, frame by frame"}
	o := first
	wire := make([][]byte, 0, len(o.frames))
	for _, f := range o.frames {
		wire = append(wire, f.data)
	}
	same := slices.EqualFunc(wire, o.mirror, bytes.Equal)
	noticed := 0
	for i := range wire { // each frame that is left out
		if !slices.EqualFunc(wire, slices.Delete(slices.Clone(o.mirror), i, i+1), bytes.Equal) {
			noticed++
		}
	}
	c.seen = fmt.Sprintf("%d frames captured, %d in the mirror, the same: %v", len(wire), len(o.mirror), same)
	c.control = fmt.Sprintf("a mirror without one of them is noticed %d times of %d", noticed, len(wire))
	c.holds = same && len(wire) > 100 && noticed == len(wire)
	return c
}

// listed is T-P6.
func listed(t *testing.T) claim {
	c := claim{name: "T-P6", what: "what a recipient decrypts are items of the catalogue and nothing else, and platen catalogue prints that list"}
	o := first
	fields := map[uint16]bool{}
	var last []byte
	for _, f := range o.frames {
		_, msgs, err := f.read()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			for _, id := range keys(t, m) {
				fields[id] = true
			}
			last = m
		}
	}
	var strange []uint16
	for id := range fields {
		if it, ok := catalog.Lookup(catalog.ID(id)); id != 0 && (!ok || it.Profiles&catalog.Vendor == 0) {
			strange = append(strange, id)
		}
	}
	_, err := catalog.Decode(withField(t, last, 999, 17))
	list, ok := "the binary was not given (-platen)", true
	if *device != "" {
		out, err := exec.Command(*device, "catalogue", "-o", "json").Output()
		if err != nil {
			t.Fatalf("platen catalogue: %v", err)
		}
		var got catalog.List
		ok = json.Unmarshal(out, &got) == nil && got.Same()
		list = fmt.Sprintf("the binary prints the %d items of this list: %v", len(got.Items), ok)
	}
	c.seen = fmt.Sprintf("%d fields in %d messages, %d of them not in the catalogue; %s", len(fields)-1, len(o.msgs), len(strange), list)
	c.control = fmt.Sprintf("a message with a layer number as item 999 is refused: %v", err != nil)
	c.holds = len(strange) == 0 && len(fields) > 8 && err != nil && ok
	return c
}
