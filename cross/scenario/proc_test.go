package scenario

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/cross/rig"
)

// cmdPids sets AGENT and SESSION; with an argument, AGENT only: its session is the child
// of an agent before it.
func cmdPids(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	agent := w.agent.cmd.Process.Pid
	ts.Setenv("AGENT", strconv.Itoa(agent))
	if len(args) > 0 {
		return
	}
	session, err := child(agent)
	ts.Check(err)
	w.sessions = append(w.sessions, session)
	ts.Setenv("SESSION", strconv.Itoa(session))
}

// child is the one child of a process.
func child(parent int) (int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		fields, err := statFields(path)
		if err != nil {
			continue // ended meanwhile
		}
		if len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(parent) {
			return strconv.Atoi(filepath.Base(filepath.Dir(path)))
		}
	}
	return 0, fmt.Errorf("process %d has no child", parent)
}

// statFields are the fields of a process after its name (proc_pid_stat(5)): its state, its
// parent, and so on.
func statFields(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])), nil
}

// pidArg reads the id of a process, or takes it from what was printed last.
func pidArg(ts *testscript.TestScript, s string) int {
	if s == "stdout" {
		s = strings.TrimSpace(ts.ReadFile(s))
	}
	pid, err := strconv.Atoi(s)
	if err != nil || pid < 2 {
		ts.Fatalf("%q is not the id of a process: use pids first", s)
	}
	return pid
}

func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	sig, ok := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "STOP": syscall.SIGSTOP}[args[0]]
	if !ok {
		ts.Fatalf("signal KILL|TERM|STOP PID")
	}
	w, pid := worldOf(ts), pidArg(ts, args[1])
	if sig == syscall.SIGSTOP {
		ts.Check(rig.Freeze(pid))
		return
	}
	if a := w.agent; a != nil && pid == a.cmd.Process.Pid {
		a.pipe.Close() // who reads its log goes with it, as a terminal does
		w.agent = nil
		ts.Check(syscall.Kill(pid, sig))
		<-a.done
		return
	}
	ts.Check(rig.Kill(pid, sig))
}

// links reads where the descriptors of a process lead.
func links(pid int) ([]string, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e.Name()+" "+to)
	}
	return out, nil
}

// number is what tells descriptors of one kind apart.
var number = regexp.MustCompile(`[0-9]+`)

// cmdDescriptors prints the kinds of what a process has open, without numbers. The
// descriptors of a process that cannot be traced are hidden from all but root; that
// is said as "hidden".
func cmdDescriptors(ts *testscript.TestScript, _ bool, args []string) {
	all, err := links(pidArg(ts, args[0]))
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		fmt.Fprintln(ts.Stdout(), "hidden")
		return
	}
	ts.Check(err)
	var kinds []string
	for _, l := range all {
		fd, to, _ := strings.Cut(l, " ")
		kind := number.ReplaceAllString(strings.ReplaceAll(to, ts.Getenv("WORK"), "WORK"), "N")
		if n, err := strconv.Atoi(fd); err == nil && n <= 2 {
			kind = "standard " + kind
		}
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	fmt.Fprintln(ts.Stdout(), strings.Join(slices.Compact(kinds), "\n"))
}

// cmdSockets prints the network sockets of a process that listen (TCP) or are bound
// without a peer (UDP).
func cmdSockets(ts *testscript.TestScript, _ bool, args []string) {
	pid := pidArg(ts, args[0])
	all, err := links(pid)
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		fmt.Fprintln(ts.Stdout(), "hidden")
		return
	}
	ts.Check(err)
	var found strings.Builder
	tables, err := filepath.Glob(fmt.Sprintf("/proc/%d/net/[tu][cd]p*", pid))
	ts.Check(err)
	seen := 0
	for _, path := range tables {
		n, err := listening(path, all, func(line string) { fmt.Fprintln(&found, filepath.Base(path), line) })
		ts.Check(err)
		seen += n
	}
	if len(tables) < 2 || len(all) == 0 {
		ts.Fatalf("%d tables of sockets, %d descriptors: this proves nothing", len(tables), len(all))
	}
	ts.Logf("%d sockets of the network looked at", seen)
	fmt.Fprint(ts.Stdout(), found.String())
}

// listening shows each line of a table of sockets (proc_pid_net(5)) that listens
// and is one of the descriptors, nil for all; it returns how many lines there are.
func listening(path string, fds []string, show func(string)) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Scan() // heading
	for ; sc.Scan(); n++ {
		fields := strings.Fields(sc.Text())
		if len(fields) < 10 {
			return n, fmt.Errorf("%s: unknown form", path)
		}
		const listen, closed = "0A", "07" // TCP_LISTEN, and UDP without a peer
		own := fds == nil || slices.ContainsFunc(fds, func(l string) bool { return strings.HasSuffix(l, "socket:["+fields[9]+"]") })
		if own && (fields[3] == listen || fields[3] == closed && strings.HasPrefix(filepath.Base(path), "udp")) {
			show(fields[1])
		}
	}
	return n, sc.Err()
}
