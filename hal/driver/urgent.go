package driver

import "golang.org/x/sys/unix"

// hurry lets the owner's thread go before all others that share its processors. It takes
// little of their time: a controller's planner holds some 20 ms of moves, and a turn
// of the kernel's scheduler among busy threads takes several of them. With other processes
// on all cores, a wire that is nearly full and moves of 1.3 ms, the planner ran dry 21 times
// in 6,000 moves with a high priority alone, and 5 times with a short slice as well. Not a
// real-time class: Go's runtime may have one thread wait for what another of this process
// holds, and that one must come to its turn as well.
//
// The slice is the shortest there is (sched_setattr(2): Linux 6.12 and later) and needs no
// right. The priority needs CAP_SYS_NICE or a limit that allows it (RLIMIT_NICE; LimitNICE=-20
// of systemd).
func (o *owner) hurry() {
	brief := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: -20, Runtime: 100_000}
	err := unix.SchedSetAttr(0, &brief, 0) // 0 is the calling thread
	if err != nil {
		o.log.Debug("the owner of the port has no priority: raise LimitNICE", "error", err)
		brief.Nice = 0
		err = unix.SchedSetAttr(0, &brief, 0)
	}
	if err != nil {
		o.log.Debug("the owner of the port has no slice of its own", "error", err)
	}
}
