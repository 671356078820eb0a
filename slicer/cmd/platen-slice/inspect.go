package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/slicer"
)

// findings is what inspect says of a file.
type findings struct {
	SizeMM     [3]float64 `json:"size_mm"`
	VolumeMM3  float64    `json:"volume_mm3"`
	Triangles  int        `json:"triangles"`
	Layers     int        `json:"layers"`
	Degenerate int        `json:"degenerate_dropped"`
	Duplicate  int        `json:"duplicates_dropped"`
	Reversed   bool       `json:"turned_outside_out"`
	Shells     int        `json:"shells_turned"`
}

func inspectCmd(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Say what is in a model: size, volume, triangles, layers",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.output.file != "" {
				return cli.Usage("inspect writes no file: use -o text, json or jsonl")
			}
			return withJob(c.Context(), o, args[0], func(j *slicer.Job) error {
				f := find(j.Info())
				return cli.Print(c, f, f.print)
			})
		},
	}
}

func find(i slicer.Info) findings {
	b := i.Bounds
	return findings{
		SizeMM:    [3]float64{(b.Max.X - b.Min.X).MM(), (b.Max.Y - b.Min.Y).MM(), (b.Max.Z - b.Min.Z).MM()},
		VolumeMM3: i.Volume.MM3(), Triangles: i.Triangles, Layers: i.Layers,
		Degenerate: i.Repairs.Degenerate, Duplicate: i.Repairs.Duplicate, Reversed: i.Repairs.Reversed, Shells: i.Repairs.Shells,
	}
}

func (f findings) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "size       %.3f × %.3f × %.3f mm\nvolume     %.1f mm³\ntriangles  %d\nlayers     %d\n",
		f.SizeMM[0], f.SizeMM[1], f.SizeMM[2], f.VolumeMM3, f.Triangles, f.Layers)
	if err == nil && (f.Degenerate+f.Duplicate+f.Shells > 0 || f.Reversed) {
		_, err = fmt.Fprintf(w, "repaired   %d degenerate and %d duplicate triangles dropped, turned outside out: %v, and %d shells\n",
			f.Degenerate, f.Duplicate, f.Reversed, f.Shells)
	}
	return err
}
