package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"filippo.io/age"

	"platen/agent/confine"
	"platen/agent/seam"
	"platen/boards"
	"platen/hal"
	"platen/hal/bgcode"
	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/slicer"
	"platen/slicer/plate"
	"platen/slicer/secure"
)

// coolTime bounds how long the machine may take to park and cool after a job that
// did not end by itself.
const coolTime = 30 * time.Second

// errSealed reports a sealed file that does not open or was altered.
var errSealed = errors.New("the sealed file does not open")

// job is one job from its first byte to its last receipt. The session ends with it,
// whatever comes of it, so that an error is returned for the log only.
func (s *session) job(ctx context.Context, st *seam.Start, file *os.File) error {
	err := s.print(ctx, st, file)
	if d := s.duty.told(); d.N > 0 {
		if err := s.conn.Load().Send(&d, nil); err != nil {
			s.log.Warn("duty of the heaters not delivered")
		}
	}
	return s.conclude(ctx, seam.Receipt{Job: st.Job, Material: s.fed.bucket()}, err)
}

// conclude ends a job, or a self-test, with its last receipt.
func (s *session) conclude(ctx context.Context, r seam.Receipt, err error) error {
	r.Code = seam.CodeDone
	phase := seam.PhaseDone
	if s.testing { // no job is done by it
		phase = seam.PhaseTesting
	}
	switch {
	case err == nil:
	case ctx.Err() != nil && !errors.Is(err, hal.ErrHalted):
		r.Code, err = seam.CodeCancelled, nil
	default:
		if r.Code, r.Reason = judge(err); !errors.Is(err, errWarm) { // with which nothing is wrong
			phase = seam.PhaseFault
		}
	}
	if err := s.vault.Close(); err != nil {
		s.log.Error("vault not closed")
	}
	s.setPhase(phase)
	if serr := s.conn.Load().Send(&r, nil); serr != nil {
		s.log.Warn("receipt not delivered")
	}
	if err != nil {
		return fmt.Errorf("job %s: %s", r.Code, r.Reason)
	}
	return nil
}

// print reads the job, says so, and prints it.
func (s *session) print(ctx context.Context, st *seam.Start, file *os.File) error {
	if file == nil {
		return fmt.Errorf("%w: no descriptor came", slicer.ErrFormat)
	}
	if s.unfit != nil {
		return s.unfit
	}
	s.setPhase(seam.PhaseLoading)
	job, err := s.read(ctx, st, file)
	if err != nil {
		return err
	}
	if err := s.conn.Load().Send(&seam.Receipt{Job: st.Job, Code: seam.CodeLoaded}, nil); err != nil {
		s.log.Warn("receipt not delivered")
	}
	b := job.board
	s.progress.layers, s.progress.ops = job.layers, job.ops
	s.pause.board, s.pause.told, s.pause.park = b, s.held, s.marks.parked
	s.mu.Lock()
	s.skip = job.skip
	s.mu.Unlock()
	s.setPhase(seam.PhasePrinting)
	defer s.marks.end()
	prog := s.pause.hold(fresh(b, s.begun(ctx, job, st)), ctx.Done())
	err = s.machine.Run(ctx, s.marks.watch(s.fed.watch(envelope.Check(b.Limits, envelope.Fit(b.Limits, prog)))))
	if err != nil && !errors.Is(err, hal.ErrHalted) {
		s.cool()
	}
	return err
}

// begun is the program of a job, or what is left of it, and tells that it begins.
func (s *session) begun(ctx context.Context, job *loaded, st *seam.Start) motion.Program {
	prog := job.program(ctx, s.progress.watch)
	mark := seam.Layer{Layer: st.From, Mark: seam.MarkLayer}
	switch {
	case st.From > 0:
		prog = goOn(ctx, job.board, prog, place{int32(st.From), st.Parked})
	case job.layers == 0:
		mark.Mark = seam.MarkNone
	}
	s.marks.say(mark)
	return prog
}

// fresh has a job begin with the board's own acceleration and without pressure advance:
// a controller keeps what the job before it has set.
func fresh(b *boards.Board, prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		if b.Print.Accel > 0 && !yield(motion.Op{Kind: motion.SetAccel, Accel: b.Print.Accel}, nil) {
			return
		}
		for t := range b.Limits.Tools {
			if b.Limits.MaxAdvance > 0 && !yield(motion.Op{Kind: motion.SetAdvance, Tool: uint8(t)}, nil) {
				return
			}
		}
		prog(yield)
	}
}

// read opens the file if it is sealed and reads it into the vault. Afterwards the
// descriptor is closed and the file key zeroed.
func (s *session) read(ctx context.Context, st *seam.Start, file *os.File) (*loaded, error) {
	defer file.Close()
	defer clear(st.FileKey[:])
	defer clear(s.keys)
	r, err := plain(st, file)
	if err != nil {
		return nil, err
	}
	kind, r, err := sniff(r)
	if err != nil {
		return nil, err
	}
	if kind == kindGCode {
		return s.loadFile(ctx, r, st.Size)
	}
	if kind == kindPackage { // it is a model or G-code, and has to be read to tell
		job, err := s.loadPlate(ctx, r, st)
		if job != nil || err != nil {
			return job, err
		}
		if r, err = plain(st, io.NewSectionReader(file, 0, math.MaxInt64)); err != nil {
			return nil, err
		}
	}
	return s.loadModel(ctx, r, st)
}

