package pipe

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
)

// fills is params with what fill wants.
func fills() Params {
	p := params()
	p.Skirts = 0
	p.Skin = Skin{
		Overlap: 25, Angle: 45 * fill.Degree, Join: 20 * mm, TopPattern: SkinLines, BottomPattern: SkinLines,
		Iron: Iron{Flow: 15, Spacing: mm / 10, Inset: mm / 5}, Bridge: Bridge{On: true, Flow: 100, Anchor: mm},
	}
	return p
}

// eachLayer shapes all layers of a body, one after the other, and calls f with each
// once its neighbours have been looked at.
func eachLayer(t *testing.T, s solids.Soup, p Params, f func(w *worker, all []*Layer, l *Layer)) {
	t.Helper()
	c := cutter(t, s, p)
	c.Rewind()
	w := worker{p: p, pitch: p.cellPitch()}
	n := newNeighbours(p)
	var all []*Layer
	for i := range c.Layers() {
		l := &Layer{Index: i, Top: p.Stack.Top(i), Thickness: p.Stack.Thickness(i), Width: p.Width}
		c.Next(&l.raw)
		if err := w.shape(l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	done := 0
	drain := func(last bool) {
		for {
			l, err := n.next(last)
			if err != nil {
				t.Fatal(err)
			}
			if l == nil {
				return
			}
			done++
			f(&w, all, l)
		}
	}
	for _, l := range all {
		if err := n.add(l); err != nil {
			t.Fatal(err)
		}
		drain(false)
	}
	if drain(true); done != len(all) || done == 0 {
		t.Fatalf("%d layers of %d", done, len(all))
	}
}

func bodies() map[string]solids.Soup {
	return map[string]solids.Soup{
		"cube": solids.Cube(), "cone": solids.Cone(), "sphere": solids.HollowSphere(), "tug": solids.Tug(),
		"overhang": solids.Overhang(), "bracket": solids.Bracket(),
	}
}

// What nets of cells and one operation find open is what intersecting all outlines
// around gives. The control: with one layer less, it is something else.
func TestUncoveredIsExact(t *testing.T) {
	p := fills()
	if testing.Short() {
		p.Stack.Height = mm / 2
	}
	skipped, differs, layers := 0, 0, 0
	for name, s := range bodies() {
		eachLayer(t, s, p, func(w *worker, all []*Layer, l *Layer) {
			layers++
			naive := func(below, above int) (*geom.Region, bool) {
				var open geom.Region
				cover := geom.Region{Pts: l.Outline.Pts, Ends: l.Outline.Ends}
				for k := l.Index - below; k <= l.Index+above; k++ {
					if k < 0 || k >= len(all) {
						return nil, true
					}
					var next geom.Region
					if err := w.kernel.Intersect(&next, &cover, &all[k].Outline); err != nil {
						t.Fatal(err)
					}
					cover = next
				}
				if err := w.kernel.Difference(&open, &l.rest, &cover); err != nil {
					t.Fatal(err)
				}
				return &open, false
			}
			want, ends := naive(p.BottomLayers, p.TopLayers)
			if ends != l.exposed.all {
				t.Fatalf("%s, layer %d: all of it is skin: %v", name, l.Index, l.exposed.all)
			}
			if ends {
				return
			}
			var got geom.Region
			if err := w.uncovered(&got, l); err != nil {
				t.Fatal(err)
			}
			if l.exposed.n == 0 {
				skipped++
			}
			off := func(a, b *geom.Region) int64 { // mm² × 10⁶ that only one has
				var x geom.Region
				if err := w.kernel.Xor(&x, a, b); err != nil {
					t.Fatal(err)
				}
				return x.Area2() / 2 / (int64(mm) * int64(mm) / 1_000_000)
			}
			if d := off(want, &got); d > 100 {
				t.Errorf("%s, layer %d: %d µm² are taken otherwise", name, l.Index, d)
			}
			if less, ends := naive(p.BottomLayers, p.TopLayers-1); !ends && off(less, &got) > 10_000 {
				differs++
			}
		})
	}
	if skipped < layers/4 || differs < 10 {
		t.Errorf("of %d layers, %d needed no operation; control: %d look different with a layer less", layers, skipped, differs)
	}
}

// Cells inside are inside, cells not touched are outside, and no more cells are left
// open to doubt than there is boundary.
func TestCells(t *testing.T) {
	marked, clear := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var k geom.Kernel
		var raw, r geom.Region
		for range rapid.IntRange(1, 3).Draw(t, "rings") {
			ring := make([]geom.Point, rapid.IntRange(3, 7).Draw(t, "points"))
			for i := range ring {
				ring[i].X = unit.Length(rapid.Int32Range(-300_000, 300_000).Draw(t, "x"))
				ring[i].Y = unit.Length(rapid.Int32Range(-300_000, 300_000).Draw(t, "y"))
			}
			raw.Add(ring)
		}
		if rapid.Bool().Draw(t, "square") { // so that there are cells inside, whatever is drawn
			raw.Add([]geom.Point{{X: -100_000, Y: -100_000}, {X: 100_000, Y: -100_000}, {X: 100_000, Y: 100_000}, {X: -100_000, Y: 100_000}})
		}
		if err := k.Union(&r, &raw); err != nil {
			t.Fatal(err)
		}
		const pitch = 15_000
		var in, touch cells
		in.inside(&r, pitch)
		touch.touched(&r, pitch)
		for row := int64(-22); row < 22; row++ {
			for col := int64(-22); col < 22; col++ {
				some, every := false, true
				for i := range int64(25) {
					p := geom.Point{
						X: unit.Length(col*pitch + 1 + i%5*(pitch-2)/4), Y: unit.Length(row*pitch + 1 + i/5*(pitch-2)/4),
					}
					if r.Holds(p) {
						some = true
					} else {
						every = false
					}
				}
				isIn, isTouched := in.has(col, row), touch.has(col, row)
				if isIn && !every || some && !isTouched || isIn && !isTouched {
					t.Fatalf("cell %d, %d: inside %v of %v, touched %v of %v", col, row, isIn, every, isTouched, some)
				}
				if isIn {
					marked++
				}
				if !isTouched {
					clear++
				}
			}
		}
		lack := cells{}
		lack.like(&touch)
		if touch.lacks(&touch, &lack) {
			t.Fatal("a net lacks something of itself")
		}
		if !r.Empty() && !touch.lacks(&cells{pitch: pitch}, &lack) {
			t.Fatal("an empty net lacks nothing")
		}
	})
	if marked < 20 || clear < 1000 {
		t.Errorf("only %d cells inside, %d outside", marked, clear)
	}
}

