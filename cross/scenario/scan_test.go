package scenario

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// outside is an address that the scanned namespace gets beside the loopback's: what listens
// on all addresses, or on another than 127.0.0.1, answers there.
var outside = [4]byte{192, 0, 2, 7}

// cmdAlone has the next agents run in a network namespace of their own.
func cmdAlone(ts *testscript.TestScript, neg bool, _ []string) { worldOf(ts).alone = !neg }

// cmdScan connects to each TCP port of each address of the namespace that a process is in,
// from another process, and prints those that answer; then what `ss -lntu` would list there.
func cmdScan(ts *testscript.TestScript, _ bool, args []string) {
	pid := pidArg(ts, args[0])
	own, err := os.Readlink("/proc/self/ns/net")
	ts.Check(err)
	if its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil || its == own {
		ts.Fatalf("process %d is not in a network of its own: %v", pid, err)
	}
	open, err := within(pid, scan)
	ts.Check(err)
	found := strings.Join(append(open, ""), "\n")
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		path := fmt.Sprintf("/proc/%d/net/%s", pid, name)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			continue
		}
		_, err := listening(path, nil, func(line string) { found += name + " " + line + "\n" })
		ts.Check(err)
	}
	fmt.Fprint(ts.Stdout(), found)
}

// within runs fn on a thread of its own in the network namespace of a process.
func within(pid int, fn func() ([]string, error)) (open []string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // unlocked once it is back: else the thread ends, unless it is the first
		home, ferr := os.Open("/proc/thread-self/ns/net")
		if ferr != nil {
			err = ferr
			return
		}
		defer home.Close()
		f, ferr := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if ferr != nil {
			err = ferr
			return
		}
		defer f.Close()
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter the namespace: %w", err)
			return
		}
		open, err = fn()
		back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
		if err = errors.Join(err, back); back == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return open, err
}

// scan brings the loopback up, with the address outside, and tries all ports.
func scan() (open []string, err error) {
	if err := raise("lo", nil); err != nil {
		return nil, err
	}
	if err := raise("lo:1", &outside); err != nil {
		return nil, err
	}
	for _, addr := range [][4]byte{{127, 0, 0, 1}, outside} {
		for port := 1; port < 1<<16; port++ {
			from := 1 // one that the kernel picks may be the very port, which then answers itself
			if port == from {
				from++
			}
			switch err := knock(&unix.SockaddrInet4{Port: from}, &unix.SockaddrInet4{Addr: addr, Port: port}); {
			case err == nil:
				open = append(open, fmt.Sprintf("%d.%d.%d.%d:%d answers", addr[0], addr[1], addr[2], addr[3], port))
			case !errors.Is(err, unix.ECONNREFUSED):
				return open, fmt.Errorf("connect to port %d: %w", port, err)
			}
		}
	}
	return open, nil
}

// raise brings an interface up, with an address if there is one.
func raise(name string, addr *[4]byte) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if addr != nil {
		if err := r.SetInet4Addr(addr[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, unix.SIOCSIFADDR, r); err != nil {
			return fmt.Errorf("give %s an address: %w", name, err)
		}
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// knock connects from a port to a port and hangs up.
func knock(from, to unix.Sockaddr) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptLinger(s, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil { // no TIME_WAIT
		return err
	}
	if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(s, from); err != nil {
		return err
	}
	return unix.Connect(s, to)
}

// alone is what makes a network namespace of its own for a process.
func alone(yes bool) *syscall.SysProcAttr {
	if !yes {
		return nil
	}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
}
