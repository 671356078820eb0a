package sim

import "time"

// mk3State is what the firmware says that it is busy with.
type mk3State uint8

const (
	mk3Idle mk3State = iota
	mk3Working
	mk3Paused
)

// What M155 C reports.
const (
	reportTemp = 1 << iota
	reportFans
	reportPose
)

// mk3Notice is what comes unasked.
type mk3Notice struct {
	state     mk3State
	busyEvery time.Duration // M113; 0 is never
	busyAt    time.Duration
	every     time.Duration // M155; 0 is never
	at        time.Duration
	mask      int
}

// next is when the next notice is due.
func (n *mk3Notice) next(*mk3) time.Duration {
	t := never
	if n.state != mk3Idle && n.busyEvery > 0 {
		t = n.busyAt
	}
	if n.every > 0 {
		t = min(t, n.at)
	}
	return t
}

// tick sends the notices that are due: host_autoreport and host_keepalive.
func (n *mk3Notice) tick(m *mk3) {
	if n.every > 0 && m.now >= n.at {
		n.at = m.now + n.every
		if n.mask&reportTemp != 0 {
			m.print(m.temperatures() + "\n")
		}
		if n.mask&reportPose != 0 {
			m.reportPosition()
		}
		if n.mask&reportFans != 0 {
			m.reportFans()
		}
	}
	switch {
	case n.state == mk3Idle || n.busyEvery == 0:
		n.busyAt = m.now + n.busyEvery
	case m.now >= n.busyAt:
		n.busyAt = m.now + n.busyEvery
		if n.state == mk3Paused {
			m.print("echo:busy: paused for user\n")
		} else {
			m.print("echo:busy: processing\n")
		}
	}
}
