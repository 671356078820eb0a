package slicer

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// supported is a program with support, drawn layer by layer beside the exact sections.
type supported struct {
	s     Settings
	r     *raster
	props [][]drawn // by layer
	all   float64   // filament of support in mm
}

// drawn is a straight line of support.
type drawn struct {
	a, b [2]float64
	half float64
	roof bool
}

// support slices a body and keeps what is support.
func supportOf(t *testing.T, soup solids.Soup, s Settings) *supported {
	t.Helper()
	var b bytes.Buffer
	if err := soup.WriteBinary(&b); err != nil {
		t.Fatal(err)
	}
	j := openBytes(t, b.Bytes(), s)
	u := &supported{s: s, r: sections(soup, middles(j, s)), props: make([][]drawn, j.Info().Layers)}
	var at [2]float64
	for op, err := range j.Program(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind != motion.Move || !op.Has(motion.X|motion.Y) {
			continue
		}
		to := [2]float64{op.To[motion.IX].MM(), op.To[motion.IY].MM()}
		if roof := op.Role == motion.SupportInterface; op.Has(motion.E) && op.E > 0 && (roof || op.Role == motion.Support) {
			u.props[op.Layer] = append(u.props[op.Layer], drawn{at, to, op.Width.MM() / 2, roof})
			u.all += op.E.MM()
		}
		at = to
	}
	return u
}

// sections is a raster with room around the body, and without distances.
func sections(s solids.Soup, middles []float64) *raster {
	r := newRaster(s, nil)
	const room = 60 // pixels
	r.w, r.h, r.x0, r.y0 = r.w+2*room, r.h+2*room, r.x0-room*pitch, r.y0-room*pitch
	lo, hi := math.Inf(1), math.Inf(-1)
	x0, x1, y0, y1 := lo, hi, lo, hi
	for _, t := range s {
		for _, p := range t {
			lo = min(lo, p.Z.MM())
			x0, x1, y0, y1 = min(x0, p.X.MM()), max(x1, p.X.MM()), min(y0, p.Y.MM()), max(y1, p.Y.MM())
		}
	}
	for _, z := range middles {
		r.layers = append(r.layers, r.draw(s, z+lo, 110-(x0+x1)/2, 110-(y0+y1)/2))
	}
	return r
}

// spread marks what is within so far of the edge of a layer's section, or in it.
func (u *supported) spread(layer int, far float64) []bool {
	m := u.r.layers[layer]
	on := append([]bool(nil), m.in...)
	for _, l := range m.lines {
		u.r.paint(on, l[0], l[1], far)
	}
	return on
}

// lines marks what is within so far of the sides of a layer's lines of support.
func (u *supported) lines(on []bool, layer int, far float64) []bool {
	if on == nil {
		on = make([]bool, u.r.w*u.r.h)
	}
	if layer >= 0 {
		for _, p := range u.props[layer] {
			u.r.paint(on, p.a, p.b, p.half+far)
		}
	}
	return on
}

// gap is how many layers lie between support and the part.
func (u *supported) gap() int {
	return int(math.Ceil((u.s.Support.Gap - mm/50).MM() / u.s.Height.MM()))
}

// hanging is the share of what leans too much that has nothing below it: neither
// support nor, within the distance that support keeps, the part.
func (u *supported) hanging() (share float64, leaning int) {
	s := u.s
	lean := s.Height.MM()*math.Tan(float64(s.Support.Angle)/float64(mesh.Degree)*math.Pi/180) + 1.5*pitch
	aside := s.Support.Aside.MM() + s.Width.MM()
	near := aside + s.Width.MM()/float64(s.Support.RoofDensity)*100/2
	hanging := 0
	for i := 2; i < len(u.r.layers); i++ {
		steep, some := u.spread(i-1, lean), false
		for k, in := range u.r.layers[i].in {
			some = some || in && !steep[k]
		}
		if !some {
			continue
		}
		close := u.spread(i-1, aside)
		below := u.lines(nil, i-1, near)
		for g := range u.gap() {
			below = u.lines(below, i-2-g, near)
		}
		for k, in := range u.r.layers[i].in {
			if in && !steep[k] {
				leaning++
				if !below[k] && !close[k] {
					hanging++
				}
			}
		}
	}
	return float64(hanging) / max(float64(leaning), 1), leaning
}

