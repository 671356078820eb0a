package gcode

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// faults are chances in 1000: per line sent, and per reply.
type chances struct {
	dropByte, flipBit, dropLine         int
	dropReply, doubleReply, damageReply int
	strayReply                          int
	workMin, workMax                    int // turns that a command takes
	marlin1, advanced                   bool
	window                              Window
	wrap                                int32
	lines                               int
}

// bench runs a Link against a model through a line that does what c says, turn by
// turn, and returns both when all lines are through.
type bench struct {
	t     interface{ Fatalf(string, ...any) }
	c     chances
	r     *rand.Rand
	link  *Link
	fw    *model
	now   time.Time
	wire  []byte // host to firmware, under way
	back  []byte // firmware to host, under way
	split Splitter
	busy  int
	keep  bool // lose the backspaces that take back what was written ahead
	err   error
	feed  func() bool // adds the next line if there is one
}

func newBench(t interface{ Fatalf(string, ...any) }, seed uint64, c chances) *bench {
	b := &bench{t: t, c: c, r: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0),
		fw: &model{last: 4711, marlin1: c.marlin1, advanced: c.advanced}}
	b.link = NewLink(Config{Wrap: c.wrap, Window: c.window, Loose: c.marlin1})
	b.link.Restart(b.now)
	return b
}

func (b *bench) chance(of int) bool { return of > 0 && b.r.IntN(1000) < of }

// line lets one line of the host cross the wire.
func (b *bench) cross(line []byte) {
	if b.chance(b.c.dropLine) {
		return
	}
	line = slices.Clone(line)
	i := b.r.IntN(len(line))
	switch {
	case b.chance(b.c.dropByte):
		line = slices.Delete(line, i, i+1)
	case b.chance(b.c.flipBit):
		line[i] ^= 1 << b.r.IntN(8)
	}
	b.wire = append(b.wire, line...)
}

func (b *bench) answer(line []byte) {
	if b.chance(b.c.dropReply) {
		return
	}
	line = slices.Clone(line)
	if b.chance(b.c.damageReply) && len(line) > 1 {
		line[b.r.IntN(len(line)-1)] ^= 1 << b.r.IntN(8)
	}
	b.back = append(b.back, line...)
	if b.chance(b.c.doubleReply) {
		b.back = append(b.back, line...)
	}
	if b.chance(b.c.strayReply) {
		b.back = append(b.back, "ok\n"...)
	}
}

// turn is one millisecond or, when nothing moves, the time to the next deadline.
func (b *bench) turn() {
	out := b.link.AppendWire(nil, b.now)
	for b.feed != nil && b.link.Ready() && b.feed() {
		out = b.link.AppendWire(out, b.now)
	}
	if b.keep {
		out = bytes.ReplaceAll(out, []byte("\b"), nil)
	}
	for line := range strings.Lines(string(out)) {
		b.cross([]byte(line))
	}
	n := min(len(b.wire), 25) // 250000 baud
	b.fw.receive(b.wire[:n])
	b.wire = b.wire[n:]
	b.fw.read()
	if b.busy--; b.busy <= 0 && len(b.fw.queue) > 0 {
		b.fw.execute()
		b.busy = b.c.workMin + b.r.IntN(b.c.workMax-b.c.workMin+1)
	}
	for line := range strings.Lines(b.fw.tx.String()) {
		b.answer([]byte(line))
	}
	b.fw.tx.Reset()
	idle := len(out) == 0 && len(b.wire) == 0 && len(b.back) == 0 && len(b.fw.queue) == 0 && len(b.fw.rx) == 0
	b.deliver()
	b.now = b.now.Add(time.Millisecond)
	if d := b.link.Deadline(); idle && d.After(b.now) {
		b.now = d
	}
	if err := b.link.Tick(b.now); err != nil {
		b.err = err
	}
}

func (b *bench) deliver() {
	for in := b.back; len(in) > 0; {
		line, rest, more := b.split.Next(in)
		in = rest
		if !more {
			break
		}
		var r Reply
		Parse(line, &r)
		if r.Kind == Start {
			continue // damage made it up; the driver would halt, which is another test
		}
		if err := b.link.Handle(&r, b.now); err != nil {
			b.err = err
			break
		}
	}
	b.back = b.back[:0]
}

