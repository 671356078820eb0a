package pack

import "math/bits"

// An entry of a table says what a code stands for, and how long it is:
//
//	bits 16-31  literal, base of a length or distance, or where a second table begins
//	bits 8-15   kind, or the number of extra bits
//	bits 0-7    bits of the code; 0 is no code
//
// Codes longer than the index of a table lead to a second table behind it.
const (
	kindLiteral = 0x40
	kindEnd     = 0x20
	kindLink    = 0x80 // the low bits of the kind index the second table
	kindBad     = 0x60 // a code that RFC 1951 leaves unused
	extraMask   = 0x1f
)

// Sizes of the tables: an index of so many bits, and in all so many entries with
// the second tables, the most that any set of codes takes (a second table of 2^k
// entries needs a code of that length, and there are no more codes than symbols).
const (
	maxCode     = 15
	litlenBits  = 10
	distBits    = 8
	preBits     = 7
	litlenSize  = 1<<litlenBits + 1<<10
	distSize    = 1<<distBits + 1<<9
	preSize     = 1 << preBits
	litlenCodes = 288
	distCodes   = 32
	preCodes    = 19
)

// lengthBase and the others are the tables of RFC 1951, 3.2.5.
var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
	preOrder    = [preCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

func litlenEntry(sym int) uint32 {
	switch {
	case sym < 256:
		return uint32(sym)<<16 | kindLiteral<<8
	case sym == 256:
		return kindEnd << 8
	case sym < 286:
		return uint32(lengthBase[sym-257])<<16 | uint32(lengthExtra[sym-257])<<8
	}
	return kindBad << 8
}

func distEntry(sym int) uint32 {
	if sym < 30 {
		return uint32(distBase[sym])<<16 | uint32(distExtra[sym])<<8
	}
	return kindBad << 8
}

func preEntry(sym int) uint32 { return uint32(sym) << 16 }

// buildTable fills table for codes of the given lengths (RFC 1951, 3.2.2) and
// reports whether they are such: neither too many nor too few, but for a single
// code of one bit, or none at all, whose use is an error.
func buildTable(table []uint32, indexBits int, lengths []uint8, entry func(int) uint32) bool {
	var count [maxCode + 1]int
	longest := 0
	for _, n := range lengths {
		count[n]++
		longest = max(longest, int(n))
	}
	clear(table[:1<<indexBits])
	if longest == 0 {
		return true
	}
	count[0] = 0
	var next [maxCode + 1]uint32
	code := uint32(0)
	for n := 1; n <= longest; n++ {
		code = (code + uint32(count[n-1])) << 1
		next[n] = code
	}
	if all := code + uint32(count[longest]); all != 1<<longest && !(all == 1 && longest == 1) {
		return false
	}
	used := 1 << indexBits
	for n := 1; n <= longest; n++ {
		for sym, l := range lengths {
			if int(l) != n {
				continue
			}
			at := bits.Reverse32(next[n]) >> (32 - n)
			next[n]++
			e := entry(sym) | uint32(n)
			if n <= indexBits {
				for i := int(at); i < 1<<indexBits; i += 1 << n {
					table[i] = e
				}
				continue
			}
			link := &table[at&(1<<indexBits-1)]
			if *link == 0 {
				size := linkBits(&count, n, indexBits)
				*link = uint32(used)<<16 | uint32(kindLink|size)<<8 | uint32(indexBits)
				used += 1 << size
				if used > len(table) {
					return false
				}
			}
			sub := table[*link>>16:][:1<<(*link>>8&extraMask)]
			for i := int(at >> indexBits); i < len(sub); i += 1 << (n - indexBits) {
				sub[i] = e
			}
			count[n]--
		}
	}
	return true
}

// linkBits is how many bits index a second table whose shortest code has n bits:
// as many as it takes until all codes below one prefix have been placed. count is
// what is left of each length.
func linkBits(count *[maxCode + 1]int, n, indexBits int) int {
	size := n - indexBits
	left := 1 << size
	for left -= count[n]; left > 0 && indexBits+size < maxCode; {
		size++
		left = left<<1 - count[indexBits+size]
	}
	return size
}