// stride is how many layers are left out where one is like the next.
const stride = 4

// touching counts the places where support is nearer to the part than it may be:
// beside it, and above or below it.
func (u *supported) touching() (beside, above int) {
	for i := range u.props {
		if len(u.props[i]) == 0 {
			continue
		}
		if i%stride == 0 {
			wide := u.lines(nil, i, u.s.Support.Aside.MM()-1.5*pitch)
			for k, in := range u.r.layers[i].in {
				if in && wide[k] {
					beside++
				}
			}
		}
		var slim []bool
		for g := 1; g <= u.gap(); g++ {
			for _, n := range [...]int{i - g, i + g} {
				if n < 0 || n >= len(u.r.layers) || slices.Equal(u.r.layers[n].in, u.r.layers[i].in) {
					continue
				}
				if slim == nil {
					slim = u.lines(nil, i, -pitch)
				}
				for k, in := range u.r.layers[n].in {
					if in && slim[k] {
						above++
					}
				}
			}
		}
	}
	return beside, above
}

// floating is the share of the places along lines of support with neither support nor
// the part or the bed within reach below them. Roofs may reach farther.
func (u *supported) floating(reach, roofs float64) float64 {
	places, floating := 0, 0
	for i := 1; i < len(u.props); i++ {
		if len(u.props[i]) == 0 || i%stride != 0 {
			continue
		}
		var on [2][]bool
		for k, far := range [...]float64{reach, roofs} {
			if !slices.ContainsFunc(u.props[i], func(p drawn) bool { return p.roof == (k == 1) }) {
				continue
			}
			on[k] = u.lines(u.spread(i-1, far), i-1, far)
			for g := range u.gap() {
				for p, in := range u.spread(max(i-2-g, 0), far) {
					on[k][p] = on[k][p] || in
				}
			}
		}
		for _, p := range u.props[i] {
			n := int(math.Hypot(p.b[0]-p.a[0], p.b[1]-p.a[1])/0.2) + 1
			below := on[0]
			if p.roof {
				below = on[1]
			}
			for k := range n + 1 {
				f := float64(k) / float64(n)
				x, y, ok := u.r.pixel(p.a[0]+f*(p.b[0]-p.a[0]), p.a[1]+f*(p.b[1]-p.a[1]))
				if !ok {
					continue
				}
				places++
				if !below[y*u.r.w+x] {
					floating++
				}
			}
		}
	}
	return float64(floating) / max(float64(places), 1)
}

// everything supports all that leans, however small or bridgeable.
func everything(k SupportKind) Settings {
	s := Default()
	s.Support.Kind, s.Support.Least, s.Support.Bridge = k, 0, 0
	s.Skirts, s.PrimeLine, s.Height = 0, false, mm*3/10
	return s
}

// TestSupport: all that leans too much rests on support, which keeps its distances and
// stands on something. The controls are the same without support, with support that
// keeps no distance, and with some of its layers gone.
func TestSupport(t *testing.T) {
	type combination struct {
		body string
		kind SupportKind
	}
	bodies := map[string]func() solids.Soup{"overhang": solids.Overhang, "tug": solids.Tug, "tee": solids.Tee}
	all := []combination{{"overhang", SupportGrid}, {"tug", SupportTree}}
	switch {
	case os.Getenv("PLATEN_SOAK") != "":
		all = append(all, combination{"overhang", SupportTree}, combination{"tug", SupportGrid})
	case testing.Short():
		all = []combination{{"tee", SupportTree}}
	}
	for _, c := range all {
		kind := c.kind
		t.Run(fmt.Sprintf("%s %d", c.body, kind), func(t *testing.T) {
			soup := bodies[c.body]()
			s := everything(kind)
			u := supportOf(t, soup, s)
			share, leaning := u.hanging()
			if leaning < 1000 || share > 0.01 {
				t.Errorf("%.2f %% of %d places hang", 100*share, leaning)
			}
			beside, above := u.touching()
			if beside > 0 || above > 0 {
				t.Errorf("support is too near: %d places beside the part, %d above and below", beside, above)
			}
			reach, roofs := 1.7, 1.7
			if kind == SupportTree {
				reach, roofs = 1, s.Support.Branch.Spread.MM()
			}
			if f := u.floating(reach, roofs); f > 0.01 {
				t.Errorf("%.2f %% of the support stands on nothing", 100*f)
			}
			t.Logf("hanging %.3f %%, %.0f mm of filament", 100*share, u.all)
		})
	}
}

