package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"runtime/debug"

	"platen/agent/seam"
	"platen/boards"
	"platen/hal/bgcode"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/slicer"
	"platen/slicer/plate"
	"platen/slicer/vault"
)

// loaded is a job that has been read: what it takes to print it.
type loaded struct {
	// program returns all of it, still to be guarded; what watch is given is the print
	// itself, without what the board says goes around it.
	program func(ctx context.Context, watch func(motion.Program) motion.Program) motion.Program
	board   *boards.Board
	layers  int32                 // 0 if it is not known
	ops     int64                 // 0 if it is not known
	skip    func(object int) bool // nil if objects are not known
}

// headSize is how much of a file is looked at to tell what it is.
const headSize = 512

// kind is what a file is by its beginning.
type kind uint8

const (
	kindModel   kind = iota // or nothing that can be printed
	kindGCode               // as text or binary
	kindPackage             // a zip archive: a model, or plates of G-code
)

// sniff reads the beginning of r; what it returns reads all of r.
func sniff(r io.Reader) (k kind, all io.Reader, err error) {
	var head [headSize]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return kindModel, nil, err
	}
	switch {
	case plate.Is(head[:n]):
		k = kindPackage
	case bgcode.Is(head[:n]) || gcodefile.Looks(head[:n]):
		k = kindGCode
	}
	return k, io.MultiReader(bytes.NewReader(head[:n]), r), nil
}

// loadFile reads a pre-sliced file of size bytes into the vault, where it stays while
// it is printed, and reads all of it once before anything is heated: what is refused
// is refused here.
func (s *session) loadFile(ctx context.Context, r io.Reader, size uint64) (*loaded, error) {
	text, err := s.whole(r, size)
	if err != nil {
		return nil, err
	}
	open, err := s.opener(text)
	if err != nil {
		return nil, err
	}
	return s.checked(ctx, open)
}

// whole reads all of a file into the vault.
func (s *session) whole(r io.Reader, size uint64) ([]byte, error) {
	if size > math.MaxInt {
		return nil, slicer.ErrTooBig
	}
	text, err := vault.Alloc[byte](s.vault, int(size))
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, cutOff(err)
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return nil, cutOff(err)
	}
	return text, nil
}

// loadPlate reads a package with G-code as loadFile reads that: it stays in the vault as
// it came, and its plate is decompressed whenever it is read. The job is nil if there is
// no G-code in it; nothing of it is in the vault then.
func (s *session) loadPlate(ctx context.Context, r io.Reader, st *seam.Start) (*loaded, error) {
	mark := s.vault.Mark()
	file, err := s.whole(r, st.Size)
	if err != nil {
		return nil, err
	}
	p, err := plate.Open(s.vault, file)
	if err != nil {
		return nil, err
	}
	if p == nil {
		s.vault.Release(mark)
		return nil, nil
	}
	n, err := p.Choose(int(st.Plate))
	if err != nil {
		return nil, err
	}
	return s.checked(ctx, func() io.Reader { return p.Reader(n) })
}

// checked reads all of a program of G-code, which open begins anew, before it is said to
// be loaded.
func (s *session) checked(ctx context.Context, open func() io.Reader) (*loaded, error) {
	if s.profile != nil {
		return nil, errProfile // it says how models are sliced
	}
	o := s.cfg.Board.GCode()
	summary, err := gcodefile.Check(within{ctx, open()}, o)
	if err != nil {
		return nil, err
	}
	if summary.Ops == 0 {
		return nil, slicer.ErrFormat
	}
	return &loaded{
		program: func(_ context.Context, watch func(motion.Program) motion.Program) motion.Program {
			return watch(gcodefile.Program(open(), o))
		},
		board: s.cfg.Board, layers: summary.Layers, ops: summary.Ops,
	}, nil
}

// opener returns what reads the G-code of a file from its beginning.
func (s *session) opener(file []byte) (func() io.Reader, error) {
	if !bgcode.Is(file) {
		return func() io.Reader { return bytes.NewReader(file) }, nil
	}
	mem, err := vault.Alloc[byte](s.vault, bgcode.Memory)
	if err != nil {
		return nil, err
	}
	return func() io.Reader {
		r, err := bgcode.NewReader(bytes.NewReader(file), mem)
		if err != nil {
			return failing{err}
		}
		return r
	}, nil
}

// cutOff turns the end of a file that is not where it was said to be into
// slicer.ErrFormat.
func cutOff(err error) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return slicer.ErrFormat
	}
	return err
}

// failing reads as an error.
type failing struct{ err error }

// Read fails.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// within ends the reading of r with ctx.
type within struct {
	ctx context.Context
	r   io.Reader
}

// Read reads unless ctx has ended.
func (w within) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}

// errNoModels reports a model for a board that has no hot end.
var errNoModels = errors.New("the board prints no models")

// layersLimit is how many bytes the layers of a job may take beside the vault: three
// quarters of what the process is allowed (see GOMEMLIMIT), if it is told.
func layersLimit() int64 {
	limit := debug.SetMemoryLimit(-1)
	return limit - limit/4
}

// loadModel reads a model into the vault. The board's macros go before and after it:
// they, and not the slicer, say how this machine warms up and ends.
func (s *session) loadModel(ctx context.Context, r io.Reader, st *seam.Start) (*loaded, error) {
	if !s.cfg.Board.Prints() {
		return nil, errNoModels
	}
	if st.Plate != 0 {
		return nil, plate.ErrChoose
	}
	settings, b, err := s.settings(st.Sealed)
	if err != nil {
		return nil, err
	}
	job, err := slicer.OpenSecure(ctx, s.vault, r, int64(st.Size), slicer.Detect, settings, s.keys)
	if errors.Is(err, slicer.ErrSettings) && s.profile != nil {
		return nil, errProfile // they do not suit this model
	}
	if err != nil {
		return nil, err
	}
	if err := job.Fits(layersLimit()); err != nil {
		return nil, err
	}
	job.Once()
	return &loaded{
		program: func(ctx context.Context, watch func(motion.Program) motion.Program) motion.Program {
			return b.Sequence(gcodefile.State{}).Macro(boards.MacroStart).Program(watch(job.Program(ctx))).Macro(boards.MacroEnd).Ops()
		},
		board: b, layers: int32(job.Info().Layers), skip: job.Skip,
	}, nil
}