func (c *cells) has(col, row int64) bool {
	col, row = col-c.x0, row-c.y0
	return col >= 0 && col < 64*c.words && row >= 0 && row < c.rows && c.bits[row*c.words+col>>6]>>(col&63)&1 != 0
}

// byRole sums up the length of lines in mm, and what they hold in mm³.
func byRole(l *Layer) (long, volume map[motion.Role]float64) {
	long, volume = map[motion.Role]float64{}, map[motion.Role]float64{}
	for i, h := range l.Runs.Heads {
		d := length(l.Runs.Line(i)) / float64(mm)
		high := l.Thickness
		if h.Height > 0 {
			high = h.Height
		}
		long[h.Role] += d
		volume[h.Role] += d * h.Width.MM() * high.MM()
	}
	return long, volume
}

// lined fills every layer and returns the lengths and volumes of its lines.
func lined(t *testing.T, s solids.Soup, p Params) (long, volume []map[motion.Role]float64) {
	t.Helper()
	eachLayer(t, s, p, func(w *worker, _ []*Layer, l *Layer) {
		if err := w.infill(l); err != nil {
			t.Fatal(err)
		}
		a, b := byRole(l)
		long, volume = append(long, a), append(volume, b)
	})
	return long, volume
}

// The roles of a cube's layers, and what settings change of them.
func TestSkinSettings(t *testing.T) {
	p := fills()
	plain, _ := lined(t, solids.Cube(), p)
	solid := func(m map[motion.Role]float64) bool { return m[motion.Infill] == 0 }
	for i, m := range plain {
		want := motion.Infill
		switch {
		case i == 0:
			want = motion.BottomSkin
		case i == 99:
			want = motion.TopSkin
		case i < 2 || i > 96:
			want = motion.SolidInfill
		}
		if len(m) != 1 || m[want] == 0 {
			t.Fatalf("layer %d: lines of roles %v, want %v", i, m, want)
		}
	}
	for name, c := range map[string]struct {
		change func(*Params)
		check  func(long []map[motion.Role]float64) bool
	}{
		"top thickness":    {func(p *Params) { p.Skin.Top = mm }, func(l []map[motion.Role]float64) bool { return solid(l[95]) && !solid(l[94]) }},
		"bottom thickness": {func(p *Params) { p.Skin.Bottom = mm }, func(l []map[motion.Role]float64) bool { return solid(l[4]) && !solid(l[5]) }},
		"every 10":         {func(p *Params) { p.Skin.Every = 10 }, func(l []map[motion.Role]float64) bool { return solid(l[49]) && !solid(l[48]) && !solid(l[50]) }},
		"small islands":    {func(p *Params) { p.Skin.LeastArea = 30 * mm }, func(l []map[motion.Role]float64) bool { return solid(l[50]) }},
		"ironing": {func(p *Params) { p.Skin.Iron.On = true }, func(l []map[motion.Role]float64) bool {
			return l[99][motion.Ironing] > 2000 && l[98][motion.Ironing] == 0
		}},
		"combined": {func(p *Params) { p.Skin.Combine = 3 }, func(l []map[motion.Role]float64) bool {
			return l[49][motion.Infill] == 0 && l[50][motion.Infill] == 0 && l[51][motion.Infill] > 100
		}},
		"no skins": {func(p *Params) { p.TopLayers, p.BottomLayers = 0, 0 }, func(l []map[motion.Role]float64) bool { return !solid(l[0]) && !solid(l[99]) }},
		"solid":    {func(p *Params) { p.Density = 100 }, func(l []map[motion.Role]float64) bool { return solid(l[50]) }},
		"empty":    {func(p *Params) { p.Density = 0 }, func(l []map[motion.Role]float64) bool { return len(l[50]) == 0 }},
	} {
		q := p
		c.change(&q)
		if c.check(plain) {
			t.Errorf("control, %s: so it is without", name)
		}
		if long, _ := lined(t, solids.Cube(), q); !c.check(long) {
			t.Errorf("%s: layers are not as asked for", name)
		}
	}
}

