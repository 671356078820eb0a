package console

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// line is a serial line with a printer at one end whose kernel writes noise between any two
// bytes that mess chooses.
type line struct {
	io.Reader
	mu   sync.Mutex
	w    io.Writer
	mess func(p []byte) []byte
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := p
	if l.mess != nil {
		q = l.mess(bytes.Clone(p))
	}
	if _, err := l.w.Write(q); err != nil {
		return 0, err
	}
	return len(p), nil
}

// console serves run and returns a client of it.
func console(t *testing.T, run Runner, mess func([]byte) []byte) *Client {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan error, 2)
	go func() { done <- Serve(t.Context(), &line{Reader: there, w: there, mess: mess}, run) }()
	c := NewClient(here)
	go func() {
		r := bufio.NewReader(here)
		for {
			l, err := r.ReadString('\n')
			if err != nil {
				done <- nil
				return
			}
			c.Line(l)
		}
	}()
	t.Cleanup(func() {
		here.Close()
		there.Close()
		<-done
		<-done
	})
	return c
}

// echo says its arguments and standard input.
func echo(_ context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	b, _ := io.ReadAll(in)
	fmt.Fprintf(out, "args %q\n%s", args, b)
	fmt.Fprintf(errs, "%d bytes\n", len(b))
	return len(args)
}

func TestAsk(t *testing.T) {
	c := console(t, echo, nil)
	for name, in := range map[string][]byte{
		"nothing": nil, "a line": []byte("text\n"), "no end of line": []byte("x"), "binary": []byte("\x00\x1b[2J\xff"),
		"long lines": bytes.Repeat([]byte("0123456789"), 1000), "a line of a chunk": append(bytes.Repeat([]byte("y"), chunk), '\n'),
	} {
		t.Run(name, func(t *testing.T) {
			a, err := c.Ask(t.Context(), in, "status", "-o", "json")
			if err != nil {
				t.Fatal(err)
			}
			want := "args [\"status\" \"-o\" \"json\"]\n" + string(clean2(in))
			if a.Out != want || a.Err != fmt.Sprintf("%d bytes\n", len(in)) || a.Code != 3 {
				t.Errorf("said %q and %q, code %d; want %q", a.Out, a.Err, a.Code, want)
			}
		})
	}
}

// clean2 is clean, but for ends of lines.
func clean2(p []byte) []byte {
	lines := bytes.Split(p, []byte("\n"))
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return bytes.Join(lines, []byte("\n"))
}

// TestForbidden: what starts something of its own, names a file or goes round the agent is not
// for a console.
func TestForbidden(t *testing.T) {
	ran := 0
	c := console(t, func(context.Context, []string, io.Reader, io.Writer, io.Writer) int { ran++; return 0 }, nil)
	for _, args := range []string{
		"run", "boot", "session --x", "install /bin/sh", "platen run", "--config /x status", "completion bash", "help", "man",
		"status --config /proc/self/fd/0", "status --config=/proc/self/fd/0", "status --socket /x", "status -- x", "status x", "status -ojson", "status -o",
		"decommission --yes --receipt /slots/slots", "controller flash /x --state /x", "controller status", "controller resume --device /x",
		"consent grant --signed /state/x", "consent grant --signed=/x", "consent grant --signed", "consent grant --key /x", "consent keygen /slots/a/platen",
		"consent sign /proc/self/fd/0 --key /x", "consent", "audit export /x", "mirror export r /x", "mirror show /x", "approve put /etc/shadow", "approve keygen /x",
		"update --bundle /x", "update sign /x", "update -o json sign x", "update --usb sign x", "update approve /x", "update repair /x", "print /dev/mem", "print /proc/self/fd/0",
		"print --usb 7 --receipt /x", "print --usb 7 --profile /x", "queue print 7 --profile /x", "queue print 7 8", "queue -o json drop 7", "check /x", "boards check /x",
		"catalogue --sign /x", "discard --yes=false", "recipient -s=x", "recredit /x", "enrol a b",
	} {
		a, err := c.Ask(t.Context(), nil, strings.Fields(args)...)
		if err != nil || a.Code != CodeRefused || ran != 0 {
			t.Errorf("%s: code %d, %v, ran %d", args, a.Code, err, ran)
			ran = 0
		}
	}
	for i, args := range []string{
		"doctor", "platen doctor", "doctor -o json", "status --output=json", "queue", "queue print 7 --detach", "queue print next -s layer=0.2 --plate 2", "discard --yes",
		"enrol CLAIM -o json", "consent request --recipient r --name rig --profile owner --period 2s", "consent grant --signed " + Stdin, "consent grant --signed=" + Stdin,
		"consent revoke r", "update", "update --usb", "update approve " + Stdin, "update repair", "update repair --release 3", "approve put " + Stdin, "approve state", "print --usb 7 --detach",
		"decommission --yes --keep-identity", "skip 2", "queue --help", "version", "halt",
	} {
		if a, err := c.Ask(t.Context(), nil, strings.Fields(args)...); err != nil || a.Code != 0 || ran != i+1 {
			t.Errorf("control: %s did not run: code %d, %v", args, a.Code, err)
			ran = i + 1
		}
	}
}