// run sends c.lines commands and returns what went in. It ends early with b.err if
// the link gives up.
func (b *bench) run() (sent []string) {
	var last uint64
	b.feed = func() bool {
		if len(sent) == b.c.lines {
			return false
		}
		cmd := fmt.Sprintf("G1 X%d.%03d E%d", b.r.IntN(200), b.r.IntN(1000), len(sent))
		last = b.link.Add([]byte(cmd))
		sent = append(sent, cmd)
		if len(sent) == b.c.lines {
			b.link.RequestSync()
		}
		return true
	}
	for turns := 0; ; turns++ {
		if b.err != nil {
			return sent
		}
		if turns > 200*b.c.lines+100_000 {
			b.t.Fatalf("stuck after %d of %d lines: %+v", len(b.fw.executed), b.c.lines, b.link.Stats())
		}
		if len(sent) == b.c.lines && b.link.Proven() >= last {
			return sent
		}
		if len(sent) == b.c.lines && b.link.Ready() {
			b.link.RequestSync()
		}
		b.turn()
	}
}

// TestEachLineOnceInOrder is the promise of the package: whatever single bytes,
// lines and replies are lost, damaged, doubled or invented, the firmware executes
// each line once and in order.
func TestEachLineOnceInOrder(t *testing.T) {
	recovered := uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]int{0, 0, 5, 30, 80})
		c := chances{
			dropByte: rate.Draw(t, "drop byte"), flipBit: rate.Draw(t, "flip bit"), dropLine: rate.Draw(t, "drop line"),
			dropReply: rate.Draw(t, "drop reply"), doubleReply: rate.Draw(t, "double reply"), damageReply: rate.Draw(t, "damage reply"),
			strayReply: rate.Draw(t, "stray ok") / 3,
			workMin:    1, workMax: rapid.SampledFrom([]int{1, 3, 20, 200}).Draw(t, "work"),
			marlin1: rapid.Bool().Draw(t, "marlin 1"), advanced: rapid.Bool().Draw(t, "advanced ok"),
			wrap: rapid.SampledFrom([]int32{40, 1000}).Draw(t, "wrap"), lines: 150,
		}
		switch {
		case c.marlin1:
			// Two damaged bytes deceive it: one that has a line refused, so that the next is
			// cut right behind its number, and one that hides that line's asterisk.
			c.window, c.flipBit, c.dropByte = WindowOpen, min(c.flipBit, 5), min(c.dropByte, 5)
		case rapid.Bool().Draw(t, "tail"):
			c.window = WindowTail
		}
		b := newBench(t, rapid.Uint64().Draw(t, "seed"), c)
		sent := b.run()
		if b.err != nil && (c.dropReply+c.damageReply < 60 || !errors.Is(b.err, ErrLost)) {
			t.Fatalf("%v after %d lines: %+v", b.err, len(sent), b.link.Stats())
		}
		if b.err != nil { // given up: then what was executed is the beginning
			sent = sent[:min(len(b.fw.executed), len(sent))]
		}
		if !slices.Equal(sent, b.fw.executed) {
			t.Fatalf("executed %d lines of %d; first difference at %d", len(b.fw.executed), len(sent), firstDifference(sent, b.fw.executed))
		}
		if b.fw.overruns > 0 && c.strayReply+c.doubleReply == 0 {
			t.Fatalf("%d bytes overran the receive buffer", b.fw.overruns)
		}
		recovered += b.link.Stats().Resends + b.link.Stats().Stalls
	})
	if recovered == 0 {
		t.Fatal("no fault ever struck: the test proves nothing")
	}
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestModelNoticesLoss is the control: a host that numbers nothing and trusts each
// ok does leave lines out on the same line.
func TestModelNoticesLoss(t *testing.T) {
	fw, r, sent := &model{}, rand.New(rand.NewPCG(1, 1)), 0
	for i := range 300 {
		line := fmt.Appendf(nil, "G1 X%d\n", i)
		sent++
		if r.IntN(20) == 0 {
			line = slices.Delete(line, 0, 1)
		}
		fw.receive(line)
		fw.read()
		fw.execute()
	}
	if len(fw.executed) == sent {
		t.Fatal("the model executes damaged lines: the property proves nothing")
	}
}