// Infill of several layers at once takes what that of each layer takes, whatever the
// walls do meanwhile.
func TestCombinedVolume(t *testing.T) {
	for _, name := range []string{"tug", "overhang"} {
		s := bodies()[name]
		p := fills()
		p.Skin.Join = 0
		p.Stack.Height = mm / 5
		if !testing.Short() {
			p.Stack.Height = mm / 7
		}
		sum := func(p Params) (total float64) {
			_, volume := lined(t, s, p)
			for _, v := range volume {
				total += v[motion.Infill]
			}
			return total
		}
		each := sum(p)
		p.Skin.Combine = 3
		if all := sum(p); math.Abs(all/each-1) > 0.03 {
			t.Errorf("%s: %.1f mm³ at once, %.1f mm³ each by itself", name, all, each)
		}
	}
}

// gate is two posts with a beam on top, which spans gap between them.
func gate(gap unit.Length) solids.Soup {
	return solids.Join(
		solids.Box(solids.Point{}, solids.Point{X: 8 * mm, Y: 12 * mm, Z: 5 * mm}),
		solids.Box(solids.Point{X: 8*mm + gap}, solids.Point{X: 16*mm + gap, Y: 12 * mm, Z: 5 * mm}),
		solids.Box(solids.Point{Z: 5 * mm}, solids.Point{X: 16*mm + gap, Y: 12 * mm, Z: 8 * mm}),
	)
}

// A beam is laid from post to post, and its lines go on over both. What juts out is
// no bridge.
func TestBridges(t *testing.T) {
	p := fills()
	bridge := func(s solids.Soup, p Params) (lines [][]geom.Point, layer *Layer) {
		eachLayer(t, s, p, func(w *worker, _ []*Layer, l *Layer) {
			if err := w.infill(l); err != nil {
				t.Fatal(err)
			}
			for i, h := range l.Runs.Heads {
				if h.Role == motion.Bridge {
					lines, layer = append(lines, l.Runs.Line(i)), l
				}
			}
		})
		return lines, layer
	}
	lines, l := bridge(gate(10*mm), p)
	if l == nil || l.Index != 25 {
		t.Fatalf("%d lines of bridges, not on the layer above the posts", len(lines))
	}
	along, all := 0.0, 0.0
	lo, hi := lines[0][0].X, lines[0][0].X
	for _, line := range lines {
		for i, q := range line {
			lo, hi = min(lo, q.X), max(hi, q.X)
			if i > 0 {
				d := distance(line[i-1], q)
				all += d
				if max(q.Y-line[i-1].Y, line[i-1].Y-q.Y) < mm/100 {
					along += d
				}
			}
		}
	}
	if along < 0.9*all {
		t.Errorf("%.0f %% of the lines run from post to post", 100*along/all)
	}
	if over := (hi - lo - 10*mm).MM() / 2; over < 0.8 || over > 1.3 {
		t.Errorf("lines go on over the posts by %.2f mm", over)
	}
	p.Skin.Bridge.On = false
	if lines, _ := bridge(gate(10*mm), p); len(lines) > 0 {
		t.Error("bridges though they are off")
	}
	p.Skin.Bridge.On = true
	jutting := solids.Join(
		solids.Box(solids.Point{}, solids.Point{X: 8 * mm, Y: 12 * mm, Z: 5 * mm}),
		solids.Box(solids.Point{Z: 5 * mm}, solids.Point{X: 20 * mm, Y: 12 * mm, Z: 8 * mm}),
	)
	if lines, _ := bridge(jutting, p); len(lines) > 0 {
		t.Error("a beam on one post is a bridge")
	}
	p.Skin.Bridge.Angle = 90 * fill.Degree
	if lines, _ := bridge(gate(10*mm), p); len(lines) > 0 {
		t.Error("lines along the posts are carried by nothing")
	}
}

// Filling a layer once more allocates nothing.
func TestFillAllocatesNothing(t *testing.T) {
	p := fills()
	p.Pattern = fill.PatternGyroid
	p.Skin.Iron.On = true
	n, runs := 0.0, 0
	eachLayer(t, solids.Overhang(), p, func(w *worker, _ []*Layer, l *Layer) {
		if l.Index%10 != 0 {
			return
		}
		again := func() {
			l.Runs.Reset()
			l.Gaps.Reset()
			if err := w.infill(l); err != nil {
				t.Fatal(err)
			}
		}
		again()
		runs++
		n += testing.AllocsPerRun(2, again)
	})
	if n > 0 || runs < 5 {
		t.Errorf("%.0f allocations in %d layers", n, runs)
	}
}
