package gcode

import "time"

// Handle takes one reply. It returns ErrReset or ErrLost when the link is over.
func (l *Link) Handle(r *Reply, now time.Time) error {
	switch r.Kind {
	case OK:
		l.ok(r, now)
	case Resend:
		l.swallow = true
		return l.resend(r.Line, now)
	case Refusal:
		// Marlin 1 refuses a line without its number and asks for none.
		if l.doubted(); r.Line >= 0 {
			return l.resend(r.Line, now)
		}
	case Note:
		l.doubted()
	case Busy:
		l.keepalive = true
		l.last, l.probes, l.queries = now, 0, 0
	case Report:
		if r.Waiting {
			l.last, l.probes, l.queries = now, 0, 0
		}
	case Wait:
		// The controller has had nothing to do for a second: what is in flight is lost.
		if now.Sub(l.last) >= l.cfg.Stall/5 {
			l.last = now.Add(-l.patience())
		}
	case Start:
		return ErrReset
	case Garbage:
		l.stats.Spurious++
		l.fault()
		l.doubted()
	}
	return nil
}

// doubted notes that something has come that could have been a Resend once: the ok
// that follows it may be that of the Resend, and not of a line that was taken. Until
// the next proof of a line nothing is written ahead on the strength of an ok.
func (l *Link) doubted() {
	if l.cfg.Window == WindowTail && (l.send-1 > l.acked || l.ahead > 0) {
		l.doubt = true
		l.takeBack()
	}
}

func (l *Link) ok(r *Reply, now time.Time) {
	if l.swallow {
		l.swallow = false
		if r.Line < 0 && r.NTemps == 0 {
			return
		}
	}
	if r.Queue >= 0 {
		l.learnQueue(r.Queue)
	}
	switch {
	case r.Line >= 0:
		if r.Line <= l.prove || r.Line >= l.send || l.recovering && r.Line >= l.want {
			l.spurious()
			return
		}
		l.named(r.Line, now)
	case r.NTemps > 0:
		n := l.prove + 1
		for n < l.send && !l.ring[n%ringLines].sync {
			n++
		}
		if n >= l.send || l.recovering && n >= l.want {
			l.spurious()
			return
		}
		l.proven(n, now)
	default:
		l.plainOK(now)
	}
}

// named takes the number of an ok. It is proof if it is that of the oldest line in
// flight. A later one means that oks were lost, or that a digit was damaged, for which
// the next ok vouches.
func (l *Link) named(n int32, now time.Time) {
	if n == l.acked+1 || n == l.claim+1 && l.claim > l.prove {
		l.proven(n, now)
		return
	}
	l.claim = n
	l.fault()
}

// plainOK counts an ok without a name for the oldest line in flight, unless that is
// a sync line, whose answer would carry temperatures.
func (l *Link) plainOK(now time.Time) {
	head := l.acked + 1
	if head >= l.send || l.ring[head%ringLines].sync || l.recovering && head >= l.want {
		l.spurious()
		return
	}
	l.acked = head
	l.last, l.probes, l.queries = now, 0, 0
	if head >= l.want && !l.fresh {
		l.careful = false
	}
}

func (l *Link) spurious() {
	if l.bare > 0 {
		l.bare--
		return
	}
	l.stats.Spurious++
	l.fault()
}

// proven takes n as executed, and with it every line before. Answers come in
// order, so that nothing after n can have been answered yet: oks that were counted
// beyond it were false.
func (l *Link) proven(n int32, now time.Time) {
	l.sound += int(n - l.prove)
	l.prove, l.acked, l.claim, l.doubt = n, n, -1, false
	l.last, l.probes, l.queries, l.futile, l.absurd = now, 0, 0, 0, 0
	l.storm = 0
	l.sinceSync = int(l.next - 1 - n)
	if l.clean {
		l.syncEvery = min(2*l.syncEvery, l.cfg.SyncEvery)
	}
	l.clean = true
	if l.fresh && n >= 1 {
		l.fresh = false
	}
	if !l.fresh && n >= l.want {
		l.careful = false
	}
	if l.wrapping && n == l.next-1 {
		l.Restart(now)
	}
}

// learnQueue widens the window to what ADVANCED_OK says of an empty queue. A single
// damaged digit must not: the same number has to come twice.
func (l *Link) learnQueue(free int16) {
	if free == l.queueSeen && int(free) > l.cfg.Lines && free <= 32 {
		l.cfg.Lines = int(free)
	}
	l.queueSeen = free
}

// resend notes that the controller waits for line r. It has refused or thrown away
// everything after that; what is still on the wire will be refused as well.
func (l *Link) resend(r int32, now time.Time) error {
	l.stats.Resends++
	l.fault()
	l.takeBack()
	l.last = now
	if l.fresh {
		// Before M110 has arrived the number asked for is of the past.
		if r != 1 {
			r = 0
		} else {
			l.acked = max(l.acked, 0)
		}
	} else if r <= l.prove || r > l.next {
		return l.impossible(r)
	}
	if r != l.want {
		l.futile = 0
	}
	l.futile++
	l.storm++
	if l.futile > maxFutile || l.storm > maxStorm {
		return ErrLost
	}
	l.probes = 0 // it listens
	queried := l.queryOut
	if queried {
		l.queries++
	}
	l.queryDue, l.queryOut = false, false
	l.want = r
	l.recovering, l.careful = true, true
	l.quietUntil = now
	if l.send-r > 1 || queried {
		l.quietUntil = now.Add(l.cfg.Quiet) // else nothing else is on the wire
	}
	return nil
}

// impossible deals with a Resend for a line that is proven or was never sent: a
// damaged digit, or a controller that has started anew unnoticed. Asking again
// tells which.
func (l *Link) impossible(r int32) error {
	l.stats.Spurious++
	if l.absurd++; l.absurd >= maxAbsurd {
		if r <= 1 {
			return ErrReset
		}
		return ErrLost
	}
	l.queryDue, l.queryOut = true, false
	return nil
}

// rewind ends the quiet after a Resend: sending goes on at the line wanted.
func (l *Link) rewind() {
	l.recovering = false
	l.acked = min(l.acked, l.want-1)
	l.send = l.want
	// A question was answered, and yet lines before the one wanted have no ok. Their
	// oks are lost, since a controller at work would have said that it is busy; one
	// that never says so is asked twice.
	if l.queries >= 2 || l.queries == 1 && l.keepalive {
		l.queries = 0
		for n := l.acked + 1; n < l.want; n++ {
			l.ring[n%ringLines].sync = false
		}
		l.acked = l.want - 1
		if l.lastSync < l.want {
			l.lastSync = l.prove
		}
		l.syncDue = true
	}
}
