package boot

import (
	"crypto/sha256"
	"os"
)

// bootIDFile is the kernel's name for this start of the board: random(4).
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// bootID names this start of the board. Without the kernel's word for it every start has
// the same name, and a root file system that does not come up ends by its tries.
func bootID() (id [16]byte) {
	text, err := os.ReadFile(bootIDFile)
	if err != nil {
		return [16]byte{1}
	}
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16])
}
