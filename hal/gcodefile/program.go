package gcodefile

import (
	"bytes"
	"io"
	"log/slog"

	"platen/hal/envelope"
	"platen/hal/motion"
)

// Program returns the file r as a program that the machine of o can run: parsed,
// slowed down to what the machine can do, guarded. It can be ranged over once. The
// first line that is refused, or that asks for what the machine cannot do, ends it
// with a *[Refusal].
func Program(r io.Reader, o Options) motion.Program {
	p := New(r, o)
	guarded := envelope.Check(o.Limits, envelope.Fit(o.Limits, p.Ops()))
	return func(yield func(motion.Op, error) bool) {
		for op, err := range guarded {
			if err != nil {
				err = refuse(p.Line(), err)
			}
			if !yield(op, err) {
				return
			}
		}
	}
}

// Summary is what a file consists of. It is design data.
type Summary struct {
	Lines  int
	Ops    int64
	Layers int32
}

// String says nothing of the file.
func (Summary) String() string { return "gcode summary" }

// GoString says nothing of the file.
func (Summary) GoString() string { return "gcode summary" }

// LogValue says nothing of the file.
func (Summary) LogValue() slog.Value { return slog.StringValue("gcode summary") }

// Check reads the whole of r as [Program] does, without a machine. The error is a
// *[Refusal].
func Check(r io.Reader, o Options) (Summary, error) {
	p := New(r, o)
	var s Summary
	for op, err := range envelope.Check(o.Limits, envelope.Fit(o.Limits, p.Ops())) {
		if err != nil {
			return Summary{}, refuse(p.Line(), err)
		}
		s.Ops++
		if op.Kind == motion.BeginLayer {
			s.Layers++
		}
	}
	s.Lines = p.Line() - 1
	return s, nil
}

// Looks reports whether a file that begins with head is G-code: its first line that
// is not blank is a comment or a command. A mesh begins otherwise.
func Looks(head []byte) bool {
	head = bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF"))
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	head = bytes.TrimLeft(head, " \t\r\n")
	if len(head) == 0 || head[0] == ';' {
		return len(head) > 0
	}
	return len(head) > 1 && (head[0] == 'G' || head[0] == 'M' || head[0] == 'T') && '0' <= head[1] && head[1] <= '9'
}