// TestGarbled: a byte that changes on either way is noticed, and what the kernel writes between
// lines does no harm.
func TestGarbled(t *testing.T) {
	flip := false
	c := console(t, echo, func(p []byte) []byte {
		if flip && bytes.Contains(p, []byte(" o ")) {
			p[bytes.IndexByte(p, '"')] ^= 1
		}
		return append([]byte("[ 1.5] usb 1-1: reset\n"), p...)
	})
	if a, err := c.Ask(t.Context(), nil, "status"); err != nil || a.Out != "args [\"status\"]\n" {
		t.Errorf("between lines: %q, %v", a.Out, err)
	}
	flip = true
	if _, err := c.Ask(t.Context(), nil, "status"); !errors.Is(err, ErrGarbled) {
		t.Errorf("a changed byte of the reply: %v", err)
	}
	for _, text := range []string{"#7 00000000 status", "#7", "#7 x", "status < !", "#8 11111111 status < AAAA"} {
		var out bytes.Buffer
		if err := answer(t.Context(), &out, text, true, echo); err != nil || !strings.Contains(out.String(), " x 120 ") {
			t.Errorf("%q: %q, %v", text, out.String(), err)
		}
	}
}

// TestPerson: who types a command gets an answer that can be read.
func TestPerson(t *testing.T) {
	var out bytes.Buffer
	in := strings.NewReader("\r\n\nplaten status\r\n")
	if err := Serve(t.Context(), struct {
		io.Reader
		io.Writer
	}{in, &out}, echo); err != nil {
		t.Fatal(err)
	}
	if want := "#- o args [\"status\"]\n#- e 0 bytes\n#- x 1 "; !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestLongLine: a line that is too long is refused to its end, and the next one answered.
func TestLongLine(t *testing.T) {
	for _, n := range []int{MaxLine, MaxLine + 1, 3 * MaxLine} {
		var out bytes.Buffer
		long := "#7 00000000 status" + strings.Repeat(" ", n) + "x\nstatus" + strings.Repeat(" ", n) + "halt\nstatus -o json\n"
		if err := Serve(t.Context(), struct {
			io.Reader
			io.Writer
		}{strings.NewReader(long), &out}, echo); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); strings.Count(got, " x 120 ") != 2 || !strings.HasPrefix(got, "#7 ") || !strings.Contains(got, "#- o args [\"status\" \"-o\" \"json\"]\n") {
			t.Errorf("%d bytes: %q", n, got)
		}
	}
}

// TestBounded: no command holds the console for ever.
func TestBounded(t *testing.T) {
	c := console(t, func(ctx context.Context, _ []string, _ io.Reader, _, _ io.Writer) int {
		if _, ok := ctx.Deadline(); ok {
			return 0
		}
		return 1
	}, nil)
	if a, err := c.Ask(t.Context(), nil, "update"); err != nil || a.Code != 0 {
		t.Errorf("without a bound: %d, %v", a.Code, err)
	}
}

// TestLate: the answer to a request that was given up is not taken for the next one's.
func TestLate(t *testing.T) {
	release := make(chan struct{})
	c := console(t, func(_ context.Context, args []string, _ io.Reader, out, _ io.Writer) int {
		if args[0] == "halt" {
			<-release
		}
		fmt.Fprintln(out, args[0])
		return 0
	}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Ask(ctx, nil, "halt"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("gave up with %v", err)
	}
	close(release)
	if a, err := c.Ask(t.Context(), nil, "status"); err != nil || a.Out != "status\n" {
		t.Errorf("got %q, %v", a.Out, err)
	}
}

// TestLines: lines that are of no reply are left alone.
func TestLines(t *testing.T) {
	c := NewClient(io.Discard)
	for _, l := range []string{"", "\n", "#", "# ", "#1 o text", "[ 0.0] Booting", "#\xff x"} {
		if c.Line(l) {
			t.Errorf("%q was taken", l)
		}
	}
}

func TestExec(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("cat"); err != nil {
		t.Skip("needs cat")
	}
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if code := Exec("/bin/cat", dir)(t.Context(), []string{"-"}, strings.NewReader("hello"), &out, &errs); code != 0 || out.String() != "hello" {
		t.Errorf("cat: %d, %q", code, out.String())
	}
	if code := Exec("/bin/cat", dir)(t.Context(), []string{"/no/such/file"}, nil, &out, &errs); code != 1 || errs.Len() == 0 {
		t.Errorf("a failing cat: %d, %q", code, errs.String())
	}
	errs.Reset()
	if code := Exec(self+"-missing", dir)(t.Context(), nil, nil, &out, &errs); code != 1 || errs.Len() == 0 {
		t.Errorf("no program: %d, %q", code, errs.String())
	}
}

func FuzzServe(f *testing.F) {
	f.Add("#1 6f7b9a2c status < AA==\n")
	f.Add("platen\n#\n# \n -\n")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		_ = Serve(t.Context(), struct {
			io.Reader
			io.Writer
		}{strings.NewReader(text), &out}, echo)
		for l := range strings.Lines(out.String()) {
			if l[0] != '#' || !strings.HasSuffix(l, "\n") {
				t.Fatalf("wrote %q", l)
			}
		}
	})
}