// plain reads a job in clear.
func plain(st *seam.Start, file io.Reader) (io.Reader, error) {
	if !st.Sealed {
		return file, nil
	}
	r, err := age.Decrypt(file, age.NewInjectedFileKeyIdentity(st.FileKey[:]))
	if err != nil {
		return nil, errSealed
	}
	return sealedReader{r}, nil
}

// learn keeps a content key for the job that is to come.
func (s *session) learn(k *seam.Key) {
	if s.keys == nil {
		s.keys = make(secure.Keys, seam.MostKeys)
	}
	s.keys[k.Group] = k.Key
	clear(k.Key[:])
}

// sealedReader turns every error of decryption into errSealed: a chunk that was
// altered, and an end that was cut off.
type sealedReader struct{ r io.Reader }

// Read reads authenticated bytes.
func (r sealedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = errSealed
	}
	return n, err
}

// cool runs the board's macro for cancelled jobs if the machine is in the middle of
// a print, switches all heaters off and lets the motors go.
func (s *session) cool() {
	ctx, cancel := context.WithTimeout(context.Background(), coolTime)
	defer cancel()
	state := s.machine.State()
	err := s.machine.Run(ctx, func(yield func(motion.Op, error) bool) {
		for op, err := range s.pause.leave(s.hot(&state)) {
			if err != nil {
				s.log.Warn("macro for cancelled jobs left out")
				break
			}
			if !yield(op, nil) {
				return
			}
		}
		for _, h := range state.Heaters[:state.NHeaters] {
			if !yield(motion.Op{Kind: motion.SetHeater, Heater: h.ID}, nil) {
				return
			}
		}
		for i := range s.cfg.Board.Limits.Fans {
			if !yield(motion.Op{Kind: motion.SetFan, Index: uint8(i)}, nil) {
				return
			}
		}
		yield(motion.Op{Kind: motion.MotorsOff}, nil)
	})
	if err != nil {
		s.log.Warn("machine did not cool down in order; closing it")
	}
}

// hot reports whether the hot end that prints is hot enough to move filament. It is not
// after a pause that was so long that its heaters were switched off.
func (s *session) hot(st *hal.State) bool {
	h, ok := st.Heater(motion.HotEnd + motion.Heater(s.pause.at.Tool))
	return ok && h.Actual >= s.cfg.Board.Limits.MinExtrude
}

// judge maps the error of a job to what crosses the seam.
func judge(err error) (seam.Code, seam.Reason) {
	if r, ok := errors.AsType[*gcodefile.Refusal](err); ok && r.Reason != gcodefile.ReasonEnvelope && r.Reason != gcodefile.ReasonRead {
		return seam.CodeRefused, seam.ReasonGCode
	}
	for _, c := range []struct {
		is     error
		code   seam.Code
		reason seam.Reason
	}{
		{confine.ErrUnfit, seam.CodeRefused, seam.ReasonConfine},
		{errSealed, seam.CodeRefused, seam.ReasonDecrypt},
		{secure.ErrKey, seam.CodeRefused, seam.ReasonDecrypt},
		{secure.ErrAltered, seam.CodeRefused, seam.ReasonDecrypt},
		{slicer.ErrFormat, seam.CodeRefused, seam.ReasonFormat},
		{bgcode.ErrFormat, seam.CodeRefused, seam.ReasonFormat},
		{plate.ErrFormat, seam.CodeRefused, seam.ReasonFormat},
		{plate.ErrChoose, seam.CodeRefused, seam.ReasonPlate},
		{errProfile, seam.CodeRefused, seam.ReasonProfile},
		{errNoModels, seam.CodeRefused, seam.ReasonSlicing},
		{errRecover, seam.CodeRefused, seam.ReasonRecover},
		{errWarm, seam.CodeRefused, seam.ReasonWarm},
		{slicer.ErrGeometry, seam.CodeRefused, seam.ReasonGeometry},
		{slicer.ErrComplex, seam.CodeRefused, seam.ReasonGeometry},
		{slicer.ErrOutOfReach, seam.CodeRefused, seam.ReasonOutOfReach},
		{slicer.ErrTooBig, seam.CodeRefused, seam.ReasonTooBig},
		{slicer.ErrMemory, seam.CodeRefused, seam.ReasonTooBig},
		{slicer.ErrSettings, seam.CodeRefused, seam.ReasonEnvelope},
		{hal.ErrEnvelope, seam.CodeRefused, seam.ReasonEnvelope},
		{hal.ErrHalted, seam.CodeFault, seam.ReasonMachine},
		{hal.ErrDisconnected, seam.CodeFault, seam.ReasonMachine},
	} {
		if errors.Is(err, c.is) {
			return c.code, c.reason
		}
	}
	return seam.CodeFault, seam.ReasonInternal
}
