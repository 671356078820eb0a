package main

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

// event is one line of a command's -o jsonl output: the fields that the demo reads
// of any of them.
type event struct {
	Event    string  `json:"event"`
	Text     string  `json:"text"`
	HTTPS    string  `json:"https"`
	Printer  string  `json:"printer"`
	Reason   string  `json:"reason"`
	Seq      uint64  `json:"seq"`
	Release  uint64  `json:"release"`
	From     uint64  `json:"from"`
	Lines    uint64  `json:"lines"`
	Layers   int     `json:"layers"`
	Z        float64 `json:"z_mm"`
	SimTime  float64 `json:"sim_time_s"`
	Filament float64 `json:"filament_mm"`
	HotEnd   float64 `json:"hotend_c"`
}

// process is a command of Platen that goes on while the demo does.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu     sync.Mutex
	events []event
	wake   chan struct{}
}

// start runs a command of build/bin in the background; its standard output is read
// as events, its standard error goes to a log in the demo's folder.
func (d *demo) start(name string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(d.dir, fmt.Sprintf("%s-%d.log", name, len(d.running))))
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(d.bin(name), args...), done: make(chan struct{}), wake: make(chan struct{})}
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	d.running = append(d.running, p)
	go func() {
		defer close(p.done)
		defer log.Close()
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			var e event
			if json.Unmarshal(sc.Bytes(), &e) == nil {
				p.add(e)
			}
		}
		io.Copy(io.Discard, out)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) add(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	close(p.wake)
	p.wake = make(chan struct{})
}

// seen is how many events have come so far.
func (p *process) seen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.events)
}

// wait returns the first event from number from on that match accepts.
func (p *process) wait(ctx context.Context, limit time.Duration, from int, match func(event) bool) (event, error) {
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
		case <-p.done:
			return event{}, fmt.Errorf("%s ended (%v)", p.name, p.err)
		case <-ctx.Done():
			return event{}, fmt.Errorf("%s did not say it within %s", p.name, limit)
		}
	}
}

// stop ends a process and waits for it.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// run runs a command of build/bin to its end and returns its standard output. A
// command that fails is an error with what it said.
func (d *demo) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, d.bin(name), args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return out, fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(errs.String()))
	}
	return out, err
}

// refused runs a command that must fail, and returns the code it gave as JSON.
func (d *demo) refused(ctx context.Context, name string, args ...string) (string, error) {
	out, err := d.run(ctx, name, append(args, "-o", "json")...)
	if err == nil {
		return "", fmt.Errorf("%s %s was not refused", name, args[0])
	}
	var f struct{ Error, Code string }
	if json.Unmarshal(out, &f) != nil || f.Code == "" {
		return "", fmt.Errorf("refused without a code: %w", err)
	}
	return f.Code, nil
}

// bin is the path of a command.
func (d *demo) bin(name string) string { return filepath.Join(d.bins, name) }

// platen runs the device's command against the demo's configuration.
func (d *demo) platen(ctx context.Context, args ...string) ([]byte, error) {
	return d.run(ctx, "platen", append(args, "--config", d.path("platen.toml"))...)
}

// path is a path in the demo's folder.
func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }
