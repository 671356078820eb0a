package trace_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"platen/hal/driver"
	"platen/hal/grbl"
	"platen/hal/marlin"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/trace"
	"platen/hal/unit"
)

// serve runs a printer on a line until the test ends, and returns the near end.
func serve(t *testing.T, cfg sim.Config) net.Conn {
	t.Helper()
	p, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.Serve(ctx, far) })
	t.Cleanup(func() { cancel(); near.Close(); wg.Wait() })
	return near
}

// tapped is a line that somebody listens to.
type tapped struct {
	net.Conn
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *tapped) Write(b []byte) (int, error) {
	l.mu.Lock()
	l.text.Write(b)
	l.mu.Unlock()
	return l.Conn.Write(b)
}

// parts is a program with numbers that nothing else has.
func parts() []motion.Op {
	ops := []motion.Op{{Kind: motion.Home}}
	for i := range unit.Length(40) {
		ops = append(ops, motion.Op{
			Kind: motion.Move, Axes: motion.X | motion.Y, Feed: 61_700,
			To: [3]unit.Length{unit.Micrometres(71_713), unit.Micrometres(int64(20_357 + 1000*i))},
		})
		ops = append(ops, motion.Op{Kind: motion.Move, Axes: motion.X, Feed: 61_700, To: [3]unit.Length{unit.Micrometres(31_239)}})
	}
	return ops
}

// TestSession records a driver at work, looks for the numbers of its program, and says
// the host's side of the recording to another printer: it answers as often, and to the
// driver's lines the same. The control listens beside the recorder.
func TestSession(t *testing.T) {
	const shop = "22=1,23=7,25=3000,100=80,101=80,110=18000,111=18000,112=3000,120=2000,121=2000,122=500"
	for _, c := range []struct {
		cfg     sim.Config
		fw      func(driver.Options) driver.Firmware
		secrets []string
	}{
		{sim.Config{Firmware: sim.GRBL, Settings: shop, Speed: sim.Fastest}, grbl.New, []string{"128.287", "40.474", "F3702", "179.643"}},
		{sim.Config{Firmware: sim.Marlin2, Speed: sim.Fastest}, marlin.New, []string{"71.713", "31.239", "F3702", "20.357", "54.357"}},
	} {
		t.Run(c.cfg.Firmware.String(), func(t *testing.T) {
			t.Parallel()
			tap := &tapped{Conn: serve(t, c.cfg)}
			var file bytes.Buffer
			rec := trace.Record(tap, &file, trace.Options{Title: "test"})
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			opt := driver.Options{Settle: 100 * time.Millisecond, Pins: driver.Pins{USB: true}}
			m, err := driver.Open(ctx, rec, c.fw(opt), opt)
			if err != nil {
				t.Fatal(err)
			}
			err = m.Run(ctx, func(yield func(motion.Op, error) bool) {
				for _, op := range parts() {
					if !yield(op, nil) {
						return
					}
				}
			})
			if err := errors.Join(err, m.Close()); err != nil {
				t.Fatal(err)
			}
			for _, s := range c.secrets {
				if strings.Contains(file.String(), s) {
					t.Errorf("the recording has %q", s)
				}
				if !strings.Contains(tap.text.String(), s) {
					t.Errorf("control: %q was not sent", s)
				}
			}
			events, err := trace.Read(&file)
			if err != nil {
				t.Fatal(err)
			}
			again, err := trace.Drive(ctx, serve(t, c.cfg), events, 20*time.Second)
			if err != nil {
				t.Fatalf("%v; heard %d", err, len(again))
			}
			if c.cfg.Firmware == sim.Marlin2 {
				replay(t, ctx, events)
			}
			for _, e := range again {
				if strings.HasPrefix(e.Text, "error:") || strings.HasPrefix(e.Text, "ALARM") || strings.HasPrefix(e.Text, "Resend") {
					t.Errorf("the other printer says %q", e.Text)
				}
			}
		})
	}
}

// replay has a driver do the same again on a port that plays the recording.
func replay(t *testing.T, ctx context.Context, events []trace.Event) {
	t.Helper()
	port := trace.NewPort(events)
	m, err := marlin.Open(ctx, port, marlin.Options{Settle: 100 * time.Millisecond, Pins: driver.Pins{USB: true}})
	if err != nil {
		t.Fatalf("open a recording: %v; line %d differs", err, port.Differs())
	}
	err = m.Run(ctx, func(yield func(motion.Op, error) bool) {
		for _, op := range parts() {
			if !yield(op, nil) {
				return
			}
		}
	})
	if err := errors.Join(err, m.Close()); err != nil {
		t.Errorf("a driver on a recording: %v; line %d differs", err, port.Differs())
	}
}
