package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/seam/link"
)

// maxPacket is the size of the largest request or reply on the local socket.
const maxPacket = 64 << 10

// Op is what a local client asks for.
type Op string

// The operations.
const (
	OpStatus Op = "status" // one Reply with Status
	OpPrint  Op = "print"  // the file's descriptor beside it; Replies until the job ends
	OpPause  Op = "pause"  //
	OpResume Op = "resume" //
	OpCancel Op = "cancel" //
	OpSkip   Op = "skip"   // Object is printed no further
	OpHalt   Op = "halt"   // stop at once

	OpSelfTest Op = "selftest" // move as the catalogue says, with Clear if the bed is; Replies until it has ended, with Test

	OpGrant  Op = "grant"  // Envelope is an owner-signed grant
	OpRevoke Op = "revoke" // Recipient gets nothing more
	OpEnrol  Op = "enrol"  // join a fleet of the configuration with Claim
	OpUpdate Op = "update" // check for a release now, in the bundle whose descriptor is beside it, or on USB sticks, if one of them is said
	OpMirror Op = "mirror" // what Recipient was sent goes into the descriptor beside it
	OpAudit  Op = "audit"  // the audit log goes into the descriptor beside it, signed with Nonce

	OpUpdateWaiting Op = "update-waiting" // one Reply whose Text is the newest release, to be approved by the owner
	OpUpdateApprove Op = "update-approve" // Envelope is the owner's word on a release
	OpUpdateForgive Op = "update-forgive" // what failed its trial may be tried again
	OpUpdateRepair  Op = "update-repair"  // damaged marks of updates: one Reply whose Text is to be said, or with it as Envelope, signed if there is an owner

	OpRecredit Op = "recredit" // Envelope is an operator-signed re-credit

	OpQueue      Op = "queue"       // one Reply with Queue
	OpQueueAdd   Op = "queue-add"   // as OpPrint of a sealed file, which then waits in the queue; one Reply whose Text is its id
	OpQueuePrint Op = "queue-print" // Job is printed; Replies until the job ends
	OpQueueDrop  Op = "queue-drop"  // Job leaves the queue
	OpUSB        Op = "usb"         // one Reply with Sticks
	OpBedClear   Op = "bed-clear"   // somebody has looked: the next job may start by itself, if the queue is automatic

	OpState   Op = "state"   // one Reply whose Text is the printer's state, to be approved
	OpApprove Op = "approve" // Envelope is a list of approvals

	OpDiscard Op = "discard" // the bed is clear: a print that a power loss broke is forgotten

	OpLeave Op = "leave" // the printer leaves its owner; one Reply whose Text is the file that the receipt will be in

	OpContentKey Op = "content-key" // one Reply whose Text is the PEM of the key for encrypted 3MF packages
)

// Request is one request. Its fields other than Op count as Op says.
type Request struct {
	Op        Op     `json:"op"`
	Envelope  []byte `json:"envelope,omitempty"`  // ticket or grant; OpPrint without one: the file is in clear
	Recipient string `json:"recipient,omitempty"` // id of a recipient of machine data
	Claim     string `json:"claim,omitempty"`     // code that lets a printer into a fleet
	ACME      string `json:"acme,omitempty"`      // OpEnrol: directory of an ACME server that is to certify the client key
	To        string `json:"to,omitempty"`        // OpEnrol: name of a [[recipient]] of the configuration; "" is [fleet]
	Nonce     string `json:"nonce,omitempty"`     // OpAudit
	Object    uint16 `json:"object,omitempty"`    // OpSkip: from 1
	Detach    bool   `json:"detach,omitempty"`    // OpPrint: do not wait for the end

	Wrapped []Wrapped `json:"wrapped,omitempty"` // OpPrint of a 3MF package with encrypted parts
	Profile []byte    `json:"profile,omitempty"` // OpPrint of a model: settings of the slicer, as TOML
	Plate   uint8     `json:"plate,omitempty"`   // OpPrint of a package with several plates of G-code

	Job    string `json:"job,omitempty"`    // OpQueuePrint, OpQueueDrop: the beginning of a job's id; OpQueuePrint: "next" as well
	Resume bool   `json:"resume,omitempty"` // OpPrint: of the print that a power loss broke
	Digest []byte `json:"digest,omitempty"` // OpPrint of a file in clear: its SHA-256, so that it can go on after a power loss

	Release uint64 `json:"release,omitempty"` // OpUpdateRepair: the highest that is known to have run

	Clear bool `json:"clear,omitempty"` // OpSelfTest: somebody has looked, and the bed is clear

	Keep bool `json:"keep,omitempty"` // OpLeave: identity and keys stay

	USB bool `json:"usb,omitempty"` // OpPrint, OpQueueAdd: Job of a USB stick, in place of a file and its ticket; OpUpdate: of USB sticks
}

