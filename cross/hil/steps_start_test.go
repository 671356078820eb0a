package hil

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"platen/agent/console"
)

// counted is a board of which only is known whether its clock goes by instructions.
type counted bool

func (c counted) About() About                        { return About{Counted: bool(c)} }
func (counted) Flash(context.Context, string) error   { return nil }
func (counted) On(context.Context) (w Wires, e error) { return w, nil }
func (counted) Cut(context.Context) error             { return nil }

// TestStartTime has a console say how long a start took, and what was used since.
func TestStartTime(t *testing.T) {
	for _, c := range []struct {
		ready, now string
		counted    bool
		want       string // of what is said, or of the error if it begins with "!"
	}{
		{"uptime_s=2.5 cpu_s=1.49 memory_kib=5", "uptime_s=3 cpu_s=1.6 memory_kib=5\n", true, "after 1.49 s of processor, 2.50 s of uptime (a nanosecond"},
		{"uptime_s=9 cpu_s=7.25 memory_kib=5", "uptime_s=9 cpu_s=8 memory_kib=5\n", false, "not judged"},
		{"uptime_s=9 cpu_s=2.01 memory_kib=5", "uptime_s=9 cpu_s=3 memory_kib=5\n", true, "!at most 2.00"},
		{"uptime_s=9 cpu_s=1 memory_kib=5", "uptime_s=9 cpu_s=1 memory_kib=5\n", true, "!" + errControl.Error()},
		{"uptime_s=9 cpu_s=", "", true, "!cannot be read"},
	} {
		ours, theirs := net.Pipe()
		go func() {
			fmt.Fprintf(theirs, "%s %s\r\n", agentReady, c.ready)
			_ = console.Serve(context.Background(), theirs, func(_ context.Context, args []string, _ io.Reader, out, _ io.Writer) int {
				if args[0] != "usage" {
					return 1
				}
				fmt.Fprint(out, c.now)
				return 0
			})
		}()
		b := &Bench{cfg: Config{Board: counted(c.counted)}, con: newConsole(ours, io.Discard)}
		says, err := b.startTime(t.Context())
		if want, fails := strings.CutPrefix(c.want, "!"); fails && (err == nil || !strings.Contains(err.Error(), want)) || !fails && (err != nil || !strings.Contains(says, want)) {
			t.Errorf("%q: %q, %v", c.ready, says, err)
		}
		check(t, errors.Join(b.con.Close(), theirs.Close()))
	}
}
