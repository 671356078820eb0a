package scenario

import (
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/cross/rig"
)

// board is what is around a launcher: a watchdog that can reset the board, and the web server
// that releases come from.
type board struct {
	fifo *os.File
	read sync.WaitGroup
	pets atomic.Int64 // bytes that came; fifo is read by one goroutine

	srv  *http.Server
	hold atomic.Int64 // a response stops after so many bytes, if not 0, until who asked is gone
}

// silence is how long this watchdog waits: longer than agents are silent that are told of the
// shortest there is, which is 15 s.
const silence = 3 * time.Second

// cmdBoard is a board that runs a launcher:
//
//	board on         starts the launcher
//	board dog        makes the watchdog "dog"; it bites only when it is told to
//	board petted N   waits until it was petted N times more
//	board bites      waits until it has not been petted for long enough, and resets the board
//	board resets     resets the board: nothing of what ran is left, and the TPM starts anew
//	board web        serves the folder repo at $REPO
//	board holds N    has each answer stop after N bytes; 0: no more
//	board hangs      stops the agent where it is
//	board kills      kills the agent
func cmdBoard(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("board on|dog|petted N|bites|resets|web|holds N|hangs|kills")
	}
	w := worldOf(ts)
	if w.board == nil {
		w.board = &board{}
	}
	b, n := w.board, int64(0)
	if len(args) > 1 {
		var err error
		n, err = strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
	}
	switch args[0] {
	case "on":
		var err error
		w.agent, err = w.start(true, "platen", "boot", "--config", "platen.toml")
		ts.Check(err)
	case "dog":
		ts.Check(b.watch(ts.MkAbs("dog")))
	case "petted":
		from := b.pets.Load()
		b.wait(ts, func() bool { return b.pets.Load() >= from+n })
	case "bites":
		last, since := b.pets.Load(), time.Now()
		b.wait(ts, func() bool {
			if now := b.pets.Load(); now != last {
				last, since = now, time.Now()
			}
			return time.Since(since) >= silence
		})
		b.reset(ts)
	case "resets":
		b.reset(ts)
	case "web":
		ts.Check(b.serve(ts.MkAbs("repo")))
		ts.Setenv("REPO", "http://"+b.srv.Addr)
	case "holds":
		b.hold.Store(n)
	case "hangs":
		agent, err := child(w.agent.cmd.Process.Pid)
		ts.Check(err)
		ts.Check(rig.Freeze(agent))
	case "kills":
		agent, err := child(w.agent.cmd.Process.Pid)
		ts.Check(err)
		ts.Check(rig.Kill(agent, syscall.SIGKILL))
	default:
		ts.Fatalf("board: unknown command %s", args[0])
	}
}

// wait waits for what has to come.
func (b *board) wait(ts *testscript.TestScript, come func() bool) {
	for end := time.Now().Add(patience); !come(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			worldOf(ts).dump(ts)
			ts.Fatalf("it did not come: petted %d times", b.pets.Load())
		}
	}
}

// watch makes the watchdog and counts what it is given.
func (b *board) watch(path string) (err error) {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return err
	}
	if b.fifo, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return err
	}
	b.read.Go(func() { io.Copy(counting{&b.pets}, b.fifo) })
	return nil
}

type counting struct{ n *atomic.Int64 }

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// reset ends launcher, agent and session at once: each is stopped before those it has started
// are looked for.
func (b *board) reset(ts *testscript.TestScript) {
	w := worldOf(ts)
	var all []int
	for pid, err := w.agent.cmd.Process.Pid, error(nil); err == nil; pid, err = child(pid) {
		ts.Check(rig.Freeze(pid))
		all = append(all, pid)
	}
	for _, pid := range all {
		ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	}
	<-w.agent.done
	w.agent.pipe.Close()
	w.agent = nil
	ts.Check(os.RemoveAll(ts.MkAbs("run")))
	ts.Check(w.swtpm.Reset(w.ctx()))
}

// serve starts the web server.
func (b *board) serve(dir string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	files := http.FileServer(http.Dir(dir))
	b.srv = &http.Server{Addr: l.Addr().String(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		files.ServeHTTP(&holding{w, b, r.Context().Done(), 0}, r)
	})}
	b.read.Go(func() { b.srv.Serve(l) })
	return nil
}

// holding is an answer that may stop.
type holding struct {
	http.ResponseWriter
	b    *board
	gone <-chan struct{}
	sent int64
}

// Write passes on what the board lets through.
func (h *holding) Write(p []byte) (int, error) {
	if at := h.b.hold.Load(); at > 0 && h.sent >= at {
		<-h.gone
	}
	n, err := h.ResponseWriter.Write(p)
	h.sent += int64(n)
	return n, err
}

// close ends the watchdog and the web server.
func (b *board) close() {
	if b == nil {
		return
	}
	if b.fifo != nil {
		b.fifo.Close()
	}
	if b.srv != nil {
		b.srv.Close()
	}
	b.read.Wait()
}
