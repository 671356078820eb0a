package trust

import (
	"context"
	"time"
)

// Ticks returns the milliseconds that something has counted which never runs back and
// goes on over restarts, though it may stand still without power: the TPM's clock (TPM
// 2.0 part 1, 36.2: within about a third of the true pace).
type Ticks func(ctx context.Context) (uint64, error)

// timer is what is known of the time beside the clock of the system.
type timer struct {
	least time.Time // the marks' moment and what was counted since
	asked time.Time // what servers said, with the reading of the monotonic clock
	at    time.Time
}

// ticks reads the count. ok is false if there is none.
func (timer) ticks(ctx context.Context, cfg Config) (n uint64, ok bool) {
	if cfg.Ticks == nil {
		return 0, false
	}
	n, err := cfg.Ticks(ctx)
	if err != nil {
		cfg.Logger.Warn("the TPM's clock cannot be read", "reason", err.Error())
		return 0, false
	}
	return n, true
}

// passed is the least time that n ticks take: the count may be fast by half.
func passed(n uint64) time.Duration {
	const most = uint64(100 * 365 * 24 * time.Hour / time.Millisecond)
	return time.Duration(min(n, most)) * time.Millisecond * 2 / 3
}

// tell asks what tells the time beside the clock. Servers of the network are asked only
// if the clock has not been set: nobody signs what they say, so that it neither goes
// below the floor nor is remembered, but asked for anew each time.
func (c *Client) tell(ctx context.Context) {
	if n, ok := c.time.ticks(ctx, c.cfg); ok && c.marks.Ticks > 0 && n > c.marks.Ticks {
		if least := c.marks.Time.Add(passed(n - c.marks.Ticks)); least.After(c.time.least) {
			c.time.least = least
		}
	}
	c.time.asked = time.Time{}
	if len(c.cfg.NTP) == 0 || !c.cfg.Now().Before(c.floor.Time) {
		return
	}
	if at, ok := askTime(ctx, c.cfg.NTP, c.floor.Time, c.cfg.Stall/6); ok {
		c.time.asked, c.time.at = at, time.Now()
	}
}

// certain is the latest of the clock, the floor and what was counted: what the floor of
// time may be lifted to.
func (c *Client) certain() time.Time {
	now := c.cfg.Now().UTC()
	for _, t := range [...]time.Time{c.floor.Time, c.time.least} {
		if t.After(now) {
			now = t
		}
	}
	return now
}

// now is the moment metadata is checked against: what servers said counts as well.
func (c *Client) now() time.Time {
	now := c.certain()
	if c.time.asked.IsZero() {
		return now
	}
	if t := c.time.asked.Add(time.Since(c.time.at)); t.After(now) {
		now = t
	}
	return now.UTC()
}

// Now is believed time: the moment that metadata would be checked against, never
// earlier than any moment that has certainly passed.
func (c *Client) Now() time.Time { return c.now() }
