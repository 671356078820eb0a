package gcode

import (
	"errors"
	"time"
)

// Errors that end a Link. The driver brings the machine to its safe state.
var (
	// ErrReset reports that the controller started anew, or counts lines from the
	// beginning again.
	ErrReset = errors.New("controller restarted by itself")
	// ErrLost reports that repeating and asking did not get a line through.
	ErrLost = errors.New("controller does not follow: check cable and baud rate")
)

// Window says how far a Link may go before a line is known to be good; see the package
// comment.
type Window uint8

// The windows.
const (
	WindowSpaced Window = iota // a line follows one without an ok only after Config.Spacing
	WindowTail                 // as WindowSpaced, and all but the line feed of the next line goes ahead
	WindowOpen                 // lines follow each other at once
)

// Config holds the bounds of a Link. Zero fields take the defaults named.
type Config struct {
	Window    Window
	Lines     int           // most lines in flight: 3, one less than the command queue holds
	Bytes     int           // most bytes in flight: 96, what the smallest receive buffer holds
	Spacing   time.Duration // how long after a line without ok the next may follow: 30 ms; negative is at once
	Quiet     time.Duration // how long after a Resend everything on the wire has arrived: 60 ms; 20 ms for WindowOpen
	Stall     time.Duration // how long no ok and no busy is suspicious: 2.5 s; firmware says busy every 2 s
	SyncEvery int           // lines between two proofs, and how far false oks can run ahead: 32
	Wrap      int32         // last line number before M110 starts anew: 999, so that lines stay short
	Check     Check
	Loose     bool   // the firmware takes a line up to its first asterisk and swallows what is behind it (Marlin 1)
	Sync      string // the command that only an answer with temperatures proves: M105
}

// Check is what protects a line.
type Check uint8

// The checks.
const (
	CheckXOR   Check = iota // the exclusive or of all bytes: two damaged bytes can cancel each other
	CheckCRC16              // CRC-16 with polynomial 8005 reflected, start 0 (RepRapFirmware): five digits
)

// MaxLine is the longest line with number, checksum and line end, in bytes.
const MaxLine = MaxCommand + len("N1234567 ") + len("*65535\n")

const (
	ringLines   = 128
	queryNumber = 7_000_000 // a number that no line ever has
	tightSync   = 4         // lines between two proofs after a fault, doubled by each proof
	soundLines  = 64        // lines proven in a row before anything is written ahead again after a fault
	maxProbes   = 6         // unanswered questions before ErrLost
	maxFutile   = 64        // Resends for the same line before ErrLost
	maxStorm    = 128       // Resends since the last proof before ErrLost
	maxAbsurd   = 3         // Resends for impossible lines before ErrLost or ErrReset
)

// Stats counts what a Link has seen.
type Stats struct {
	Resends  uint64 // Resend replies
	Spurious uint64 // oks that nothing was waiting for, impossible Resends, garbage
	Stalls   uint64 // times the controller had to be asked
}

type sentLine struct {
	n    uint8
	sync bool
	text [MaxLine]byte
}

// Link sends numbered lines and keeps track of them; see the package comment. Its
// methods must be called by one goroutine. Lines are design data: a Link prints
// nothing of them.
type Link struct {
	cfg   Config
	ring  [ringLines]sentLine
	base  uint64 // sequence number of line 0
	next  int32  // the line that is added next
	send  int32  // the line that is sent next; send <= next
	acked int32  // lines up to here are answered, as far as plain oks tell
	prove int32  // lines up to here are answered for sure
	claim int32  // an ok has named this line out of turn, or -1

	lastSync   int32 // the newest sync line
	syncDue    bool
	syncForced bool // the sync line may go beyond the window
	sinceSync  int
	syncEvery  int
	clean      bool // no fault since the last proof
	sound      int  // lines proven since the last fault

	fresh    bool // M110 is not proven yet
	wrapping bool // numbers have run out; start anew once all is proven
	swallow  bool // the ok that goes with a Resend is to come
	bare     int  // oks that commands without a number will bring

	ahead      int  // bytes of the line that is sent next that are on the wire already
	erase      int  // bytes to be taken back before anything else is written
	doubt      bool // something came that may have been a Resend
	recovering bool // quiet after a Resend
	careful    bool // one line at a time
	want       int32
	quietUntil time.Time

	wrote     time.Time // when the last line went out
	last      time.Time // when the controller last moved on
	probes    int
	queryDue  bool
	queryOut  bool
	queries   int // answered in a row with nothing else in between
	keepalive bool
	futile    int
	storm     int
	absurd    int
	queueSeen int16
	stats     Stats
}

// NewLink makes a Link. Call Restart before the first line.
func NewLink(c Config) *Link {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Lines, 3)
	def(&c.Bytes, 96)
	def(&c.SyncEvery, 32)
	if c.Spacing == 0 {
		c.Spacing = 30 * time.Millisecond
	}
	if c.Window == WindowOpen {
		c.Spacing = -1
	}
	if c.Quiet <= 0 {
		c.Quiet = 60 * time.Millisecond
		if c.Window == WindowOpen {
			c.Quiet = 20 * time.Millisecond
		}
	}
	if c.Stall <= 0 {
		c.Stall = 2500 * time.Millisecond
	}
	if c.Wrap <= 0 {
		c.Wrap = 999
	}
	if c.Sync == "" {
		c.Sync = "M105"
	}
	c.SyncEvery = min(c.SyncEvery, ringLines/2)
	return &Link{cfg: c, base: 1, syncEvery: c.SyncEvery, sound: soundLines, acked: -1, prove: -1, lastSync: -1}
}