// TestSupportNotices is the control of TestSupport.
func TestSupportNotices(t *testing.T) {
	tee := solids.Tee()
	off := supportOf(t, tee, everything(SupportOff))
	if share, _ := off.hanging(); share < 0.5 || off.all > 0 {
		t.Errorf("without support %.0f %% hang, with %v mm of it", 100*share, off.all)
	}
	s := everything(SupportGrid)
	s.Support.Aside, s.Support.Gap = 0, 0
	close := supportOf(t, tee, s)
	close.s = everything(SupportGrid)
	if beside, above := close.touching(); beside == 0 || above == 0 {
		t.Errorf("support that keeps no distance: %d places beside the part, %d above and below", beside, above)
	}
	gone := supportOf(t, tee, everything(SupportGrid))
	for i := range 10 {
		gone.props[18+i] = nil
	}
	if f := gone.floating(1.7, 1.7); f < 0.01 {
		t.Errorf("without ten of its layers %.2f %% of the support stands on nothing", 100*f)
	}
}

// TestSupportIsBounded: support takes no more than its share of the room below what
// it holds, and without it the program is what it was.
func TestSupportIsBounded(t *testing.T) {
	s := everything(SupportGrid)
	taken := filamentOf(t, s)
	// Two wings of 8 × 10 mm, 12 mm up: their share, roofs, and lines around them that
	// reach 0.5 mm beyond.
	room := 2 * 8.5 * 11 * 12.0
	most := room*float64(s.Support.Density)/100 + 2*8.5*11*0.4 + 2*39*0.45*12
	area := math.Pi / 4 * s.Filament.MM() * s.Filament.MM()
	if got := taken * area; got > most || got < room*float64(s.Support.Density)/100*0.7 {
		t.Errorf("support takes %.0f mm³, want %.0f at most", got, most)
	}
}

// TestSupportOfCopies: every copy has the same support.
func TestSupportOfCopies(t *testing.T) {
	for _, k := range []SupportKind{SupportGrid, SupportTree} {
		s := everything(k)
		one := filamentOf(t, s)
		s.Copies = 4
		// Where the lines lie in each is not the same.
		if four := filamentOf(t, s); four < 3.2*one || four > 4.8*one {
			t.Errorf("kind %d: four copies take %.0f mm of support, one %.0f", k, four, one)
		}
	}
}

// filamentOf is how many mm of filament the support of the tee takes.
func filamentOf(t *testing.T, s Settings) float64 {
	t.Helper()
	sum := 0.0
	for op, err := range openFile(t, "tee.stl", s).Program(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind == motion.Move && (op.Role == motion.Support || op.Role == motion.SupportInterface) {
			sum += op.E.MM()
		}
	}
	return sum
}

