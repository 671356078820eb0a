package session

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/seam"
	"platen/boards"
	"platen/hal"
	"platen/hal/sensor/gpio"
	"platen/hal/unit"
	"platen/hal/watch"
	"platen/hal/watchdog"
)

// boxTree is a board with a box, and its sensors as files.
func boxTree(t *testing.T) (*boards.Board, string) {
	t.Helper()
	b, err := boards.Load("sim-box")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"class/hwmon/hwmon0/name": "emc2305\n", "class/hwmon/hwmon0/fan1_input": "4210\n",
		"class/hwmon/hwmon1/name": "lm75\n", "class/hwmon/hwmon1/temp1_input": "31500\n",
		"bus/w1/devices/28-0316a2790cff/w1_slave": "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b, root
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestBox reads the sensors of a box; what goes away is missing, and nothing old stands
// in for it.
func TestBox(t *testing.T) {
	board, root := boxTree(t)
	b, err := openBox(Config{Board: board, Sys: root, Dev: root, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	eventually(t, "all sensors answer", func() bool { return b.missing() == 0 })
	got := b.read()
	if !got.HasAmbient || got.Ambient != unit.Celsius(23125) || got.Fans[0] != (watch.Tach{RPM: 4210, Known: true}) || got.Door != watch.Unknown || got.Filament != watch.Unknown {
		t.Errorf("%+v", got)
	}
	if fans := b.fans(); len(fans) != 1 || !fans[0].Cools || fans[0].LeastRPM != 1500 {
		t.Errorf("fans %+v", fans)
	}
	if err := os.Truncate(filepath.Join(root, "class/hwmon/hwmon0/fan1_input"), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fan is missing", func() bool { return b.missing() == 1<<2 })
	if got := b.read(); got.Fans[0].Known || !got.HasAmbient {
		t.Errorf("with the fan's tachometer gone: %+v", got)
	}
}

// TestBoxWithoutAnything: a board whose sensors are not there has them missing, and opens.
func TestBoxWithoutAnything(t *testing.T) {
	board, _ := boxTree(t)
	board.Sensors = append(board.Sensors, boards.Sensor{Name: "supply", Kind: "gpio", Role: boards.RolePower, At: "gpiochip0"})
	board.Sensors[3].Pin.Chip, board.Sensors[3].Pin.Output = "gpiochip0", true
	b, err := openBox(Config{Board: board, Sys: t.TempDir(), Dev: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.supply(true) // is not there, and harmless
	if m := b.missing(); m != 0b1111 {
		t.Errorf("missing %#b", m)
	}
	var none *box
	none.supply(true)
}

// idle is a machine on which nothing happens.
type idle struct{ hal.Machine }

func (idle) Info() hal.Info   { return hal.Info{} }
func (idle) State() hal.State { return hal.State{Phase: hal.PhaseIdle} }
func (idle) Close() error     { return nil }

// TestSupervisionPauses: what the supervision does is what a status says.
func TestSupervisionPauses(t *testing.T) {
	board, root := boxTree(t)
	cfg := Config{Board: board, Sys: root, Logger: slog.New(slog.DiscardHandler)}
	b, err := openBox(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	s := &session{cfg: cfg, log: cfg.Logger, box: b, phase: seam.PhasePrinting}
	s.supervise(idle{})
	defer s.machine.Close()
	status := func() seam.Status {
		s.mu.Lock()
		st := seam.Status{Phase: s.phase}
		s.mu.Unlock()
		s.supervised(&st)
		return st
	}
	if st := status(); st.Trip != 0 || st.Phase != seam.PhasePrinting {
		t.Errorf("before: %+v", st)
	}
	s.acted(watch.FilamentOut, watch.Pause)
	if st := status(); st.Trip != uint8(watch.FilamentOut) || st.Phase != seam.PhasePaused {
		t.Errorf("filament is out: %+v", st)
	}
	if s.hold(true) {
		t.Error("a held program is held again")
	}
	if !s.hold(false) || status().Trip != 0 {
		t.Error("the program does not go on")
	}
	first := status().Beat
	eventually(t, "the beat", func() bool { return status().Beat != first })
}

// TestOrphanPets: only while the supervision goes round; at the end the timer is stopped
// only if nothing is left to guard.
func TestOrphanPets(t *testing.T) {
	for name, c := range map[string]struct {
		taken, safe, stops bool
	}{"agent there": {false, true, false}, "alone and safe": {true, true, true}, "alone and not safe": {true, false, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "dog")
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			d, err := watchdog.Open(path, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			o := &orphan{dog: d, quit: make(chan struct{})}
			var all strings.Builder
			wrote := func() string {
				buf := make([]byte, 64)
				r.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				n, _ := r.Read(buf)
				all.Write(buf[:n])
				return all.String()
			}
			if c.taken {
				var beat atomic.Uint32
				o.take(beat.Load)
				eventually(t, "petted", func() bool { return wrote() == "." })
				time.Sleep(petPeriod + petPeriod/2) // the supervision stands still
				if got := wrote(); got != "." {
					t.Errorf("petted by a session that stands still: %q", got)
				}
				beat.Add(1)
				eventually(t, "control: petted again", func() bool { return wrote() == ".." })
			}
			o.end(c.taken, c.safe)
			if got := strings.HasSuffix(wrote(), "V"); got != c.stops {
				t.Errorf("stopped: %t, wrote %q", got, wrote())
			}
		})
	}
	var none *orphan
	none.take(nil)
	none.end(true, true)
	if o, err := newOrphan(nil); o != nil || err != nil {
		t.Error("an orphan of nothing")
	}
}

// pin is an output that remembers.
type pin struct{ on, closed bool }

func (p *pin) Value() (bool, error)             { return p.on, nil }
func (p *pin) Set(on bool) error                { p.on = on; return nil }
func (p *pin) Events([]gpio.Event) (int, error) { return 0, os.ErrClosed }
func (p *pin) Close() error                     { p.closed = true; return nil }

// TestCut: a trip takes the supply and the controller's reset line, and so does the end.
func TestCut(t *testing.T) {
	var supply, runs pin
	log := slog.New(slog.DiscardHandler)
	b := &box{log: log, quit: make(chan struct{}), power: gpio.NewHold(&supply), run: gpio.NewHold(&runs)}
	s := &session{log: log, box: b}
	for _, c := range []struct {
		r    watch.Reason
		a    watch.Action
		cuts bool
	}{{watch.HotIdle, watch.Ignore, false}, {watch.StuckOn, watch.Halt, true}} {
		b.supply(true)
		runs.on = true
		s.acted(c.r, c.a)
		if supply.on == c.cuts || runs.on == c.cuts {
			t.Errorf("%v: supply %t, controller runs %t", c.r, supply.on, runs.on)
		}
	}
	supply.on, runs.on = true, true
	b.close()
	if supply.on || runs.on || !supply.closed || !runs.closed {
		t.Errorf("after the end: %+v, %+v", supply, runs)
	}
}
