package gcode

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// model is a small Marlin: a receive buffer that overruns, a command queue of four,
// line numbers, checksums, and replies, as the recordings show them. It executes
// lines without a number unchecked, as Marlin does.
type model struct {
	rx       []byte
	queue    []string // commands; the first is the one at work
	numbers  []int
	last     int
	tx       bytes.Buffer
	executed []string // all but sync lines and M110
	advanced bool     // ADVANCED_OK
	marlin1  bool     // takes a line up to its first checksum, and refuses one with a checksum and no number
	overruns int
	fullest  int // most commands seen in the queue
}

const (
	modelRX    = 128
	modelQueue = 4
)

func (m *model) receive(b []byte) {
	for _, c := range b {
		if len(m.rx) == modelRX {
			m.overruns++
			continue
		}
		m.rx = append(m.rx, c)
	}
}

// read moves lines from the receive buffer to the queue.
func (m *model) read() {
	for len(m.queue) < modelQueue {
		end := bytes.IndexByte(m.rx, '\n')
		if end < 0 {
			return
		}
		line := m.edit(m.rx[:end])
		m.rx = m.rx[end+1:]
		if line = strings.TrimLeft(line, " "); line != "" {
			m.take(line)
		}
		m.fullest = max(m.fullest, len(m.queue))
	}
}

// edit is what the line buffer of Marlin 2 holds at the end of a line: backspaces take
// characters back. Marlin 1 keeps them.
func (m *model) edit(raw []byte) string {
	var line []byte
	for _, c := range raw {
		if c != '\b' || m.marlin1 {
			line = append(line, c)
		} else if len(line) > 0 {
			line = line[:len(line)-1]
		}
	}
	return string(line)
}

func (m *model) take(line string) {
	if i := strings.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	if !strings.HasPrefix(line, "N") {
		if m.marlin1 && strings.Contains(line, "*") {
			fmt.Fprintf(&m.tx, "Error:No Line Number with checksum, Last Line: %d\n", m.last)
			return
		}
		cmd, _, _ := strings.Cut(line, "*")
		m.queue, m.numbers = append(m.queue, cmd), append(m.numbers, -1)
		return
	}
	number, rest := leadingInt(line[1:])
	m110 := strings.Contains(line, "M110")
	if m110 {
		if _, after, ok := strings.Cut(line[5:], "N"); ok {
			number, _ = leadingInt(after)
		}
	}
	if number != m.last+1 && !m110 {
		m.refuse("Line Number is not Last Line Number+1")
		return
	}
	star := strings.LastIndexByte(line, '*')
	if m.marlin1 {
		star = strings.IndexByte(line, '*')
	}
	if star < 0 {
		m.refuse("No Checksum with line number")
		return
	}
	sum := byte(0)
	for i := range star {
		sum ^= line[i]
	}
	if told, _ := leadingInt(line[star+1:]); told != int(sum) {
		m.refuse("checksum mismatch")
		return
	}
	m.last = number
	cmd, _, _ := strings.Cut(strings.TrimSpace(rest), "*")
	m.queue, m.numbers = append(m.queue, cmd), append(m.numbers, number)
}

func leadingInt(s string) (int, string) {
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && s[end] == '-') {
		end++
	}
	v, _ := strconv.Atoi(s[:end])
	return v, s[end:]
}

func (m *model) refuse(why string) {
	m.rx = m.rx[:0]
	fmt.Fprintf(&m.tx, "Error:%s, Last Line: %d\nResend: %d\nok\n", why, m.last, m.last+1)
}

// execute runs the first command of the queue and answers it.
func (m *model) execute() {
	if len(m.queue) == 0 {
		return
	}
	cmd, number := m.queue[0], m.numbers[0]
	m.queue, m.numbers = m.queue[1:], m.numbers[1:]
	switch {
	case strings.HasPrefix(cmd, "M105"):
		m.tx.WriteString("ok T:21.87 /0.00 B:21.87 /0.00 @:0 B@:0\n")
		return
	case strings.HasPrefix(cmd, "M110"):
	case len(cmd) > 0 && strings.IndexByte("GMT", cmd[0]) >= 0:
		m.executed = append(m.executed, cmd)
	default:
		fmt.Fprintf(&m.tx, "echo:Unknown command: \"%s\"\n", cmd)
	}
	if m.advanced && number >= 0 {
		fmt.Fprintf(&m.tx, "ok N%d P15 B%d\n", number, modelQueue-1-len(m.queue))
		return
	}
	m.tx.WriteString("ok\n")
}
