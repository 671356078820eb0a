package gpio

import (
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"platen/hal"
	"platen/hal/sensor"
)

// TestLayout holds sizes, offsets and calls against linux/gpio.h, as a C compiler prints
// them on amd64 and on arm: the members are the same on both.
func TestLayout(t *testing.T) {
	var r lineRequest
	var e lineEvent
	for name, c := range map[string][2]uintptr{
		"gpiochip_info":                 {unsafe.Sizeof(chipInfo{}), 68},
		"gpio_v2_line_request":          {unsafe.Sizeof(r), 592},
		"gpio_v2_line_request.config":   {unsafe.Offsetof(r.config), 288},
		"gpio_v2_line_config.attrs":     {unsafe.Offsetof(r.config.attrs), 32},
		"gpio_v2_line_config_attribute": {unsafe.Sizeof(lineConfigAttr{}), 24},
		"gpio_v2_line_request.lines":    {unsafe.Offsetof(r.numLines), 560},
		"gpio_v2_line_request.fd":       {unsafe.Offsetof(r.fd), 588},
		"gpio_v2_line_values":           {unsafe.Sizeof(lineValues{}), 16},
		"gpio_v2_line_event":            {unsafe.Sizeof(e), 48},
		"gpio_v2_line_event.seqno":      {unsafe.Offsetof(e.seqno), 16},
		"gpio_v2_line_event.line_seqno": {unsafe.Offsetof(e.lineSeqno), 20},
		"GPIO_GET_CHIPINFO_IOCTL":       {getChipInfo, 0x8044b401},
		"GPIO_V2_GET_LINE_IOCTL":        {getLine, 0xc250b407},
		"GPIO_V2_LINE_GET_VALUES_IOCTL": {GetValues, 0xc010b40e},
		"GPIO_V2_LINE_SET_VALUES_IOCTL": {SetValues, 0xc010b40f},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %#x, want %#x", name, c[0], c[1])
		}
	}
}

func TestRequest(t *testing.T) {
	r := Config{Chip: "gpiochip0", Offset: 17, ActiveLow: true, Pull: PullUp, Debounce: 5 * time.Millisecond, Edges: BothEdges}.request()
	if r.offsets[0] != 17 || r.numLines != 1 || r.config.flags != flagInput|flagActiveLow|flagPullUp|flagRising|flagFalling ||
		r.config.numAttrs != 1 || r.config.attrs[0].attr.id != attrDebounce || r.config.attrs[0].attr.value != 5000 || r.config.attrs[0].mask != 1 {
		t.Errorf("input: %+v", r)
	}
	r = Config{Chip: "gpiochip0", Output: true}.request()
	if r.config.flags != flagOutput || r.config.numAttrs != 1 || r.config.attrs[0].attr.id != attrValues || r.config.attrs[0].attr.value != 0 {
		t.Errorf("output: %+v", r)
	}
	for name, c := range map[string]Config{
		"no chip": {}, "edges of an output": {Chip: "x", Output: true, Edges: Rising}, "long debounce": {Chip: "x", Debounce: time.Minute},
	} {
		if err := c.Check(); !errors.Is(err, ErrPin) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecode(t *testing.T) {
	raw := make([]byte, 2*eventSize+10)
	put := func(at uintptr, v byte) { raw[at] = v }
	put(0, 7)
	put(8, eventRising)
	put(20, 3)
	put(uintptr(eventSize)+8, 2)
	put(uintptr(eventSize)+20, 4)
	var got [4]Event
	if n := decode(raw, got[:]); n != 2 || got[0] != (Event{7, true, 3}) || got[1] != (Event{0, false, 4}) {
		t.Errorf("%d events: %+v", n, got)
	}
	if n := decode(raw, got[:1]); n != 1 {
		t.Errorf("%d events in room for one", n)
	}
}

func TestNoChip(t *testing.T) {
	if _, err := OpenChip(t.TempDir(), "gpiochip0"); !errors.Is(err, sensor.ErrMissing) {
		t.Errorf("%v", err)
	}
}

// pin is a Line of a simulated chip, with a bounded queue as the kernel has.
type pin struct {
	mu     sync.Mutex
	wake   *sync.Cond
	level  bool
	seq    uint32
	queue  []Event
	bound  int
	closed bool
}

func newPin(level bool) *pin {
	p := &pin{level: level, bound: 64}
	p.wake = sync.NewCond(&p.mu)
	return p
}

func (p *pin) Value() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, os.ErrClosed
	}
	return p.level, nil
}

func (p *pin) Set(v bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.level = v
	return nil
}

