package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProof is the short form of the proof, as the command prints it.
func TestProof(t *testing.T) {
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("builds and runs all commands")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may look at the memory of a session")
	}
	bins, err := os.MkdirTemp("", "plbin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(bins) })
	build := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", bins+"/", "platen/agent/cmd/platen",
		"platen/agent/cmd/platen-fleet", "filippo.io/age/cmd/age", "platen/cross/prove")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(filepath.Join(bins, "prove"), "-short", "-o", "json", "-bin", bins, "-source", "../..")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if strings.Contains(errs.String(), "is not installed") && os.Getenv("CI") == "" {
		t.Skipf("needs a tool: %s", &errs)
	}
	var names []string
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var c claim
		if derr := dec.Decode(&c); derr == io.EOF {
			break
		} else if derr != nil {
			t.Fatal(derr)
		}
		names = append(names, c.Name)
		t.Logf("%s %s: %s | %s | control: %s", c.State, c.Name, c.Claim, c.Evidence, c.Control)
		if c.State == failed {
			t.Errorf("%s: %s", c.Name, c.Claim)
		}
		if c.State == notRun && os.Getenv("CI") != "" && c.Name != "blocks" && c.Name != "cores" {
			t.Errorf("%s was not shown: %s", c.Name, c.Evidence)
		}
	}
	if err != nil {
		t.Fatalf("prove: %v\n%s", err, &errs)
	}
	want := []string{"files", "logs", "mqtt", "blocks", "cores", "swap", "agent", "after", "confined", "agent-held", "calls", "kills"}
	if !slices.Equal(names, want) {
		t.Errorf("claims %v, want %v", names, want)
	}
}

// A trace is put together from its threads, and tells what was called before the job and
// after it.
func TestTraces(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"s1.100": "10.000001 [  56] clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 101\n10.9 [ 1] write(1, \"x\", 1) = 1\n", // an agent
		"s1.200": "11.000000 [  59] execve(\"/proc/self/exe\", [\"platen\", \"session\", \"--board\"...], 0xc) = 0\n" +
			"11.000001 [ 257] openat(AT_FDCWD, \"/dev/pts/1\", O_RDWR) = 7\n" +
			"11.000002 [  56] clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 201\n" +
			"11.000003 [ 317] seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, {len=9}) = 0\n" +
			"11.000006 [   0] read(7, \"ok\", 99) = 2\n+++ exited with 0 +++\n",
		"s1.201": "11.000004 [  47] recvmsg(3, {msg_control=[{cmsg_type=SCM_RIGHTS}]}, 0) = 9\n" +
			"11.000005 [ 257] openat(AT_FDCWD, \"/etc/hostname\", O_RDONLY) = -1 EPERM (Operation not permitted)\n",
		"s2.201": "12.000000 [   1] write(1, \"of another agent\", 9) = 9\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := traces(dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d sessions, %v", len(all), err)
	}
	s := all[0]
	if got := s[:len(s)-len(s.job())].reaching(); !slices.Equal(got, []string{"execve", "openat"}) {
		t.Errorf("before the job: %v", got)
	}
	if got := s.job().reaching(); !slices.Equal(got, []string{"openat"}) {
		t.Errorf("after it: %v", got)
	}
	if got := s.confined().numbers(); !slices.Equal(got, []int{0, 47}) {
		t.Errorf("allowed calls that were made: %v", got)
	}
}

// A call too many on the list is found, and one that was made without being on it.
func TestListed(t *testing.T) {
	names := map[int]string{0: "read", 999: "strange"}
	if c := listed("", []int{0}, map[int]bool{0: true, 5: false}, names, 1, 1); c.State != holds {
		t.Errorf("a list that is used whole: %+v", c)
	}
	if c := listed("", []int{0, 7}, map[int]bool{0: true}, names, 1, 1); c.State != failed || !strings.Contains(c.Evidence, "SPARE: 7") {
		t.Errorf("a call too many: %+v", c)
	}
	if c := listed("", []int{0}, map[int]bool{0: true, 999: true}, names, 1, 1); c.State != failed || !strings.Contains(c.Evidence, "strange") {
		t.Errorf("a call that is not on the list: %+v", c)
	}
	if c := listed("", []int{unix.SYS_RESTART_SYSCALL}, nil, nil, 1, 0); c.State != failed {
		t.Errorf("no job was traced: %+v", c)
	}
}
