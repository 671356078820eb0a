package trust

import (
	"testing"
	"time"

	"platen/updater"
	"platen/updater/publish"
)

func TestExpiredChain(t *testing.T) {
	p := publish.DefaultPolicy()
	p.RootValid, p.TargetsValid = 10*24*time.Hour, 20*24*time.Hour
	p.TimestampValid = 40 * 24 * time.Hour
	p.SnapshotValid = p.TimestampValid
	l := newLabWith(t, p)
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	l.now = labStart.Add(11 * 24 * time.Hour)
	refused(t, c, updater.ErrExpired) // the root has expired
	if _, err := l.repo.Renew(nil, l.now); err != nil {
		t.Fatal(err)
	}
	mustRefresh(t, c, 1) // over the expired root to a valid one
	mustRefresh(t, l.client(), 1)
	l.now = labStart.Add(32 * 24 * time.Hour)
	refused(t, c, updater.ErrExpired)
}

func TestClock(t *testing.T) {
	l := newLab(t)
	l.release(1)
	old := l.read("timestamp.json")
	c := l.client()
	for name, lie := range map[string]time.Time{
		"2038":          time.Unix(1<<31, 0),
		"2106":          time.Unix(1<<32, 0),
		"9999":          time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		"before expiry": labStart, // control
	} {
		l.now = lie
		if name == "before expiry" {
			mustRefresh(t, c, 1)
			continue
		}
		refused(t, c, updater.ErrExpired)
	}
	l.now = labStart
	mustRefresh(t, c, 1) // a wrong clock leaves nothing behind
	l.now = labStart.Add(8 * 24 * time.Hour)
	l.publish()
	mustRefresh(t, c, 1)
	floor := c.Floor()
	l.now = time.Unix(0, 0)
	mustRefresh(t, c, 1) // believes the floor, not 1970
	// What had expired at the floor stays expired in 1970, even if the store is gone.
	l.serve("timestamp.json", old)
	wiped := l.client()
	if err := wiped.Raise(floor); err != nil {
		t.Fatal(err)
	}
	refused(t, wiped, updater.ErrExpired)
	mustRefresh(t, l.client(), 1) // control: without the floor it is believed
}

// TestFactoryClock: a printer fresh from the factory whose clock says 1970 believes
// the moment its root was signed; metadata that had expired by then stays expired.
func TestFactoryClock(t *testing.T) {
	l := newLab(t)
	l.release(1)
	old := l.read("timestamp.json")
	l.now = labStart.Add(100 * 24 * time.Hour)
	if _, err := l.repo.Renew(nil, l.now); err != nil {
		t.Fatal(err)
	}
	l.root = l.read("2.root.json") // printers made now have this root
	l.now = time.Unix(0, 0)
	c := l.client()
	mustRefresh(t, c, 1)
	l.serve("timestamp.json", old)
	refused(t, l.client(), updater.ErrExpired)
}
