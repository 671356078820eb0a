package catalog

import (
	"crypto/sha256"
	"encoding/binary"
)

// Motion is the motion of the self-test. It is published with the catalogue, and it is the
// program that runs: hal/selftest reads it. [Page] says what its words mean. Pings are sent from one
// place: firmware answers with where the machine stands, in as many digits as that has.
const Motion = `platen self-test 1
rest 8
home
rest 1
accel 1000
to 50 50 20
ping 32
axis x near 10 far 40 sweep 10 90 times 3 homed 3
to 50 50 20
axis y near 10 far 40 sweep 10 90 times 3 homed 3
to 50 50 20
axis z near 2 far 10 sweep 2 12 times 1 homed 3
to 50 50 20
off
`

// MotionDigest is the SHA-256 of [Motion].
func MotionDigest() [32]byte { return sha256.Sum256([]byte(Motion)) }

// MotionNumber is what the item [TestMotion] says of the present motion.
func MotionNumber() int64 {
	d := MotionDigest()
	return int64(binary.BigEndian.Uint32(d[:]))
}