func (p *pin) Events(dst []Event) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 && !p.closed {
		p.wake.Wait()
	}
	if p.closed {
		return 0, os.ErrClosed
	}
	n := copy(dst, p.queue)
	p.queue = append(p.queue[:0], p.queue[n:]...)
	return n, nil
}

func (p *pin) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.wake.Broadcast()
	return nil
}

// edges makes the pin go to levels one after the other; the queue drops what it has no
// room for. Nobody reads between them.
func (p *pin) edges(levels ...bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range levels {
		p.level = l
		p.seq++
		if len(p.queue) < p.bound {
			p.queue = append(p.queue, Event{Rising: l, Seq: p.seq})
		}
	}
	p.wake.Broadcast()
}

func TestContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPin(true)
		c, err := NewContact("filament", p)
		if err != nil {
			t.Fatal(err)
		}
		expect := func(what string, want bool, gaps uint32) {
			t.Helper()
			synctest.Wait()
			s, err := c.AppendSamples(t.Context(), nil)
			got, ok := c.Active()
			if got != want || !ok || c.Gaps() != gaps || err != nil || len(s) != 1 || (s[0].Value == 1) != want {
				t.Errorf("%s: %t, %t, %d gaps, %v %v", what, got, ok, c.Gaps(), s, err)
			}
		}
		expect("at first", true, 0)
		p.edges(false)
		expect("falls", false, 0)
		p.edges(true, false, true)
		expect("bounces", true, 0)
		p.bound = 2 // the last edges are lost
		p.edges(false, true, false, true, false)
		expect("loses the last edge, and asks the pin", false, 0)
		p.edges(true)
		expect("sees the gap", true, 1)
		c.Close()
		if _, ok := c.Active(); ok {
			t.Error("a pin that is closed has a level")
		}
		if s, err := c.AppendSamples(t.Context(), nil); len(s) != 0 || !errors.Is(err, sensor.ErrMissing) {
			t.Errorf("a pin that is closed has samples: %v, %v", s, err)
		}
	})
}

func TestTach(t *testing.T) {
	for _, c := range []struct {
		name    string
		rpm     int
		pulses  int
		lose    int // of ten edges
		silence time.Duration
		want    int64
	}{
		{"ordinary", 3000, 2, 0, 0, 3000},
		{"slow", 120, 1, 0, 0, 120},
		{"fast", 12000, 4, 0, 0, 12000},
		{"seven of ten edges lost", 6000, 2, 7, 0, 6000},
		{"stopped", 3000, 2, 0, 1100 * time.Millisecond, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPin(false)
			begun := time.Now()
			now := func() time.Duration { return time.Since(begun) }
			f, err := NewTach("fan", p, c.pulses, now)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			gap := time.Minute / time.Duration(c.rpm*c.pulses)
			for i := range int(3 * time.Second / gap) {
				time.Sleep(gap)
				p.mu.Lock()
				p.seq++
				if i%10 >= c.lose {
					p.queue = append(p.queue, Event{At: now(), Rising: true, Seq: p.seq})
				}
				p.wake.Broadcast()
				p.mu.Unlock()
			}
			synctest.Wait()
			time.Sleep(c.silence)
			got, err := f.rpm()
			if d := got - c.want; err != nil || d*100 > c.want || -d*100 > c.want {
				t.Errorf("%s: %d, %v; want %d", c.name, got, err, c.want)
			}
		})
	}
}

func TestTachNeverTurned(t *testing.T) {
	p := newPin(false)
	f, err := NewTach("fan", p, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]hal.Sample, 0, 1)
	if n := testing.AllocsPerRun(50, func() { buf, err = f.AppendSamples(t.Context(), buf[:0]) }); n != 0 || err != nil || len(buf) != 1 || buf[0].Value != 0 {
		t.Errorf("%v, %v, %v allocations", buf, err, n)
	}
	f.Close()
	if _, err := f.AppendSamples(t.Context(), nil); !errors.Is(err, sensor.ErrMissing) {
		t.Errorf("closed: %v", err)
	}
	for _, bad := range []int{0, -1, 17} {
		if _, err := NewTach("fan", newPin(false), bad, nil); err == nil {
			t.Errorf("%d pulses are taken", bad)
		}
	}
}

func TestHold(t *testing.T) {
	p := newPin(false)
	h := NewHold(p)
	for _, on := range []bool{true, false, true} {
		if err := h.Set(on); err != nil || p.level != on {
			t.Errorf("set to %t: %t, %v", on, p.level, err)
		}
	}
	if err := h.Close(); err != nil || p.level || !p.closed {
		t.Errorf("closed: %v", err)
	}
}
