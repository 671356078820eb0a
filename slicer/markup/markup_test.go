package markup

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"platen/slicer/vault"
)

var spaces = []string{"urn:core", "urn:prod"}

func newReader(t testing.TB) *Reader {
	t.Helper()
	v, err := vault.NewPageable(1 << 18)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	r, err := New(v, spaces)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// walk writes down what a document consists of.
func walk(r *Reader, src io.Reader) (string, error) {
	var b strings.Builder
	if err := r.Reset(src, 1<<30); err != nil {
		return "", err
	}
	for {
		e, err := r.Next()
		if err != nil {
			return b.String(), err
		}
		name, space := r.Name()
		switch e {
		case Done:
			return b.String(), nil
		case End:
			fmt.Fprintf(&b, "-%s", name)
			continue
		}
		fmt.Fprintf(&b, "+%d:%s", space, name)
		for i := range r.Attrs() {
			name, s, value := r.Attr(i)
			fmt.Fprintf(&b, "[%d:%s=%s]", s, name, value)
		}
		if r.Empty() {
			fmt.Fprintf(&b, "-%s", name)
		}
	}
}

func TestWalk(t *testing.T) {
	r := newReader(t)
	for _, c := range []struct{ in, want string }{
		{"<a/>", "+-1:a-a"},
		{"\xef\xbb\xbf<?xml version=\"1.0\" encoding='UTF-8' standalone='yes'?>\n<a ></a >\n<!-- end -->\n", "+-1:a-a"},
		{`<m xmlns="urn:core" xmlns:p="urn:prod"><i p:path="/x" q='"'/><p:i/></m>`, `+0:m+0:i[1:path=/x][-1:q="]-i+1:i-i-m`},
		{`<p:m p:x="1" xmlns:p="urn:prod" ><n xmlns="urn:core"><n xmlns=""/><n/></n><n/></p:m>`, "+1:m[1:x=1]+0:n+-1:n-n+0:n-n-n+-1:n-n-m"},
		{`<a xmlns:x="urn:other" x:y="">text &amp; more &#x41; <![CDATA[<b>&]]> <!-- <c> & --><?pi <d ?></a>`, "+-1:a[-2:y=]-a"},
		{`<a b="x > y &lt;" xml:lang="en"/>`, "+-1:a[-1:b=x > y &lt;][-2:lang=en]-a"},
		{"<été ö='ü'/>", "+-1:été[-1:ö=ü]-été"},
	} {
		for _, src := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
			if got, err := walk(r, src); err != nil || got != c.want {
				t.Errorf("%q: %q, %v", c.in, got, err)
			}
		}
	}
}

// Whatever 3MF forbids, or is no XML, is refused: threat T15. The control is the
// same frame with something harmless in it.
func TestHostile(t *testing.T) {
	r := newReader(t)
	utf16 := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			b.WriteByte(byte(c))
			b.WriteByte(0)
		}
		return b.String()
	}
	for name, in := range map[string]string{
		"nothing":                   "",
		"only text":                 "hello",
		"document type":             `<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`,
		"document type inside":      `<a><!DOCTYPE a></a>`,
		"entity":                    "<a>&lol;</a>",
		"entity in a value":         "<a b='&lol;'/>",
		"external entity":           `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a/>`,
		"bare ampersand":            "<a>x & y</a>",
		"reference to NUL":          "<a>&#0;</a>",
		"reference beyond Unicode":  "<a>&#x110000;</a>",
		"reference without end":     "<a>&amp",
		"UTF-16":                    "\xff\xfe" + utf16("<a/>"),
		"UTF-16 without a mark":     utf16("<a/>"),
		"UTF-16 that is announced":  `<?xml version="1.0" encoding="UTF-16"?><a/>`,
		"Latin-1":                   `<?xml version="1.0" encoding="iso-8859-1"?><a/>`,
		"not UTF-8":                 "<a>\xe9</a>",
		"half a character":          "<a>\xc3</a>",
		"half a character at end":   "<a/>\xc3",
		"NUL":                       "<a>\x00</a>",
		"too deep":                  strings.Repeat("<a>", 100_000) + strings.Repeat("</a>", 100_000),
		"another end":               "<a></b>",
		"an end too many":           "<a/></a>",
		"no end":                    "<a><b></b>",
		"two roots":                 "<a/><b/>",
		"text behind":               "<a/>x",
		"text in front":             "x<a/>",
		"plain text outside":        "<![CDATA[x]]><a/>",
		"attribute twice":           "<a b='1' b='2'/>",
		"attribute twice by prefix": `<a xmlns:p="urn:prod" xmlns:q="urn:prod" p:b="1" q:b="2"/>`,
		"declaration twice":         `<a xmlns="1" xmlns="2"/>`,
		"attribute without value":   "<a b/>",
		"attribute without quotes":  "<a b=1/>",
		"attributes not apart":      `<a b="1"c="2"/>`,
		"angle in a value":          "<a b='<'/>",
		"angle in a tag":            "<a <b/>",
		"name that is none":         "<1/>",
		"name of a colon":           "<a: xmlns:a='x'/>",
		"undeclared prefix":         "<p:a/>",
		"undeclared prefix inside":  "<a p:b='1'/>",
		"comment without end":       "<a><!-- </a>",
		"instruction without end":   "<a><?x </a>",
		"plain text without end":    "<a><![CDATA[ </a>",
		"too many attributes":       "<a" + many(" a%d=''", 65) + "/>",
		"too many namespaces":       "<a" + many(" xmlns:a%d='x'", 65) + "/>",
		"names too long":            "<a>" + strings.Repeat("<"+strings.Repeat("n", 300)+">", 20),
		"a tag of 40 kB":            "<a b='" + strings.Repeat("x", 40_000) + "'/>",
		"a value without end":       "<a b='" + strings.Repeat("x", 1<<20),
		"a tag without end":         "<a " + strings.Repeat(" ", 1<<20),
		"an instruction of 1 MB":    "<?x " + strings.Repeat("x", 1<<20) + "?><a/>",
	} {
		if got, err := walk(r, strings.NewReader(in)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %.60s, %v", name, got, err)
		}
	}
	for name, in := range map[string]string{
		"depth":      strings.Repeat("<a>", 64) + strings.Repeat("</a>", 64),
		"attributes": "<a" + many(" a%d=''", 64) + "/>",
		"reference":  "<a b='&#65;&quot;'>&lt;&#x10FFFF;</a>",
		"long text":  "<a>" + strings.Repeat("x", 1<<20) + "<!--" + strings.Repeat("y", 1<<20) + "--></a>",
		"long tag":   "<a b='" + strings.Repeat("x", 30_000) + "'/>",
	} {
		if _, err := walk(r, strings.NewReader(in)); err != nil {
			t.Errorf("control: %s: %v", name, err)
		}
	}
}

