// Make writes the models that speed and memory are measured on into a folder, as
// binary STL: those of solids.Bench, and every file named after it, converted.
//
//	go run ./slicer/internal/solids/make build/bench [MODEL...]
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("name the folder to write into")
	}
	dir := args[0]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, m := range solids.Bench() {
		if err := write(filepath.Join(dir, m.File), m.Write); err != nil {
			return err
		}
	}
	// What broken.stl was before it was broken.
	if err := write(filepath.Join(dir, "whole.stl"), solids.Blob(30*unit.Millimetre, 240).WriteBinary); err != nil {
		return err
	}
	for _, name := range args[1:] {
		s, err := load(name)
		if err != nil {
			return err
		}
		base := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		if err := write(filepath.Join(dir, base+".stl"), s.WriteBinary); err != nil {
			return err
		}
	}
	return nil
}

// write makes a file, unless it is there already.
func write(name string, content func(io.Writer) error) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	if err := errors.Join(content(b), b.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// load reads a model of any format.
func load(name string) (solids.Soup, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	v, err := vault.NewPageable(1 << 30)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	m, err := mesh.Load(context.Background(), v, f, info.Size(), mesh.Detect)
	if err != nil {
		return nil, err
	}
	verts := m.Vertices()
	s := make(solids.Soup, 0, len(m.Triangles()))
	for _, t := range m.Triangles() {
		var out [3]solids.Point
		for i, v := range t {
			out[i] = solids.Point{X: verts[v].X, Y: verts[v].Y, Z: verts[v].Z}
		}
		s = append(s, out)
	}
	return s, nil
}