// TestRaft: the part stands on its raft, all of it higher by what the raft says, and
// the raft is wider than it.
func TestRaft(t *testing.T) {
	s := Default()
	s.Adhesion.Raft.Layers = 3
	type span struct{ lo, hi, z unit.Length }
	program := func(s Settings) (layers []span, roles map[motion.Role]bool) {
		roles = map[motion.Role]bool{}
		for op, err := range openFile(t, "tee.stl", s).Program(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Kind == motion.BeginLayer {
				if int(op.Layer) != len(layers) {
					t.Fatalf("layer %d comes as number %d", len(layers), op.Layer)
				}
				layers = append(layers, span{lo: 1 << 30, hi: -1 << 30, z: op.To[motion.IZ]})
			}
			if op.Kind == motion.Move && op.Has(motion.X|motion.Y|motion.E) && op.E > 0 && op.Role != motion.Skirt && op.Role != motion.Prime {
				l := &layers[len(layers)-1]
				l.lo, l.hi = min(l.lo, op.To[motion.IX]), max(l.hi, op.To[motion.IX])
				if (op.Role == motion.Raft) != (len(layers) <= s.Adhesion.Raft.Layers) {
					t.Fatalf("a line of role %v in layer %d", op.Role, op.Layer)
				}
			}
			roles[op.Role] = true
		}
		return layers, roles
	}
	raft, roles := program(s)
	s.Adhesion.Raft.Layers = 0
	plain, _ := program(s)
	if len(raft) != len(plain)+3 || !roles[motion.Raft] || !roles[motion.Skirt] {
		t.Fatalf("%d layers with a raft, %d without, roles %v", len(raft), len(plain), roles)
	}
	rise := s.Adhesion.Raft.Base + 2*s.Adhesion.Raft.Height + s.Adhesion.Raft.Gap
	for i, l := range plain {
		if up := raft[i+3]; up.z != l.z+rise || max(up.lo-l.lo, l.lo-up.lo) > mm/10 {
			t.Fatalf("layer %d is at %v on the raft, at %v without", i, up.z, l.z)
		}
	}
	for i := range 3 {
		if d := plain[0].lo - raft[i].lo; d < 2*mm || d > 4*mm {
			t.Errorf("layer %d of the raft reaches %v beyond the part", i, d)
		}
	}
}

// TestBrims: lines around the first layer, outside, in holes, or at corners, and none
// anywhere else.
func TestBrims(t *testing.T) {
	for brim, want := range map[Brim][2]bool{ // outside of the bracket's foot, in its hole
		BrimOff: {false, false}, BrimOuter: {true, false}, BrimInner: {false, true}, BrimBoth: {true, true}, BrimEars: {true, false},
	} {
		s := Default()
		s.Adhesion.Brim = brim
		got, corner, side := [2]bool{}, 0, 0
		for op, err := range openFile(t, "bracket.stl", s).Program(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Layer > 8 {
				break
			}
			if op.Kind != motion.Move || op.Role != motion.Brim || !op.Has(motion.X|motion.Y) {
				continue
			}
			x, y := op.To[motion.IX].MM()-110, op.To[motion.IY].MM()-110
			if op.Layer > 0 || max(math.Abs(x), math.Abs(y)) > 20 {
				t.Fatalf("a line of the brim at %v, %v in layer %d", x, y, op.Layer)
			}
			switch {
			case max(math.Abs(x), math.Abs(y)) > 15:
				got[0] = true
			case math.Hypot(x, y) < 5:
				got[1] = true
			default:
				t.Fatalf("a line of the brim at %v, %v, in the part", x, y)
			}
			if min(math.Abs(x), math.Abs(y)) > 9 {
				corner++
			} else if got[0] && math.Hypot(x, y) > 5 {
				side++
			}
		}
		if got != want {
			t.Errorf("brim %d: outside and in the hole %v, want %v", brim, got, want)
		}
		if brim == BrimEars && (corner == 0 || side > 0) {
			t.Errorf("ears: %d points at corners, %d at sides", corner, side)
		}
	}
}

// TestSkirtLength: there are as many skirts as take the filament that is asked for, on
// as many layers as asked for.
func TestSkirtLength(t *testing.T) {
	skirts := func(s Settings) (filament float64, layers map[int32]bool) {
		layers = map[int32]bool{}
		for op, err := range openFile(t, "cube.stl", s).Program(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Role == motion.Skirt && op.E > 0 {
				if op.Layer == 0 {
					filament += op.E.MM()
				}
				layers[op.Layer] = true
			}
		}
		return filament, layers
	}
	s := Default()
	one, _ := skirts(s)
	s.Adhesion.SkirtLength, s.Adhesion.SkirtLayers = 20*mm, 3
	more, layers := skirts(s)
	if one >= 20 || more < 20 || more > 20+2*one {
		t.Errorf("one skirt takes %.1f mm, those for 20 mm take %.1f", one, more)
	}
	if len(layers) != 3 || !layers[2] {
		t.Errorf("skirts on layers %v, want three", layers)
	}
}

