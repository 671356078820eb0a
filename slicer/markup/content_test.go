package markup

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

// content reads the text of the root's first child, and then that of the second.
func content(t *testing.T, doc string, room int, oneByte bool) (string, string, error) {
	t.Helper()
	r := newReader(t)
	src := iotest.DataErrReader(strings.NewReader(doc))
	if oneByte {
		src = iotest.OneByteReader(src)
	}
	if err := r.Reset(src, 1<<30); err != nil {
		return "", "", err
	}
	var texts [2]string
	if _, err := r.Next(); err != nil {
		return "", "", err
	}
	for i := range texts {
		if e, err := r.Next(); err != nil || e != Start {
			return "", "", errors.Join(err, errors.New("no element"))
		}
		b, err := r.Content(make([]byte, 0, room))
		if err != nil {
			return "", "", err
		}
		texts[i] = string(b)
	}
	if e, err := r.Next(); err != nil || e != End {
		return "", "", errors.Join(err, errors.New("no end"))
	}
	_, err := r.Next()
	return texts[0], texts[1], err
}

func TestContent(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 8000) // more than the buffer
	for doc, want := range map[string][2]string{
		"<r><a>one</a><b>two</b></r>":                                  {"one", "two"},
		"<r><a/><b></b></r>":                                           {"", ""},
		"<r><a> x\n y </a><b>&lt;&#x41;&#66;&amp;</b></r>":             {" x\n y ", "<AB&"},
		"<r><a>1<!-- <no> -->2<?pi x?>3</a><b><![CDATA[<&]]]></b></r>": {"123", "<&]"},
		"<r><a>ä&#x1F600;ö</a><b>é</b></r>":                            {"ä\U0001F600ö", "é"},
		"<r><a>" + long + "</a><b>&gt;" + long + "</b></r>":            {long, ">" + long},
	} {
		for _, oneByte := range []bool{false, true} {
			a, b, err := content(t, doc, 1<<18, oneByte)
			if err != nil || a != want[0] || b != want[1] {
				t.Errorf("%.60s: %.20q, %.20q, %v", doc, a, b, err)
			}
		}
	}
	for name, doc := range map[string]string{
		"element": "<r><a>x<c/></a><b/></r>", "other end": "<r><a>x</b></r>", "no end": "<r><a>x",
		"entity": "<r><a>&nbsp;</a><b/></r>", "cut reference": "<r><a>&am", "cut section": "<r><a><![CDATA[x</a><b/></r>",
		"not UTF-8": "<r><a>\xff\xfe</a><b/></r>", "cut character": "<r><a>\xc3",
		"document type": "<r><a><!DOCTYPE x></a><b/></r>",
	} {
		if _, _, err := content(t, doc, 1<<10, false); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, doc := range map[string]string{
		"text": "<r><a>12345</a><b/></r>", "reference": "<r><a>1&#50;</a><b/></r>", "section": "<r><a><![CDATA[12345]]></a><b/></r>",
	} {
		if _, _, err := content(t, doc, 4, false); !errors.Is(err, ErrFormat) {
			t.Errorf("%s without room: %v", name, err)
		}
	}
	if a, _, err := content(t, "<r><a>1234</a><b/></r>", 4, false); err != nil || a != "1234" {
		t.Errorf("control: %q, %v", a, err)
	}
}
