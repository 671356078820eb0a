// Package delta makes new contents out of old ones and a small file that says what
// differs: a printer that has release 6 fetches a hundredth of release 7.
//
// [Make] runs at the release engineer's; [NewPatcher] is the printer's side. The idea is
// bsdiff's: for most of the new contents there is a place in the old ones that differs
// from it in a few bytes only (addresses that moved), so what is stored of such a piece is
// the difference byte by byte, which is nearly all zeros, and compresses to next to nothing.
//
// # Format
//
// All numbers are little endian. A header of 16 bytes: "PLTNDLT1" and the length of the new
// contents (u64). Then frames, until that many bytes have been made. A frame is three
// sections, each compressed with DEFLATE for itself, behind a header of 24 bytes that has
// for each of them its length (u32) and its compressed length (u32):
//
//   - steps: triples of varints: how many bytes to take from the old contents, adding one
//     of "differences" to each; how many to take from "literals"; and how far to move in
//     the old contents after that (zigzag);
//   - differences;
//   - literals.
//
// A frame makes at most 1 MiB. So a patcher needs one compressed frame, three windows of
// 32 KiB and two small buffers, whatever the lengths of the three files are.
//
// # Requirements
//
//   - Deltas are fetched by their signed digest, but a patcher does not rely on that: with
//     any bytes at all it stays within its memory, writes at most the bytes that were
//     announced, and ends.
//   - Whether the result is the signed one, the caller finds out by hashing it. Nothing
//     else is proof: neither a checksum of the old contents nor one in the delta.
package delta

import "errors"

// ErrDelta reports a delta that is damaged or that does not fit the old contents.
var ErrDelta = errors.New("the delta is damaged, or made for other contents")

const (
	magic = "PLTNDLT1"
	// headerSize is the length of what stands before the first frame, frameHead of what
	// stands before each.
	headerSize, frameHead = 16, 24
	// frameSize is how much a frame makes at most, maxSteps how long its steps are.
	frameSize = 1 << 20
	maxSteps  = 4 * frameSize
)

// stepsLimit is how long the steps of a frame that makes n bytes may be: a step for each
// byte, and one that only moves before each. It bounds the work for a byte.
func stepsLimit(n int) int { return min(16*n+16, maxSteps) }

// packedLimit is how long DEFLATE can make n bytes that do not compress.
func packedLimit(n int) int { return n + n/1000 + 64 }