// TestNoRoom: what does not fit beside a model that does is refused before anything is
// printed, and named.
func TestNoRoom(t *testing.T) {
	set := func(change func(*Settings)) Settings { // the bracket takes 30 × 30 × 30 mm
		s := Default()
		s.Build.Max = mesh.Vertex{X: 36 * mm, Y: 36 * mm, Z: 31 * mm}
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		s    Settings
		want string
	}{
		"nothing":     {set(func(*Settings) {}), ""},
		"slim brim":   {set(func(s *Settings) { s.Adhesion.Brim, s.Adhesion.BrimWidth = BrimOuter, 2*mm }), ""},
		"brim inside": {set(func(s *Settings) { s.Adhesion.Brim = BrimInner }), ""},
		"support":     {set(func(s *Settings) { s.Support.Kind = SupportTree }), ""},
		"brim":        {set(func(s *Settings) { s.Adhesion.Brim = BrimOuter }), "brim"},
		"ears":        {set(func(s *Settings) { s.Adhesion.Brim = BrimEars }), "brim"},
		"slim raft":   {set(func(s *Settings) { s.Adhesion.Raft.Layers = 2 }), ""},
		"raft":        {set(func(s *Settings) { s.Adhesion.Raft.Layers, s.Adhesion.Raft.Margin = 2, 4*mm }), "raft"},
		"shield":      {set(func(s *Settings) { s.Adhesion.SkirtLayers = 5 }), "skirt"},
		"near shield": {set(func(s *Settings) { s.Adhesion.SkirtLayers, s.SkirtGap = 5, mm }), ""},
		"high raft":   {set(func(s *Settings) { s.Adhesion.Raft.Layers = 6 }), "raft"},
	} {
		b, err := os.ReadFile("../testdata/models/bracket.stl")
		if err != nil {
			t.Fatal(err)
		}
		v, err := vault.NewPageable(8 << 20)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), v, bytes.NewReader(b), int64(len(b)), Detect, c.s)
		if (err != nil) != (c.want != "") || err != nil && !(errors.Is(err, ErrOutOfReach) && strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && v.Stats().Used != 0 {
			t.Errorf("%s: something is left in the vault", name)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	s := Default()
	s.Adhesion.Brim, s.Adhesion.Raft.Layers = BrimOuter, 2
	if err := s.Validate(); !errors.Is(err, ErrSettings) {
		t.Errorf("brim and raft together: %v", err)
	}
	s = Default()
	s.Shell.Spiral, s.Support.Kind = true, SupportGrid
	if err := s.Validate(); !errors.Is(err, ErrSettings) {
		t.Errorf("support in a spiral: %v", err)
	}
}

// TestSupportMemoryIsStated: what is live while layers with support are made stays
// below what was stated, and support is in it.
func TestSupportMemoryIsStated(t *testing.T) {
	var plain int64
	for _, k := range []SupportKind{SupportOff, SupportGrid, SupportTree} {
		if testing.Short() && k == SupportGrid { // it takes less than trees
			continue
		}
		s := everything(k)
		before := live()
		j := openFile(t, "overhang.stl", s)
		peak, n := int64(0), 0
		for _, err := range j.Layers(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n%24 == 0 {
				peak = max(peak, live()-before)
			}
		}
		stated := j.Memory().Layers
		t.Logf("kind %d: %d kB of %d kB, %d kB in the vault", k, peak>>10, stated>>10, j.Memory().Model>>10)
		if peak > stated || peak < stated/40 {
			t.Errorf("kind %d: %d bytes are live, %d were stated", k, peak, stated)
		}
		if k == SupportOff {
			plain = stated
		} else if stated <= plain {
			t.Errorf("kind %d: %d bytes are stated, no more than %d without support", k, stated, plain)
		}
	}
}

// TestShield: a skirt of many layers stays out of the way of what leans out above the
// first, and of its support. The control is where it would be without that.
func TestShield(t *testing.T) {
	for _, k := range []SupportKind{SupportOff, SupportTree} {
		s := Default()
		s.Support.Kind, s.Adhesion.SkirtLayers, s.SkirtGap, s.PrimeLine = k, 1000, mm, false
		nearest := func(s Settings) float64 {
			near := math.Inf(1)
			lo := map[int32][2]float64{} // least X of the skirt and of everything else, by layer
			for op, err := range openFile(t, "tee.stl", s).Program(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if op.Kind != motion.Move || !op.Has(motion.X|motion.E) || op.E <= 0 {
					continue
				}
				l, ok := lo[op.Layer]
				if !ok {
					l = [2]float64{1000, 1000}
				}
				i := 1
				if op.Role == motion.Skirt {
					i = 0
				}
				l[i] = min(l[i], op.To[motion.IX].MM())
				lo[op.Layer] = l
			}
			for _, l := range lo {
				if l[0] < 1000 {
					near = min(near, l[1]-l[0])
				}
			}
			return near
		}
		// From the middle of the skirt's line to that of a wall.
		if d := nearest(s); d < 1 {
			t.Errorf("kind %d: the shield is %.2f mm from the part", k, d)
		}
		s.Adhesion.SkirtLayers = 1
		if d := nearest(s); k == SupportOff && d > 2 {
			t.Errorf("a skirt of one layer is %.2f mm from the part", d)
		}
	}
}

// TestSequenceLeavesRoom: where copies are printed one by one, the nozzle keeps its
// distance from those before also while it makes a brim.
func TestSequenceLeavesRoom(t *testing.T) {
	for _, brim := range []Brim{BrimOff, BrimOuter} {
		s := Default()
		s.Sequence.On, s.Sequence.Radius, s.Sequence.Height = true, 20*mm, 100*mm
		s.Copies, s.Skirts, s.Adhesion.Brim = 2, 0, brim
		var part, all [2][2]float64 // least and most X of the first copy's walls, and of all of the second
		part[0], all[0] = [2]float64{1e9, -1e9}, [2]float64{1e9, -1e9}
		for op, err := range openFile(t, "cube.stl", s).Program(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Kind != motion.Move || !op.Has(motion.X|motion.E) || op.E <= 0 || op.Role == motion.Prime {
				continue
			}
			x := op.To[motion.IX].MM()
			switch {
			case op.Object == 1 && op.Role == motion.OuterWall:
				part[0] = [2]float64{min(part[0][0], x), max(part[0][1], x)}
			case op.Object == 2:
				all[0] = [2]float64{min(all[0][0], x), max(all[0][1], x)}
			}
		}
		if apart := max(all[0][0]-part[0][1], part[0][0]-all[0][1]); apart < 20 || apart > 22 {
			t.Errorf("brim %d: the nozzle comes to %.2f mm from the first copy while it prints the second", brim, apart)
		}
	}
}

// TestSkippedSupport: with an object that is left out its support goes, also where it
// stands beside it, and its brim.
func TestSkippedSupport(t *testing.T) {
	s := everything(SupportTree)
	s.Copies, s.Spacing, s.Adhesion.Brim = 2, 16*mm, BrimOuter
	lines := func(skip bool) (first, second int) {
		j := openFile(t, "tee.stl", s)
		if skip && !j.Skip(1) {
			t.Fatal("there is no first object")
		}
		b, in := j.Info().Bounds, [2]int{}
		across := b.Max.X-b.Min.X > b.Max.Y-b.Min.Y // how the two lie
		for op, err := range j.Program(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Kind != motion.Move || op.Role != motion.Support && op.Role != motion.SupportInterface && op.Role != motion.Brim || op.E <= 0 {
				continue
			}
			at, middle := op.To[motion.IX], (b.Min.X+b.Max.X)/2
			if !across {
				at, middle = op.To[motion.IY], (b.Min.Y+b.Max.Y)/2
			}
			if at < middle {
				in[0]++
			} else {
				in[1]++
			}
		}
		return in[0], in[1]
	}
	if first, second := lines(false); first < 100 || second < 100 {
		t.Fatalf("%d and %d lines of support", first, second)
	}
	if first, second := lines(true); first > 0 || second < 100 {
		t.Errorf("%d lines of support of what is skipped, %d of the other", first, second)
	}
}
