// Command platen-slice is the slicer for the desk: a model in, G-code or a preview
// of a layer out. It slices exactly as the printer does, which never writes any of
// it to a file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/slicer"
	"platen/slicer/vault"
)

const help = `Platen-slice slices a model and writes G-code, or a preview of one layer.

  platen-slice part.stl -o part.gcode           slice
  platen-slice part.stl -o layer.png --layer 5  look at a layer (.svg or .png)
  platen-slice part.stl -o all.png --sheet      look at all layers
  platen-slice part.stl                         say what slicing it gives
  platen-slice inspect part.stl                 say what is in the file
  platen-slice check part.gcode --model part.stl   judge the G-code of any slicer

MODEL is an STL (binary or ASCII), OBJ or 3MF file; its bytes tell which.

-o takes a file name or a format: a name that ends in .gcode, .svg or .png is a
file, - is G-code on standard output, and text, json and jsonl say how results
are printed. Lengths take mm or um, speeds mm/s, temperatures C; without a unit
they are mm, mm/s and °C.`

// garbage is how much garbage, in percent of what is in use, the collector lets be:
// little, for layers are made in the memory of those before, and leave next to none.
const garbage = 20

func main() {
	debug.SetGCPercent(garbage)
	cli.Main(newRoot())
}

// options is what the flags say.
type options struct {
	settings slicer.Settings
	output   outputFlag
	layer    int
	sheet    bool
	wide     int // of a sheet, in pixels
	travels  bool
	comments string // whose words say what lines are
}

func newRoot() *cobra.Command {
	o := &options{settings: slicer.Default(), output: outputFlag{format: cli.Text}}
	root := cli.Root("platen-slice", "Slice a model to G-code or a preview", help)
	root.Use = "platen-slice MODEL"
	root.Args = cobra.ExactArgs(1)
	out := root.PersistentFlags().Lookup("output")
	out.Value = &o.output
	out.Usage = "write to a file (.gcode, .svg, .png, or - for standard output), or print results as text, json or jsonl"
	addSettings(root.PersistentFlags(), &o.settings)
	if err := complete(root); err != nil { // the flags are those above
		panic(err)
	}
	root.Flags().IntVar(&o.layer, "layer", 0, "layer to preview, from 1; 0 is the one in the middle")
	root.Flags().BoolVar(&o.sheet, "sheet", false, "preview all layers side by side, as .png")
	root.Flags().IntVar(&o.wide, "sheet-width", 3200, "width of such a picture in pixels")
	root.Flags().BoolVar(&o.travels, "travels", false, "show ways on which nothing is printed in previews")
	root.Flags().StringVar(&o.comments, "comments", "prusa", "whose ;TYPE: words say what lines are: prusa or cura")
	root.RunE = func(c *cobra.Command, args []string) error { return slice(c, o, args[0]) }
	root.AddCommand(inspectCmd(o), checkCmd(o), settingsCmd(o), profilesCmd(), importCmd())
	return root
}

// outputFlag is the value of -o: a format, or a file to write.
type outputFlag struct {
	format cli.Output
	file   string
}

// kinds are the endings of files that can be written.
var kinds = []string{".gcode", ".svg", ".png"}

// String returns the format, which is how package cli reads the flag.
func (f *outputFlag) String() string { return string(f.format) }

// Type is what help calls the value.
func (f *outputFlag) Type() string { return "file|format" }

// Set takes a format or a file name.
func (f *outputFlag) Set(s string) error {
	switch o := cli.Output(s); {
	case o == cli.Text || o == cli.JSON || o == cli.JSONL:
		f.format = o
	case s == "-" || slices.Contains(kinds, f.kind(s)):
		f.file = s
	default:
		return fmt.Errorf("%q is neither a file that ends in %s nor text, json or jsonl", s, strings.Join(kinds, ", "))
	}
	return nil
}

func (f *outputFlag) kind(name string) string { return strings.ToLower(filepath.Ext(name)) }

// slice is the command itself.
func slice(c *cobra.Command, o *options, name string) error {
	if o.comments != "prusa" && o.comments != "cura" {
		return cli.Usage("%q is neither prusa nor cura: whose words are comments to have?", o.comments)
	}
	if o.wide < 100 || o.wide > 20_000 {
		return cli.Usage("a sheet of %d pixels is not between 100 and 20000 wide", o.wide)
	}
	if o.sheet && o.output.kind(o.output.file) != ".png" {
		return cli.Usage("a sheet of all layers is a picture: give it a name that ends in .png with -o")
	}
	return withJob(c.Context(), o, name, func(j *slicer.Job) error {
		p := cli.NewProgress(c.ErrOrStderr(), "slice")
		defer p.Done()
		step := func(layer int) { p.Set(int64(layer), int64(j.Info().Layers), fmt.Sprintf("layer %d", layer)) }
		switch kind := o.output.kind(o.output.file); {
		case o.output.file == "-":
			// Standard output is a pipe more often than not: what is written stays.
			_, err := writeGCode(c.Context(), struct{ io.Writer }{c.OutOrStdout()}, j, o, step)
			return err
		case kind == ".gcode":
			var s summary
			err := writeFile(o.output.file, func(w io.Writer) (err error) {
				s, err = writeGCode(c.Context(), w, j, o, step)
				return err
			})
			if err != nil {
				return err
			}
			return cli.Print(c, s, s.print)
		case o.sheet:
			s, err := newSheet(c.Context(), j, o, step)
			if err != nil {
				return err
			}
			return writeFile(o.output.file, s.png)
		case kind != "":
			v, err := newView(c.Context(), j, o, step)
			if err != nil {
				return err
			}
			return writeFile(o.output.file, v.writer(kind))
		}
		s, err := writeGCode(c.Context(), io.Discard, j, o, step)
		if err != nil {
			return err
		}
		return cli.Print(c, s, s.print)
	})
}

// withJob opens a model and closes it when f is done.
func withJob(ctx context.Context, o *options, name string, f func(*slicer.Job) error) (err error) {
	if err := o.settings.Validate(); err != nil {
		return cli.Usage("%w", err)
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // opened for reading
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("read %s: not a regular file", name)
	}
	v, err := newVault(st.Size())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	j, err := slicer.Open(ctx, v, file, st.Size(), slicer.Detect, o.settings)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return f(j)
}

// newVault has room for a model of size bytes, however badly it is made: compressed
// ones become twenty times as large. The model is on the disk anyway. What is not
// needed of the room is never touched.
func newVault(size int64) (*vault.Vault, error) {
	budget := 24*size + 64<<20
	if budget > math.MaxInt/4 { // of a 32-bit machine
		budget = 4*size + 64<<20
	}
	return vault.NewPageable(budget)
}

// writeFile writes a file by way of a temporary one beside it, so that there is
// never half a file.
func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".platen-slice-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is the one to tell
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
