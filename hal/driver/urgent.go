package driver

import "golang.org/x/sys/unix"

// hurry lets the owner's thread go before all others that share its processors. It takes
// little of their time: a controller's planner holds some 20 ms of moves, and a turn
// of the kernel's scheduler among busy threads takes several of them. With other processes
// on all cores, a wire that is nearly full and moves of 1.3 ms, the planner ran dry in 0 of
// 6,000 moves in a real-time class, in 5 with a short slice, in 21 with a high priority alone.
//
// The real-time class is the lowest. What Go's runtime has the thread wait for is held by
// threads of the ordinary class for microseconds, and waiting is sleep, not a loop. Threads
// that come from it have the ordinary class again.
//
// It needs CAP_SYS_NICE, or RLIMIT_RTPRIO (LimitRTPRIO=1 of systemd). Without, the thread
// has the shortest slice there is (sched_setattr(2), sched(7): Linux 6.12 and later), and the
// best priority that RLIMIT_NICE allows.
func (o *owner) hurry() {
	first := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}
	if unix.SchedSetAttr(0, &first, 0) == nil { // 0 is the calling thread
		return
	}
	err := unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
	brief := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: -20, Runtime: 100_000}
	if err != nil {
		brief.Nice = 0
		o.log.Debug("the owner of the port has no priority: raise LimitRTPRIO or LimitNICE", "error", err)
	}
	if err := unix.SchedSetAttr(0, &brief, 0); err != nil {
		o.log.Debug("the owner of the port has no slice of its own", "error", err)
	}
}
