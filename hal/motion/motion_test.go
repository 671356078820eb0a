package motion

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"platen/hal/unit"
)

// TestOpIsSmallAndFlat holds what lets a program of any length cost no memory.
func TestOpIsSmallAndFlat(t *testing.T) {
	if size := unsafe.Sizeof(Op{}); size > 72 {
		t.Errorf("an Op has %d bytes", size)
	}
	ty := reflect.TypeFor[Op]()
	for i := range ty.NumField() {
		switch f := ty.Field(i); f.Type.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.String, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
			t.Errorf("%s holds a pointer", f.Name)
		}
	}
}

// TestOpPrintsNothingOfItself: an operation is design data.
func TestOpPrintsNothingOfItself(t *testing.T) {
	op := Op{Kind: Move, Axes: X | Y | E, To: [3]unit.Length{4242, 4243, 4244}, E: 4245, Feed: 4246}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("op", "op", op)
	text := fmt.Sprint(op) + fmt.Sprintf("%v %s %+v %#v %#v", op, op, &op, op, &op) + log.String()
	if strings.Contains(text, "424") {
		t.Errorf("numbers of an operation show in %q", text)
	}
	if !strings.Contains(text, "move") {
		t.Errorf("the kind does not show in %q", text)
	}
}

func TestHas(t *testing.T) {
	op := Op{Axes: X | E}
	if !op.Has(X) || !op.Has(X|E) || op.Has(Y) || op.Has(X|Y) {
		t.Error("Has is wrong")
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := Move; k <= Stand; k++ {
		if s := k.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("kind %d is %q", k, s)
		}
		seen[k.String()] = true
	}
	if Kind(200).String() != "unknown" {
		t.Error("a kind that there is not has a name")
	}
}

func TestRoleNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range Role(Roles) {
		if s := r.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("role %d is %q", r, s)
		}
		seen[r.String()] = true
	}
	if Role(Roles).String() != "unknown" {
		t.Error("a role that there is not has a name")
	}
}
