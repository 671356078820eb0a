package serial

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SetDTR raises or lowers the line "data terminal ready", which Open raises. A port
// without it, such as a pty, returns an error.
func (p *Port) SetDTR(high bool) error { return p.setModem("DTR", unix.TIOCM_DTR, high) }

// SetRTS raises or lowers the line "request to send", which Open raises. A port
// without it, such as a pty, returns an error.
func (p *Port) SetRTS(high bool) error { return p.setModem("RTS", unix.TIOCM_RTS, high) }

func (p *Port) setModem(name string, line int, high bool) error {
	req := uint(unix.TIOCMBIC)
	if high {
		req = unix.TIOCMBIS
	}
	err := p.control(func(fd int) error { return unix.IoctlSetPointerInt(fd, req, line) })
	if err != nil {
		return fmt.Errorf("set %s of the serial port: %w", name, err)
	}
	return nil
}
