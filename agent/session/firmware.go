package session

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"platen/hal"
)

// firmware is a number for what the controller said that it is, as it said it before any job was
// here: another firmware has another one. 0 if it said nothing.
func firmware(i hal.Info) uint64 {
	if i.Firmware == "" {
		return 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", i.Dialect, i.Firmware, i.Tools))
	return binary.BigEndian.Uint64(sum[:])
}
