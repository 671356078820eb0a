package slicer

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// intro begins the reference page.
const intro = `# Settings

Made from the table in settings_table.go; do not edit.

A profile is a TOML file with the tables [printer], [material], [quality] and [model]. Numbers carry their unit
("0.2mm", "60mm/s", "210C", "20%", "10s"); counts and true or false stand alone. An unknown key is an error. A file says
only what it wants otherwise; several are laid over each other in the order given. On a printer the board's own file
stands below them all, and what is in [printer] is the board's alone.

    platen-slice part.stl --profile petg --profile my.toml -s walls=3 -o part.gcode
`

// Reference writes the reference page of all settings, as Markdown.
func Reference(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(intro)
	s := Default()
	var section Section
	var group string
	for i := range Table() {
		r := &Table()[i]
		if r.Section != section {
			section = r.Section
			fmt.Fprintf(&b, "\n## [%s]\n", section)
		}
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&b, "\n### %s\n\n| key | default | range | meaning |\n| --- | --- | --- | --- |\n", group)
		}
		doc := r.Doc
		if r.follows != "" {
			doc += "; as `" + r.follows + "` where only that is given"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Key, r.Text(&s), r.Range(), strings.ReplaceAll(doc, "|", "\\|"))
	}
	_, err := w.Write(b.Bytes())
	return err
}
