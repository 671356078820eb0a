package main

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/hal/unit"
	"platen/slicer"
	"platen/slicer/check"
	"platen/slicer/mesh"
)

const checkHelp = `Check judges the G-code of any slicer by the model it was made from: how close
outer walls are to where they should be, what is laid outside of the model, what
of walls and faces is left bare, ways through air, and how long all of it takes.

  platen-slice check part.gcode --model part.stl
  platen-slice check part.gcode --model part.stl --bars   exit 1 if a bar does not hold
  platen-slice check part.gcode --model part.stl -o bare.png --layer 12
                                     show what of a layer is covered and what is bare

The model may lie anywhere on the bed, but as it is in its file: not turned, not
scaled, one copy. Files must name their lines in ;TYPE: comments, as PrusaSlicer,
Orca, Cura and platen-slice do.`

// checkOptions are the flags of check.
type checkOptions struct {
	model  string
	at     *check.Point
	bars   bool
	solid  bool
	layers int
	width  unit.Length
	accel  int32
	layer  int
}

func checkCmd(o *options) *cobra.Command {
	var k checkOptions
	c := &cobra.Command{
		Use:   "check FILE.gcode --model MODEL",
		Short: "Judge the G-code of any slicer by the model it was made from",
		Long:  checkHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			kind := o.output.kind(o.output.file)
			if o.output.file != "" && kind != ".png" {
				return cli.Usage("check writes pictures only: use -o FILE.png, or -o text, json or jsonl")
			}
			if k.model == "" {
				return cli.Usage("name the model with --model")
			}
			if kind == ".png" {
				return showLayer(c.Context(), o, k, args[0])
			}
			f, err := judge(c.Context(), o, k, args[0])
			if err != nil {
				return err
			}
			if err := cli.Print(c, f, f.print); err != nil {
				return err
			}
			if k.bars && !f.OK {
				return errors.New("not all bars hold")
			}
			return nil
		},
	}
	c.Flags().StringVar(&k.model, "model", "", "the model that the file was made from")
	c.Flags().Var(pointFlag(&k.at), "at", "where the middle of the model is on the bed; without it the place is found")
	c.Flags().BoolVar(&k.bars, "bars", false, "fail if a bar does not hold")
	c.Flags().BoolVar(&k.solid, "solid", false, "the part was printed solid: its volume must be right")
	c.Flags().IntVar(&k.layers, "judge", 40, "layers to judge, evenly spread, 0 for all")
	c.Flags().Var(widthFlag(&k.width), "wall-width", "width of outer walls, 0 is what most have")
	c.Flags().IntVar(&k.layer, "layer", 1, "layer of the picture, from 1")
	c.Flags().Int32Var(&k.accel, "time-acceleration", 0, "acceleration for the time in mm/s², 0 is what the file asks for")
	return c
}

// millimetres parses 1.5, 1.5mm or 1500um.
func millimetres(s string) (unit.Length, error) {
	scale := 1.0
	text, ok := strings.CutSuffix(s, "um")
	if ok {
		scale = 0.001
	} else {
		text = strings.TrimSuffix(s, "mm")
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a length like 0.45mm", s)
	}
	return unit.FromMM(v * scale)
}

// widthFlag takes a length.
func widthFlag(p *unit.Length) value {
	return value{"length", func() string { return p.String() }, func(s string) (err error) {
		*p, err = millimetres(s)
		return err
	}}
}

// pointFlag takes 110x110mm.
func pointFlag(p **check.Point) value {
	text := func() string {
		if *p == nil {
			return ""
		}
		return (*p).X.String() + "x" + (*p).Y.String()
	}
	return value{"XxY", text, func(s string) error {
		x, y, _ := strings.Cut(s, "x")
		at := check.Point{}
		var errX, errY error
		at.X, errX = millimetres(x)
		at.Y, errY = millimetres(y)
		*p = &at
		if errX != nil || errY != nil {
			return fmt.Errorf("%q is not a place like 110x110mm", s)
		}
		return nil
	}}
}

// verdict is what check prints.
type verdict struct {
	Layers      int        `json:"layers"`
	Judged      int        `json:"layers_judged"`
	AtMM        [2]float64 `json:"at_mm"`
	TimeS       float64    `json:"time_s"`
	FilamentMM  float64    `json:"filament_mm"`
	Lines       int        `json:"lines"`
	PrintedMM   float64    `json:"printed_mm"`
	TravelMM    float64    `json:"travel_mm"`
	Retractions int        `json:"retractions"`
	Extruded    float64    `json:"extruded_of_model"`
	WidthMM     float64    `json:"wall_width_mm"`
	WallP95UM   float64    `json:"wall_p95_um"`
	WallMaxUM   float64    `json:"wall_max_um"`
	Outside     float64    `json:"outside"`
	Twice       float64    `json:"laid_twice"`
	Shell       float64    `json:"shell_uncovered"`
	Top         float64    `json:"top_uncovered"`
	Bottom      float64    `json:"bottom_uncovered"`
	Kept        float64    `json:"outline_kept"`
	Air         int        `json:"air_travels"`
	AirMM       float64    `json:"air_travel_mm"`
	Bars        []bar      `json:"bars"`
	OK          bool       `json:"ok"`
}

type bar struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Most  float64 `json:"most"`
	OK    bool    `json:"ok"`
}

