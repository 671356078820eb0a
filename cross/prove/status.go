package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// standing is what /proc says of what a process gave up.
type standing struct {
	threads   int
	noNewPriv bool // of every thread
	filtered  bool // of every thread
	filters   string
	caps      bool // none is left, in any thread
	core      bool // RLIMIT_CORE is 0
	peeks     bool // another process of the same user may open its memory
}

// String says it in a few words.
func (s standing) String() string {
	return fmt.Sprintf("%d threads, %s, %s, %s, %s, %s", s.threads, word(s.noNewPriv, "NoNewPrivs 1", "NoNewPrivs 0"),
		word(s.filtered, "Seccomp 2 ("+s.filters+" filters)", "not filtered"), word(s.caps, "no capability", "capabilities"),
		word(s.core, "core limit 0", "core limit not 0"), word(s.peeks, "memory open to its user", "memory closed to its user"))
}

// word is yes or no.
func word(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

// landlocks reports whether the kernel has Landlock (landlock_create_ruleset(2), which
// tells its version).
func landlocks() bool {
	const version = 1
	_, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version)
	return e == 0
}

// stands reads what every thread of a process gave up.
func stands(pid int) (standing, error) {
	s := standing{noNewPriv: true, filtered: true, caps: true}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		return s, fmt.Errorf("process %d shows no thread: %w", pid, err)
	}
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // ended meanwhile
		}
		s.threads++
		f := fields(string(text))
		s.noNewPriv = s.noNewPriv && f["NoNewPrivs"] == "1"
		s.filtered = s.filtered && f["Seccomp"] == "2"
		s.filters = f["Seccomp_filters"]
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			s.caps = s.caps && f[set] != "" && strings.Trim(f[set], "0") == ""
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return s, err
	}
	sc := bufio.NewScanner(strings.NewReader(string(limits)))
	for sc.Scan() {
		if rest, ok := strings.CutPrefix(sc.Text(), "Max core file size"); ok {
			s.core = strings.Join(strings.Fields(rest), " ") == "0 0 bytes"
		}
	}
	s.peeks, err = peeks(pid)
	return s, err
}

// fields reads the lines NAME: VALUE of a status.
func fields(text string) map[string]string {
	f := map[string]string{}
	for l := range strings.Lines(text) {
		if k, v, ok := strings.Cut(l, ":"); ok {
			f[k] = strings.TrimSpace(v)
		}
	}
	return f
}

// field is a text of a JSON object.
func field(object []byte, key string) string {
	var m map[string]json.RawMessage
	var text string
	if json.Unmarshal(object, &m) != nil || json.Unmarshal(m[key], &text) != nil {
		return ""
	}
	return text
}
