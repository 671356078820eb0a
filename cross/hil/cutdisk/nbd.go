package cutdisk

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// What NBD says on the wire (doc/proto.md of the NetworkBlockDevice project).
const (
	nbdMagic   = 0x4e42444d41474943 // "NBDMAGIC"
	nbdOption  = 0x49484156454f5054 // "IHAVEOPT"
	nbdReply   = 0x3e889045565a9    // to an option
	nbdRequest = 0x25609513
	nbdAnswer  = 0x67446698

	flagFixed, flagNoZeroes = 1, 2 // of the handshake
	exportFlags             = 1 | 1<<2 | 1<<3

	optExport, optAbort, optInfo, optGo = 1, 2, 6, 7

	repAck, repInfo  = 1, 3
	repUnsupported   = 1<<31 | 1
	cmdRead          = 0
	cmdWrite         = 1
	cmdDisconnect    = 2
	cmdFlush         = 3
	flagFUA          = 1
	nbdEIO           = 5
	nbdEINVAL        = 22
	maxNBDTransfer   = 32 << 20
	maxNBDOptionData = 4096
)

// Serve lends the disk to one machine after the other, which connect to l, until ctx ends, when it
// closes l and all connections. It returns how a connection failed, if one did not just end.
func (d *Disk) Serve(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	var mu sync.Mutex
	var first error
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			wg.Wait()
			if ctx.Err() == nil {
				return err
			}
			return first
		}
		wg.Go(func() {
			cut := context.AfterFunc(ctx, func() { c.Close() })
			defer cut()
			defer c.Close()
			// A machine that is killed just goes away.
			if err := d.lend(c); err != nil && ctx.Err() == nil && !gone(err) {
				mu.Lock()
				defer mu.Unlock()
				first = errors.Join(first, fmt.Errorf("lending a disk: %w", err))
			}
		})
	}
}

func gone(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op)
}

// lend speaks NBD on one connection.
func (d *Disk) lend(c net.Conn) error {
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	if err := d.handshake(r, w); err != nil {
		return err
	}
	var head struct {
		Magic       uint32
		Flags, Type uint16
		Handle      uint64
		Offset      uint64
		Length      uint32
	}
	for {
		if err := binary.Read(r, binary.BigEndian, &head); err != nil {
			return err
		}
		if head.Magic != nbdRequest || head.Type == cmdDisconnect {
			if head.Type == cmdDisconnect {
				return nil
			}
			return errors.New("a request that is none")
		}
		var data []byte
		if head.Type == cmdWrite || head.Type == cmdRead {
			if head.Length > maxNBDTransfer {
				return errors.New("a transfer that is too large")
			}
			data = make([]byte, head.Length)
		}
		if head.Type == cmdWrite {
			if _, err := io.ReadFull(r, data); err != nil {
				return err
			}
		}
		code := d.do(head.Type, data, head.Offset, head.Flags&flagFUA != 0)
		if err := binary.Write(w, binary.BigEndian, struct {
			Magic, Code uint32
			Handle      uint64
		}{nbdAnswer, code, head.Handle}); err != nil {
			return err
		}
		if head.Type == cmdRead && code == 0 {
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

// do does one request and returns the error code of its answer.
func (d *Disk) do(kind uint16, data []byte, off uint64, fua bool) uint32 {
	if off > uint64(d.size) || uint64(len(data)) > uint64(d.size)-off {
		return nbdEINVAL
	}
	var err error
	switch kind {
	case cmdRead:
		err = d.read(data, int64(off))
	case cmdWrite:
		err = d.write(data, int64(off), fua)
	case cmdFlush:
		d.flush()
	default:
		return nbdEINVAL
	}
	if err != nil {
		return nbdEIO
	}
	return 0
}

// handshake agrees on the disk, under any name.
func (d *Disk) handshake(r *bufio.Reader, w *bufio.Writer) error {
	put := func(vs ...any) (err error) {
		for _, v := range vs {
			if err = binary.Write(w, binary.BigEndian, v); err != nil {
				return err
			}
		}
		return w.Flush()
	}
	if err := put(uint64(nbdMagic), uint64(nbdOption), uint16(flagFixed|flagNoZeroes)); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(r, binary.BigEndian, &flags); err != nil {
		return err
	}
	for {
		var o struct {
			Magic       uint64
			Kind, Bytes uint32
		}
		if err := binary.Read(r, binary.BigEndian, &o); err != nil {
			return err
		}
		if o.Magic != nbdOption || o.Bytes > maxNBDOptionData {
			return errors.New("an option that is none")
		}
		if _, err := r.Discard(int(o.Bytes)); err != nil {
			return err
		}
		var err error
		switch o.Kind {
		case optExport:
			if err = put(uint64(d.size), uint16(exportFlags)); err == nil && flags&flagNoZeroes == 0 {
				err = put([124]byte{})
			}
			return err
		case optGo, optInfo:
			err = put(uint64(nbdReply), o.Kind, uint32(repInfo), uint32(12), uint16(0), uint64(d.size), uint16(exportFlags),
				uint64(nbdReply), o.Kind, uint32(repAck), uint32(0))
			if err == nil && o.Kind == optGo {
				return nil
			}
		case optAbort:
			return io.EOF
		default:
			err = put(uint64(nbdReply), o.Kind, uint32(repUnsupported), uint32(0))
		}
		if err != nil {
			return err
		}
	}
}
