package grbl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

const mm = unit.Millimetre

// shop is a machine that can home.
const shop = "22=1,23=7,24=200,25=3000,100=80,101=80,102=400,110=18000,111=18000,112=3000,120=2000,121=2000,122=500"

// serve runs a printer on rw until the test ends.
func serve(t *testing.T, cfg sim.Config, rw io.ReadWriter) *sim.Printer {
	t.Helper()
	p, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Serve(ctx, rw)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

// connect opens a machine on a port.
func connect(t *testing.T, port driver.Port, usb bool) (*Machine, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := Open(ctx, port, Options{Settle: 100 * time.Millisecond, Pins: driver.Pins{USB: usb}})
	if err == nil {
		t.Cleanup(func() { m.Close() })
	}
	return m, err
}

func run(t *testing.T, m *Machine, ops ...motion.Op) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	return m.Run(ctx, func(yield func(motion.Op, error) bool) {
		for _, op := range ops {
			if !yield(op, nil) {
				return
			}
		}
	})
}

func to(x, y unit.Length) motion.Op {
	return motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{x, y}, Feed: 40 * unit.MillimetrePerSecond}
}

// square is four moves, each a second long, that many times.
func square(times int) []motion.Op {
	ops := []motion.Op{{Kind: motion.Home}}
	for n := range times {
		i := unit.Length(n % 2)
		ops = append(ops, to(20*mm, (20+i)*mm), to(60*mm, (20+i)*mm), to(60*mm, (60+i)*mm), to(20*mm, (60+i)*mm))
	}
	return ops
}

// tampered is a port whose line does something to a text of the host, once.
type tampered struct {
	net.Conn
	was, is string
	done    bool
}

func (p *tampered) Write(b []byte) (int, error) {
	if !p.done && bytes.Contains(b, []byte(p.was)) && p.was != "" {
		p.done = true
		_, err := p.Conn.Write(bytes.Replace(b, []byte(p.was), []byte(p.is), 1))
		return len(b), err
	}
	return p.Conn.Write(b)
}

// TestGuard damages one line on a link that is said not to: the machine stops. The
// control damages nothing.
func TestGuard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ was, is string }{
		"nothing":     {},
		"a place":     {"G90G1X-180Y-180F", "G90G1X-100Y-180F"},
		"a digit":     {"G1Y-39\n", "G1Y-3\n"},
		"a line":      {"G1Y40\n", ""},
		"a line end":  {"G1Y40\nG1", "G1Y40G1"},
		"a sign":      {"G1X-40\n", "G1X40\n"},
		"the feed":    {"F2400", "F9400"},
		"the mode":    {"G91G1", "G90G1"},
		"one command": {"G1Y-39\n", "G1Y-39\nG1X20\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			p := serve(t, sim.Config{Firmware: sim.GRBL, Settings: shop, Baud: 115200, Speed: 5}, far)
			port := &tampered{Conn: near, was: c.was, is: c.is}
			m, err := connect(t, port, true)
			if err != nil {
				t.Fatal(err)
			}
			times := 2
			if name == "the feed" {
				times = 50 // it is seen by a report in mid-move, of which a busy host asks few
			}
			err = run(t, m, square(times)...)
			if name == "nothing" {
				if err != nil || p.Stats().Moves != 8 {
					t.Fatalf("control: %v, %d moves; state %+v", err, p.Stats().Moves, m.State())
				}
				return
			}
			if !port.done {
				t.Fatal("control: nothing was damaged")
			}
			var fault *hal.FaultError
			if !errors.As(err, &fault) || !errors.Is(err, hal.ErrHalted) {
				t.Fatalf("Run: %v, want a fault", err)
			}
			for end := time.Now().Add(10 * time.Second); p.Stats().Moving; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the machine still moves")
				}
			}
		})
	}
}

// TestRefusals opens controllers that cannot be driven.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings string
		usb      bool
		want     error
	}{
		"a link that may damage": {shop, false, ErrUnsafeLink},
		"no homing":              {"22=0", true, ErrNoHoming},
		"inches":                 {"22=1,13=1", true, errInches},
		"no travel":              {"22=1,100=0", true, errTravel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			serve(t, sim.Config{Firmware: sim.GRBL, Settings: c.settings, Speed: sim.Fastest}, far)
			if _, err := connect(t, near, c.usb); !errors.Is(err, c.want) {
				t.Errorf("Open: %v, want %v", err, c.want)
			}
		})
	}
}

