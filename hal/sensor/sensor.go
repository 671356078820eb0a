// Package sensor reads what the sensors of a Linux box say, through the files the
// kernel gives them; each kind has a room of its own below:
//
//   - hwmon: temperatures, fans and voltages that a driver of the kernel knows
//   - iio: converters, and thermistors on them
//   - w1: thermometers on a 1-wire bus
//   - gpio: switches and tachometers on pins
//
// All of them implement hal.Sensor, take the root of the tree they read from their
// caller, open everything at once and only read afterwards, with no more than pread,
// read and one ioctl: a process that has given up open() goes on sampling. Sampling
// does not allocate unless something is missing. A sensor that is not there, or says
// what cannot be, is missing from the samples and named in the error; no old value
// stands in for it.
//
// Here is the reader of one attribute of sysfs that they share.
package sensor

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrMissing reports a sensor that is not there, or whose value means that it is not.
var ErrMissing = errors.New("sensor is missing")

// Attribute is one file of sysfs, read again from its beginning each time. It belongs
// to one goroutine.
type Attribute struct {
	fd  int
	buf [128]byte
}

// OpenAttribute opens the file at path. One that is not there is [ErrMissing].
func OpenAttribute(path string) (*Attribute, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ENOENT || err == unix.ENXIO || err == unix.ENODEV:
			return nil, fmt.Errorf("open %s: %w", path, ErrMissing)
		case err != nil:
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return &Attribute{fd: fd}, nil
	}
}

// Text is what the attribute says now, without white space around it. It is valid
// until the next call. It takes one read from the beginning, since some drivers
// measure at every read, wherever it starts (sysfs(5), fs/kernfs/file.c).
func (a *Attribute) Text() ([]byte, error) {
	for {
		n, err := unix.Pread(a.fd, a.buf[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		return bytes.TrimSpace(a.buf[:n]), nil
	}
}

// errNumber reports an attribute that is no number.
var errNumber = fmt.Errorf("%w: it says no whole number", ErrMissing)

// Int is what the attribute says now, as a whole number.
func (a *Attribute) Int() (int64, error) {
	text, err := a.Text()
	if err != nil {
		return 0, err
	}
	v, ok := ParseInt(text)
	if !ok {
		return 0, errNumber
	}
	return v, nil
}

// Close closes the file.
func (a *Attribute) Close() error { return unix.Close(a.fd) }

// ParseInt reads a decimal whole number of up to 18 digits, without allocating.
func ParseInt(text []byte) (int64, bool) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	var v int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if len(digits) < len(text) {
		v = -v
	}
	return v, true
}

// Lost is the error of sampling: how many of a sensor's channels are missing, and why
// the first of them is. It matches ErrMissing.
type Lost struct {
	Channels uint32 // bit n is channel n
	First    error
}

// Note adds channel n, lost for err.
func (l *Lost) Note(n int, err error) *Lost {
	if l == nil {
		l = &Lost{First: err}
	}
	l.Channels |= 1 << n
	return l
}

// Err is l as an error, nil if nothing was lost.
func (l *Lost) Err() error {
	if l == nil {
		return nil
	}
	return l
}

// Error names the first reason.
func (l *Lost) Error() string { return "sampling: " + l.First.Error() }

// Is matches ErrMissing.
func (l *Lost) Is(target error) bool { return target == ErrMissing }

// Unwrap returns the first reason.
func (l *Lost) Unwrap() error { return l.First }

// MaxChannels bounds the channels of one sensor.
const MaxChannels = 32
