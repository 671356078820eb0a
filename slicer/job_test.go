package slicer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

func openFile(t testing.TB, file string, s Settings) *Job {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../testdata/models", file))
	if err != nil {
		t.Fatal(err)
	}
	return openBytes(t, b, s)
}

func openBytes(t testing.TB, b []byte, s Settings) *Job {
	t.Helper()
	v, err := vault.NewPageable(32 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	j, err := Open(context.Background(), v, bytes.NewReader(b), int64(len(b)), Detect, s)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func middles(j *Job, s Settings) []float64 {
	var out []float64
	for i := range j.Info().Layers {
		out = append(out, s.stack().Middle(i).MM())
	}
	return out
}

// print is what a program does, as an observer of the machine sees it.
type print struct {
	volume  float64 // mm³, without skirt and prime
	painted [][]bool
	worst   map[motion.Role]float64 // least depth of a centre line inside the body
	layers  int
}

func observe(t testing.TB, j *Job, s Settings, r *raster) print {
	t.Helper()
	return observeProgram(t, j.Program(context.Background()), s, r)
}

func observeProgram(t testing.TB, prog motion.Program, s Settings, r *raster) print {
	t.Helper()
	p := print{worst: map[motion.Role]float64{}}
	area := math.Pi / 4 * s.Filament.MM() * s.Filament.MM()
	var at [2]float64
	for op, err := range prog {
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind == motion.BeginLayer {
			p.layers++
			p.painted = append(p.painted, make([]bool, r.w*r.h))
		}
		if op.Kind != motion.Move || !op.Has(motion.X|motion.Y) {
			continue
		}
		to := [2]float64{op.To[0].MM(), op.To[1].MM()}
		if op.Has(motion.E) && op.Role != motion.Skirt && op.Role != motion.Prime {
			long := math.Hypot(to[0]-at[0], to[1]-at[1])
			v := op.E.MM() * area
			p.volume += v
			if long > 0 {
				layer := p.layers - 1
				r.paint(p.painted[layer], at, to, v/long/s.stack().Thickness(layer).MM()/2)
				for f := 0.0; f <= 1; f += min(1, pitch/long) {
					d := r.depth(layer, at[0]+f*(to[0]-at[0]), at[1]+f*(to[1]-at[1]))
					if w, ok := p.worst[op.Role]; !ok || d < w {
						p.worst[op.Role] = d
					}
				}
			}
		}
		at = to
	}
	return p
}

// Every model takes the volume that its walls, shells and infill should have, stays
// within its outline, and covers it. The controls: the account of one wall more or
// less is off by more than the tolerance, and so is a model shifted by a line.
func TestModels(t *testing.T) {
	const tolerance = 0.03 // the project promises 5 %
	files, err := os.ReadDir("../testdata/models")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]solids.Model{}
	for _, m := range solids.Models() {
		known[m.File] = m
	}
	if len(files) < 8 {
		t.Fatalf("%d models", len(files))
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			t.Parallel()
			m, ok := known[f.Name()]
			if !ok {
				t.Fatal("a model that package solids does not know")
			}
			s := Default()
			s.Skin.Join = 0 // what joins take along the wall is more than the density says
			j := openFile(t, f.Name(), s)
			r := newRaster(m.Make(), middles(j, s))
			got := observe(t, j, s, r)
			if got.layers != j.Info().Layers {
				t.Errorf("%d layers of %d", got.layers, j.Info().Layers)
			}
			want := r.volume(s)
			t.Logf("volume %.1f mm³, should have %.1f: %+.2f %%", got.volume, want, 100*(got.volume/want-1))
			if math.Abs(got.volume/want-1) > tolerance {
				t.Errorf("volume %.1f mm³, should have %.1f", got.volume, want)
			}
			for role, d := range got.worst {
				least := -1.5 * pitch
				if role == motion.OuterWall {
					least = s.Width.MM()/2 - 1.5*pitch
				}
				if d < least {
					t.Errorf("role %d: a line comes to %.2f mm, least is %.2f", role, d, least)
				}
			}
			most := 0.01
			if f.Name() == "thin.stl" {
				most = 0.03 // it is nearly all edge, and pixels are coarse
			}
			checkCover(t, r, s, got.painted, most)
		})
	}
}

// checkCover wants all of walls and skins painted, and of what is outside of the body
// at most the given share of the body.
func checkCover(t *testing.T, r *raster, s Settings, painted [][]bool, most float64) {
	solid, covered, spilt, body := 0, 0, 0, 0
	for i, on := range painted {
		for k, p := range r.parts(i, s) {
			if p == walls || p == skin {
				solid++
				if on[k] {
					covered++
				}
			}
			if p != outside {
				body++
			} else if on[k] {
				spilt++
			}
		}
	}
	t.Logf("covered %.2f %% of what is solid, spilt %.2f %%", 100*float64(covered)/float64(solid), 100*float64(spilt)/float64(body))
	if float64(covered) < 0.95*float64(solid) {
		t.Errorf("%d of %d solid pixels are covered", covered, solid)
	}
	if float64(spilt) > most*float64(body) {
		t.Errorf("%d pixels outside are covered, the body has %d", spilt, body)
	}
}