// TestBack halts a machine in the middle of a move, and opens it again: the lock is
// taken off, and it homes before it moves.
func TestBack(t *testing.T) {
	t.Parallel()
	for _, fw := range []sim.Firmware{sim.GRBL, sim.GRBLHAL} {
		t.Run(fw.String(), func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			p := serve(t, sim.Config{Firmware: fw, Settings: shop, Speed: 5}, far)
			line := &lasting{Conn: near}
			m, err := connect(t, line, true)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- run(t, m, square(2)...) }()
			for end := time.Now().Add(20 * time.Second); p.Stats().Moves < 2; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it does not move: %+v", m.State())
				}
			}
			if err := m.Halt("test"); err != nil {
				t.Fatal(err)
			}
			if err := <-done; !errors.Is(err, hal.ErrHalted) || m.State().Fault != hal.FaultHost {
				t.Errorf("Run: %v, fault %v", err, m.State().Fault)
			}
			m.Close()
			moved := p.Stats().Moves
			m, err = connect(t, line, true)
			if err != nil {
				t.Fatalf("open again: %v", err)
			}
			if err := run(t, m, to(20*mm, 20*mm)); !errors.Is(err, hal.ErrEnvelope) {
				t.Errorf("a program that does not home: %v", err)
			}
			if err := run(t, m, square(2)...); err != nil || p.Stats().Moves != moved+8 {
				t.Errorf("after a halt: %v, %d moves", err, p.Stats().Moves-moved)
			}
			if err := run(t, m, to(30*mm, 30*mm)); err != nil {
				t.Errorf("a program on a machine that has homed: %v", err)
			}
		})
	}
}

// lasting is a line that outlives its port.
type lasting struct{ net.Conn }

func (l *lasting) Close() error { return l.SetReadDeadline(time.Unix(1, 0)) }

