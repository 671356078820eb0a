package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// traces numbers what strace writes of each agent.
var traces atomic.Int64

// strace has an agent and all that it starts run under the command of $PLATEN_STRACE, the
// last word of which is where the traces go; a number is added to it. The proof that the
// filter of sessions has no call to spare runs all scenarios so (see cross/prove).
func strace(path string, args ...string) *exec.Cmd {
	words := strings.Fields(os.Getenv("PLATEN_STRACE"))
	if len(words) == 0 || filepath.Base(path) != "platen" || len(args) == 0 || args[0] != "run" {
		return exec.Command(path, args...)
	}
	words[len(words)-1] += fmt.Sprint(traces.Add(1))
	return exec.Command(words[0], append(append(words[1:], path), args...)...)
}
