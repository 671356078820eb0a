package trace

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// positions are reports of a position as the firmwares make them.
var positions = []string{
	"X:%s Y:%s Z:%s E:%s Count X: %s Y:%s Z:%s", "ok C: X:%s Y:%s Z:%s E:%s Count A:%s B:%s C:%s", "X:%s Y:%s Z:%s E:%s A:%s B:%s C:%s",
	"<Run|MPos:%s,%s,%s|Bf:15,128|FS:%s,0|Ov:100,100,100|WCO:%s,%s,%s>", "<Hold:0|WPos:%s,%s,%s|Pn:XY|F:%s|Ln:99>", "[PRB:%s,%s,%s:1]", "[G54:%s,%s,%s]",
	"[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F%s S%s]", "echo:Unknown command: \"G5 X%s Y%s E%s\"", "echo:enqueing \"G1 X%s Y%s E%s\"",
}

// TestWounded: a report that has lost bytes on its way passes for nothing that is kept.
func TestWounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	whole := 0
	for i := range 20000 {
		form := positions[i%len(positions)]
		var secrets []string
		said := form
		for strings.Contains(said, "%s") {
			secret := fmt.Sprintf("%d.%03d", 10+rng.IntN(90), rng.IntN(1000))
			secrets = append(secrets, secret)
			said = strings.Replace(said, "%s", secret, 1)
		}
		for range rng.IntN(3) {
			at := rng.IntN(len(said) + 1)
			said = said[:at] + said[min(at+rng.IntN(60), len(said)):]
		}
		// What stands in both of two recordings was not drawn.
		one, other := scrubber{state: 1}, scrubber{state: 2}
		got, again := string(one.reply(nil, []byte(said))), string(other.reply(nil, []byte(said)))
		for _, secret := range secrets {
			if strings.Contains(said, secret) {
				whole++
				if strings.Contains(got, secret) && strings.Contains(again, secret) {
					t.Fatalf("%q is recorded as %q", said, got)
				}
			}
		}
	}
	if whole < 20000 {
		t.Errorf("control: only %d numbers were left", whole)
	}
}

// TestReports are replies that say nothing of a design, and stay.
func TestReports(t *testing.T) {
	for _, b := range []string{
		"ok T:21.87 /215.00 B:21.87 /0.00 @:127 B@:0", " T:21.8 /0.0 B:20.1 /0.0 @:0 B@:0 W:?", "T:215.3 E:0 W:3", "T:21.0 E:0 B:20.5", "T:20.53 /0 B:NAN /0 B@:0 @:0",
		"T:21.0 /0.0 B:20.1 /0.0 T0:21.0 /0.0 @:0 B@:0 P:23.4 A:26.1", " B:60.0 /60.0@:0 B@:12", "T:-15.00 /0.00", "T0:21.0 /0.0 /0.0 T1:20.0 /0.0 @0:0 @1:12", "ok N12 P15 B3", "ok N1234567 P0 B0", "ok",
		"<Idle|MPos:|Bf:15,128|Ov:100,100,100|Pn:XYZ|A:SFM|Ln:99|T:1|H:1,7>",
	} {
		var s scrubber
		if got := string(s.reply(nil, []byte(b))); got != b && !strings.HasPrefix(b, "<") || strings.HasPrefix(b, "<") && strings.Count(got, "x") > 0 {
			t.Errorf("%q is recorded as %q", b, got)
		}
	}
}
