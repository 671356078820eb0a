package boards

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// words returns an error for the first key of v whose value is none of the words that its
// tag "of" lists: with those tags, parser and schema have one list.
func words(meta *toml.MetaData, v reflect.Value, above []string) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := append(above[:len(above):len(above)], field.Tag.Get("toml"))
		if !meta.IsDefined(key...) {
			continue
		}
		if field.Type.Kind() == reflect.Struct {
			if err := words(meta, v.Field(i), key); err != nil {
				return err
			}
			continue
		}
		may, ok := listed(field)
		if !ok {
			continue
		}
		for _, is := range texts(v.Field(i)) {
			if !slices.Contains(may, is) {
				return fmt.Errorf("%s %q is not known: use one of %s", strings.Join(key, "."), is, strings.Join(may, ", "))
			}
		}
	}
	return nil
}

// listed returns the words that a key may be, if it has a list.
func listed(field reflect.StructField) ([]string, bool) {
	list, ok := field.Tag.Lookup("of")
	return strings.Split(list, " "), ok
}

// texts returns the value of a key that is a word or a list of words.
func texts(v reflect.Value) []string {
	if v.Kind() != reflect.Slice {
		return []string{v.String()}
	}
	all := make([]string, v.Len())
	for i := range all {
		all[i] = v.Index(i).String()
	}
	return all
}
