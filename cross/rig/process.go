package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long a process may take to do what its kernel told it.
const patience = 5 * time.Minute

// Children are the processes that a process has started and that have not been waited for, by
// number; none if it has ended. Source: proc_tid_children(5).
func Children(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for s := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(s); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// Freeze stops a process and waits until each of its threads stands still, or it has ended: a
// signal alone leaves threads running for a while on other processors.
func Freeze(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	return await(pid, "does not stop", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return !slices.ContainsFunc(threads, func(path string) bool { return !strings.ContainsRune("TZX", state(path)) })
	})
}

// Kill sends a process a signal that ends it, and waits until it has ended. One that had ended
// before is syscall.ESRCH.
func Kill(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("signal %v to process %d: %w", sig, pid, err)
	}
	return Gone(pid)
}

// Gone waits until a process has ended; nobody need have waited for it yet.
func Gone(pid int) error {
	return await(pid, "does not end", func() bool { return Ended(pid) })
}

// Ended reports whether a process is gone, or dead and not yet waited for.
func Ended(pid int) bool {
	return strings.ContainsRune("ZX", state(fmt.Sprintf("/proc/%d/stat", pid)))
}

// state is the letter of a process's or thread's state (proc_pid_stat(5)), X if it is gone.
func state(path string) rune {
	text, err := os.ReadFile(path)
	if _, after, ok := bytes.Cut(text[bytes.LastIndexByte(text, ')')+1:], []byte(" ")); err == nil && ok && len(after) > 0 {
		return rune(after[0])
	}
	return 'X'
}

func await(pid int, what string, done func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if done() {
			return nil
		}
	}
	return fmt.Errorf("process %d %s within %v", pid, what, patience)
}
