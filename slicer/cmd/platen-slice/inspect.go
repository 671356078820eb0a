package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/hal/unit"
	"platen/slicer"
	"platen/slicer/mesh"
)

// findings is what inspect says of a file.
type findings struct {
	SizeMM     [3]float64   `json:"size_mm"`
	VolumeMM3  float64      `json:"volume_mm3"`
	SurfaceMM2 float64      `json:"surface_mm2"`
	Triangles  int          `json:"triangles"`
	Bodies     int          `json:"bodies"`
	Copies     int          `json:"copies"`
	Layers     int          `json:"layers"`
	Repairs    repairs      `json:"repairs"`
	Notes      []string     `json:"notes,omitempty"`
	Printable  printability `json:"printability"`
}

// repairs is what was put right in the mesh.
type repairs struct {
	Degenerate int  `json:"degenerate_dropped,omitempty"`
	Duplicate  int  `json:"duplicates_dropped,omitempty"`
	Welded     int  `json:"corners_joined,omitempty"`
	Flipped    int  `json:"triangles_turned,omitempty"`
	Split      int  `json:"edges_divided,omitempty"`
	Filled     int  `json:"holes_closed,omitempty"`
	Shells     int  `json:"shells_turned,omitempty"`
	Reversed   bool `json:"turned_outside_out,omitempty"`
	Open       int  `json:"edges_left_open,omitempty"`
}

// printability is what is hard to print.
type printability struct {
	Fits           bool    `json:"fits"`
	ThinMM3        float64 `json:"thin_mm3"`
	ThinLayers     int     `json:"thin_layers"`
	OverhangMM2    float64 `json:"overhang_mm2"`
	OverhangLayers int     `json:"overhang_layers"`
	BridgeMM2      float64 `json:"bridge_mm2"`
	BridgeLayers   int     `json:"bridge_layers"`
	OverlapMM3     float64 `json:"overlap_mm3"`
	OverlapLayers  int     `json:"overlap_layers"`
	Afloat         int     `json:"parts_in_mid_air"`
}

func inspectCmd(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Say what is in a model: size, volume, surface, bodies, repairs, and what is hard to print",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.output.file != "" {
				return cli.Usage("inspect writes no file: use -o text, json or jsonl")
			}
			var f findings
			look := func(fits bool) func(*slicer.Job) error {
				return func(j *slicer.Job) error {
					in, err := j.Inspect(c.Context())
					f = find(j.Info(), in, fits)
					return err
				}
			}
			err := withJob(c.Context(), o, args[0], look(true))
			if errors.Is(err, slicer.ErrOutOfReach) { // it is still worth looking at
				wide := *o
				const most = unit.MaxCoordinate
				wide.settings.Build = slicer.Volume{
					Min: mesh.Vertex{X: -most, Y: -most, Z: -most}, Max: mesh.Vertex{X: most, Y: most, Z: most},
				}
				err = withJob(c.Context(), &wide, args[0], look(false))
			}
			if err != nil {
				return err
			}
			return cli.Print(c, f, f.print)
		},
	}
}

func find(i slicer.Info, in slicer.Inspection, fits bool) findings {
	b, r := i.Bounds, i.Repairs
	return findings{
		SizeMM:    [3]float64{(b.Max.X - b.Min.X).MM(), (b.Max.Y - b.Min.Y).MM(), (b.Max.Z - b.Min.Z).MM()},
		VolumeMM3: i.Volume.MM3(), SurfaceMM2: i.Surface.MM2(),
		Triangles: i.Triangles, Bodies: i.Bodies, Copies: i.Copies, Layers: i.Layers,
		Repairs: repairs{
			Degenerate: r.Degenerate, Duplicate: r.Duplicate, Welded: r.Welded, Flipped: r.Flipped,
			Split: r.Split, Filled: r.Filled, Shells: r.Shells, Reversed: r.Reversed, Open: r.Open,
		},
		Notes: i.Notes.Texts(),
		Printable: printability{
			Fits: fits, ThinMM3: in.Thin.MM3(), ThinLayers: in.ThinLayers,
			OverhangMM2: in.Overhang.MM2(), OverhangLayers: in.OverhangLayers,
			BridgeMM2: in.Bridge.MM2(), BridgeLayers: in.BridgeLayers,
			OverlapMM3: in.Overlap.MM3(), OverlapLayers: in.OverlapLayers, Afloat: in.Afloat,
		},
	}
}

func (f findings) print(w io.Writer) error {
	p := f.Printable
	_, err := fmt.Fprintf(w, "size       %.3f × %.3f × %.3f mm\nvolume     %.1f mm³\nsurface    %.1f mm²\ntriangles  %d\nbodies     %d\nlayers     %d\n",
		f.SizeMM[0], f.SizeMM[1], f.SizeMM[2], f.VolumeMM3, f.SurfaceMM2, f.Triangles, f.Bodies, f.Layers)
	for _, line := range f.lines() {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-10s %s\n", line[0], line[1])
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "fits       %v\nthin       %.2f mm³ narrower than a line, in %d layers\noverhang   %.1f mm² less steep than 45°, in %d layers\nbridges    %.1f mm² from one side to the other, in %d layers\noverlap    %.1f mm³ in more than one body, in %d layers\nin mid air %d parts of layers\n",
			p.Fits, p.ThinMM3, p.ThinLayers, p.OverhangMM2, p.OverhangLayers, p.BridgeMM2, p.BridgeLayers,
			p.OverlapMM3, p.OverlapLayers, p.Afloat)
	}
	return err
}

// lines are what is worth saying only if it is so.
func (f findings) lines() (out [][2]string) {
	if f.Copies > 1 {
		out = append(out, [2]string{"copies", fmt.Sprint(f.Copies)})
	}
	r := f.Repairs
	for _, c := range []struct {
		n    int
		what string
	}{
		{r.Degenerate, "%d degenerate triangles dropped"},
		{r.Duplicate, "%d duplicate triangles dropped"},
		{r.Welded, "%d corners joined"},
		{r.Flipped, "%d triangles turned around"},
		{r.Split, "edges divided at %d corners"},
		{r.Filled, "%d holes closed"},
		{r.Shells, "%d shells turned inside out"},
	} {
		if c.n > 0 {
			out = append(out, [2]string{"repaired", fmt.Sprintf(c.what, c.n)})
		}
	}
	if r.Reversed {
		out = append(out, [2]string{"repaired", "the whole surface turned inside out"})
	}
	switch {
	case r.Open > 0:
		out = append(out, [2]string{"open", fmt.Sprintf("%d edges, to be bridged in every layer", r.Open)})
	case r.Open < 0:
		out = append(out, [2]string{"open", "the surface is, and there was no memory to repair it"})
	}
	for _, n := range f.Notes {
		out = append(out, [2]string{"note", n})
	}
	return out
}