// String hides the lines.
func (l *Link) String() string { return "gcode link" }

// Restart begins numbering at zero with M110. Whatever was in flight is forgotten.
func (l *Link) Restart(now time.Time) {
	l.base += uint64(l.next)
	l.next, l.send, l.acked, l.prove, l.claim, l.lastSync = 0, 0, -1, -1, -1, -1
	l.recovering, l.swallow, l.wrapping, l.queryDue, l.queryOut = false, false, false, false, false
	l.probes, l.futile, l.absurd, l.queries, l.sinceSync, l.want = 0, 0, 0, 0, 0, 0
	l.storm = 0
	l.fresh, l.careful, l.last, l.bare = true, true, now, 0
	l.takeBack()
	l.add([]byte("M110 N0"), false)
	l.syncDue = true
}

// Ready reports whether Add may be called: no line waits to be sent.
func (l *Link) Ready() bool {
	return !l.fresh && !l.wrapping && !l.recovering && l.send == l.next
}

// Add takes the command of one line, with or without its line feed, and returns
// its sequence number, which rises from line to line for ever. The link must be
// Ready, and the command at most MaxCommand bytes long.
func (l *Link) Add(cmd []byte) uint64 {
	if n := len(cmd); n > 0 && cmd[n-1] == '\n' {
		cmd = cmd[:n-1]
	}
	l.add(cmd, false)
	return l.base + uint64(l.next-1)
}

func (l *Link) add(cmd []byte, sync bool) {
	s := &l.ring[l.next%ringLines]
	s.n = uint8(len(l.frame(s.text[:0], l.next, cmd)))
	s.sync = sync
	if sync {
		l.lastSync = l.next
	}
	l.next++
	l.sinceSync++
	if l.next > l.cfg.Wrap {
		l.wrapping = true
	}
}

// RequestSync asks for proof of all lines added so far; see Proven.
func (l *Link) RequestSync() {
	if l.next-1 > l.prove && l.lastSync != l.next-1 {
		l.syncDue = true
	}
}

// Proven returns the sequence number up to which every line was surely executed.
func (l *Link) Proven() uint64 { return l.base + uint64(l.prove+1) - 1 }

// Accepted returns the sequence number up to which lines were answered, as far as
// can be told without proof.
func (l *Link) Accepted() uint64 { return l.base + uint64(max(l.acked, l.prove)+1) - 1 }

// Ask has the next line be a sync line, whose answer is a report of temperatures,
// unless one is under way.
func (l *Link) Ask() {
	if !l.syncOut() {
		l.syncDue = true
	}
}

// Stats returns the counters.
func (l *Link) Stats() Stats { return l.stats }

func (l *Link) syncOut() bool { return l.lastSync > l.prove }

func (l *Link) wantsSync() bool {
	if l.syncOut() {
		return false // of two, a doubled answer to the first would prove the second
	}
	if l.wrapping {
		return l.lastSync != l.next-1
	}
	return l.syncDue || l.sinceSync >= l.syncEvery
}

// Deadline returns when AppendWire and Tick have to be called next even if nothing
// is read, or the zero time.
func (l *Link) Deadline() time.Time {
	switch {
	case l.recovering:
		return l.quietUntil
	case !l.outstanding():
		return time.Time{}
	}
	ask := l.last.Add(l.patience())
	if next := l.wrote.Add(l.cfg.Spacing); l.send < l.next && !l.queryOut && l.room(&l.ring[l.send%ringLines]) && next.Before(ask) {
		return next
	}
	return ask
}

func (l *Link) outstanding() bool {
	return l.send-1 > l.acked || l.syncOut() || l.fresh || l.queryOut
}

// patience is how long the controller may do nothing. One that has said that it is
// busy would say it again; another may be at a long command, and gets ever more time.
func (l *Link) patience() time.Duration {
	if l.keepalive {
		return l.cfg.Stall
	}
	return l.cfg.Stall << min(l.probes, 4)
}

// Tick asks the controller what it waits for if nothing has moved for too long. It
// returns ErrLost if asking does not help.
func (l *Link) Tick(now time.Time) error {
	if l.recovering || !l.outstanding() || now.Sub(l.last) < l.patience() {
		return nil
	}
	l.last = now
	l.stats.Stalls++
	l.fault()
	if l.probes++; l.probes > maxProbes {
		return ErrLost
	}
	if !l.syncOut() && !l.queryOut && l.probes == 1 && l.send == l.next {
		l.syncDue, l.syncForced = true, true
		return nil
	}
	l.queryDue = true
	return nil
}

// fault notes that something went wrong, so that proofs are asked for more often.
func (l *Link) fault() { l.clean, l.syncEvery, l.sound = false, tightSync, 0 }
