// Package slicer turns a model into a program for a printer, as a stream: the first
// layer can be printed while the others do not exist yet.
//
// [Open] reads a model into a vault and places it on the bed. [Job.Layers] yields
// its layers, [Job.Program] the operations that print them; both are made afresh
// each time, a few layers ahead of their reader, and nothing of them is kept. The
// rooms: vault (locked memory) ← mesh (reading, welding) ← cut (outlines) ← pipe
// (walls, skins, infill: geom, wall, fill) ← path (order, extrusion).
//
// Everything here is design data. No error, log value or formatted text of any type
// in these packages holds a coordinate, a count or a name of a model.
package slicer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync/atomic"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/cut"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/path"
	"platen/slicer/pipe"
	"platen/slicer/secure"
	"platen/slicer/support"
	"platen/slicer/vault"
)

// Errors a caller branches on; see packages mesh, vault and geom.
var (
	ErrFormat     = mesh.ErrFormat     // not a model, or one that would be misunderstood
	ErrGeometry   = mesh.ErrGeometry   // a mesh that cannot be printed
	ErrOutOfReach = mesh.ErrOutOfReach // larger than the build volume
	ErrTooBig     = vault.ErrBudget    // does not fit the vault
	ErrComplex    = geom.ErrComplex    // outlines that cross each other beyond repair, found while slicing
)

// ErrBusy reports a second loop over a job while one is under way.
var ErrBusy = errors.New("the job is being sliced already: end the other loop first")

// Format says what the bytes of a model are.
type Format = mesh.Format

// The formats.
const (
	Detect  = mesh.Detect  // whatever it is: the format is in the bytes
	STL     = mesh.STL     // binary or ASCII
	OBJ     = mesh.OBJ     // in mm
	ThreeMF = mesh.ThreeMF // core and production extension
)

// Layer is one layer, ready to print.
type Layer = pipe.Layer

// Info is what is known of a job before it is printed. It is design data.
type Info struct {
	Layers    int         // those of a raft included
	Triangles int         // of one copy
	Bodies    int         // of one copy; 0 if it is in too many pieces to say
	Copies    int         // of the model
	Bounds    Volume      // around all copies
	Volume    unit.Volume // enclosed by all; where bodies overlap it counts twice
	Surface   mesh.Area   // of all
	Repairs   mesh.Repairs
	Notes     mesh.Notes // what of the file was passed over
}

// String says nothing of the model.
func (Info) String() string { return "job info" }

// GoString says nothing of the model.
func (Info) GoString() string { return "job info" }

// LogValue says nothing of the model.
func (Info) LogValue() slog.Value { return slog.StringValue("job info") }

// Job is a model in a vault, ready to be sliced. It is design data. Its memory goes
// with the vault.
type Job struct {
	settings Settings
	cutter   *cut.Cutter
	support  *support.Plan
	copies   []geom.Point // where the copies are, but for the first
	shade    []geom.Point // see shade
	moves    []geom.Point // of those that are cut together with it
	objects  []mesh.Box   // in the build volume; nil is one
	skips    path.Skips
	info     Info
	memory   Memory
	vault    *vault.Vault
	once     atomic.Bool
	spent    bool
	busy     atomic.Bool
	repairs  atomic.Pointer[cut.Repairs]
}

// String says nothing of the job.
func (j *Job) String() string { return "job" }

// GoString says nothing of the job.
func (j *Job) GoString() string { return "job" }

// LogValue says nothing of the job.
func (j *Job) LogValue() slog.Value { return slog.StringValue("job") }

// Open reads a model of size bytes from r into v, to the very end of r, and prepares
// to slice it. Besides the errors above it returns ErrSettings, those of r and that
// of ctx. After an error nothing of the model is left in v.
func Open(ctx context.Context, v *vault.Vault, r io.Reader, size int64, f Format, s Settings) (*Job, error) {
	return OpenSecure(ctx, v, r, size, f, s, nil)
}

