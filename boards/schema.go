package boards

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// node is a JSON Schema, as far as board files need one. Maps are written in the order of
// their keys, so that the text is the same each time.
type node struct {
	Schema      string           `json:"$schema,omitempty"`
	ID          string           `json:"$id,omitempty"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	Type        string           `json:"type,omitempty"`
	Pattern     string           `json:"pattern,omitempty"`
	Enum        []string         `json:"enum,omitempty"`
	Items       *node            `json:"items,omitempty"`
	Properties  map[string]*node `json:"properties,omitempty"`
	Required    []string         `json:"required,omitempty"`
	Additional  *bool            `json:"additionalProperties,omitempty"`
}

// written says what the text of a value with a unit looks like.
var written = map[reflect.Type]string{
	reflect.TypeFor[length]():    `^[+-]?[0-9.]+(e[+-]?[0-9]+)?mm$`,
	reflect.TypeFor[speed]():     `^[0-9.]+(e[+-]?[0-9]+)?mm/s$`,
	reflect.TypeFor[accel]():     `^[0-9.]+(e[+-]?[0-9]+)?mm/s2$`,
	reflect.TypeFor[celsius]():   `^[0-9.]+C$`,
	reflect.TypeFor[percent]():   `^[0-9.]+%$`,
	reflect.TypeFor[baud]():      `^[0-9]+baud$`,
	reflect.TypeFor[duration]():  `^([0-9.]+(ns|us|ms|s|m|h))+$`,
	reflect.TypeFor[memory]():    `^[0-9]+MiB$`,
	reflect.TypeFor[address]():   `^0x[0-9a-fA-F]+$`,
	reflect.TypeFor[size]():      `^[0-9]+KiB$`,
	reflect.TypeFor[ohm]():       `^[0-9]+ohm$`,
	reflect.TypeFor[millivolt](): `^[0-9]+mV$`,
	reflect.TypeFor[kelvin]():    `^[0-9]+K$`,
}

// Schema returns the JSON Schema of a board file, made from the same list of keys that
// [Parse] goes by. An editor that knows TOML (taplo, Even Better TOML) takes it from the
// first line of a file: "#:schema ./board.schema.json".
func Schema() []byte {
	root := describe(reflect.TypeFor[file](), true)
	root.Schema, root.Title = "http://json-schema.org/draft-07/schema#", "Platen board file"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil { // it is made of strings
		panic(err)
	}
	return append(text, '\n')
}

// describe is the schema of a type. Keys of tables in lists are checked by what they are
// for, and none of them is needed always.
func describe(t reflect.Type, needed bool) *node {
	if p, ok := written[t]; ok {
		return &node{Type: "string", Pattern: p}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem(), needed)
	case reflect.Slice:
		return &node{Type: "array", Items: describe(t.Elem(), false)}
	case reflect.Struct:
		return table(t, needed)
	case reflect.String:
		return &node{Type: "string"}
	case reflect.Bool:
		return &node{Type: "boolean"}
	case reflect.Float64:
		return &node{Type: "number"}
	case reflect.Int, reflect.Int32, reflect.Uint8, reflect.Uint32:
		return &node{Type: "integer"}
	}
	panic(fmt.Sprintf("a board file has no %v", t))
}

func table(t reflect.Type, needed bool) *node {
	n := &node{Type: "object", Properties: map[string]*node{}, Additional: new(bool)}
	for i := range t.NumField() {
		field := t.Field(i)
		key := field.Tag.Get("toml")
		p := describe(field.Type, true)
		p.Description = field.Tag.Get("doc")
		if may, ok := listed(field); ok && p.Items != nil {
			p.Items.Enum = may
		} else if ok {
			p.Enum = may
		}
		n.Properties[key] = p
		if needed && field.Tag.Get("need") != "optional" {
			n.Required = append(n.Required, key)
		}
	}
	return n
}
