package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"platen/boards"
	"platen/hal"
	"platen/hal/driver"
	"platen/hal/grbl"
	"platen/hal/marlin"
	"platen/hal/repetier"
	"platen/hal/reprap"
	"platen/hal/serial"
	"platen/hal/unit"
	"platen/slicer"
	"platen/slicer/mesh"
)

// open opens the port and the controller behind it.
func open(ctx context.Context, cfg Config) (hal.Machine, error) {
	c := cfg.Board.Controller
	opt := driver.Options{
		Logger: cfg.Logger,
		Pins:   driver.Pins{USB: c.Link == "usb", Emergency: c.Emergency, Level: c.Level},
		Urgent: true,
	}
	d, ok := dialects[c.Dialect]
	if !ok {
		return nil, fmt.Errorf("board %s has a controller of dialect %q, which this release does not drive", cfg.Board.ID, c.Dialect)
	}
	port, err := openPort(ctx, cfg)
	if err != nil {
		return nil, err
	}
	line := driver.Port(port)
	if c.Reset != "dtr" {
		line = unresettable{port}
	}
	if cfg.Record != "" {
		if line, err = recorded(line, cfg); err != nil {
			port.Close() // nothing was written to it
			return nil, err
		}
	}
	m, err := driver.Open(ctx, line, d.firmware(opt), opt)
	if err != nil {
		line.Close() // it may be closed already
		return nil, err
	}
	return m, nil
}

// portWait is how long a session waits for its port: a controller that was reset, or whose
// cable was put in again, is back within a second or two, and a session that has just
// died lets go of it.
const portWait = 3 * time.Second

// openPort opens the port of the controller, by the name that the configuration gives it
// or the pattern of the board.
func openPort(ctx context.Context, cfg Config) (*serial.Port, error) {
	c := serial.Config{Device: cmp.Or(cfg.Device, cfg.Board.Controller.Device), Baud: cfg.Board.Controller.Baud}
	if c.Device == "" {
		return nil, errors.New("the board does not name a serial device: name it in the configuration")
	}
	ctx, cancel := context.WithTimeout(ctx, portWait)
	defer cancel()
	return serial.Await(ctx, c)
}

// dialects are the firmwares that are driven, with their numbers in seam.Ready.
var dialects = map[string]struct {
	number   uint8
	firmware func(driver.Options) driver.Firmware
}{
	"marlin":   {1, marlin.New},
	"repetier": {2, repetier.New},
	"reprap":   {3, reprap.New},
	"grbl":     {4, grbl.New},
}

// unresettable is a port whose DTR line resets nothing: a driver that asks for a reset
// has to find another way.
type unresettable struct{ port *serial.Port }

func (u unresettable) Read(b []byte) (int, error)        { return u.port.Read(b) }
func (u unresettable) Write(b []byte) (int, error)       { return u.port.Write(b) }
func (u unresettable) WriteNow(b []byte) (int, error)    { return u.port.WriteNow(b) }
func (u unresettable) SetReadDeadline(t time.Time) error { return u.port.SetReadDeadline(t) }
func (u unresettable) Own()                              { u.port.Own() }
func (u unresettable) Close() error                      { return u.port.Close() }

// fineArcs is how far arcs may be from what they stand for: less than a step of the
// motors.
const fineArcs = unit.Millimetre / 100

// settingsOf turns what a board file says into settings of the slicer. How the
// machine warms up and ends is for the board's macros.
func settingsOf(b *boards.Board) (slicer.Settings, error) {
	s := slicer.Default()
	p := b.Print
	s.Build = slicer.Volume{
		Min: mesh.Vertex{X: b.Bed.X, Y: b.Bed.Y},
		Max: mesh.Vertex{X: b.Bed.X + b.Bed.Width, Y: b.Bed.Y + b.Bed.Depth, Z: b.Limits.Max[2]},
	}
	s.Nozzle, s.Filament = b.Nozzle, b.Filament
	s.FirstHeight, s.Height, s.Width = p.FirstLayerHeight, p.LayerHeight, p.LineWidth
	v := &s.Speeds
	v.OuterWall, v.InnerWall, v.Skin, v.Infill = p.OuterWall, p.InnerWall, p.Skin, p.Infill
	v.FirstLayer, v.Travel, v.Lift, v.Retract = p.FirstLayer, p.Travel, p.Lift, p.RetractSpeed
	s.Accel, s.Retract = p.Accel, p.Retract
	s.FirstHotEnd, s.HotEnd, s.FirstBed, s.Bed = p.FirstHotEnd, p.HotEnd, p.FirstBed, p.Bed
	s.Fan, s.Bare = p.Fan, true
	if b.Limits.Arcs {
		s.Arcs = fineArcs
	}
	return s, s.Validate()
}
