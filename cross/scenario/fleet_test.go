package scenario

import (
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/agent/attest"
)

// fleet is the operator's side of a script, and the network between printers and it.
type fleet struct {
	up     *process
	listen net.Listener
	to     string // address of its HTTPS

	mu    sync.Mutex
	left  int // bytes from it until a connection is cut; below 0: none is any more
	conns sync.WaitGroup
}

// cmdFleet starts the operator's side in the folder fleet: fleet [CUT]. It knows the agent of the
// scripts, which it measures into the TPM, as a launcher does. $FLEET is the URL of its
// enrolment. Sealed files are fetched through a network that breaks the connection after CUT bytes, once.
func cmdFleet(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	ts.Check(w.factory.tpm(w))
	agent := filepath.Join(w.bins, "platen")
	ts.Check(w.measure(agent))
	f := &fleet{left: -1}
	if len(args) > 0 {
		var err error
		f.left, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	var err error
	f.listen, err = net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	w.fleet = f
	f.up, err = w.start(false, "platen-fleet", "up", "-o", "jsonl", "--dir", "fleet", "--name", "Shop", "--listen-mqtt", "127.0.0.1:0", "--listen-https", "127.0.0.1:0",
		"--public-https", "https://"+f.listen.Addr().String(), "--ek-ca", strings.Join(w.swtpm.CAs, ","), "--agent", "41="+agent)
	ts.Check(err)
	ts.Check(f.up.await(`"event":"ready"`, patience))
	lines, _ := f.up.said(0)
	f.to = strings.TrimPrefix(field(strings.ReplaceAll(strings.Join(lines, "\n"), `":"`, `": "`), "https"), "https://")
	ts.Setenv("FLEET", "https://"+f.to)
	f.conns.Go(f.relay)
}

// measure extends PCR 14 with an agent.
func (w *world) measure(agent string) error {
	f, err := os.Open(agent)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	run := filepath.Join(w.dir, "run")
	if err := os.MkdirAll(run, 0o700); err != nil {
		return err
	}
	t, err := attest.New(w.ctx(), attest.Config{Path: w.swtpm.Path(), StateDir: run})
	if err != nil {
		return err
	}
	return errors.Join(t.ExtendAgent(w.ctx(), [32]byte(sum.Sum(nil))), t.Close())
}

// relay passes connections on until its listener is closed.
func (f *fleet) relay() {
	for {
		near, err := f.listen.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", f.to)
		if err != nil {
			near.Close()
			continue
		}
		f.conns.Go(func() { io.Copy(far, near); far.Close() })
		f.conns.Go(func() {
			io.Copy(&breaking{f, near}, far)
			near.Close()
			far.Close()
		})
	}
}

// breaking is a connection that is cut when so many bytes have gone through.
type breaking struct {
	f    *fleet
	near net.Conn
}

// Write passes on what the network lets through.
func (b *breaking) Write(p []byte) (int, error) {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	if b.f.left < 0 {
		return b.near.Write(p)
	}
	if b.f.left -= len(p); b.f.left >= 0 {
		return b.near.Write(p)
	}
	return 0, io.ErrClosedPipe // and never again
}

// stop ends the operator's side.
func (f *fleet) stop(w *world) {
	if f == nil {
		return
	}
	w.stop(f.up)
	f.listen.Close()
	f.conns.Wait()
}

// cmdTold waits until the operator's side says something.
func cmdTold(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	if neg || len(args) != 1 || w.fleet == nil {
		ts.Fatalf("told REGEXP, after fleet")
	}
	if err := w.fleet.up.await(args[0], patience); err != nil {
		w.dump(ts)
		ts.Fatalf("the fleet: %v", err)
	}
	w.fleet.up.from = w.fleet.up.count()
}
