package pid1

import "time"

// aside is a program that runs beside the launcher, without which the board goes on: when it
// ends it is started again, after a while.
type aside struct {
	args  []string // nil: none
	pid   int
	wait  time.Duration    // before it is started again, longer each time
	again <-chan time.Time // when that is; nil: it runs
}

func (a *aside) later() {
	a.wait = min(max(2*a.wait, firstWait), maxWait)
	a.again = time.After(a.wait)
}

// start starts it, or says when that is tried again.
func (a *aside) start() error {
	if a.again = nil; a.args == nil {
		return nil
	}
	var err error
	if a.pid, err = start(a.args); err != nil {
		a.later()
	}
	return err
}

// ended takes note of the processes that have ended.
func (a *aside) ended(gone map[int]string) {
	if _, ok := gone[a.pid]; ok && a.pid != 0 {
		a.pid = 0
		a.later()
	}
}
