package evidence

import (
	"crypto/sha256"
	"math/bits"
)

// Root is the Merkle tree hash of msgs with SHA-256, as RFC 9162 section 2.1.1
// defines it: a leaf is hashed behind a zero byte, a node behind a one, and the
// left part of n leaves holds the largest power of two below n. The root of
// nothing is the digest of nothing.
func Root(msgs [][]byte) [32]byte {
	switch len(msgs) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaf(msgs[0])
	}
	k := 1 << (bits.Len(uint(len(msgs)-1)) - 1)
	l, r := Root(msgs[:k]), Root(msgs[k:])
	var node [65]byte
	node[0] = 1
	copy(node[1:33], l[:])
	copy(node[33:], r[:])
	return sha256.Sum256(node[:])
}

func leaf(msg []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(msg)
	return [32]byte(h.Sum(nil))
}