// TestEncoder checks what operations become.
func TestEncoder(t *testing.T) {
	m := machine{travel: point{200_000, 200_000, 100_000}, shift: point{-200_000, -200_000, -100_000}, work: point{0, -5_000, 0}}
	e := &encoder{machine: m}
	all := motion.X | motion.Y | motion.Z
	move := func(x, y, z unit.Length, f unit.Speed) motion.Op {
		return motion.Op{Kind: motion.Move, Axes: all, To: [3]unit.Length{x, y, z}, Feed: f}
	}
	for _, c := range []struct {
		op   motion.Op
		want string
	}{
		{motion.Op{Kind: motion.Home}, "$H\nG21G90G94\n"},
		{move(10*mm, 20*mm, 0, 100_000), "G90G1X-190Y-175Z-100F6000\n"},
		{move(10*mm+mm/2, 20*mm, 0, 100_000), "G91G1X0.5\n"},
		{move(10*mm+mm/2, 20*mm, 0, 100_000), ""},
		{move(10*mm, 20*mm, 0, 100_000), "G1X-0.5\n"},
		{move(200*mm, 200*mm, 100*mm, 50_000), "G1X190Y180Z100F3000\n"},
		{motion.Op{Kind: motion.Dwell, Wait: 1250 * time.Millisecond}, "G4P1.25\n"},
		{motion.Op{Kind: motion.Dwell, Wait: 2 * time.Second}, "G4P2\n"},
		{motion.Op{Kind: motion.SetAccel, Accel: 500}, ""},
		{motion.Op{Kind: motion.MotorsOff}, ""},
		{motion.Op{Kind: motion.BeginLayer}, ""},
		{motion.Op{Kind: motion.SetFan}, ""},
	} {
		got, err := e.Append(nil, c.op)
		if err != nil || string(got) != c.want {
			t.Errorf("%v: %q, %v; want %q", c.op, got, err, c.want)
		}
	}
	for i := range unit.Length(refresh - 4) {
		if _, err := e.Append(nil, move(i*mm/2, 0, 0, 50_000)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := e.Append(nil, move(10*mm, 0, 0, 50_000)); err != nil || string(got) != "G90G1X-190Y-195Z-100\n" {
		t.Errorf("a move that says where it leads is %q, %v", got, err)
	}
	for name, op := range map[string]motion.Op{
		"heater": {Kind: motion.SetHeater}, "wait": {Kind: motion.WaitHeater}, "fan": {Kind: motion.SetFan, Fan: 1},
		"filament": {Kind: motion.Move, Axes: motion.E, E: mm, Feed: 1000}, "below": move(-1*mm, 0, 0, 1000), "above": move(0, 0, 101*mm, 1000),
		"feed": move(0, 0, 0, 0), "tool": {Kind: motion.Dwell, Tool: 1}, "one axis": {Kind: motion.Home, Axes: motion.X}, "level": {Kind: motion.Level}, "pause": {Kind: motion.Pause},
	} {
		if got, err := e.Append(nil, op); !errors.Is(err, hal.ErrEnvelope) || len(got) != 0 {
			t.Errorf("%s: %q, %v", name, got, err)
		} else if strings.ContainsAny(strings.TrimPrefix(err.Error(), "grbl"), "456789") {
			t.Errorf("%s: the error says a number: %v", name, err)
		}
	}
}

// TestParse reads what grbl and grblHAL say.
func TestParse(t *testing.T) {
	f := &firmware{opened: true}
	for line, want := range map[string]gcode.Reply{
		"ok":                                   {Kind: gcode.OK},
		"error:9":                              {Kind: gcode.Refusal},
		"ALARM:1":                              {Kind: gcode.Fault, Fault: hal.FaultEndstop},
		"ALARM:3":                              {Kind: gcode.Fault, Fault: hal.FaultController},
		"[MSG:Off]":                            {Kind: gcode.Note},
		"ok\x80":                               {Kind: gcode.Garbage},
		"":                                     {Kind: gcode.Empty},
		"<Idle|MPos:0.000,0.000,0.000|FS:0,0>": {Kind: gcode.Report, Idle: true},
		"<Run|WPos:-1.000,2.000,3.999|Bf:1,2|F:10>":        {Kind: gcode.Report},
		"<Hold:0|MPos:0.000,0.000,0.000|FS:0,0>":           {Kind: gcode.Fault, Fault: hal.FaultController},
		"<Run|MPos:0.000,0.000>":                           {Kind: gcode.Garbage},
		"<Run|MPos:0.0x0,0.000,0.000>":                     {Kind: gcode.Garbage},
		"Grbl 1.1h ['$' for help]":                         {Kind: gcode.Start},
		"GrblHAL 1.1f ['$' or '$HELP' for help]":           {Kind: gcode.Start},
		"<Run|MPos:1.000,2.000,3.000|FS:5,0|WCO:1.0,0.0,0": {Kind: gcode.Garbage},
	} {
		var r gcode.Reply
		f.Parse([]byte(line), &r)
		want.Line, want.Queue = -1, -1
		if r != want {
			t.Errorf("%q: %+v, want %+v", line, r, want)
		}
	}
	var r gcode.Reply
	f.Parse([]byte("<Run|WPos:-1.000,2.000,3.999|FS:1200,0|WCO:0.500,0.000,-2.000>"), &r)
	want := status{at: point{-1000, 2000, 3999}, isW: true, rate: 1200, wco: point{500, 0, -2000}, hasW: true}
	if f.status != want {
		t.Errorf("%+v, want %+v", f.status, want)
	}
}

// TestLongestHoming checks how long grbl may say nothing: with its defaults, two minutes.
func TestLongestHoming(t *testing.T) {
	a := answer{settings: settings{travel: point{200_000, 200_000, 100_000}, seek: 500, touch: 25, pulloff: 1000}}
	if d := a.longestHoming(); d < 80*time.Second || d > 3*time.Minute {
		t.Errorf("%v", d)
	}
	a.seek, a.touch = 0, 0 // not told
	if d := a.longestHoming(); d < time.Hour {
		t.Errorf("%v", d)
	}
}

// TestParseAllocates checks that reading a line costs no memory.
func TestParseAllocates(t *testing.T) {
	f := &firmware{opened: true}
	var r gcode.Reply
	line := []byte("<Run|MPos:1.000,2.000,3.000|Bf:15,128|FS:500,0|WCO:0.000,0.000,0.000>")
	if n := testing.AllocsPerRun(100, func() { f.Parse(line, &r); f.Parse([]byte("ok"), &r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"ok", "error:22", "ALARM:1", "<Idle|MPos:0.000,0.000,0.000|FS:0,0>", "$130=200.000", "[G54:0.000,0.000,0.000]", "[OPT:V,15,128]", "[VER:1.1h.20190830:]", "$=", "[", "<"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		fw := &firmware{}
		var r gcode.Reply
		fw.Parse(line, &r)
		fw.Identify(line, &r)
		if m, err := fw.known.machine(); err == nil && (m.near <= 0 || m.blocks <= 0) {
			t.Fatalf("%+v", m)
		}
	})
}
