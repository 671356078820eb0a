package driver

import "golang.org/x/sys/unix"

// hurry lets the owner's thread go before all others that share its processors. It takes
// little of their time: a controller's planner holds some 20 ms of moves, and a turn
// of the kernel's scheduler among busy threads takes several of them. Not a real-time
// class: Go's runtime may have one thread wait for what another of this process holds,
// and that one must come to its turn as well.
//
// It needs CAP_SYS_NICE or a limit that allows it (RLIMIT_NICE; LimitNICE=-20 of systemd).
func (o *owner) hurry() {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, -20); err != nil { // 0 is the calling thread
		o.log.Debug("the owner of the port has no priority: raise LimitNICE", "error", err)
	}
}