// TestCleanLine demands that a clean line needs neither repeats nor questions, and
// that window and emergency slot hold while the planner is full.
func TestCleanLine(t *testing.T) {
	for _, advanced := range []bool{false, true} {
		b := newBench(t, 1, chances{workMin: 1, workMax: 40, advanced: advanced, wrap: 99_999, lines: 2000})
		sent := b.run()
		if !slices.Equal(sent, b.fw.executed) {
			t.Fatal("lines differ")
		}
		s := b.link.Stats()
		// The first M110 follows an unknown number, and that is all.
		if s != (Stats{}) || b.fw.overruns != 0 {
			t.Errorf("advanced %v: %+v, %d overruns", advanced, s, b.fw.overruns)
		}
		if b.fw.fullest >= modelQueue {
			t.Errorf("advanced %v: %d commands in a queue of %d leave no room for M112", advanced, b.fw.fullest, modelQueue)
		}
	}
}

func TestResetIsSeen(t *testing.T) {
	for _, told := range []bool{true, false} {
		b := newBench(t, 1, chances{workMin: 1, workMax: 1, lines: 50})
		b.run()
		b.fw.last, b.fw.queue, b.fw.numbers, b.fw.rx = 0, nil, nil, nil
		feed := func(text string) (err error) {
			for line := range strings.Lines(text) {
				var r Reply
				Parse([]byte(strings.TrimRight(line, "\n")), &r)
				err = errors.Join(err, b.link.Handle(&r, b.now))
			}
			return err
		}
		if told {
			if err := feed("start\n"); !errors.Is(err, ErrReset) {
				t.Errorf("start: %v", err)
			}
			continue
		}
		// The start is lost; the numbers tell.
		b.link.Add([]byte("G1 X1"))
		var err error
		for range 10 {
			b.fw.receive(b.link.AppendWire(nil, b.now))
			b.fw.read()
			if err = feed(b.fw.tx.String()); err != nil {
				break
			}
			b.fw.tx.Reset()
			b.now = b.now.Add(time.Second)
		}
		if !errors.Is(err, ErrReset) {
			t.Errorf("unannounced: %v", err)
		}
		if len(b.fw.executed) != 50 {
			t.Errorf("%d lines executed, want 50 and none after the reset", len(b.fw.executed))
		}
	}
}

// TestSilenceEndsTheLink lets a firmware that swallows everything be given up.
func TestSilenceEndsTheLink(t *testing.T) {
	b := newBench(t, 1, chances{workMin: 1, workMax: 1, lines: 10})
	b.run()
	b.link.Add([]byte("G1 X1"))
	begin, n := b.now, 0
	for {
		n += len(b.link.AppendWire(nil, b.now))
		if err := b.link.Tick(b.now); errors.Is(err, ErrLost) {
			break
		}
		if b.now = b.link.Deadline(); b.now.Sub(begin) > 10*time.Minute {
			t.Fatal("never given up")
		}
	}
	if n > modelRX+MaxLine {
		t.Errorf("%d bytes were sent into silence", n)
	}
}

// TestHostileReplies ends the link within seconds whatever a controller makes up.
func TestHostileReplies(t *testing.T) {
	for name, say := range map[string]func(i int) string{
		"the same again": func(int) string { return "Resend: 5" },
		"this and that":  func(i int) string { return fmt.Sprintf("Resend: %d", 5+i%2) },
		"the impossible": func(i int) string { return fmt.Sprintf("Resend: %d", 1000+i) },
		"the beginning":  func(int) string { return "Resend: 1" },
	} {
		b := newBench(t, 1, chances{workMin: 1, workMax: 1, lines: 3})
		b.run()
		for range 3 {
			b.link.Add([]byte("G1 X1"))
			b.link.AppendWire(nil, b.now)
			b.now = b.now.Add(100 * time.Millisecond)
		}
		begin, i := b.now, 0
		for err := error(nil); err == nil; i++ {
			var r Reply
			Parse([]byte(say(i)), &r)
			err = errors.Join(b.link.Handle(&r, b.now), b.link.Tick(b.now))
			b.now = b.now.Add(65 * time.Millisecond)
			b.link.AppendWire(nil, b.now)
			if b.now.Sub(begin) > 10*time.Second {
				t.Errorf("%s: still listening", name)
				break
			}
		}
	}
}