func TestAccountNotices(t *testing.T) {
	s := Default()
	s.Skin.Join = 0
	j := openFile(t, "tee.stl", s)
	r := newRaster(solids.Tee(), middles(j, s))
	want := r.volume(s)
	for name, change := range map[string]func(*Settings){
		"a wall less":   func(s *Settings) { s.Walls-- },
		"a wall more":   func(s *Settings) { s.Walls++ },
		"no skins":      func(s *Settings) { s.TopLayers, s.BottomLayers = 0, 0 },
		"half infill":   func(s *Settings) { s.Density = 5 },
		"wide filament": func(s *Settings) { s.Filament = s.Filament * 21 / 20 },
	} {
		other := s
		change(&other)
		got := observe(t, openFile(t, "tee.stl", other), s, r)
		if math.Abs(got.volume/want-1) < 0.05 {
			t.Errorf("%s: the account of %.0f mm³ does not notice %.0f", name, want, got.volume)
		}
	}
	shifted := *r
	shifted.x0 += s.Width.MM()
	if got := observe(t, j, s, &shifted); got.worst[motion.OuterWall] > 0 {
		t.Error("a model shifted by a line is not noticed")
	}
}

// The program is the same every time, for any number of processors.
func TestDeterministic(t *testing.T) {
	sum := func(j *Job) [32]byte {
		h := sha256.New()
		for op, err := range j.Program(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(h, "%v %v %v %v %v\n", op.Kind, op.Role, op.To, op.E, op.Feed)
		}
		return [32]byte(h.Sum(nil))
	}
	j := openFile(t, "bracket.stl", Default())
	first := sum(j)
	if sum(j) != first {
		t.Error("the second program differs")
	}
	old := runtime.GOMAXPROCS(1)
	one := sum(openFile(t, "bracket.stl", Default()))
	runtime.GOMAXPROCS(4)
	four := sum(openFile(t, "bracket.stl", Default()))
	runtime.GOMAXPROCS(old)
	if one != first || four != first {
		t.Error("the program depends on the number of processors")
	}
	other := Default()
	other.Walls++
	if sum(openFile(t, "bracket.stl", other)) == first {
		t.Error("control: other settings, same program")
	}
}

// Ending a loop early, cancelling, and a second loop at the same time: no goroutine
// stays behind, and the job can be sliced again. The bubble would not end if a
// goroutine did not.
func TestLoopsEnd(t *testing.T) {
	j := openFile(t, "hollow-sphere.stl", Default())
	synctest.Test(t, func(t *testing.T) {
		for n := range 4 {
			for l, err := range j.Layers(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if l.Index == n*20 {
					break
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		for l, err := range j.Layers(ctx) {
			if last = err; err == nil && l.Index == 3 {
				cancel()
			}
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("cancelled: %v", last)
		}
		for range j.Layers(t.Context()) {
			for _, err := range j.Layers(t.Context()) {
				if !errors.Is(err, ErrBusy) {
					t.Errorf("second loop: %v", err)
				}
			}
			break
		}
		ops := 0
		for _, err := range j.Program(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if ops++; ops == 500 {
				break
			}
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	cube, err := os.ReadFile("../testdata/models/cube.stl")
	if err != nil {
		t.Fatal(err)
	}
	small := Default()
	small.Build.Max = mesh.Vertex{X: 19 * unit.Millimetre, Y: 50 * unit.Millimetre, Z: 50 * unit.Millimetre}
	wrong := Default()
	wrong.Height = 0
	for _, c := range []struct {
		name   string
		file   []byte
		budget int64
		format Format
		s      Settings
		want   error
	}{
		{"not a model", []byte("hello"), 1 << 20, STL, Default(), ErrFormat},
		{"no such format", cube, 1 << 20, 9, Default(), ErrFormat},
		{"empty mesh", make([]byte, 84), 1 << 20, STL, Default(), ErrGeometry},
		{"too large for the bed", cube, 1 << 20, STL, small, ErrOutOfReach},
		{"too large for the vault", cube, 1 << 12, STL, Default(), ErrTooBig},
		{"wrong settings", cube, 1 << 20, STL, wrong, ErrSettings},
		{"control", cube, 1 << 20, STL, Default(), nil},
	} {
		v, err := vault.NewPageable(c.budget)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(context.Background(), v, bytes.NewReader(c.file), int64(len(c.file)), c.format, c.s)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if used := v.Stats().Used; (used != 0) != (c.want == nil) {
			t.Errorf("%s: %d bytes in the vault", c.name, used)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The vault holds what the package comments say.
func TestVaultFormula(t *testing.T) {
	for _, m := range solids.Models() {
		b, err := os.ReadFile(filepath.Join("../testdata/models", m.File))
		if err != nil {
			t.Fatal(err)
		}
		v, err := vault.NewPageable(32 << 20)
		if err != nil {
			t.Fatal(err)
		}
		j, err := Open(context.Background(), v, bytes.NewReader(b), int64(len(b)), Detect, Default())
		if err != nil {
			t.Fatal(err)
		}
		tris, layers := int64(j.Info().Triangles), int64(j.Info().Layers)
		room := tris
		if m.ASCII {
			room = int64(len(b))/86 + 1
		}
		room += room/16 + 256 // spare ones for repairs
		// All triangles in one layer is the worst there is: 61 bytes each.
		if got, most := v.Stats().Used, 12*room+12*(tris/2+3*64)+4*tris+4*(layers+1)+61*tris+20*64; got > most {
			t.Errorf("%s: %d bytes in the vault, the formula allows %d", m.File, got, most)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkLayers(b *testing.B) {
	j := openFile(b, "hollow-sphere.stl", Default())
	layers := 0
	for b.Loop() {
		for _, err := range j.Layers(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			layers++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(layers), "ns/layer")
}
