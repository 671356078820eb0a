package slicer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// Nothing that holds design data prints any of it, however it is asked to.
func TestPrintsNothing(t *testing.T) {
	j := openFile(t, "cube.stl", Default())
	var out bytes.Buffer
	show := func(name string, v any) {
		out.Reset()
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		_, text, _ := strings.Cut(out.String(), "\n") // the time has figures
		figures := strings.SplitN(out.String(), "\n", 2)[0]
		for line := range strings.Lines(text) {
			_, line, _ = strings.Cut(line, "msg")
			figures += line
		}
		if out.Len() == 0 || strings.ContainsAny(figures, "0123456789") {
			t.Errorf("%s prints %s", name, out.String())
		}
	}
	show("job", j)
	show("info", j.Info())
	show("cutter", j.cutter)
	for l, err := range j.Layers(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		show("layer", l)
		show("region", l.Outline)
		show("region", &l.Outline)
		show("walls", &l.Walls)
		show("walls", l.Walls)
		show("runs", &l.Runs)
		show("runs", l.Runs)
		show("gaps", &l.Gaps)
		show("gaps", l.Gaps)
		out.Reset()
		if fmt.Fprint(&out, l.Outline.Pts); !strings.ContainsAny(out.String(), "0123456789") {
			t.Error("control: points print as nothing")
		}
		break
	}
}
