package virtual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// monitor is QEMU's own line, on which it takes commands as JSON (docs/interop/qmp-spec).
type monitor struct {
	conn net.Conn
	in   *json.Decoder
}

// openMonitor connects to a machine's line as soon as it is there.
func openMonitor(ctx context.Context, path string, done <-chan struct{}) (*monitor, error) {
	conn, err := dial(ctx, path, done)
	if err != nil {
		return nil, err
	}
	m := &monitor{conn, json.NewDecoder(conn)}
	if err := m.do(ctx, "qmp_capabilities", nil, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return m, nil
}

// do has QEMU run a command, and reads what it returns into reply unless that is nil.
func (m *monitor) do(ctx context.Context, command string, arguments map[string]string, reply any) error {
	err := m.ask(ctx, command, arguments, reply)
	if err != nil {
		return fmt.Errorf("the virtual machine's monitor: %s: %w", command, err)
	}
	return nil
}

func (m *monitor) ask(ctx context.Context, command string, arguments map[string]string, reply any) error {
	stop := context.AfterFunc(ctx, func() { m.conn.SetDeadline(time.Now()) })
	defer stop()
	err := json.NewEncoder(m.conn).Encode(struct {
		Execute   string            `json:"execute"`
		Arguments map[string]string `json:"arguments,omitempty"`
	}{command, arguments})
	for err == nil {
		var said struct { // a greeting, an event, or the answer
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err = m.in.Decode(&said); err != nil {
			break
		}
		switch {
		case said.Error != nil:
			return errors.New(said.Error.Desc)
		case said.Return != nil && reply == nil:
			return nil
		case said.Return != nil:
			return json.Unmarshal(said.Return, reply)
		}
	}
	return err
}
