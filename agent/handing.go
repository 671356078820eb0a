package agent

import (
	"context"
	"errors"
	"os"
	"time"

	"platen/agent/seam"
)

// free says why the session cannot take a job now, if it cannot. The lock is held.
func (s *supervisor) free() error {
	switch {
	case s.none:
		return errNoSession
	case s.done != nil:
		return errBusy
	case s.going:
		return errGoing
	case s.foreign:
		return errForeign
	case s.conn == nil || s.ready == nil || s.trial || s.status.Phase == seam.PhaseFault:
		return errNotReady
	}
	return nil
}

// await waits until a session can take a job. It returns at once if another job has
// it.
func (s *supervisor) await(ctx context.Context) error {
	limit := time.After(readyTime)
	for {
		s.mu.Lock()
		err := s.free()
		s.mu.Unlock()
		if !errors.Is(err, errNotReady) {
			return err
		}
		select {
		case <-ctx.Done():
			return errStopping
		case <-limit:
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// along is what goes to the session with a job.
type along struct {
	keys    []seam.Key // of encrypted parts
	profile []byte     // how its model is sliced; not looked at here
}

// start hands a job to the session and returns the channel of its receipts, which
// is closed when the session has ended. count, if not nil, is called once nothing
// else is in the way; its error keeps the job from being started. The file key and the
// content keys are zeroed in any case.
func (s *supervisor) start(st *seam.Start, file *os.File, with along, count func() error) (<-chan seam.Receipt, error) {
	defer clear(st.FileKey[:])
	defer clear(with.keys)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.free(); err != nil {
		return nil, err
	}
	if count != nil {
		if err := count(); err != nil {
			return nil, err
		}
	}
	for i := range with.keys {
		if err := s.conn.Send(&with.keys[i], nil); err != nil {
			return nil, err
		}
	}
	for _, piece := range seam.Pieces(with.profile) {
		if err := s.conn.Send(&piece, nil); err != nil {
			return nil, err
		}
	}
	if err := s.conn.Send(st, file); err != nil {
		return nil, err
	}
	s.job, s.told, s.done, s.clear = st.Job, 0, make(chan seam.Receipt, 2), false
	if s.onStart != nil {
		s.onStart(st.Job)
	}
	return s.done, nil
}

// command sends a command to the session.
func (s *supervisor) command(k seam.Kind) error {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return errNotReady
	}
	return conn.Send(&seam.Command{Kind: k}, nil)
}

// jobCommand sends a command that only makes sense while a job runs.
func (s *supervisor) jobCommand(k seam.Kind) error {
	if _, ready, busy := s.snapshot(); !busy && ready != (seam.Ready{}) {
		return errNoJob
	}
	return s.command(k)
}

// skip leaves out an object of the job that runs.
func (s *supervisor) skip(object uint16) error {
	if object == 0 {
		return errors.New("objects are numbered from 1")
	}
	s.mu.Lock()
	conn, working := s.conn, s.working()
	s.mu.Unlock()
	switch {
	case conn == nil:
		return errNotReady
	case !working:
		return errNoJob
	}
	return conn.Send(&seam.Skip{Object: object}, nil)
}
