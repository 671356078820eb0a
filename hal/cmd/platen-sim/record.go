package main

import (
	"fmt"
	"io"
	"os"

	"platen/hal/trace"
)

// recorder says how a line is recorded, and how the recording ends.
func recorder(o *options) (wrap func(io.ReadWriteCloser) io.ReadWriteCloser, done func() error, err error) {
	if o.record == "" {
		return func(line io.ReadWriteCloser) io.ReadWriteCloser { return line }, func() error { return nil }, nil
	}
	f, err := os.OpenFile(o.record, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("record what is said: %w; choose another --record", err)
	}
	title := "platen-sim " + o.firmware
	return func(line io.ReadWriteCloser) io.ReadWriteCloser {
		return trace.Record(line, f, trace.Options{Title: title, Printer: true})
	}, f.Close, nil
}
