package audit

import (
	"testing"
	"testing/synctest"
	"time"

	"platen/updater/updatertest"
)

// Of a day's heads exactly two dozen are counted, after a restart too, and those of grants
// and revocations besides, at once.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newSoft(t), updatertest.NewDisk()
		_, before := s.tally()
		counts := func(l *Log, e Entry) uint64 {
			_, was := s.tally()
			add(t, l, e)
			head(t, l)
			_, is := s.tally()
			return is - was
		}
		l := open(t, d, s)
		for i := range 2 * maxTokens {
			counts(l, job(i))
			time.Sleep(time.Minute)
		}
		if _, n := s.tally(); n-before != maxTokens {
			t.Errorf("%d heads of a day were counted, not %d", n-before, maxTokens)
		}
		for i, event := range []Event{Grant, Revoke} {
			add(t, l, Entry{Event: event, Recipient: "ac", Serial: 1})
			if !l.due() {
				t.Errorf("%s is not signed at once", event)
			}
			if n := counts(l, job(100+i)); n != 1 || l.due() {
				t.Errorf("the head of a %s was counted %d times", event, n)
			}
		}
		add(t, l, job(200))
		if l.due() {
			t.Error("control: a job is signed at once")
		}
		if n := counts(l, job(201)); n != 0 {
			t.Errorf("counted %d over the budget", n)
		}
		l = open(t, d, s)
		if n := counts(l, job(202)); n != 0 {
			t.Errorf("counted %d over the budget after a restart", n)
		}
		time.Sleep(tokenTime)
		if n := counts(l, job(203)); n != 1 {
			t.Errorf("the next day: counted %d times", n)
		}
	})
}
