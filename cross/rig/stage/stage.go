// Package stage runs the real commands of Platen beside each other: a [Stage] is a
// folder with a printer's configuration in it and the commands that were started
// there. [Stage.Start] has one go on, as a [Process] whose events can be waited for;
// [Stage.Run] runs one to its end. A [Broker] stands between printer and verifier,
// sees every byte, and lies if it is told to.
package stage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Stage is a folder and what runs in it.
type Stage struct {
	Dir  string // of configuration and logs
	Bins string // folder of the commands

	running []*Process
}

// Event is one line of a command's -o jsonl output: the fields of any of them that
// those on a stage read.
type Event struct {
	Event    string  `json:"event"`
	Text     string  `json:"text"`
	HTTPS    string  `json:"https"`
	Printer  string  `json:"printer"`
	Reason   string  `json:"reason"`
	Seq      uint64  `json:"seq"`
	Release  uint64  `json:"release"`
	From     uint64  `json:"from"`
	Lines    uint64  `json:"lines"`
	Moves    uint64  `json:"moves"`
	Starved  uint64  `json:"starved"`
	Layers   int     `json:"layers"`
	Z        float64 `json:"z_mm"`
	SimTime  float64 `json:"sim_time_s"`
	Filament float64 `json:"filament_mm"`
	HotEnd   float64 `json:"hotend_c"`
}

// Process is a command that goes on in the background.
type Process struct {
	// Cmd is the command, started.
	Cmd *exec.Cmd
	// Done is closed when it has ended.
	Done chan struct{}
	// Log is the path of what it writes to standard error.
	Log string
	// Err is how it ended, once Done is closed.
	Err error

	name   string
	mu     sync.Mutex
	events []Event
	wake   chan struct{}
}

// Start runs a command in the background; its standard output is read as events, its
// standard error goes to a log in the stage's folder. env is added to ours.
func (s *Stage) Start(name string, env []string, args ...string) (*Process, error) {
	log, err := os.Create(filepath.Join(s.Dir, fmt.Sprintf("%s-%d.log", filepath.Base(name), len(s.running))))
	if err != nil {
		return nil, err
	}
	p := &Process{name: name, Log: log.Name(), Cmd: exec.Command(s.Bin(name), args...), Done: make(chan struct{}), wake: make(chan struct{})}
	p.Cmd.Stderr = log
	p.Cmd.Dir = s.Dir
	if env != nil {
		p.Cmd.Env = append(os.Environ(), env...)
	}
	out, err := p.Cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := p.Cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), log.Close())
	}
	s.running = append(s.running, p)
	go func() {
		defer close(p.Done)
		defer log.Close()
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			var e Event
			if json.Unmarshal(sc.Bytes(), &e) == nil {
				p.add(e)
			}
		}
		io.Copy(io.Discard, out)
		p.Err = p.Cmd.Wait()
	}()
	return p, nil
}

func (p *Process) add(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	close(p.wake)
	p.wake = make(chan struct{})
}

// Events is every event so far.
func (p *Process) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events[:len(p.events):len(p.events)]
}

// Wait returns the first event from number from on that match accepts.
func (p *Process) Wait(ctx context.Context, limit time.Duration, from int, match func(Event) bool) (Event, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		p.mu.Lock()
		events, wake := p.events, p.wake
		p.mu.Unlock()
		for ; from < len(events); from++ {
			if match(events[from]) {
				return events[from], nil
			}
		}
		select {
		case <-wake:
		case <-p.Done:
			return Event{}, fmt.Errorf("%s ended (%v)", p.name, p.Err)
		case <-ctx.Done():
			return Event{}, fmt.Errorf("%s did not say it within %s", p.name, limit)
		}
	}
}

// Stop ends a process and waits for it.
func (p *Process) Stop() {
	p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Done:
	case <-time.After(15 * time.Second):
		p.Cmd.Process.Kill()
		<-p.Done
	}
}

// Stop ends what runs on the stage, the last first.
func (s *Stage) Stop() {
	for i := len(s.running) - 1; i >= 0; i-- {
		s.running[i].Stop()
	}
}

// Run runs a command to its end and returns its standard output. A command that fails
// is an error with what it said.
func (s *Stage) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.Bin(name), args...)
	cmd.Dir = s.Dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return out, fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(errs.String()))
	}
	return out, err
}

// Refused runs a command that must fail, and returns the code it gave as JSON.
func (s *Stage) Refused(ctx context.Context, name string, args ...string) (string, error) {
	out, err := s.Run(ctx, name, append(args, "-o", "json")...)
	if err == nil {
		return "", fmt.Errorf("%s %s was not refused", name, args[0])
	}
	var f struct{ Error, Code string }
	if json.Unmarshal(out, &f) != nil || f.Code == "" {
		return "", fmt.Errorf("refused without a code: %w", err)
	}
	return f.Code, nil
}

// Bin is the path of a command; an absolute one stays as it is.
func (s *Stage) Bin(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.Bins, name)
}

// Platen runs the device's command against the configuration in the stage's folder.
func (s *Stage) Platen(ctx context.Context, args ...string) ([]byte, error) {
	return s.Run(ctx, "platen", append(args, "--config", s.Path("platen.toml"))...)
}

// Path is a path in the stage's folder.
func (s *Stage) Path(name string) string { return filepath.Join(s.Dir, name) }
