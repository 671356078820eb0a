package hil

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Scenario is one thing that is tried, and its control.
type Scenario struct {
	// Name is what is tried.
	Name string
	// Long says that it is left out of the short form.
	Long bool
	// Prints says that a simulated controller is needed.
	Prints bool
	// Base says that what comes after it needs it.
	Base bool

	run func(*Bench, context.Context) (string, error)
}

// Result is what came of a scenario.
type Result struct {
	Name string `json:"name"`
	// Result is "ok", "FAILED" or "left out".
	Result string `json:"result"`
	// Says is what happened, or why it failed.
	Says string `json:"says"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Scenarios is everything that is tried, in order: each begins where the one before has left
// the printer.
func Scenarios() []Scenario {
	return []Scenario{
		{Name: "image", Base: true, run: (*Bench).makeImage},
		{Name: "boot", Base: true, run: (*Bench).boot},
		{Name: "doctor", run: (*Bench).doctor},
		{Name: "power cut while it enrols", run: (*Bench).cutEnrolment},
		{Name: "start", run: (*Bench).startTime},
		{Name: "enrolment", Base: true, run: (*Bench).enrol},
		{Name: "consent and telemetry", Base: true, run: (*Bench).telemetry},
		{Name: "boots that nobody released", Long: true, run: (*Bench).otherBoots},
		{Name: "whole print of a sealed job", Prints: true, run: (*Bench).print},
		{Name: "power cuts in a print", Prints: true, run: (*Bench).cutPrint},
		{Name: "update of agent and root file system", Long: true, run: (*Bench).update},
		{Name: "power cut in an update", Long: true, run: (*Bench).cutUpdate},
		{Name: "bad update", Long: true, run: (*Bench).badUpdate},
	}
}

// Only is those of scenarios whose name holds text, and what they need; none if no name does.
func Only(scenarios []Scenario, text string) []Scenario {
	named := func(s Scenario) bool { return strings.Contains(s.Name, text) }
	if !slices.ContainsFunc(scenarios, named) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(scenarios), func(s Scenario) bool { return !s.Base && !named(s) })
}

// Controls is what is tried on an image that leaks on purpose ([Config].Leaky): the search that
// finds nothing on the others has to find it.
func Controls() []Scenario {
	return []Scenario{
		{Name: "image that leaks on purpose", Base: true, run: (*Bench).makeImage},
		{Name: "its boot", Base: true, run: (*Bench).boot},
		{Name: "its doctor", run: (*Bench).doctorNotices},
		{Name: "its enrolment", Base: true, run: (*Bench).enrol},
		{Name: "its consent", Base: true, run: (*Bench).telemetry}, // offers are taken of whom the owner grants anything
		{Name: "its leak is found", Prints: true, run: (*Bench).leaks},
	}
}

// errControl reports a control that did not notice what it was made for.
var errControl = errors.New("control failed: what had to be noticed was not")

// Try runs the scenarios in order until one fails, and writes a line for each to the bench's
// Out, and all of them to results.txt and results.json in its folder.
func (b *Bench) Try(ctx context.Context, scenarios []Scenario) ([]Result, error) {
	var results []Result
	var failed error
	for _, s := range scenarios {
		r := Result{Name: s.Name, Result: "left out"}
		if failed == nil && !(s.Long && b.cfg.Short) && !(s.Prints && b.cfg.Board.About().Driven) {
			fmt.Fprintf(b.console, "\n--- %s\n", s.Name)
			begun := time.Now()
			var err error
			r.Says, err = s.run(b, ctx)
			r.Result, r.Seconds = "ok", time.Since(begun).Round(100*time.Millisecond).Seconds()
			if err != nil {
				failed = fmt.Errorf("%s: %w", s.Name, err)
				r.Result, r.Says = "FAILED", err.Error()
			}
		}
		results = append(results, r)
		fmt.Fprint(b.cfg.Out, r.text())
	}
	return results, errors.Join(failed, b.keep(results))
}

// text is a result for people.
func (r Result) text() string {
	s := fmt.Sprintf("%-8s %s", r.Result, r.Name)
	if r.Seconds > 0 {
		s += fmt.Sprintf(" (%.0f s)", r.Seconds)
	}
	s += "\n"
	for l := range strings.Lines(r.Says) {
		s += "         " + strings.TrimRight(l, "\n") + "\n"
	}
	return s
}

// keep writes the results.
func (b *Bench) keep(results []Result) error {
	var text strings.Builder
	for _, r := range results {
		text.WriteString(r.text())
	}
	raw, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(b.Path("results.txt"), []byte(text.String()), 0o644),
		os.WriteFile(b.Path("results.json"), append(raw, '\n'), 0o644))
}
