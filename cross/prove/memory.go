package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"platen/cross/rig/leak"
)

// area is a mapping of a process (proc_pid_smaps(5)).
type area struct {
	from, to uint64
	name     string
	readable bool
	locked   bool
	swapped  bool // some of it is in swap
}

// memory is what was seen of the memory of a process.
type memory struct {
	bytes  int64 // that were looked at
	hidden int64 // that not even root may read: they are the process's alone
	hits   []spot
}

// had reports whether a model can be there: it was seen, or it is where nobody else can see.
func (m memory) had() bool { return len(m.hits) > 0 || m.hidden > 0 }

// spot is a pattern in memory.
type spot struct {
	kind string
	area area
}

// areas reads what a process has mapped. A process without memory, as a thread of the
// kernel, has none.
func areas(pid int) ([]area, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []area
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		switch {
		case len(fields) == 0:
		case !strings.HasSuffix(fields[0], ":"):
			var a area
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &a.from, &a.to); err != nil || len(fields) < 2 {
				return nil, fmt.Errorf("the mappings of process %d have an unknown form", pid)
			}
			a.readable, a.name = fields[1][0] == 'r', strings.Join(fields[min(5, len(fields)):], " ")
			all = append(all, a)
		case fields[0] == "VmFlags:":
			all[len(all)-1].locked = slices.Contains(fields, "lo")
		case fields[0] == "Swap:" && len(fields) > 1:
			all[len(all)-1].swapped = fields[1] != "0"
		}
	}
	return all, sc.Err()
}

// look searches the memory of a process: every page that is there.
func look(pid int, s *leak.Set) (memory, error) {
	var m memory
	all, err := areas(pid)
	if err != nil {
		return m, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return m, err
	}
	defer mem.Close()
	pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return m, err
	}
	defer pages.Close()
	for _, a := range all {
		if !a.readable || strings.HasPrefix(a.name, "[v") { // [vvar] and its like are the kernel's
			continue
		}
		for _, run := range present(pages, a) {
			if err := m.run(mem, run, a, s); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

// run searches pages that follow each other.
func (m *memory) run(mem *os.File, run [2]uint64, a area, s *leak.Set) error {
	hits, err := s.Reader(io.NewSectionReader(mem, int64(run[0]), int64(run[1]-run[0])), a.name)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.EFAULT) {
		m.hidden += int64(run[1] - run[0])
		return nil
	}
	if errors.Is(err, fs.ErrClosed) || errors.Is(err, unix.ESRCH) {
		return err
	}
	if err != nil {
		return fmt.Errorf("reading memory: %w", err)
	}
	m.bytes += int64(run[1] - run[0])
	for _, h := range hits {
		m.hits = append(m.hits, spot{h.Kind, a})
	}
	return nil
}

// present lists runs of pages that are in memory (pagemap, bit 63) or in swap (bit 62).
func present(pages *os.File, a area) [][2]uint64 {
	size := uint64(os.Getpagesize())
	const most = 1 << 16 // pages looked at in one piece
	var runs [][2]uint64
	buf := make([]byte, 8*most)
	for at := a.from; at < a.to; {
		n := min((a.to-at)/size, most)
		got, _ := pages.ReadAt(buf[:8*n], int64(at/size*8)) // what cannot be read is not there
		for i := range uint64(got) / 8 {
			if binary.LittleEndian.Uint64(buf[8*i:])>>62 == 0 {
				continue
			}
			page := at + i*size
			if len(runs) > 0 && runs[len(runs)-1][1] == page {
				runs[len(runs)-1][1] += size
			} else {
				runs = append(runs, [2]uint64{page, page + size})
			}
		}
		at += n * size
	}
	return runs
}

// kinds says which encodings were found, for people.
func kinds(spots []spot) string {
	var all []string
	for _, s := range spots {
		all = append(all, s.kind)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// proc is a process as /proc shows it.
type proc struct {
	pid, parent int
	exe         string
	args        []string
}

// processes lists every process that has a program; one that ends meanwhile is left out.
func processes() ([]proc, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var all []proc
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(d, "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // state, parent
		exe, err := os.Readlink(filepath.Join(d, "exe"))
		if err != nil || len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		args, err := os.ReadFile(filepath.Join(d, "cmdline"))
		if err != nil {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		all = append(all, proc{pid, parent, strings.TrimSuffix(exe, " (deleted)"), strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")})
	}
	return all, nil
}

// session is the process of the printer's session, or 0.
func (h *house) session() int {
	all, err := processes()
	if err != nil {
		return 0
	}
	for _, p := range all {
		if len(p.args) > 1 && p.args[1] == "session" && slices.ContainsFunc(p.args, func(a string) bool { return strings.HasPrefix(a, h.box.Dir) }) {
			return p.pid
		}
	}
	return 0
}

// family lists the processes that this one has started, and theirs, and the session.
func (h *house) family(all []proc) []proc {
	ours := map[int]bool{os.Getpid(): true}
	if session := h.session(); session != 0 { // 0 is the parent of all that the kernel has started
		ours[session] = true
	}
	for range all { // until nothing is added any more
		before := len(ours)
		for _, p := range all {
			if ours[p.parent] {
				ours[p.pid] = true
			}
		}
		if len(ours) == before {
			break
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p proc) bool { return !ours[p.pid] || p.pid == os.Getpid() })
}

// peeks reports whether a process of the same user without the right to trace anybody
// may open the memory of a process.
func peeks(pid int) (bool, error) {
	type answer struct {
		may bool
		err error
	}
	done := make(chan answer)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, which has no rights now, ends with this function
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			done <- answer{false, err}
			return
		}
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/mem", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		} else if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			err = nil
			fd = -1
		}
		done <- answer{fd >= 0, err}
	}()
	a := <-done
	return a.may, a.err
}
