package grbl

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more cases run side by side than there are processors: they mostly
// wait for simulated motion.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err) // the flag is the testing package's own
	}
	os.Exit(m.Run())
}
