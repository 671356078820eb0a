package session

import (
	"context"
	"fmt"

	"platen/boards"
	"platen/hal"
	"platen/hal/marlin"
	"platen/hal/serial"
	"platen/slicer"
	"platen/slicer/mesh"
)

// open opens the port and the controller behind it.
func open(ctx context.Context, cfg Config) (hal.Machine, error) {
	c := cfg.Board.Controller
	device := cfg.Device
	if device == "" {
		var err error
		if device, err = c.Find(); err != nil {
			return nil, err
		}
	}
	if c.Dialect != "marlin" {
		return nil, fmt.Errorf("board %s has a controller of dialect %q, which this release does not drive", cfg.Board.ID, c.Dialect)
	}
	port, err := serial.Open(serial.Config{Device: device, Baud: c.Baud})
	if err != nil {
		return nil, err
	}
	m, err := marlin.Open(ctx, port, marlin.Options{Logger: cfg.Logger})
	if err != nil {
		port.Close()
		return nil, err
	}
	return m, nil
}

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
	s.Speeds = slicer.Speeds{
		OuterWall: p.OuterWall, InnerWall: p.InnerWall, Skin: p.Skin, Infill: p.Infill,
		FirstLayer: p.FirstLayer, Travel: p.Travel, Lift: p.Lift, Retract: p.RetractSpeed,
	}
	s.Accel, s.Retract = p.Accel, p.Retract
	s.FirstHotEnd, s.HotEnd, s.FirstBed, s.Bed = p.FirstHotEnd, p.HotEnd, p.FirstBed, p.Bed
	s.Fan, s.Bare = p.Fan, true
	return s, s.Validate()
}
