package consent

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"platen/agent/catalog"
)

const (
	title  = "Platen consent, version 1"
	ending = "Nothing else is sent. Models, slices, tool paths, names of files and whatever is\n" +
		"computed from them never leave the printer. This consent can be revoked at any\n" +
		"time; revoking takes effect within a second and deletes what was waiting.\n"
	maxText = 16 << 10
)

// Text is the record of the grant: what is shown to the owner, and what the owner
// signs. It is plain text in lines; the same grant always gives the same bytes.
func (g Grant) Text() string {
	var b strings.Builder
	field := func(name, value string) { fmt.Fprintf(&b, "%-10s %s\n", name+":", value) }
	b.WriteString(title + "\n\n")
	field("printer", g.Printer.String())
	field("recipient", g.Recipient.String())
	field("name", `"`+g.Name+`"`)
	field("profile", g.Profile.String())
	field("every", strconv.FormatInt(int64(g.Period/time.Second), 10)+" s")
	field("from", g.NotBefore.UTC().Format(time.RFC3339))
	field("until", g.Expiry.UTC().Format(time.RFC3339))
	field("serial", strconv.FormatUint(g.Serial, 10))
	field("catalogue", hex.EncodeToString(g.Catalogue[:]))
	b.WriteString("\nWhat is sent:\n")
	for _, id := range g.Items {
		it, _ := catalog.Lookup(id)
		fmt.Fprintf(&b, "%4d %s: %s%s\n", id, it.Name, it.Purpose, detail(it))
	}
	b.WriteString("\n" + ending)
	return b.String()
}

// detail says how finely an item is sent, and when.
func detail(it catalog.Item) string {
	s := ""
	switch it.Unit {
	case catalog.UnitMilliCelsius:
		s = fmt.Sprintf(" (in steps of %d °C)", it.Resolution/1000)
	case catalog.UnitPercent:
		s = fmt.Sprintf(" (in steps of %d %%)", it.Resolution)
	}
	if it.Ratio != 0 {
		s += " (in buckets)"
	}
	if it.IdleOnly {
		s += " (never while a job is loaded)"
	}
	return s
}

// Parse reads the text of a grant. It accepts exactly the bytes that [Grant.Text]
// gives for a grant that [Grant.Check] finds in order, and nothing else.
func Parse(text []byte) (Grant, error) {
	if len(text) > maxText {
		return Grant{}, fmt.Errorf("%w: too long", ErrRecord)
	}
	p := parser{lines: strings.Split(string(text), "\n")}
	p.want(title)
	p.want("")
	var g Grant
	p.text("printer", g.Printer.UnmarshalText)
	p.text("recipient", g.Recipient.UnmarshalText)
	p.text("name", func(b []byte) error { g.Name = strings.Trim(string(b), `"`); return nil })
	p.text("profile", func(b []byte) (err error) { g.Profile, err = catalog.ParseProfile(string(b)); return err })
	p.text("every", func(b []byte) error {
		n, err := strconv.ParseUint(strings.TrimSuffix(string(b), " s"), 10, 32)
		g.Period = time.Duration(n) * time.Second
		return err
	})
	p.text("from", func(b []byte) (err error) { g.NotBefore, err = time.Parse(time.RFC3339, string(b)); return err })
	p.text("until", func(b []byte) (err error) { g.Expiry, err = time.Parse(time.RFC3339, string(b)); return err })
	p.text("serial", func(b []byte) (err error) { g.Serial, err = strconv.ParseUint(string(b), 10, 64); return err })
	p.text("catalogue", func(b []byte) error { return hexInto(g.Catalogue[:], b) })
	p.want("")
	p.want("What is sent:")
	g.Items = p.items()
	if p.bad {
		return Grant{}, fmt.Errorf("%w: line %d", ErrRecord, p.at)
	}
	if err := g.Check(); err != nil {
		return Grant{}, err
	}
	if !bytes.Equal([]byte(g.Text()), text) {
		return Grant{}, fmt.Errorf("%w: it is not written as this printer writes it", ErrRecord)
	}
	return g, nil
}

// parser walks the lines of a record; bad sticks.
type parser struct {
	lines []string
	at    int
	bad   bool
}

func (p *parser) next() string {
	if p.bad || p.at >= len(p.lines) {
		p.bad = true
		return ""
	}
	p.at++
	return p.lines[p.at-1]
}

func (p *parser) want(line string) {
	if p.next() != line {
		p.bad = true
	}
}

func (p *parser) text(name string, set func([]byte) error) {
	rest, ok := strings.CutPrefix(p.next(), fmt.Sprintf("%-10s ", name+":"))
	if p.bad || !ok || set([]byte(rest)) != nil {
		p.bad = true
	}
}

// items reads item lines up to the empty one behind them.
func (p *parser) items() []catalog.ID {
	var ids []catalog.ID
	for {
		line := p.next()
		if p.bad || line == "" {
			return ids
		}
		num, _, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
		n, err := strconv.ParseUint(num, 10, 16)
		if err != nil {
			p.bad = true
		}
		ids = append(ids, catalog.ID(n))
	}
}

func hexInto(dst, src []byte) error {
	if len(src) != 2*len(dst) {
		return ErrRecord
	}
	_, err := hex.Decode(dst, src)
	return err
}
