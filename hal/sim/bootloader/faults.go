package bootloader

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Faults is what goes wrong. Chances are from 0 to 1, for each byte on the line in
// either direction unless it says otherwise.
type Faults struct {
	Corrupt   float64 // one to eight bits flip
	Drop      float64 // the byte is lost
	Garbage   float64 // a byte nobody sent comes before it
	Nack      float64 // for each request: refused although nothing is wrong with it
	Late      float64 // for each answer: it comes 1.5 s late
	Stuck     bool    // nothing is answered
	WrongBaud bool    // every byte is read wrongly, both ways
	Protected bool    // STM32: read protection is on
	CutAt     int     // the power fails within this flash operation, counted from 1
	Worn      int     // this page of the application area, counted from 1, has a bit that stays set
}

// ParseFaults reads faults as people write them: "corrupt:0.001,drop:1/500,stuck,cut@12".
func ParseFaults(text string) (Faults, error) {
	var f Faults
	chances := map[string]*float64{"corrupt": &f.Corrupt, "drop": &f.Drop, "garbage": &f.Garbage, "nack": &f.Nack, "late": &f.Late}
	flags := map[string]*bool{"stuck": &f.Stuck, "wrong-baud": &f.WrongBaud, "protected": &f.Protected}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if flag := flags[part]; flag != nil {
			*flag = true
			continue
		}
		if what, at, ok := strings.Cut(part, "@"); ok {
			n, err := strconv.Atoi(at)
			if where := map[string]*int{"cut": &f.CutAt, "worn": &f.Worn}[what]; where != nil && err == nil && n > 0 {
				*where = n
				continue
			}
			return f, fmt.Errorf("fault %q: use cut@N with the number of a flash operation, or worn@N with that of a page", part)
		}
		name, value, _ := strings.Cut(part, ":")
		p, ok := chance(value)
		if chances[name] == nil || !ok {
			return f, fmt.Errorf("fault %q: use corrupt:P, drop:P, garbage:P, nack:P or late:P with a chance from 0 to 1, stuck, wrong-baud, protected, cut@N or worn@N", part)
		}
		*chances[name] = p
	}
	return f, nil
}

// chance reads 0.001 or 1/1000.
func chance(s string) (float64, bool) {
	over, under, fraction := strings.Cut(s, "/")
	p, err := strconv.ParseFloat(over, 64)
	if fraction && err == nil {
		var q float64
		if q, err = strconv.ParseFloat(under, 64); err == nil {
			p /= q
		}
	}
	return p, err == nil && p >= 0 && p <= 1 // not NaN either
}

// roll draws a fault.
func (c *Chip) roll(p float64) bool { return p > 0 && c.rng.Float64() < p }

// onTheWay returns what arrives of bytes that were sent.
func (c *Chip) onTheWay(p []byte) []byte {
	f := c.cfg.Faults
	if f.Corrupt == 0 && f.Drop == 0 && f.Garbage == 0 && !f.WrongBaud {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var got []byte
	for _, b := range p {
		if c.roll(f.Garbage) {
			c.stats.Garbage++
			got = append(got, byte(c.rng.UintN(256)))
		}
		if c.roll(f.Drop) {
			c.stats.Dropped++
			continue
		}
		if f.WrongBaud || c.roll(f.Corrupt) {
			c.stats.Corrupted++
			b ^= byte(1 + c.rng.UintN(255))
		}
		got = append(got, b)
	}
	return got
}

// refuse draws whether a request is refused for no reason.
func (c *Chip) refuse() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.roll(c.cfg.Faults.Nack) {
		return false
	}
	c.stats.Nacked++
	return true
}

// late is how much too late an answer can be.
const late = 1500 * time.Millisecond

// flush writes what was queued for the host.
func (c *Chip) flush(ctx context.Context, w io.Writer) error {
	if len(c.out) == 0 {
		return nil
	}
	p := c.onTheWay(c.out)
	c.out = nil
	c.mu.Lock()
	slow := c.roll(c.cfg.Faults.Late)
	if slow {
		c.stats.Late++
	}
	c.mu.Unlock()
	if slow {
		t := time.NewTimer(late)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_, err := w.Write(p)
	return err
}
