package sim

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// record is one line of a transcript: seconds, direction (tx is host to firmware,
// rx firmware to host, ctl what the bench did, note) and text.
type record struct {
	T float64         `json:"t"`
	D string          `json:"d"`
	S json.RawMessage `json:"s"`
}

func (r record) text() string {
	var s string
	if json.Unmarshal(r.S, &s) != nil {
		return "" // the first note is an object
	}
	return s
}

func readTranscript(t *testing.T, path string) []record {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var recs []record
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var r record
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		recs = append(recs, r)
	}
	if len(recs) < 3 {
		t.Fatalf("%s: only %d records", path, len(recs))
	}
	return recs
}

// bench is a port without a host: time passes as the firmware spends it, and what
// the firmware says is collected.
type bench struct {
	end time.Duration
	out strings.Builder
}

func (b *bench) pace(m *mcu, t time.Duration) bool {
	if t >= b.end {
		m.halt(poweredOff)
	}
	return true
}

func (b *bench) write(_ *mcu, p []byte) { b.out.Write(p) }
func (b *bench) unplug()                {}

// latin1 is the bytes of a text in which each character stands for one byte.
func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

// replay lets the firmware hear the host's side of a transcript at its times, with
// what the bench did, and returns what it said.
func replay(t *testing.T, cfg Config, recs []record) (*mcu, string) {
	t.Helper()
	cfg.defaults()
	m := newMCU(&cfg)
	b := &bench{}
	for _, r := range recs {
		at := time.Duration(r.T * float64(time.Second))
		s := r.text()
		switch r.D {
		case "tx":
			m.schedule(at, func(m *mcu) { m.receive(latin1(s)) })
		case "ctl":
			m.schedule(at, func(m *mcu) { benchControl(t, m, s) })
		}
		b.end = at + 50*time.Millisecond
	}
	m.run(b)
	return m, b.out.String()
}

func benchControl(t *testing.T, m *mcu, s string) {
	var verb, name string
	var temp float64
	if f := strings.Fields(s); len(f) > 0 {
		verb = f[0]
		if len(f) > 1 {
			name = f[1]
		}
		if len(f) > 2 {
			if err := json.Unmarshal([]byte(f[2]), &temp); err != nil {
				t.Errorf("bench: %q: %v", s, err)
			}
		}
	}
	h := m.therm.hotend()
	if name == "B" {
		h = m.therm.bed()
	}
	switch verb {
	case "heal":
		h.broken, h.dead = sensorFine, false
	case "free":
		h.held = false
	case "temp":
		h.temp = temp
		if temp == 22 {
			h.temp = m.therm.ambient
		} else if m.cfg.Firmware == PrusaMK3 {
			h.temp -= (temp - 22) * 0.035 // the thermistor of the bench was not quite the MK3's
		}
	case "force":
		h.temp, h.held = temp, true
	case "open":
		h.broken = sensorOpen
	case "short":
		h.broken = sensorShort
	case "heaterfail":
		h.dead = true
	case "reset":
		m.restartBy(causeExternal)
	case "stat":
	default:
		t.Errorf("bench: %q is not known", s)
	}
}

func heard(recs []record) string {
	var s strings.Builder
	for _, r := range recs {
		if r.D == "rx" {
			s.Write(latin1(r.text()))
		}
	}
	return s.String()
}

// player plays the host's side of a transcript to a firmware that is slower or
// faster than the recorded one: what the host did comes when the firmware has said
// what it had said then, and no sooner after what was before than it did.
type player struct {
	bench
	t     *testing.T
	recs  []record
	said  func(string) int // lines in what the firmware has said, but for those that come by themselves
	next  int
	after time.Duration // when the record before was played
	gap   time.Duration // that the host left between it and the next one
	want  int           // lines that the firmware had said before the next one
	have  int           // lines that it has said
	seen  int           // length of what they were counted in
}

// patience is how long the player waits for what the firmware does not say.
const patience = 120 * time.Second

// find goes on to the next record to play.
func (p *player) find() {
	from := 0.0
	if p.next > 0 {
		from = p.recs[p.next-1].T
	}
	for p.next < len(p.recs) && p.recs[p.next].D != "tx" && p.recs[p.next].D != "ctl" {
		p.next++
	}
	p.gap = time.Duration((p.recs[min(p.next, len(p.recs)-1)].T - from) * float64(time.Second))
	p.want = p.said(heard(p.recs[:p.next]))
}

func (p *player) ready(now time.Duration) bool {
	if n := p.out.Len(); n != p.seen {
		p.have, p.seen = p.said(p.out.String()), n
	}
	return p.have >= p.want || now > p.after+p.gap+patience
}

func (p *player) pace(m *mcu, t time.Duration) bool {
	due := p.after + p.gap
	switch {
	case t < due:
		return true
	case m.now < due:
		m.now = due
		return false
	case !p.ready(m.now):
		return true
	case p.next == len(p.recs):
		m.halt(poweredOff)
		return true
	}
	r := p.recs[p.next]
	p.after = m.now
	p.next++
	if s := r.text(); r.D == "tx" {
		m.receive(latin1(s))
	} else {
		benchControl(p.t, m, s)
	}
	p.find()
	return false
}

// play is replay by a player.
func play(t *testing.T, cfg Config, recs []record, said func(string) int) (*mcu, string) {
	t.Helper()
	cfg.defaults()
	m := newMCU(&cfg)
	p := &player{t: t, recs: recs, said: said}
	p.find()
	m.run(p)
	return m, p.out.String()
}
