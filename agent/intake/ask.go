package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRunning reports that no agent serves the socket.
var ErrNotRunning = errors.New("the agent is not running: start platen run")

// Ask sends one request over the socket at path, with file beside it if it is not
// nil, and calls each for every reply before the final one. It returns the final
// reply; its error, if any, is also returned as an error.
func Ask(ctx context.Context, path string, req Request, file *os.File, each func(Reply)) (Reply, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unixpacket", path)
	if err != nil {
		return Reply{}, fmt.Errorf("%w (%s)", ErrNotRunning, path)
	}
	c := nc.(*net.UnixConn)
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	b, err := json.Marshal(req)
	if err != nil {
		return Reply{}, fmt.Errorf("writing the request: %w", err)
	}
	var oob []byte
	if file != nil {
		oob = unix.UnixRights(int(file.Fd()))
	}
	if _, _, err := c.WriteMsgUnix(b, oob, nil); err != nil {
		return Reply{}, fmt.Errorf("sending the request: %w", err)
	}
	buf := make([]byte, maxPacket)
	for {
		n, err := c.Read(buf)
		if ctx.Err() != nil {
			return Reply{}, ctx.Err()
		}
		if errors.Is(err, io.EOF) || n == 0 {
			return Reply{}, errors.New("the agent went away before it had answered; a print that has begun goes on by itself")
		}
		if err != nil {
			return Reply{}, fmt.Errorf("reading the answer: %w", err)
		}
		var r Reply
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			return Reply{}, fmt.Errorf("reading the answer: %w", err)
		}
		if r.Final {
			if r.Error != "" {
				return r, errors.New(r.Error)
			}
			return r, nil
		}
		if each != nil {
			each(r)
		}
	}
}