// OpenSecure is Open with the content keys of a 3MF file of which parts are encrypted.
// It returns secure.ErrKey and secure.ErrAltered as well.
func OpenSecure(ctx context.Context, v *vault.Vault, r io.Reader, size int64, f Format, s Settings, keys secure.Keys) (*Job, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	mark := v.Mark()
	j, err := open(ctx, v, r, size, f, s, keys)
	if err != nil {
		v.Release(mark)
		return nil, fmt.Errorf("open job: %w", err)
	}
	return j, nil
}

// placed reads a model, transforms it, and places its first copy; the others are where
// places say.
func placed(ctx context.Context, v *vault.Vault, r io.Reader, size int64, f Format, s Settings, keys secure.Keys) (m *mesh.Mesh, places []geom.Point, err error) {
	if m, err = mesh.LoadSecure(ctx, v, r, size, f, keys); err != nil {
		return nil, nil, err
	}
	if err := m.Apply(s.Transform); err != nil {
		return nil, nil, err
	}
	if err := m.Place(s.Build); err != nil {
		return nil, nil, err
	}
	places, ok := arrange(s.Copies, m.Bounds(), s.Build, s.apart())
	if !ok {
		return nil, nil, ErrOutOfReach
	}
	m.Move(places[0].X, places[0].Y)
	return m, places, nil
}

func open(ctx context.Context, v *vault.Vault, r io.Reader, size int64, f Format, s Settings, keys secure.Keys) (*Job, error) {
	m, places, err := placed(ctx, v, r, size, f, s, keys)
	if err != nil {
		return nil, err
	}
	moves := relative(places)
	adapt := s.adapt()
	stack, err := adapt.Stack(v, m)
	if err != nil {
		return nil, err
	}
	c, err := cut.New(v, m, stack)
	if err != nil {
		return nil, err
	}
	if c.Layers() == 0 {
		return nil, ErrGeometry
	}
	if err := s.sequenceError(m.Bounds().Max.Z - m.Bounds().Min.Z + s.Adhesion.Raft.Rise()); err != nil {
		return nil, err
	}
	all, together, layers := moves, moves, c.Layers()+s.Adhesion.Raft.Layers
	if s.Sequence.On { // every copy is cut as the first
		together, layers = nil, layers*len(places)
	}
	c.Repeat(together)
	if err := pipe.CheckSpiral(ctx, c, s.pipe()); err != nil {
		return nil, err
	}
	plan, err := planSupport(v, m, s)
	if err != nil {
		return nil, err
	}
	j := &Job{settings: s, cutter: c, vault: v, support: plan, shade: shade(m, plan, s), moves: together, copies: all, objects: boxes(m, all), info: Info{
		Layers: layers, Triangles: len(m.Triangles()), Bodies: m.Bodies(), Copies: len(places),
		Bounds: around(m.Bounds(), moves), Volume: m.Volume() * unit.Volume(len(places)),
		Surface: m.Surface() * mesh.Area(len(places)), Repairs: m.Repairs(), Notes: m.Notes(),
	}}
	points, contour := c.Most()
	v.Trim()
	j.memory = Memory{Model: v.Stats().Used, Layers: j.pipe().Memory(points, contour, j.info.Bounds)}
	return j, j.fits(c)
}

// Info returns what is known of the job.
func (j *Job) Info() Info { return j.info }

// Memory is what a job takes of the machine, in bytes. It is design data.
type Memory struct {
	Model  int64 // in the vault: the mesh, the order to cut it in, and where support goes
	Layers int64 // beside it at most while it is sliced: layers in flight, and scratch
}

// String says nothing of the job.
func (Memory) String() string { return "job memory" }

// GoString says nothing of the job.
func (Memory) GoString() string { return "job memory" }

// LogValue says nothing of the job.
func (Memory) LogValue() slog.Value { return slog.StringValue("job memory") }

// Memory tells what the job takes, before anything is sliced.
func (j *Job) Memory() Memory { return j.memory }

