package session

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"platen/hal/driver"
	"platen/hal/trace"
)

// maxRecording is how long the file of recordings may become before it begins anew.
const maxRecording = 64 << 20

// recording is a port that is recorded, and its file.
type recording struct {
	*trace.Recorder
	file *os.File
	once sync.Once
	err  error
}

// Close ends the recording and closes the port.
func (r *recording) Close() error {
	r.once.Do(func() { r.err = errors.Join(r.Recorder.Close(), r.file.Close()) })
	return r.err
}

// recorded has what is said at line recorded behind what earlier sessions have said.
func recorded(line driver.Port, cfg Config) (driver.Port, error) {
	f, err := os.OpenFile(cfg.Record, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record the serial port: %w: correct record in the configuration, or leave it out", err)
	}
	if st, err := f.Stat(); err == nil && st.Size() > maxRecording {
		err = f.Truncate(0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("record the serial port: begin anew: %w", err), f.Close())
		}
	}
	cfg.Logger.Info("serial port is recorded without design data", "file", cfg.Record)
	rec := trace.Record(line, f, trace.Options{Title: "platen session, board " + cfg.Board.ID, Limit: maxRecording})
	return &recording{Recorder: rec, file: f}, nil
}
