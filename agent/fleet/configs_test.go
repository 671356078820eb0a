package fleet

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/agent/evidence"
)

func TestConfigs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openConfigs(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no list at all is taken")
	}
	for _, bad := range []string{"", "# nothing\n", "abc  platen.toml\n", fmt.Sprintf("%x0\n", [32]byte{1})} {
		write(bad)
		if _, err := openConfigs(path, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q is taken for a list", bad)
		}
	}
	one, two := [32]byte{1}, [32]byte{2}
	id := evidence.PrinterID{}
	mine := evidence.PrinterID{7}.String()
	for _, near := range []string{mine[1:], mine + "a", strings.ToUpper(mine), mine[:51] + "7"} {
		write(fmt.Sprintf("%x  configs/%s.toml\n", one, near))
		if c, err := openConfigs(path, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("the name %q: for every printer %v", near, c.Known(id, one))
		}
	}
	for _, other := range []string{mine[:20], mine[:40] + "-" + mine[41:], fmt.Sprintf("%x", two)} { // controls
		write(fmt.Sprintf("%x  configs/%s.toml\n", one, other))
		if c, err := openConfigs(path, slog.New(slog.DiscardHandler)); err != nil || !c.Known(id, one) {
			t.Errorf("the name %q: %v", other, err)
		}
	}
	write(fmt.Sprintf("# ours\n%x  platen.toml\n", one))
	c, err := openConfigs(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Known(id, one) || c.Known(id, two) {
		t.Error("the list is another")
	}
	write(fmt.Sprintf("%x  platen.toml\n%x *other.toml\n", one, two))
	if !c.Known(id, one) || !c.Known(id, two) {
		t.Error("a change is not seen")
	}
	own := evidence.PrinterID{7}
	three := [32]byte{3}
	write(fmt.Sprintf("%x  platen.toml\n%x  configs/%v.toml\n%x *%v\n", one, two, own, three, own))
	if !c.Known(own, two) || !c.Known(own, three) || c.Known(own, one) {
		t.Error("a printer that has its own runs with others, or not with those")
	}
	if !c.Known(id, one) || c.Known(id, two) {
		t.Error("another printer runs with what is one's own")
	}
	write(fmt.Sprintf("%x  platen.toml\n%x *other.toml\n", one, two))
	if !c.Known(own, one) {
		t.Error("the list is read again, and is another")
	}
	write("broken")
	if !c.Known(id, two) {
		t.Error("a damaged list took something away")
	}
}
