package hil

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"

	"platen/hal/serial"
)

// Wired is a real board: a serial console, a relay or whatever else switches it, and, unless it
// has a real motion controller, a second serial line on which this machine simulates one.
type Wired struct {
	// Board is its name in reports.
	Board string `toml:"name"`
	// Printer is what its configuration names as its board.
	Printer string `toml:"board"`
	// Console and Bitrate are the serial device of its console on this machine, and its rate.
	Console string `toml:"console"`
	Bitrate int    `toml:"bitrate"`
	// Controller and ControllerBitrate are the serial device that is wired to its printer port.
	Controller        string `toml:"controller"`
	ControllerBitrate int    `toml:"controller_bitrate"`
	// Host is this machine's address as the board sees it.
	Host string `toml:"host"`
	// EKCAs are the PEM files of its TPM's maker.
	EKCAs []string `toml:"ek_ca"`
	// OnCommand and OffCommand switch it; FlashCommand writes an image onto its disk, whose path
	// takes the place of the argument {image}. Without it the disk is not written.
	OnCommand    []string `toml:"on"`
	OffCommand   []string `toml:"off"`
	FlashCommand []string `toml:"flash"`

	dir string
}

// ReadWired reads the description of a real board from a TOML file. "" is ErrNoBoard.
func ReadWired(path string) (*Wired, error) {
	if path == "" {
		return nil, ErrNoBoard
	}
	w := &Wired{Bitrate: 115200, ControllerBitrate: 115200, dir: filepath.Dir(path)}
	meta, err := toml.DecodeFile(path, w)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read a board: %w", err)
	case len(meta.Undecoded()) > 0:
		return nil, fmt.Errorf("read a board: %s: there is no key %s", path, meta.Undecoded()[0])
	case w.Console == "" || w.Host == "" || w.Printer == "" || len(w.OnCommand) == 0 || len(w.OffCommand) == 0:
		return nil, fmt.Errorf("read a board: %s: board, console, host, on and off have to be there", path)
	}
	if w.Board == "" {
		w.Board = strings.TrimSuffix(filepath.Base(path), ".toml")
	}
	for i := range w.EKCAs {
		if !filepath.IsAbs(w.EKCAs[i]) {
			w.EKCAs[i] = filepath.Join(w.dir, w.EKCAs[i])
		}
	}
	return w, nil
}

// About says what the file says.
func (w *Wired) About() About {
	return About{Name: w.Board, Printer: w.Printer, Host: w.Host, EKCAs: w.EKCAs, Driven: w.Controller == ""}
}

// Flash runs the command that writes the image.
func (w *Wired) Flash(ctx context.Context, image string) error {
	args := make([]string, len(w.FlashCommand))
	for i, a := range w.FlashCommand {
		args[i] = strings.ReplaceAll(a, "{image}", image)
	}
	return w.command(ctx, "flash", args)
}

// On opens the serial lines and then switches the board on, so that nothing it says is missed.
func (w *Wired) On(ctx context.Context) (Wires, error) {
	var wires Wires
	var err error
	if wires.Console, err = openLine(w.Console, w.Bitrate); err != nil {
		return wires, err
	}
	if w.Controller != "" {
		if wires.Controller, err = openLine(w.Controller, w.ControllerBitrate); err != nil {
			return wires, errors.Join(err, wires.Console.Close())
		}
	}
	if err := w.command(ctx, "on", w.OnCommand); err != nil {
		err = errors.Join(err, wires.Console.Close())
		if wires.Controller != nil {
			err = errors.Join(err, wires.Controller.Close())
		}
		return Wires{}, err
	}
	return wires, nil
}

// Cut switches the board off.
func (w *Wired) Cut(ctx context.Context) error { return w.command(ctx, "off", w.OffCommand) }

// command runs one of the file's commands, in the file's folder. None does nothing.
func (w *Wired) command(ctx context.Context, name string, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = w.dir
	cmd.Stdin = nil
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the board's command %q: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// openLine opens a serial device; anything else that can be read and written, such as a socket
// that another program made, is opened as it is.
func openLine(path string, bitrate int) (io.ReadWriteCloser, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the board's serial line: %w", err)
	}
	if st.Mode()&os.ModeCharDevice == 0 {
		return nil, fmt.Errorf("the board's serial line: %s is no serial device", path)
	}
	p, err := serial.Open(serial.Config{Device: path, Baud: bitrate})
	if err != nil {
		return nil, fmt.Errorf("the board's serial line: %w", err)
	}
	return &serialLine{Port: p}, nil
}

// serialLine is a port that is closed once.
type serialLine struct {
	*serial.Port
	once sync.Once
	err  error
}

// Close closes the port.
func (l *serialLine) Close() error {
	l.once.Do(func() { l.err = l.Port.Close() })
	return l.err
}
