package boards

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

var update = flag.Bool("update", false, "write what is generated")

// golden holds a generated file against what is committed.
func golden(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the files say (%v): go test ./boards -update", name, err)
	}
}

func TestSchemaFile(t *testing.T) { golden(t, "board.schema.json", Schema()) }

var patterns = map[string]*regexp.Regexp{}

func pattern(text string) *regexp.Regexp {
	if patterns[text] == nil {
		patterns[text] = regexp.MustCompile(text)
	}
	return patterns[text]
}

// fits holds a value of a TOML file against a schema, as an editor does.
func (n *node) fits(at string, v any) error {
	switch v := v.(type) {
	case map[string]any:
		if n.Type != "object" {
			return fmt.Errorf("%s is a table", at)
		}
		for _, key := range n.Required {
			if _, ok := v[key]; !ok {
				return fmt.Errorf("%s lacks %s", at, key)
			}
		}
		for key, below := range v {
			p, ok := n.Properties[key]
			if !ok {
				return fmt.Errorf("%s.%s is not known", at, key)
			}
			if err := p.fits(at+"."+key, below); err != nil {
				return err
			}
		}
		return nil
	case []any:
		return n.each(at, v)
	case []map[string]any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = v[i]
		}
		return n.each(at, all)
	case string:
		if n.Type != "string" || n.Pattern != "" && !pattern(n.Pattern).MatchString(v) || n.Enum != nil && !slices.Contains(n.Enum, v) {
			return fmt.Errorf("%s: %q does not fit", at, v)
		}
		return nil
	}
	if is := map[string]string{"bool": "boolean", "int64": "integer", "float64": "number"}[fmt.Sprintf("%T", v)]; is != n.Type && (is != "integer" || n.Type != "number") {
		return fmt.Errorf("%s is of type %T", at, v)
	}
	return nil
}

func (n *node) each(at string, all []any) error {
	if n.Type != "array" {
		return fmt.Errorf("%s is a list", at)
	}
	for _, v := range all {
		if err := n.Items.fits(at, v); err != nil {
			return err
		}
	}
	return nil
}

// TestSchema holds every file against the schema, and bad ones: editors say what Parse
// would say of units, words and keys.
func TestSchema(t *testing.T) {
	var n node
	if err := json.Unmarshal(Schema(), &n); err != nil {
		t.Fatal(err)
	}
	check := func(text string) error {
		var all map[string]any
		if _, err := toml.Decode(text, &all); err != nil {
			t.Fatal(err)
		}
		return n.fits("board", all)
	}
	for _, id := range List() {
		text, err := Text(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(string(text)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	good := simText(t)
	for _, c := range [][2]string{
		{`"0.4mm"`, `"0.4"`}, {`baud = "250000baud"`, `baud = 250000`}, {`"marlin"`, `"esperanto"`}, {`count = 1`, "count = 1\ncolour = \"red\""},
		{`min_extrude = "170C"`, ""}, {`"linux/arm/v6"`, `"linux/mips"`}, {`root = "none"`, `root = "three"`}, {"[tpm]", "[[tpm]]"}, {`off = ["jump"]`, `off = ["all"]`},
		{`count = 1`, `count = "1"`}, {`restart = "reopen"`, `restart = "hammer"`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if _, err := Parse("sim.toml", []byte(bad)); err == nil || bad == good {
			t.Errorf("control: %q is not refused by Parse", c[1])
		}
		if err := check(bad); err == nil {
			t.Errorf("%q passes the schema", c[1])
		}
	}
}

// TestRules: what may be switched off is what can be.
func TestRules(t *testing.T) {
	field, _ := reflect.TypeFor[fileTuning]().FieldByName("Off")
	may, ok := listed(field)
	for _, name := range may {
		if rules[name] == nil {
			t.Errorf("nothing switches %q off", name)
		}
	}
	if !ok || len(may) != len(rules) {
		t.Errorf("%v are not the %d rules", may, len(rules))
	}
}
