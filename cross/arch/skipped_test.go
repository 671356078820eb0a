package arch

import (
	"os/exec"
	"strings"
	"testing"
)

// TestSkipsAreSeen: in what go test -v prints, skips for want of a tool are found, in
// subtests as well, and nothing else is taken for one.
func TestSkipsAreSeen(t *testing.T) {
	const head = "=== RUN   TestA\n    a_test.go:3: needs no more than this log\n"
	for name, x := range map[string]struct {
		log, says string
		missing   bool
	}{
		"none": {head + "--- PASS: TestA (0.00s)\nPASS\n", "", false},
		"test": {head + "=== RUN   TestB\n=== PAUSE TestB\n=== CONT  TestB\n    a_test.go:4: needs a tool\n--- SKIP: TestB (0.00s)\n", "a tool", true},
		"subtest, which is reported after its parent": {head + "=== RUN   TestA/sub\n    a_test.go:3: needs a tool\n--- PASS: TestA (0.00s)\n    --- SKIP: TestA/sub (0.00s)\n", "a tool", true},
		"for another reason":                          {head + "=== RUN   TestB\n    a_test.go:4: takes long, says who needs it\n--- SKIP: TestB (0.00s)\n", "takes long", false},
		"of the same name in another package":         {"=== RUN   TestB\n    a_test.go:4: needs nothing\n--- PASS: TestB (0.00s)\nok\n=== RUN   TestB\n--- SKIP: TestB (0.00s)\n", "TestB", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := exec.Command("sh", "../skipped.sh")
			c.Stdin = strings.NewReader(x.log)
			out, err := c.CombinedOutput()
			if (err != nil) != x.missing || !strings.Contains(string(out), x.says) || x.says == "" && len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
