// Package trace records the conversation between a driver and a controller for bug
// reports, with all design data replaced, and plays such recordings again.
//
// [Record] wraps the port that a driver is given. Whatever passes is written as one
// JSON object a line:
//
//	{"t":2.5005,"d":"tx","s":"N12 G1 X3.2911 E7.016*91\n"}
//
// t is seconds since the recording began, d who said it (tx the host, rx the
// controller, ctl what a test bench did, note anything else) and s what was said, in
// which each character stands for one byte.
//
// # What is replaced
//
// Nothing reaches the writer before it has been replaced: the text of a recording is
// made from scratch and holds only what is known to be machine data. What is not
// recognised is replaced as well. Replaced are all coordinates, extrusions, feeds and
// other numbers of a move, positions in reports, texts (M117, M118, comments), names
// of files, dwells, progress, and the echo of a command in a reply. Kept are the
// letters and codes of commands, line numbers, temperatures and fans, settings of the
// machine, banners, faults, and the lengths of numbers and lines.
//
// A number becomes as many other digits, drawn from a counter: they depend on how
// much was recorded before and on nothing of the number but its length and sign. A line that
// is sent again, and a reply that echoes it, show what the line was replaced by the
// first time. Checksums are worked out anew; one that was wrong stays wrong by the
// same bits.
//
// What a recording still tells is how many lines a print has, how long they are and
// when they were sent. Who must hide even that cannot send a recording.
//
// # Playing
//
// [NewPort] is a port that answers as the recorded controller did; [Drive] says the
// host's side of a recording to a simulated controller.
package trace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// Direction is who said what an [Event] holds.
type Direction uint8

// The directions.
const (
	Note    Direction = iota // about the recording
	Sent                     // tx: by the host
	Heard                    // rx: by the controller
	Control                  // ctl: done by a test bench
)

var directions = [...]string{Note: "note", Sent: "tx", Heard: "rx", Control: "ctl"}

// String is the direction as a recording has it.
func (d Direction) String() string {
	if int(d) < len(directions) {
		return directions[d]
	}
	return "note"
}

// Event is one line of a recording.
type Event struct {
	At   time.Duration // since the recording began
	Dir  Direction
	Text string // bytes as they were on the wire, line end included
}

// ErrFormat reports text that is not a recording.
var ErrFormat = errors.New("not a recording of a conversation")

// Append appends e as one line of a recording.
func Append(dst []byte, e Event) []byte {
	dst = append(dst, `{"t":`...)
	us := e.At.Microseconds()
	dst = strconv.AppendInt(dst, us/1e6, 10)
	if frac := us % 1e6 / 100; frac > 0 {
		digits := strconv.AppendInt(nil, 10_000+frac, 10)
		digits[0] = '.'
		dst = append(dst, digits...)
	}
	dst = append(append(append(dst, `,"d":"`...), e.Dir.String()...), `","s":"`...)
	for i := range len(e.Text) {
		dst = appendJSON(dst, e.Text[i])
	}
	return append(dst, "\"}\n"...)
}

// appendJSON appends the character that stands for the byte c.
func appendJSON(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case c == '\n':
		return append(dst, `\n`...)
	case c == '\r':
		return append(dst, `\r`...)
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c < ' ' || c == 0x7f:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return utf8.AppendRune(dst, rune(c))
}

// maxRecord bounds a line of a recording that is read.
const maxRecord = 1 << 20

// Read reads a recording. It is [ErrFormat] if a line is not one of a recording or
// if there is none.
func Read(r io.Reader) ([]Event, error) {
	var events []Event
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), maxRecord)
	for n := 1; sc.Scan(); n++ {
		e, err := parse(sc.Bytes())
		if err != nil {
			return nil, fmt.Errorf("recording, line %d: %w", n, err)
		}
		events = append(events, e)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("recording is empty: %w", ErrFormat)
	}
	return events, nil
}

func parse(line []byte) (Event, error) {
	var raw struct {
		T json.Number     `json:"t"`
		D string          `json:"d"`
		S json.RawMessage `json:"s"`
	}
	if json.Unmarshal(line, &raw) != nil || raw.S == nil {
		return Event{}, ErrFormat
	}
	t, err := raw.T.Float64()
	if err != nil || !(t >= 0 && t < 1e9) {
		return Event{}, ErrFormat
	}
	e := Event{At: time.Duration(t * float64(time.Second))}
	for d, name := range directions {
		if name == raw.D {
			e.Dir = Direction(d)
		}
	}
	if e.Dir == Note && raw.D != "note" {
		return Event{}, ErrFormat
	}
	var s string
	if json.Unmarshal(raw.S, &s) != nil {
		return e, nil // a note may be an object; it says nothing that is played
	}
	text := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff && e.Dir != Note {
			return Event{}, ErrFormat
		}
		text = append(text, byte(r))
	}
	e.Text = string(text)
	return e, nil
}
