package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"platen/hal/sim"
)

// event is one line of output. Numbers are those of the present print; they are for
// the rig and go nowhere else.
type event struct {
	Event    string  `json:"event"`            // ready, status or end
	Port     string  `json:"port,omitempty"`   // of ready
	Result   string  `json:"result,omitempty"` // of end: finished, killed or stopped
	Lines    uint64  `json:"lines"`
	Moves    uint64  `json:"moves"`
	Layers   int     `json:"layers"`
	ZMM      float64 `json:"z_mm"`
	SimTime  float64 `json:"sim_time_s"`
	Filament float64 `json:"filament_mm"`
	Hotend   float64 `json:"hotend_c"`
	Bed      float64 `json:"bed_c"`
	Moving   bool    `json:"moving"`
	Resends  uint64  `json:"resends"`
	Starved  uint64  `json:"starved"`
}

func (e event) text() string {
	switch e.Event {
	case "ready":
		return "ready on " + e.Port + "\n"
	case "status":
		return fmt.Sprintf("layer %d, z %.2f mm, %d lines, %.0f s, hot end %.0f °C, bed %.0f °C\n",
			e.Layers, e.ZMM, e.Lines, e.SimTime, e.Hotend, e.Bed)
	}
	return fmt.Sprintf("%s: %d layers, %d lines, %.0f s, %.1f mm of filament, %d resends\n",
		e.Result, e.Layers, e.Lines, e.SimTime, e.Filament, e.Resends)
}

func (e event) writeJSON(w io.Writer) error {
	if e.Event == "ready" { // there is nothing to count yet
		return json.NewEncoder(w).Encode(struct {
			Event string `json:"event"`
			Port  string `json:"port"`
		}{e.Event, e.Port})
	}
	return json.NewEncoder(w).Encode(e)
}

// settled is how long, in simulated time, a printer has to stand still with its
// heaters off until its print counts as ended.
const settled = 2 * time.Second

// watch turns the state of a printer into events.
type watch struct {
	p      *sim.Printer
	say    func(event) error
	every  time.Duration
	served bool // Serve has returned

	base     sim.Stats // at the start of the present print: when nothing was going on last
	printing bool
	killed   bool
	still    time.Duration // simulated time since when it stands still
	told     time.Time     // of the last status
}

// run watches until ctx ends or the printer is gone.
func (w *watch) run(ctx context.Context, served <-chan error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	w.base = w.p.Stats()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			w.served = true
			if ctx.Err() != nil {
				return nil
			}
			if err == nil {
				err = errGone
			}
			return err
		case now := <-tick.C:
			if err := w.look(now); err != nil {
				return fmt.Errorf("printing an event: %w", err)
			}
		}
	}
}

// look compares the printer with what was known of it.
func (w *watch) look(now time.Time) error {
	s := w.p.Stats()
	hot := s.HotendSet > 0 || s.BedSet > 0
	active := hot || s.Moving
	if !s.Killed {
		w.killed = false
	}
	switch {
	case s.Killed && !w.killed:
		w.killed = true
		return w.end("killed")
	case !w.printing:
		if s.Killed || !hot && s.Moves == w.base.Moves { // a controller may be busy with a question for a moment
			w.base = s
			return nil
		}
		w.printing, w.told, w.still = true, now, s.SimTime
	case active:
		w.still = s.SimTime
	case s.SimTime-w.still >= settled:
		if s.Moves == w.base.Moves { // it was heated or asked something, no more
			w.printing, w.base = false, s
			return nil
		}
		return w.end("finished")
	}
	if w.every > 0 && now.Sub(w.told) >= w.every {
		w.told = now
		return w.say(w.event("status", s))
	}
	return nil
}

func (w *watch) end(result string) error {
	w.printing = false
	s := w.p.Stats()
	e := w.event("end", s)
	e.Result = result
	w.base = s
	return w.say(e)
}

func (w *watch) event(kind string, s sim.Stats) event {
	return event{
		Event: kind, Lines: s.Lines - w.base.Lines, Moves: s.Moves - w.base.Moves, Layers: s.Layers - w.base.Layers,
		ZMM: s.Z.MM(), SimTime: (s.SimTime - w.base.SimTime).Seconds(), Filament: float64(s.Filament-w.base.Filament) / 1000,
		Hotend: s.Hotend.Degrees(), Bed: s.Bed.Degrees(), Moving: s.Moving,
		Resends: s.Resends - w.base.Resends, Starved: s.Starved - w.base.Starved,
	}
}