// anywhere is all the room there is.
var anywhere = slicer.Volume{
	Min: mesh.Vertex{X: -unit.MaxCoordinate, Y: -unit.MaxCoordinate, Z: -unit.MaxCoordinate},
	Max: mesh.Vertex{X: unit.MaxCoordinate, Y: unit.MaxCoordinate, Z: unit.MaxCoordinate},
}

// options of package check.
func (k checkOptions) options(s slicer.Settings) check.Options {
	most := k.layers
	if most == 0 {
		most = -1
	}
	return check.Options{At: k.at, Width: k.width, Walls: s.Walls, Filament: s.Filament, Accel: unit.Accel(k.accel), Most: most}
}

// judge reads both files and compares them.
func judge(ctx context.Context, o *options, k checkOptions, name string) (f verdict, err error) {
	err = withBoth(ctx, k.model, name, func(m *mesh.Mesh, file *os.File) error {
		r, err := check.Run(ctx, m, file, k.options(o.settings))
		if err == nil {
			f = verdictOf(r, k.solid)
		}
		return err
	})
	return f, err
}

// showLayer writes a picture of a layer.
func showLayer(ctx context.Context, o *options, k checkOptions, name string) error {
	return withBoth(ctx, k.model, name, func(m *mesh.Mesh, file *os.File) error {
		img, err := check.Picture(ctx, m, file, k.options(o.settings), k.layer, longSide)
		if err != nil {
			return err
		}
		return writeFile(o.output.file, func(w io.Writer) error { return png.Encode(w, img) })
	})
}

// withBoth opens a program and the model it was made from.
func withBoth(ctx context.Context, model, name string, f func(*mesh.Mesh, *os.File) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // opened for reading
	return withMesh(ctx, model, func(m *mesh.Mesh) error {
		if err := m.Place(anywhere); err != nil { // turns inside-out parts around, too
			return fmt.Errorf("%s: %w", model, err)
		}
		if err := f(m, file); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// withMesh reads a model as it is in its file.
func withMesh(ctx context.Context, name string, f func(*mesh.Mesh) error) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // opened for reading
	st, err := file.Stat()
	if err != nil {
		return err
	}
	v, err := newVault(st.Size())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	m, err := mesh.Load(ctx, v, file, st.Size(), mesh.Detect)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return f(m)
}

func verdictOf(r check.Report, solid bool) verdict {
	f := verdict{
		Layers: r.Layers, Judged: r.Judged, AtMM: [2]float64{r.At.X.MM(), r.At.Y.MM()}, TimeS: r.Time.Seconds(),
		FilamentMM: float64(r.Filament), Lines: r.Lines, PrintedMM: float64(r.Printed), TravelMM: float64(r.Travel),
		Retractions: r.Retractions, Extruded: float64(r.Extruded), WidthMM: r.Width.MM(),
		WallP95UM: r.WallP95.MM() * 1000, WallMaxUM: r.WallMax.MM() * 1000,
		Outside: float64(r.Outside), Twice: float64(r.Twice), Shell: float64(r.Shell), Top: float64(r.Top), Bottom: float64(r.Bottom),
		Kept: float64(r.Kept), Air: r.Air, AirMM: float64(r.AirWay), OK: true,
	}
	for _, b := range r.Bars(solid) {
		f.Bars = append(f.Bars, bar{b.Name, float64(b.Value), float64(b.Most), b.OK})
		f.OK = f.OK && b.OK
	}
	return f
}

func (f verdict) print(w io.Writer) error {
	var b strings.Builder
	percent := func(s float64) string { return fmt.Sprintf("%.3f %%", 100*s) }
	for _, line := range [][2]string{
		{"layers", fmt.Sprintf("%d, %d judged", f.Layers, f.Judged)},
		{"place", fmt.Sprintf("%.3f, %.3f mm", f.AtMM[0], f.AtMM[1])},
		{"time", fmt.Sprintf("%v without heating and homing", time.Duration(f.TimeS*float64(time.Second)).Round(time.Second))},
		{"filament", fmt.Sprintf("%.1f mm", f.FilamentMM)},
		{"lines", fmt.Sprintf("%d, %.0f mm", f.Lines, f.PrintedMM)},
		{"travel", fmt.Sprintf("%.0f mm, %d retractions", f.TravelMM, f.Retractions)},
		{"extruded", percent(f.Extruded) + " of the model"},
		{"outer wall", fmt.Sprintf("%.3f mm wide; 95 %% within %.1f µm of the exact offset, all within %.1f µm", f.WidthMM, f.WallP95UM, f.WallMaxUM)},
		{"outside", percent(f.Outside) + " of the section"},
		{"twice", percent(f.Twice) + " of what is laid"},
		{"uncovered", fmt.Sprintf("shell %s, top %s, bottom %s", percent(f.Shell), percent(f.Top), percent(f.Bottom))},
		{"outline", percent(f.Kept) + " kept"},
		{"through air", fmt.Sprintf("%d travels, %.1f mm", f.Air, f.AirMM)},
	} {
		fmt.Fprintf(&b, "%-12s%s\n", line[0], line[1])
	}
	for _, r := range f.Bars {
		state := "ok"
		if !r.OK {
			state = "NOT MET"
		}
		fmt.Fprintf(&b, "bar         %-22s %12.6g  at most %-8g %s\n", r.Name, r.Value, r.Most, state)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