func many(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A document ends where no more of it is allowed, however it goes on.
func TestLimit(t *testing.T) {
	r := newReader(t)
	for _, frame := range [][2]string{{"<a>", "</a>"}, {"<a><!--", "--></a>"}, {"", "<a/>"}} {
		in := frame[0] + strings.Repeat(" ", 1<<20) + frame[1]
		for _, limit := range []int64{1 << 19, 1<<20 + 100} {
			if err := r.Reset(strings.NewReader(in), limit); err != nil {
				t.Fatal(err)
			}
			var err error
			for e := Start; e != Done && err == nil; {
				e, err = r.Next()
			}
			if errors.Is(err, ErrFormat) != (limit < 1<<20) {
				t.Errorf("%q, %d allowed: %v", frame, limit, err)
			}
		}
	}
}

func TestSkip(t *testing.T) {
	r := newReader(t)
	if err := r.Reset(strings.NewReader("<a><b><b/><c>x</c></b><d/></a>"), 1000); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "b", "d"} {
		if _, err := r.Next(); err != nil || !r.Is(NoSpace, want) {
			t.Fatalf("not at %s: %v", want, err)
		}
		if want != "a" {
			if err := r.Skip(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if e, err := r.Next(); e != End || err != nil {
		t.Errorf("%d, %v", e, err)
	}
}

func TestText(t *testing.T) {
	got, ok := Text(make([]byte, 0, 40), []byte("a&amp;b&#x41;&#228;&gt;"))
	if string(got) != "a&bAä>" || !ok {
		t.Errorf("%q", got)
	}
	if _, ok := Text(make([]byte, 0, 3), []byte("four")); ok {
		t.Error("control: no room, and not said")
	}
}

// FuzzWalk holds what is accepted against the standard library.
func FuzzWalk(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><m xmlns="urn:core" xmlns:p="urn:prod"><i p:path="/x" q='"'/><p:i/>a&lt;</m>`))
	f.Add([]byte("<a><!-- x --><![CDATA[ x ]]><?p i?></a>"))
	f.Add([]byte("<a b='1'><b/></a>"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newReader(t)
		got, err := elements(r, in)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		var want strings.Builder
		d := xml.NewDecoder(bytes.NewReader(in))
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return // it is stricter about characters
			}
			switch e := tok.(type) {
			case xml.StartElement:
				want.WriteString("+" + e.Name.Local)
			case xml.EndElement:
				want.WriteString("-" + e.Name.Local)
			case xml.Directive:
				t.Fatal("a document type went through")
			}
		}
		if got != want.String() {
			t.Fatalf("%q: %q, the standard library has %q", in, got, want.String())
		}
	})
}

// elements writes down the names of the elements of a document.
func elements(r *Reader, in []byte) (string, error) {
	var b strings.Builder
	if err := r.Reset(bytes.NewReader(in), 1<<30); err != nil {
		return "", err
	}
	for {
		e, err := r.Next()
		if err != nil || e == Done {
			return b.String(), err
		}
		name, _ := r.Name()
		if e == Start {
			b.WriteString("+" + string(name))
		}
		if e == End || r.Empty() {
			b.WriteString("-" + string(name))
		}
	}
}

func BenchmarkWalk(b *testing.B) {
	doc := "<m xmlns='urn:core'>" + many("\t\t<vertex x=\"%d.5\" y=\"12.345\" z=\"-0.75\" />\n", 20_000) + "</m>"
	r := newReader(b)
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if err := r.Reset(strings.NewReader(doc), 1<<30); err != nil {
			b.Fatal(err)
		}
		for e := Start; e != Done; {
			var err error
			if e, err = r.Next(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
