package confine

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdict is what a filter says to a call. The virtual machine reads words as the
// network has them; the kernel reads its own order.
func verdict(t *testing.T, p []bpf.Instruction, nr uint32, args ...uint32) uint32 {
	t.Helper()
	vm, err := bpf.NewVM(p)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64) // struct seccomp_data
	binary.BigEndian.PutUint32(data[offNr:], nr)
	binary.BigEndian.PutUint32(data[offArch:], auditArch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offArgs+8*i:], a)
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func TestSessionFilterArguments(t *testing.T) {
	const pid = 4711
	p := sessionFilter(pid)
	type call struct {
		name string
		nr   uint32
		args []uint32
		want bpf.RetConstant
	}
	thread := uint32(unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM)
	calls := []call{
		{"read", unix.SYS_READ, nil, allow},
		{"futex", unix.SYS_FUTEX, nil, allow},
		{"a signal to itself", unix.SYS_TGKILL, []uint32{pid, pid + 1, uint32(unix.SIGURG)}, allow},
		{"a signal to another", unix.SYS_TGKILL, []uint32{1, 1, uint32(unix.SIGKILL)}, refuse},
		{"kill", unix.SYS_KILL, []uint32{pid, uint32(unix.SIGKILL)}, refuse},
		{"a thread", unix.SYS_CLONE, []uint32{thread}, allow},
		{"a process", unix.SYS_CLONE, []uint32{uint32(unix.SIGCHLD)}, refuse},
		{"clone3", unix.SYS_CLONE3, nil, absent},
		{"DTR up", unix.SYS_IOCTL, []uint32{9, unix.TIOCMBIS}, allow},
		{"DTR down", unix.SYS_IOCTL, []uint32{9, unix.TIOCMBIC}, allow},
		{"port released", unix.SYS_IOCTL, []uint32{9, unix.TIOCNXCL}, allow},
		{"typing into a terminal", unix.SYS_IOCTL, []uint32{2, unix.TIOCSTI}, refuse},
		{"a terminal taken", unix.SYS_IOCTL, []uint32{2, unix.TIOCSCTTY}, refuse},
		{"memory", mmapCall, []uint32{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, allow},
		{"memory to execute", mmapCall, []uint32{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, refuse},
		{"memory made executable", unix.SYS_MPROTECT, []uint32{0, 4096, unix.PROT_EXEC}, refuse},
		{"execve", unix.SYS_EXECVE, nil, refuse},
		{"openat", unix.SYS_OPENAT, nil, refuse},
		{"socket", unix.SYS_SOCKET, nil, refuse},
		{"io_uring", unix.SYS_IO_URING_SETUP, nil, refuse},
		{"ptrace", unix.SYS_PTRACE, nil, refuse},
	}
	for _, nr := range libcMapCalls {
		calls = append(calls, call{"memory made writable", nr, []uint32{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, allow})
	}
	for _, nr := range fcntlCalls {
		calls = append(calls,
			call{"flags", nr, []uint32{9, unix.F_GETFL}, allow},
			call{"not blocking", nr, []uint32{9, unix.F_SETFL}, allow},
			call{"signals to an owner", nr, []uint32{9, unix.F_SETOWN}, refuse},
			call{"which signal", nr, []uint32{9, unix.F_SETSIG}, refuse})
	}
	for _, c := range calls {
		if got := verdict(t, p, c.nr, c.args...); got != c.want.Val {
			t.Errorf("%s: verdict %#x, want %#x", c.name, got, c.want.Val)
		}
	}
}

func TestAgentFilter(t *testing.T) {
	p := agentFilter()
	for name, c := range map[string]struct {
		nr   uint32
		want bpf.RetConstant
	}{
		"connect": {unix.SYS_CONNECT, allow}, "openat": {unix.SYS_OPENAT, allow},
		"bind": {unix.SYS_BIND, refuse}, "listen": {unix.SYS_LISTEN, refuse},
		"io_uring": {unix.SYS_IO_URING_SETUP, refuse},
	} {
		if got := verdict(t, p, c.nr); got != c.want.Val {
			t.Errorf("%s: verdict %#x, want %#x", name, got, c.want.Val)
		}
	}
}

// What is said to be allowed is what the filter lets through, of all numbers there are.
func TestAllowed(t *testing.T) {
	const pid = 4711
	p := sessionFilter(pid)
	said := map[int]bool{}
	for _, nr := range Allowed() {
		said[nr] = true
	}
	args := [][]uint32{nil, {pid}, {unix.CLONE_THREAD}, {9, unix.TIOCMBIS}, {9, unix.F_GETFL}, {0, 4096, unix.PROT_READ}}
	numbers := []int{0xf0002} // of ARM's own calls
	for nr := range 1024 {
		numbers = append(numbers, nr)
	}
	for _, nr := range numbers {
		may := false
		for _, a := range args {
			may = may || verdict(t, p, uint32(nr), a...) == allow.Val
		}
		if may != said[nr] {
			t.Errorf("call %d: allowed %t, said to be %t", nr, may, said[nr])
		}
	}
	if len(said) < 20 {
		t.Errorf("only %d calls are allowed", len(said))
	}
}
