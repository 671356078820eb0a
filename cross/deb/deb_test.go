package deb

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"platen/agent/config"
)

// most is how exposed the unit may be by systemd's own count, where 10 is all.
const most = 1.5

// analyze runs systemd-analyze and returns what it says.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs systemd-analyze")
	}
	cmd := exec.Command("systemd-analyze", args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_COLORS=0", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// unit is the unit in a folder of its own, changed.
func unit(t *testing.T, change ...string) string {
	t.Helper()
	text, err := os.ReadFile("platen.service")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "platen.service")
	if err := os.WriteFile(path, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var exposure = regexp.MustCompile(`Overall exposure level for platen.service: ([0-9.]+)`)

func exposed(t *testing.T, path string) float64 {
	t.Helper()
	out := analyze(t, "security", "--offline=true", "--no-pager", path)
	found := exposure.FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze says %q", out)
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestUnitExposure holds the unit against systemd's own count of what it could still do.
func TestUnitExposure(t *testing.T) {
	if v := exposed(t, unit(t)); v > most {
		t.Errorf("the unit is exposed by %v, more than %v: see systemd-analyze security --offline=true cross/deb/platen.service", v, most)
	}
	if v := exposed(t, unit(t, "CapabilityBoundingSet=\n", "", "ProtectSystem=strict\n", "")); v <= most {
		t.Errorf("control: without two of its lines the unit is exposed by %v", v)
	}
}

// TestUnitVerifies has systemd read the unit: every key and value is one that it knows.
func TestUnitVerifies(t *testing.T) {
	here := []string{"/usr/bin/platen", "/bin/true", "Documentation=man:platen(1)\n", ""}
	if out := analyze(t, "verify", "--man=no", unit(t, here...)); strings.Contains(out, "platen.service") {
		t.Errorf("systemd-analyze says %q", out)
	}
	if out := analyze(t, "verify", "--man=no", unit(t, append(here, "ProtectSystem=strict", "ProtectSystem=perhaps")...)); !strings.Contains(out, "perhaps") {
		t.Errorf("control: of a bad value systemd-analyze says %q", out)
	}
}

// TestConfiguration: the configuration that is installed is one, names nothing that the
// agent does not know, and asks for a board.
func TestConfiguration(t *testing.T) {
	text, err := os.ReadFile("platen.toml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "platen.toml")
	load := func(text string) error {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(path)
		return err
	}
	if err := load(string(text)); err == nil || !strings.Contains(err.Error(), "board is missing") {
		t.Errorf("as it is installed: %v", err)
	}
	key := regexp.MustCompile(`(?m)^# (\[|[a-z_]+ = )`)
	if n := len(key.FindAllString(string(text), -1)); n < 10 {
		t.Fatalf("%d keys are shown", n)
	}
	all := key.ReplaceAllString(string(text), "$1")
	if err := load(all); !errors.Is(err, fs.ErrNotExist) { // the keys that it names
		t.Errorf("with all that it shows: %v", err)
	}
	if err := load(strings.Replace(all, "watchdog_time", "watch_dog_time", 1)); err == nil || !strings.Contains(err.Error(), "unknown key") {
		t.Errorf("control: %v", err)
	}
}

// groups are the calls of those that systemd was asked for.
var groups = map[string]map[string]bool{}

// calls are the names of system calls in a list of the unit, groups by what systemd says
// of them.
func calls(t *testing.T, list string) map[string]bool {
	t.Helper()
	if known, ok := groups[list]; ok {
		return known
	}
	all := map[string]bool{}
	groups[list] = all
	for name := range strings.FieldsSeq(list) {
		if !strings.HasPrefix(name, "@") {
			all[name] = true
			continue
		}
		for line := range strings.Lines(analyze(t, "syscall-filter", "--no-pager", name)) {
			if inner, ok := strings.CutPrefix(line, "    "); ok && !strings.HasPrefix(inner, "#") {
				for call := range calls(t, strings.TrimSpace(inner)) {
					all[call] = true
				}
			}
		}
	}
	return all
}

// allowed are the calls that the unit leaves: its lines count one after the other.
func allowed(t *testing.T, text string) map[string]bool {
	t.Helper()
	left := map[string]bool{}
	for line := range strings.Lines(text) {
		list, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !ok {
			continue
		}
		list, denied := strings.CutPrefix(list, "~")
		for call := range calls(t, list) {
			left[call] = !denied
		}
	}
	return left
}

// TestUnitLetsSessionsConfine: what agent and session give themselves up with is left to
// them, and nothing that changes the system.
func TestUnitLetsSessionsConfine(t *testing.T) {
	text, err := os.ReadFile("platen.service")
	if err != nil {
		t.Fatal(err)
	}
	need := []string{"seccomp", "capset", "prctl", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "memfd_secret", "memfd_create",
		"mlock2", "mlockall", "prlimit64", "sched_setattr", "execve", "clone", "sendmsg", "fsync", "renameat2", "flock"}
	never := []string{"mount", "reboot", "init_module", "kexec_load", "ptrace", "swapon", "setuid", "chown", "bpf", "chroot", "settimeofday", "perf_event_open"}
	lacks := func(left map[string]bool) (what []string) {
		for _, call := range need {
			if !left[call] {
				what = append(what, "no "+call)
			}
		}
		for _, call := range never {
			if left[call] {
				what = append(what, "may "+call)
			}
		}
		return what
	}
	if what := lacks(allowed(t, string(text))); what != nil {
		t.Errorf("the unit: %s", strings.Join(what, ", "))
	}
	for line, want := range map[string]string{"SystemCallFilter=capset\n": "no capset", "SystemCallFilter=~@privileged @obsolete\n": "may "} {
		if what := lacks(allowed(t, strings.Replace(string(text), line, "", 1))); !strings.Contains(strings.Join(what, ", "), want) {
			t.Errorf("control: without %q it lacks %v", line, what)
		}
	}
}
