package catalog

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"testing"
)

// Grants of before stay in force: no line that one may have signed has changed, not by a word of
// its purpose. testdata/items has each item's number and digest, as it first was.
func TestGrantsOfBeforeHold(t *testing.T) {
	b, err := os.ReadFile("testdata/items")
	if err != nil {
		t.Fatal(err)
	}
	signed := map[ID]string{}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		var id ID
		var sum string
		if _, err := fmt.Sscan(sc.Text(), &id, &sum); err != nil {
			t.Fatal(err)
		}
		signed[id] = sum
	}
	now := func(id ID) string {
		d, err := Digest([]ID{id})
		if err != nil {
			t.Errorf("item %d is gone: %v", id, err)
		}
		return fmt.Sprintf("%x", d)
	}
	for id, sum := range signed {
		if now(id) != sum {
			t.Errorf("item %d has changed, and that ends every grant that names it: give what is new a number of its own", id)
		}
	}
	for _, it := range list {
		if signed[it.ID] == "" {
			t.Errorf("a new item: write its line into testdata/items, and never change it:\n%d %s", it.ID, now(it.ID))
		}
	}
	// Control: a word more is another item.
	defer func(old []Item) { list = old }(list)
	list = append([]Item(nil), list...)
	list[index(Alert)].Purpose += ", 34 and more"
	if now(Alert) == signed[Alert] {
		t.Error("control: a word more is the same item")
	}
}
