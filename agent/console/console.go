// Package console is how a printer that has neither shell nor login is asked something at its
// serial console: a line is a command of platen and nothing else, and its output comes back
// between whatever the kernel writes there. Who stands at the console stands at the printer, and
// can do what the local socket lets do, by a list of commands and flags; no file is named but the
// request's own standard input, [Stdin], and anything else is refused.
//
// The printer's end is [Serve], the other one [Client]. A request is a line
//
//	#ID SUM ARGUMENTS
//	#ID SUM ARGUMENTS < BASE64
//
// with a number that its sender chose, the CRC-32 of what follows the sum as eight hexadecimal
// digits, the arguments of platen separated by blanks, and what is to be its standard input. The
// reply is lines of the same number: "#ID o TEXT" of standard output, "#ID e TEXT" of standard
// error, a capital letter if no end of line follows, and at last "#ID x CODE SUM", the exit code and
// the CRC-32 of all these lines. So a reply into which the kernel wrote is known to be damaged. A
// person leaves number and sum out, and gets "-" for the number.
package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os/exec"
	"strings"
	"time"
)

// MaxLine is the longest request in bytes.
const MaxLine = 256 << 10

// MaxTime is how long a command may take. A print goes on without the one that follows it.
const MaxTime = 10 * time.Minute

// pipesTime is how long the outputs of a command that was ended are waited for.
const pipesTime = 5 * time.Second

// chunk is the most of an output that goes into one line of a reply.
const chunk = 900

// Exit codes of requests that started nothing.
const (
	// CodeGarbled is of a request that does not fit its sum.
	CodeGarbled = 120
	// CodeRefused is of a command that is not for a console.
	CodeRefused = 121
)

// Runner runs platen with args and returns its exit code. It takes standard input from in.
type Runner func(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int

// Exec is a Runner that executes the program at path in the folder dir.
func Exec(path, dir string) Runner {
	return func(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, in, out, errs
		cmd.WaitDelay = pipesTime
		err := cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		if err != nil {
			fmt.Fprintln(errs, err)
			return 1
		}
		return 0
	}
}

// Serve runs the commands that come as lines from rw, one after the other, until there are no
// more: it returns nil at the end of rw, or the error of reading or writing it. A line that is
// too long is answered as a damaged one; a command is ended after [MaxTime]. ctx ends the command
// that runs; to end Serve as well, close rw.
func Serve(ctx context.Context, rw io.ReadWriter, run Runner) error {
	r := bufio.NewReader(rw)
	for {
		line, whole, err := readLine(r)
		if line = strings.TrimSpace(line); line != "" && (err == nil || errors.Is(err, io.EOF)) {
			if err := answer(ctx, rw, line, whole, run); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine reads a line to its end and returns what of it is no longer than MaxLine; whole is
// whether that is all.
func readLine(r *bufio.Reader) (line string, whole bool, err error) {
	var b []byte
	whole = true
	for {
		part, err := r.ReadSlice('\n')
		n := min(len(part), MaxLine-len(b))
		b, whole = append(b, part[:n]...), whole && n == len(part)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return string(b), whole, err
		}
	}
}

// answer runs one request and writes its reply. What is not whole is damaged.
func answer(ctx context.Context, w io.Writer, line string, whole bool, run Runner) error {
	id, text, ok := split(line)
	r := &reply{w: w, id: id}
	out, errs := &half{r: r, kind: 'o'}, &half{r: r, kind: 'e'}
	code := CodeGarbled
	switch args, in, err := parse(text); {
	case !ok || !whole || err != nil:
		fmt.Fprintln(errs, "the line is damaged: ask again")
	case !allows(args):
		code = CodeRefused
		fmt.Fprintln(errs, "this command is not for a console")
	default:
		ctx, cancel := context.WithTimeout(ctx, MaxTime)
		defer cancel()
		code = run(ctx, args, bytes.NewReader(in), out, errs)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			fmt.Fprintf(errs, "ended after %v\n", MaxTime)
		}
	}
	return errors.Join(out.flush(), errs.flush(), r.end(code))
}

// split takes number and sum off a request; ok is whether the sum fits.
func split(line string) (id, text string, ok bool) {
	if line[0] != '#' {
		return "-", line, true
	}
	id, rest, _ := strings.Cut(line[1:], " ")
	sum, text, _ := strings.Cut(rest, " ")
	return id, text, sum == sumOf([]byte(text))
}

// parse is arguments and standard input of a request.
func parse(text string) (args []string, in []byte, err error) {
	line, input, has := strings.Cut(text, " < ")
	if has {
		if in, err = base64.StdEncoding.DecodeString(input); err != nil {
			return nil, nil, err
		}
	}
	if args = strings.Fields(line); len(args) > 0 && args[0] == "platen" {
		args = args[1:]
	}
	if len(args) == 0 {
		return nil, nil, errors.New("no command")
	}
	return args, in, nil
}

// sumOf is a CRC-32 as it stands in requests and replies.
func sumOf(p []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(p)) }

// reply writes the lines of one reply, and sums them up.
type reply struct {
	w   io.Writer
	id  string
	sum uint32
	err error
}

// line writes one line; the first error stays.
func (r *reply) line(kind byte, text []byte) {
	l := append([]byte{kind, ' '}, text...)
	r.sum = crc32.Update(r.sum, crc32.IEEETable, append(l, '\n'))
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, "#%s %s\n", r.id, l)
	}
}

func (r *reply) end(code int) error {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, "#%s x %d %08x\n", r.id, code, r.sum)
	}
	return r.err
}

// half is one of the outputs of a command.
type half struct {
	r    *reply
	kind byte
	buf  []byte
}

// Write takes some of the output and sends what is whole.
func (h *half) Write(p []byte) (int, error) {
	h.buf = append(h.buf, p...)
	for {
		i := bytes.IndexByte(h.buf, '\n')
		switch {
		case i >= 0 && i <= chunk:
			h.r.line(h.kind, clean(h.buf[:i]))
			h.buf = h.buf[i+1:]
		case len(h.buf) > chunk:
			h.r.line(h.kind-'a'+'A', clean(h.buf[:chunk]))
			h.buf = h.buf[chunk:]
		default:
			return len(p), h.r.err
		}
	}
}

// flush sends what has no end of line.
func (h *half) flush() error {
	if len(h.buf) > 0 {
		h.r.line(h.kind-'a'+'A', clean(h.buf))
		h.buf = nil
	}
	return h.r.err
}

// clean replaces what a terminal would act on.
func clean(p []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, p)
}
