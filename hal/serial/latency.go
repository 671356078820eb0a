package serial

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// serialStruct is struct serial_struct of Linux (include/uapi/linux/serial.h).
type serialStruct struct {
	kind, line    int32
	port          uint32
	irq, flags    int32
	xmitFIFO      int32
	customDivisor int32
	baudBase      int32
	closeDelay    uint16
	ioType        uint8
	_             uint8
	hub6          int32
	closingWait   uint16
	closingWait2  uint16
	iomemBase     uintptr
	iomemRegShift uint16
	portHigh      uint32
	iomapBase     uintptr
}

// asyncLowLatency is ASYNC_LOW_LATENCY of include/uapi/linux/tty_flags.h, one of the
// flags that a user may change.
const asyncLowLatency = 1 << 13

// lowLatency asks the driver to pass bytes on at once. FTDI bridges else hold short
// replies back for 16 ms, and a host that waits for an ok would send 60 lines a
// second. Drivers that do not know the call, ptys and USB modems among them, have no
// such delay, so that an error means nothing.
func lowLatency(fd int) {
	var s serialStruct
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGSERIAL, uintptr(unsafe.Pointer(&s))); errno != 0 {
		return
	}
	s.flags |= asyncLowLatency
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSSERIAL, uintptr(unsafe.Pointer(&s)))
}
