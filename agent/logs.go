package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platen/agent/catalog"
	"platen/agent/seam"
	"platen/agent/telemetry/logtail"
)

// logs are the log files of a printer that says how it is nowhere else: one whose own
// software drives it. No session is started for it, and it takes no jobs.
type logs []*logtail.Tail

var errNoSession = &refusal{"no-session", "this printer is driven by its own software, whose logs are followed ([[log]] in the configuration): give the job to that"}

// openLogs opens the logs of the configuration. The first says how the machine is.
func (a *Agent) openLogs() error {
	dir := filepath.Join(a.cfg.State, "logs")
	if len(a.cfg.Logs) == 0 {
		return nil
	}
	a.sup.none = true
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of places in logs: %w", err)
	}
	for i, l := range a.cfg.Logs {
		sum := sha256.Sum256([]byte(l.Path))
		c := logtail.Config{Path: l.Path, Family: l.Family, Place: filepath.Join(dir, hex.EncodeToString(sum[:8])), Logger: a.log}
		if i == 0 {
			c.Set = func(st seam.Status) {
				a.sup.report(st)
				a.machine.Set(st)
			}
		}
		t, err := logtail.New(c)
		if err != nil {
			return fmt.Errorf("log %s: %w", l.Path, err)
		}
		a.logs = append(a.logs, t)
	}
	return nil
}

// stand keeps the supervisor going in place of sessions.
func (a *Agent) stand(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		a.sup.move()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// AppendSamples appends what was counted of all logs.
func (l logs) AppendSamples(_ context.Context, dst []catalog.Sample) ([]catalog.Sample, error) {
	var sum logtail.Counts
	for _, t := range l {
		c := t.Counts()
		sum.Unknown += c.Unknown
		sum.Errors += c.Errors
		sum.Restarts += c.Restarts
	}
	if len(l) == 0 {
		return dst, nil
	}
	for id, n := range map[catalog.ID]uint64{catalog.LogUnknown: sum.Unknown, catalog.LogErrors: sum.Errors, catalog.LogRestarts: sum.Restarts} {
		if s, ok := catalog.Of(id, int64(n)); ok {
			dst = append(dst, s)
		}
	}
	return dst, nil
}

// report takes the state of a printer that has no session.
func (s *supervisor) report(st seam.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = st
}
