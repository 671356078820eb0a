package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func testRoot() (*cobra.Command, *bytes.Buffer, *bytes.Buffer) {
	root := Root("platen-x", "does x", "Platen-x does x.\n\n.Dots and 'quotes' start lines.")
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.AddCommand(
		&cobra.Command{Use: "fail", Short: "fails", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return errors.New("it broke") }},
		&cobra.Command{Use: "gone", Short: "not running", RunE: func(*cobra.Command, []string) error {
			return &ExitError{ExitNotRunning, errors.New("agent is not running: start platen run")}
		}},
	)
	need := &cobra.Command{Use: "need", Short: "needs a flag", RunE: func(*cobra.Command, []string) error { return nil }}
	need.Flags().String("key", "", "a key")
	need.MarkFlagRequired("key")
	root.AddCommand(need)
	return root, &out, &errs
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"version"}, ExitOK, ""},
		{[]string{"fail"}, ExitFailed, "it broke"},
		{[]string{"gone"}, ExitNotRunning, "start platen run"},
		{[]string{"need"}, ExitUsage, "key"},
		{[]string{"fail", "extra"}, ExitUsage, "--help"},
		{[]string{"nonsense"}, ExitUsage, "unknown command"},
		{nil, ExitOK, ""},
		{[]string{"--nonsense"}, ExitUsage, "--help"},
		{[]string{"version", "-o", "xml"}, ExitUsage, "text, json or jsonl"},
	} {
		root, _, errs := testRoot()
		root.SetArgs(append([]string{}, c.args...))
		if got := Run(context.Background(), root); got != c.code {
			t.Errorf("%v: exit %d, want %d", c.args, got, c.code)
		}
		if !strings.Contains(errs.String(), c.text) {
			t.Errorf("%v: stderr %q does not say %q", c.args, errs, c.text)
		}
	}
}

func TestVersionJSON(t *testing.T) {
	root, out, _ := testRoot()
	root.SetArgs([]string{"version", "-o", "json"})
	if code := Run(context.Background(), root); code != 0 {
		t.Fatalf("exit %d", code)
	}
	var v VersionInfo
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	if v.Name != "platen-x" || v.Version != Version() {
		t.Errorf("got %+v", v)
	}
}

func TestManPage(t *testing.T) {
	root, out, _ := testRoot()
	root.SetArgs([]string{"man"})
	if code := Run(context.Background(), root); code != 0 {
		t.Fatalf("exit %d", code)
	}
	for _, want := range []string{".TH PLATEN-X 1", ".SS platen\\-x fail", `\&.Dots`, ".B \\-o, \\-\\-output"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("manual page lacks %q:\n%s", want, out)
		}
	}
}

func TestProgressLines(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, "print")
	p.Set(1, 4, "layer 1")
	p.Set(2, 4, "too soon for another line")
	p.Set(4, 4, "done")
	p.Done()
	if got, want := b.String(), "print: 25% layer 1\nprint: 100% done\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
