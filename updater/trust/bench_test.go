package trust

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCheckWithoutNews is a printer that looks for news after a restart, with
// delegations and marks: the requests it makes and the processor time it takes, that of
// the mirror, which is in the same process, included.
func BenchmarkCheckWithoutNews(b *testing.B) {
	l := newLab(b)
	l.release(1)
	l.delegate(10, []*grant{newGrant(b, "sim-controller", "sim/controller/*/*").list(b, "sim/controller/5/image", board, "controller", 5)})
	dir, m := b.TempDir(), &index{}
	check := func() {
		cfg := l.config(dir)
		cfg.Memory = m
		c, err := New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Refresh(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
	check()
	l.requests()
	begun := cpu(b)
	for b.Loop() {
		check()
	}
	b.ReportMetric(float64(len(l.requests()))/float64(b.N), "requests/op")
	b.ReportMetric((cpu(b)-begun).Seconds()*1000/float64(b.N), "cpu-ms/op")
}
