package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"platen/agent/intake"
	"platen/agent/intake/stick"
)

// Bounds of what is done for a USB stick.
const (
	mostSticks = 4
	stickEvery = 2 * time.Second  // how often is looked which are there
	stickTime  = 30 * time.Second // for looking through one
	stickRate  = 128 << 10        // bytes of a sealed file that must come in a second, over all of it
)

var (
	errNoUSB      = &refusal{"usb-off", "USB sticks are not read: set usb = true in the configuration"}
	errStickBusy  = &refusal{"usb-busy", "a stick is being read: ask again when that is done"}
	errNoStick    = &refusal{"usb-none", "no USB stick is there: plug one in"}
	errNotOnStick = &refusal{"usb-job", "no stick has a ticket of that job that the printer trusts: see platen usb"}
	errManyJobs   = &refusal{"usb-job", "several jobs on the sticks begin like that: give more of the id"}
)

// openStick is a stick that was looked through.
type openStick struct {
	name  string
	stick *stick.Stick
	jobs  []stickJob
	err   error // why it is not read
}

// stickJob is a job on a stick, as far as its ticket says.
type stickJob struct {
	stick.Job
	ticket intake.Ticket // zero if no operator that is trusted has signed it
	err    error         // why it is not printed
}

// id is the job's, "" of a ticket that cannot be trusted.
func (j stickJob) id() string { return fmt.Sprintf("%x", []byte(j.ticket.Job)) }

// withSticks looks through the sticks that are there and calls f with them, while they are
// open. The context of what is read of them ends after stickTime, unless f asks for more.
func (a *Agent) withSticks(ctx context.Context, f func(sticks []openStick, more func(time.Duration)) error) error {
	if !a.cfg.USB {
		return errNoUSB
	}
	if !a.usb.TryLock() {
		return errStickBusy
	}
	defer a.usb.Unlock()
	found, err := stick.Find(a.cfg.Sys, a.cfg.Dev)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := time.AfterFunc(stickTime, cancel)
	defer end.Stop()
	var sticks []openStick
	for _, d := range found[:min(len(found), mostSticks)] {
		s := openStick{name: d.Name}
		var o opened
		if o, s.err = openInTime(ctx, d); s.err == nil {
			defer o.file.Close() // once no read is under way any more
			s.stick, s.err = stick.Open(ctx, punctual{ctx, o.file}, o.size, o.sector)
		}
		if s.err == nil {
			for _, j := range s.stick.Jobs() {
				s.jobs = append(s.jobs, a.judge(ctx, s.stick, j))
			}
		}
		sticks = append(sticks, s)
	}
	return f(sticks, func(d time.Duration) { end.Reset(d) })
}

// judge says what of a job on a stick can be said before its sealed file is read: its ticket
// is verified, and then its sealed file is looked for.
func (a *Agent) judge(ctx context.Context, s *stick.Stick, j stick.Job) stickJob {
	out := stickJob{Job: j}
	envelope, err := s.Envelope(j, intake.MaxTicket)
	if err == nil {
		out.ticket, err = a.admit(ctx, envelope)
	}
	if out.err = err; err != nil {
		return out
	}
	if out.ticket.Size > int64(a.cfg.MaxJob) {
		out.err = intake.ErrTooBig
		return out
	}
	_, out.err = s.Sealed(j, out.ticket.Size)
	return out
}

// sticks lists what is on the sticks that are there.
func (a *Agent) sticks(ctx context.Context, reply func(intake.Reply) error) error {
	return a.withSticks(ctx, func(sticks []openStick, _ func(time.Duration)) error {
		view, n := []intake.StickView{}, 0
		for _, s := range sticks {
			v := intake.StickView{Name: s.name, Jobs: []intake.StickJob{}}
			if v.Code, v.Why = why(s.err); s.err == nil {
				v.More = s.stick.More
			}
			for _, j := range s.jobs {
				if n++; n > intake.MostStickJobs {
					v.More = true
					break
				}
				w := intake.StickJob{ID: j.id(), Size: j.Size, Copies: j.ticket.Copies, NotAfter: j.ticket.NotAfter}
				w.Code, w.Why = why(j.err)
				v.Jobs = append(v.Jobs, w)
			}
			view = append(view, v)
		}
		return reply(intake.Reply{Sticks: view})
	})
}

// why is an error's code and text.
func why(err error) (code, text string) {
	if err == nil {
		return "", ""
	}
	return errorCode(err), err.Error()
}

// fromStick finds the job on a stick that a request asks for and calls take with its ticket
// and its sealed file, which is read in there, once. Neither is trusted for having been
// judged: whoever takes them verifies the ticket, and holds the bytes that it keeps against it.
func (a *Agent) fromStick(ctx context.Context, req intake.Request, take func(envelope []byte, file io.Reader, size int64) error) error {
	return a.withSticks(ctx, func(sticks []openStick, more func(time.Duration)) error {
		s, j, err := choose(sticks, req.Job)
		if err != nil {
			return err
		}
		if e, ok := errors.AsType[*intake.TicketError](j.err); j.err != nil && !(ok && e.Code == "copies" && req.Resume) {
			return j.err // whether a copy that was broken goes on is not judged here
		}
		envelope, err := s.Envelope(j.Job, intake.MaxTicket)
		if err != nil {
			return err
		}
		file, err := s.Sealed(j.Job, j.ticket.Size)
		if err != nil {
			return err
		}
		more(stickTime + time.Duration(j.ticket.Size/stickRate)*time.Second)
		return take(envelope, file, j.ticket.Size)
	})
}

// choose finds a job by what its id begins with. A job that can be printed goes before the
// same one that cannot.
func choose(sticks []openStick, id string) (*stick.Stick, stickJob, error) {
	var from *stick.Stick
	var got stickJob
	for _, s := range sticks {
		for _, j := range s.jobs {
			switch {
			case id == "" || j.id() == "" || !strings.HasPrefix(j.id(), id):
			case from == nil, got.id() == j.id() && got.err != nil:
				from, got = s.stick, j
			case got.id() != j.id():
				return nil, stickJob{}, errManyJobs
			}
		}
	}
	if from != nil {
		return from, got, nil
	}
	err := error(errNoStick)
	for _, s := range sticks {
		if err = errNotOnStick; s.err != nil {
			return nil, stickJob{}, s.err
		}
	}
	return nil, stickJob{}, err
}

// watchSticks logs sticks that come and go. It opens none: nothing is read of a stick until
// somebody at the printer asks for it.
func (a *Agent) watchSticks(ctx context.Context) error {
	tick := time.NewTicker(stickEvery)
	defer tick.Stop()
	var had []string
	for {
		now := a.stickNames()
		for _, name := range now {
			if !slices.Contains(had, name) {
				a.log.Info("usb stick there", "device", name)
			}
		}
		for _, name := range had {
			if !slices.Contains(now, name) {
				a.log.Info("usb stick gone", "device", name)
			}
		}
		had = now
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stickNames are the sticks that are there, as far as they are looked at, as the kernel
// calls them.
func (a *Agent) stickNames() (names []string) {
	if !a.cfg.USB {
		return nil
	}
	found, _ := stick.Find(a.cfg.Sys, a.cfg.Dev) // what cannot be looked for is not there
	for _, d := range found[:min(len(found), mostSticks)] {
		names = append(names, d.Name)
	}
	return names
}