// Wrapped is the content key of one group of a 3MF package, encrypted to the printer's
// content key by RSAES-OAEP (3MF Secure Content 1.0.3).
type Wrapped struct {
	Group  int    `json:"group"`  // its place in the keystore, from 0
	Digest string `json:"digest"` // "sha1" or "sha256"
	Mask   string `json:"mask"`   // the same
	Key    []byte `json:"key"`
}

// Reply is one answer. The last one of a request has Final set.
type Reply struct {
	Final  bool    `json:"final"`
	Error  string  `json:"error,omitempty"`
	Code   string  `json:"code,omitempty"` // of the error, for programs
	Event  string  `json:"event,omitempty"`
	Text   string  `json:"text,omitempty"`
	Status *Status `json:"status,omitempty"`

	Queue *QueueView `json:"queue,omitempty"`

	Sticks []StickView `json:"sticks,omitempty"`

	Test *TestView `json:"test,omitempty"`
}

// MostStickJobs is how many jobs of all sticks are listed: what fits into a reply.
const MostStickJobs = 96

// StickView is a USB stick that is plugged in.
type StickView struct {
	Name string     `json:"name"`           // as the kernel calls it: "sda"
	Jobs []StickJob `json:"jobs"`           //
	More bool       `json:"more,omitempty"` // there is more on it than was looked at
	Code string     `json:"code,omitempty"` // of why it is not read
	Why  string     `json:"why,omitempty"`
}

// StickJob is a ticket on a stick. Without a Code it can be printed, as far as can be said
// before its sealed file is read.
type StickJob struct {
	ID       string    `json:"id"`              // of the job; empty if no operator that is trusted has signed the ticket
	Size     int64     `json:"size"`            // of the sealed file, in bytes
	Copies   int       `json:"copies,omitzero"` // of the ticket
	NotAfter time.Time `json:"not_after,omitzero"`
	Code     string    `json:"code,omitempty"`
	Why      string    `json:"why,omitempty"`
}

// Status is the printer on one screen: machine data only.
type Status struct {
	Printer    string       `json:"printer"`
	Board      string       `json:"board"`
	Release    uint64       `json:"release"`
	Version    string       `json:"version"`
	Recipient  string       `json:"recipient"`        // age1tag…: seal models to this
	Hybrid     string       `json:"hybrid_recipient"` // age1tagpq…: the same key, and ML-KEM-768
	Enrolled   bool         `json:"enrolled"`
	TPM        string       `json:"tpm,omitempty"` // what ails it
	TPMRemedy  string       `json:"tpm_remedy,omitempty"`
	Phase      string       `json:"phase"`
	Fault      string       `json:"fault"`
	Progress   int          `json:"progress_percent"` // in steps of 25
	Trip       string       `json:"trip,omitempty"`   // why the supervision stopped the machine or paused the print, until the next job
	Heaters    []HeaterView `json:"heaters"`
	Sensors    int          `json:"sensors"`              // of the box, by its board file
	Missing    []string     `json:"missing,omitempty"`    // those of them that cannot be read
	Sticks     []string     `json:"usb_sticks,omitempty"` // that are there, as the kernel calls them
	Watchdog   string       `json:"watchdog"`
	Confined   string       `json:"confined"`
	VaultBytes uint64       `json:"vault_bytes"`
	Boot       uint64       `json:"boot"`
	Uptime     string       `json:"uptime"`
	Recipients []GrantView  `json:"recipients"`
	Broken     *BrokenView  `json:"broken_print,omitempty"`
	Tickets    string       `json:"tickets,omitempty"`  // why no ticket is taken
	Keys       string       `json:"keys"`               // in which state of the system they open jobs: "any", "approved" or "sealed"
	Approved   uint64       `json:"approved,omitempty"` // the release that the present state was approved for; 0: approved at the printer
	Sealed     string       `json:"sealed,omitempty"`   // why the keys open nothing
	Queue      string       `json:"queue"`              // of sealed jobs, in short
	Count      uint64       `json:"ticket_count"`       // what a re-credit has to name
	Slot       string       `json:"slot,omitempty"`
	Update     string       `json:"update,omitempty"`
}

