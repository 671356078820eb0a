package fdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// lexeme is what the text form is made of: comments, strings, numbers and names, marks.
var lexeme = regexp.MustCompile(`\s+|//[^\n]*|/\*(?s:.*?)\*/|/dts-v1/|"[^"\\\n]*"|[A-Za-z0-9,._+?#@-]+|[{}<>;=,\[\]/]`)

// compiler reads lexemes one after the other.
type compiler struct {
	text string
	line int
	tok  string
}

// Compile reads a tree in the text form (Devicetree Specification 0.4, chapter 6) as dtc -O
// dts writes it: nodes, and properties of strings, of cells and of bytes. Labels, references,
// macros and deletions are not read.
func Compile(text string) (*Node, error) {
	c := &compiler{text: text, line: 1}
	root, err := c.file()
	if err != nil {
		return nil, fmt.Errorf("line %d of the device tree: %w", c.line, err)
	}
	return root, nil
}

func (c *compiler) file() (*Node, error) {
	for _, want := range []string{"/dts-v1/", ";", "/"} {
		if err := c.next(); err != nil {
			return nil, err
		}
		if c.tok != want {
			return nil, fmt.Errorf("%q where %q belongs", c.tok, want)
		}
	}
	root := &Node{}
	if err := c.next(); err != nil {
		return nil, err
	}
	if err := c.body(root, 0); err != nil {
		return nil, err
	}
	if err := c.next(); err != nil || c.tok != "" {
		return nil, errors.Join(err, errors.New("something after the tree"))
	}
	return root, nil
}

// next reads a lexeme; at the end it is "".
func (c *compiler) next() error {
	for c.text != "" {
		at := lexeme.FindStringIndex(c.text)
		if at == nil || at[0] != 0 {
			return errors.New("a character that is not read here")
		}
		tok := c.text[:at[1]]
		c.text = c.text[at[1]:]
		c.line += strings.Count(tok, "\n")
		if strings.TrimSpace(tok) != "" && !strings.HasPrefix(tok, "//") && !strings.HasPrefix(tok, "/*") {
			c.tok = tok
			return nil
		}
	}
	c.tok = ""
	return nil
}

// body reads "{ ... };".
func (c *compiler) body(n *Node, depth int) error {
	if c.tok != "{" || depth == maxDepth {
		return fmt.Errorf("%q where a node begins", c.tok)
	}
	for {
		if err := c.next(); err != nil {
			return err
		}
		if c.tok == "}" {
			return c.expect(";")
		}
		name := c.tok
		if !lexeme.MatchString(name) || strings.ContainsAny(name[:1], `{<>;=,[]/"`) {
			return fmt.Errorf("%q where a name belongs", name)
		}
		if err := c.next(); err != nil {
			return err
		}
		var err error
		switch c.tok {
		case "{":
			err = c.body(n.Child(name), depth+1)
		case ";":
			n.Set(name, nil)
		case "=":
			err = c.value(n, name)
		default:
			err = fmt.Errorf("%q after a name", c.tok)
		}
		if err != nil {
			return err
		}
	}
}

func (c *compiler) expect(tok string) error {
	if err := c.next(); err != nil {
		return err
	}
	if c.tok != tok {
		return fmt.Errorf("%q where %q belongs", c.tok, tok)
	}
	return nil
}

// value reads what a property is, up to its semicolon.
func (c *compiler) value(n *Node, name string) error {
	var v []byte
	for {
		if err := c.next(); err != nil {
			return err
		}
		var err error
		switch {
		case strings.HasPrefix(c.tok, `"`):
			v = append(append(v, strings.Trim(c.tok, `"`)...), 0)
		case c.tok == "<":
			v, err = c.numbers(v, ">", 0, 32)
		case c.tok == "[":
			v, err = c.numbers(v, "]", 16, 8)
		default:
			err = fmt.Errorf("%q where a value belongs", c.tok)
		}
		if err != nil {
			return err
		}
		if err := c.next(); err != nil {
			return err
		}
		if c.tok == ";" {
			n.Set(name, v)
			return nil
		}
		if c.tok != "," {
			return fmt.Errorf("%q after a value", c.tok)
		}
	}
}

func (c *compiler) numbers(v []byte, close string, base, bits int) ([]byte, error) {
	for {
		if err := c.next(); err != nil {
			return v, err
		}
		if c.tok == close {
			return v, nil
		}
		x, err := strconv.ParseUint(c.tok, base, bits)
		if err != nil {
			return v, fmt.Errorf("%q where a number of %d bits belongs", c.tok, bits)
		}
		if bits == 8 {
			v = append(v, byte(x))
		} else {
			v = binary.BigEndian.AppendUint32(v, uint32(x))
		}
	}
}
