package trust

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"platen/updater"
)

// TestTicks: the clock stands at 1970 after every start, and the mirror shows the same
// metadata for ever. The TPM counts on: once the time that has certainly passed is beyond
// the metadata's, the freeze shows.
func TestTicks(t *testing.T) {
	l := newLab(t)
	l.release(1)
	m, ticks := &index{}, uint64(1000)
	client := func() *Client {
		cfg := l.config(t.TempDir()) // even on an empty disk
		cfg.Memory, cfg.Ticks = m, func(context.Context) (uint64, error) { return ticks, nil }
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	mustRefresh(t, client(), 1) // with a clock that is right
	l.now = time.Unix(0, 0)
	const day = uint64(24 * time.Hour / time.Millisecond)
	ticks += 9 * day // by a clock that may be fast by half, six days
	c := client()
	mustRefresh(t, c, 1)
	if got := c.Now().Sub(labStart); got < 5*24*time.Hour || got > 6*24*time.Hour {
		t.Errorf("believed time is %v after the last refresh", got)
	}
	ticks += 3 * day // eight: more than the week that the timestamp is good for
	refused(t, client(), updater.ErrExpired)
	ticks = 5 // another TPM, or a cleared one: nothing is told by it
	mustRefresh(t, client(), 1)
	ticks = 1 << 62
	refused(t, client(), updater.ErrExpired)
}

// TestTimeOfDevice goes through the clocks of T10: what has expired stays expired.
func TestTimeOfDevice(t *testing.T) {
	l := newLab(t)
	l.release(1)
	m := &index{}
	mustRefresh(t, l.clientWith(m), 1)
	l.now = labStart.AddDate(0, 0, 8)
	stale := l.read("timestamp.json") // has expired by now
	l.publish()
	mustRefresh(t, l.clientWith(m), 1)
	l.serve("timestamp.json", stale)
	cuts := []time.Time{time.Unix(0, 0), time.Unix(-1<<31, 0), time.Unix(1<<31, 0), time.Unix(1<<32, 0), time.Unix(1<<33, 0), labStart.AddDate(0, 0, 8)}
	for _, clock := range cuts {
		l.now = clock
		c := l.clientWith(&index{data: Marks{Time: labStart.AddDate(0, 0, 8)}.encode()})
		if err := c.Refresh(context.Background()); !errors.Is(err, updater.ErrExpired) {
			t.Errorf("with the clock at %v: %v", clock, err)
		}
	}
	l.now = labStart
	mustRefresh(t, l.client(), 1) // control: who knows no later time believes it
}

// timeServer answers as answer says.
func timeServer(t *testing.T, answer func(ask []byte) [][]byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, p := range answer(buf[:n]) {
				conn.WriteTo(p, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().String()
}

// says is an answer of an honest server at a moment.
func says(ask []byte, at time.Time) []byte {
	p := make([]byte, 48)
	p[0], p[1] = 4<<3|4, 2
	copy(p[24:32], ask[40:48])
	binary.BigEndian.PutUint32(p[40:], uint32(at.Unix()+2208988800))
	return p
}

// TestTimeServers: a clock that was never set is helped by the network, within bounds:
// nothing below the floor, nothing far above it, and nothing that is remembered.
func TestTimeServers(t *testing.T) {
	floor := time.Date(2035, 12, 1, 0, 0, 0, 0, time.UTC) // NTP's seconds wrap in between
	honest := func(at time.Time) func([]byte) [][]byte {
		return func(ask []byte) [][]byte { return [][]byte{says(ask, at)} }
	}
	later := floor.AddDate(1, 0, 0)
	for name, x := range map[string]struct {
		answers []func([]byte) [][]byte
		want    time.Time // zero: none is believed
	}{
		"one":            {[]func([]byte) [][]byte{honest(later)}, later},
		"before floor":   {[]func([]byte) [][]byte{honest(floor.Add(-time.Second))}, time.Time{}},
		"far ahead":      {[]func([]byte) [][]byte{honest(floor.AddDate(30, 0, 0))}, time.Time{}},
		"a liar of two":  {[]func([]byte) [][]byte{honest(floor.AddDate(9, 0, 0)), honest(later)}, later},
		"a liar is past": {[]func([]byte) [][]byte{honest(floor.AddDate(-9, 0, 0)), honest(later)}, later},
		"not set": {[]func([]byte) [][]byte{func(ask []byte) [][]byte {
			p := says(ask, later)
			p[0] |= 3 << 6
			return [][]byte{p}
		}}, time.Time{}},
		"kiss of death": {[]func([]byte) [][]byte{func(ask []byte) [][]byte {
			p := says(ask, later)
			p[1] = 0
			return [][]byte{p}
		}}, time.Time{}},
		"a forger first, who has not seen the question": {[]func([]byte) [][]byte{func(ask []byte) [][]byte {
			return [][]byte{says(make([]byte, 48), floor.AddDate(0, 1, 0)), {1}, says(ask, later)}
		}}, later},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var servers []string
			for _, answer := range x.answers {
				servers = append(servers, timeServer(t, answer))
			}
			got, ok := askTime(t.Context(), servers, floor, 5*time.Minute)
			if ok == x.want.IsZero() || ok && !got.Equal(x.want) {
				t.Errorf("believed %v, %v; want %v", got, ok, x.want)
			}
		})
	}
}

// TestClockFromTheNetwork: a client whose clock was never set takes the network's time,
// sees by it that metadata has expired, and forgets it when it is closed.
func TestClockFromTheNetwork(t *testing.T) {
	l := newLab(t)
	l.release(1)
	var told atomic.Int64
	tell := func(days int) time.Time {
		at := labStart.AddDate(0, 0, days)
		told.Store(at.Unix())
		return at
	}
	at := tell(3)
	server := timeServer(t, func(ask []byte) [][]byte { return [][]byte{says(ask, time.Unix(told.Load(), 0))} })
	m := &index{}
	mustRefresh(t, l.clientWith(m), 1)
	l.now = time.Unix(0, 0)
	client := func() *Client {
		cfg := l.config(t.TempDir())
		cfg.Memory, cfg.NTP, cfg.Stall = m, []string{server}, 30*time.Minute
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := client()
	mustRefresh(t, c, 1)
	if got := c.Now().Sub(at); got < 0 || got > time.Hour {
		t.Errorf("believed time is %v off", got)
	}
	tell(8)
	refused(t, client(), updater.ErrExpired)
	tell(4)
	mustRefresh(t, client(), 1)
}

// TestWhatTheNetworkSaidPasses: what a server said neither lifts the floor nor outlives
// the next answer, or a clock that has been set.
func TestWhatTheNetworkSaidPasses(t *testing.T) {
	l := newLab(t)
	l.release(1)
	var days atomic.Int64
	day := func(n int64) time.Time { return labStart.AddDate(0, 0, int(n)) }
	server := timeServer(t, func(ask []byte) [][]byte { return [][]byte{says(ask, day(days.Load()))} })
	cfg := l.config(t.TempDir())
	cfg.NTP, cfg.Stall = []string{server}, 30*time.Minute
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustRefresh(t, c, 1) // with a clock that is right
	floor := c.Floor()
	l.now = time.Unix(0, 0)
	for _, n := range []int64{3, 2} {
		days.Store(n)
		mustRefresh(t, c, 1)
		if off := c.Now().Sub(day(n)); off < 0 || off > time.Hour || c.Floor() != floor {
			t.Errorf("after day %d: believed time is %v off, floor %v", n, off, c.Floor().Time)
		}
	}
	days.Store(8) // forged
	refused(t, c, updater.ErrExpired)
	l.now = day(1) // now the clock is set
	mustRefresh(t, c, 1)
	if !c.Now().Equal(day(1)) {
		t.Errorf("believed time is %v with a clock that is set", c.Now())
	}
}