// Handler answers a request. It may reply several times; Serve adds Final. file is
// nil unless the client passed a descriptor; it is closed when Handler returns.
type Handler func(ctx context.Context, req Request, file *os.File, reply func(Reply) error) error

// Coded is an error with a code for programs.
type Coded interface{ ErrorCode() string }

// ErrorCode is the ticket's code behind "ticket-".
func (e *TicketError) ErrorCode() string { return "ticket-" + e.Code }

// Server is the local socket of an agent.
type Server struct {
	l     *net.UnixListener
	log   *slog.Logger
	allow func(uid uint32) bool
}

// Listen makes the socket at path, mode 0660. A socket that nobody serves any more
// is replaced; one that is served, be it too busy to answer, is an error.
func Listen(path string, log *slog.Logger) (*Server, error) {
	c, err := net.Dial("unixpacket", path)
	if err == nil {
		c.Close()
	}
	if err == nil || errors.Is(err, unix.EAGAIN) { // EAGAIN: its queue is full (unix(7))
		return nil, fmt.Errorf("%s is served already: is another agent running?", path)
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
		os.Remove(path)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	self := uint32(os.Getuid())
	return &Server{l: l, log: log, allow: func(uid uint32) bool { return uid == 0 || uid == self }}, nil
}

// maxClients bounds how many local clients are served at once; more are refused.
const maxClients = 16

// Serve answers clients until ctx ends; it waits for the answers under way.
// Clients must run as root or as the agent's own user (SO_PEERCRED).
func (s *Server) Serve(ctx context.Context, h Handler) error {
	stop := context.AfterFunc(ctx, func() { s.l.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxClients)
	for {
		c, err := s.l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if scarce(err) {
			s.log.Warn("local client kept waiting", "error", err.Error())
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("serving the local socket: %w", err)
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		wg.Go(func() {
			defer func() { c.Close(); <-slots }()
			s.one(ctx, c, h)
		})
	}
}

// scarce reports whether err says that something has run out which comes back.
func scarce(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) one(ctx context.Context, c *net.UnixConn, h Handler) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reply := func(r Reply) error {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, err = c.Write(b)
		return err
	}
	if uid, err := peer(c); err != nil || !s.allow(uid) {
		s.log.Warn("local client refused")
		reply(Reply{Final: true, Error: "not allowed: run as the agent's user or as root", Code: "denied"})
		return
	}
	req, file, err := readRequest(c)
	if file != nil {
		defer file.Close()
	}
	if err != nil {
		reply(Reply{Final: true, Error: err.Error(), Code: "request"})
		return
	}
	gone := make(chan struct{})
	go func() { // the client says nothing more; when it goes, its request ends
		defer close(gone)
		c.SetReadDeadline(time.Time{})
		c.Read(make([]byte, 1))
		cancel()
	}()
	err = h(ctx, req, file, reply)
	last := Reply{Final: true}
	if err != nil {
		last.Error, last.Code = err.Error(), "failed"
		if coded, ok := errors.AsType[interface {
			error
			Coded
		}](err); ok {
			last.Code = coded.ErrorCode()
		}
	}
	reply(last)
	c.CloseRead()
	<-gone
}

func readRequest(c *net.UnixConn) (Request, *os.File, error) {
	var req Request
	buf, oob := make([]byte, maxPacket+1), make([]byte, unix.CmsgSpace(4))
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return req, nil, fmt.Errorf("reading the request: %w", err)
	}
	file := link.Descriptor(oob[:oobn]) // close-on-exec, which package net asks for
	if n > maxPacket || strictJSON(buf[:n], &req) != nil {
		return req, file, errors.New("not a request of this version: agent and command are of different releases")
	}
	return req, file, nil
}

func peer(c *net.UnixConn) (uint32, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := rc.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if cerr != nil {
		return 0, cerr
	}
	return cred.Uid, nil
}