// ErrMemory reports a job whose layers would take more memory than there is.
var ErrMemory = errors.New("its layers need more memory than the printer has for them: simplify the model, print fewer copies or larger layers")

// Fits returns an ErrMemory that says how much is needed and how much is allowed, in
// MiB, if the layers of the job could take more than limit bytes.
func (j *Job) Fits(limit int64) error {
	if need := j.memory.Layers; need > limit {
		return fmt.Errorf("%w (%d MiB, allowed are %d MiB)", ErrMemory, (need+1<<20-1)>>20, limit>>20)
	}
	return nil
}

// CutRepairs tells what was repaired in the outlines of the latest loop that has
// ended.
func (j *Job) CutRepairs() cut.Repairs {
	if r := j.repairs.Load(); r != nil {
		return *r
	}
	return cut.Repairs{}
}

// pipe says how the layers of the job are made.
func (j *Job) pipe() pipe.Params {
	p := j.settings.pipe()
	p.Stack = j.cutter.Stack()
	p.Support = j.settings.support(j.support, j.moves)
	p.Adhesion.Shade = j.shade
	return p
}

// Once says that the next loop over the job is the last one: the memory of the model
// goes back to the system while it is printed. A loop after that gets ErrSpent. A program
// whose copies are printed one after the other keeps it until it comes to the last of them.
func (j *Job) Once() { j.once.Store(true) }

// ErrSpent reports a loop over a job after the last one.
var ErrSpent = errors.New("the job was sliced for the last time: its model is gone")

// Layers yields the layers from the lowest up. A layer is good until the loop body
// returns. At most one error comes, as the last pair: that of ctx, ErrBusy, or a
// layer that is beyond repair. One loop over a job at a time, Program included.
func (j *Job) Layers(ctx context.Context) iter.Seq2[*Layer, error] { return j.layers(ctx, true) }

// layers is one loop; last says that a job that is printed once needs no other.
func (j *Job) layers(ctx context.Context, last bool) iter.Seq2[*Layer, error] {
	return func(yield func(*Layer, error) bool) {
		if !j.busy.CompareAndSwap(false, true) {
			yield(nil, ErrBusy)
			return
		}
		defer func() {
			r := j.cutter.Repairs() // no stage runs any more
			j.repairs.Store(&r)
			j.busy.Store(false)
		}()
		if j.spent {
			yield(nil, ErrSpent)
			return
		}
		if j.spent = last && j.once.Load(); j.spent {
			j.cutter.Spend(j.vault)
		}
		arena := j.vault.NewArena()
		defer arena.Close()
		p := j.pipe()
		p.Arena = arena
		for l, err := range pipe.Layers(ctx, j.cutter, p) {
			if !yield(l, err) {
				return
			}
		}
	}
}

// Program yields the operations that print the job, from heating up to switching
// everything off. The first come before any layer is sliced, so that the machine
// warms up meanwhile. Errors are those of Layers.
func (j *Job) Program(ctx context.Context) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		p := j.settings.path()
		p.Layers, p.Objects, p.Skips = j.cutter.Layers(), j.objects, &j.skips
		pl := path.New(p, func(op motion.Op) bool { return yield(op, nil) })
		arena := j.vault.NewArena()
		defer arena.Close()
		defer pl.Wipe()
		if !pl.Begin() {
			return
		}
		passes := 1 + len(j.copies) - len(j.moves)
		for k := range passes {
			if parts := len(j.objects) / passes; passes > 1 && !pl.Next(k*parts+1, parts, j.copy(k)) {
				return
			}
			for l, err := range j.layers(ctx, k == passes-1) {
				if err != nil {
					yield(motion.Op{}, err)
					return
				}
				if !pl.Layer(l) {
					return
				}
				pl.Keep(arena)
			}
		}
		pl.End()
	}
}

// copy is how far copy k, from 0, is from the first.
func (j *Job) copy(k int) geom.Point {
	if k == 0 {
		return geom.Point{}
	}
	return j.copies[k-1]
}
