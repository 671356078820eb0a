package delta

import "math/bits"

// bitset is a set of positions.
type bitset []uint64

func newBitset(n int) bitset    { return make(bitset, n/64+1) }
func (b bitset) has(i int) bool { return b[i>>6]>>(i&63)&1 != 0 }
func (b bitset) set(i int)      { b[i>>6] |= 1 << (i & 63) }

// next is the lowest member from i on, or n.
func (b bitset) next(i, n int) int {
	for w := i >> 6; w < len(b); w++ {
		word := b[w]
		if w == i>>6 {
			word &= ^uint64(0) << (i & 63)
		}
		if word != 0 {
			return w<<6 + bits.TrailingZeros64(word)
		}
	}
	return n
}

// ranks counts, for each word of a bitset, the members before it.
func (b bitset) ranks() []int32 {
	r := make([]int32, len(b))
	var sum int32
	for i, w := range b {
		r[i] = sum
		sum += int32(bits.OnesCount64(w))
	}
	return r
}

func (b bitset) rank(r []int32, i int) int {
	return int(r[i>>6]) + bits.OnesCount64(b[i>>6]&(1<<(i&63)-1))
}

// suffixes returns the positions of text in the order of the suffixes that begin there.
// It takes 4 bytes for each of text, and about one and a half more while it works.
func suffixes(text []byte) []int32 {
	sa := make([]int32, len(text))
	sorter[byte]{s: text, sa: sa, bucket: make([]int32, 256)}.sort()
	return sa
}

// sorter sorts suffixes by induced sorting (Nong, Zhang and Chan: Two Efficient Algorithms
// for Linear Time Suffix Array Construction, 2011). A suffix is "small" if it is before the
// one that follows it, else "large"; a small one behind a large one is leftmost. Once the
// leftmost ones are in order, two sweeps put all others there. What follows the end of the
// text counts as smaller than everything, so the last suffix is large.
type sorter[T byte | int32] struct {
	s        []T
	sa       []int32
	bucket   []int32 // one for each letter
	small    bitset
	leftmost bitset
}

func (x sorter[T]) sort() {
	n := len(x.s)
	if n < 2 {
		return // sa has its one zero
	}
	m := x.classify()
	x.place()
	x.induce()
	// What is sorted so far: the pieces from each leftmost position to the next.
	k := 0
	for _, v := range x.sa {
		if x.leftmost.has(int(v)) {
			x.sa[k] = v
			k++
		}
	}
	if names := x.name(m); names < m {
		sub := sorter[int32]{s: x.sa[n-m:], sa: x.sa[:m], bucket: make([]int32, names)}
		clear(sub.sa)
		sub.sort()
		x.positions(m)
	}
	sorted := x.sa[:m]
	for i := m; i < n; i++ {
		x.sa[i] = -1
	}
	x.ends()
	for i := m - 1; i >= 0; i-- { // from behind, so that none is overwritten before it is moved
		v := sorted[i]
		sorted[i] = -1
		c := x.s[v]
		x.bucket[c]--
		x.sa[x.bucket[c]] = v
	}
	x.induce()
}

// classify finds the small and the leftmost suffixes and returns the number of the latter.
func (x *sorter[T]) classify() int {
	n := len(x.s)
	x.small, x.leftmost = newBitset(n), newBitset(n)
	m := 0
	for i := n - 2; i >= 0; i-- {
		after := x.small.has(i + 1)
		if x.s[i] < x.s[i+1] || x.s[i] == x.s[i+1] && after {
			x.small.set(i)
		} else if after {
			x.leftmost.set(i + 1)
			m++
		}
	}
	return m
}

// ends sets bucket to where the suffixes that begin with each letter end.
func (x sorter[T]) ends() {
	clear(x.bucket)
	for _, c := range x.s {
		x.bucket[c]++
	}
	var sum int32
	for i, n := range x.bucket {
		sum += n
		x.bucket[i] = sum
	}
}

// begins sets bucket to where they begin.
func (x sorter[T]) begins() {
	clear(x.bucket)
	for _, c := range x.s {
		x.bucket[c]++
	}
	var sum int32
	for i, n := range x.bucket {
		x.bucket[i] = sum
		sum += n
	}
}

// place puts the leftmost positions at the ends of their letters' ranges and empties all
// else.
func (x sorter[T]) place() {
	n := len(x.s)
	for i := range x.sa {
		x.sa[i] = -1
	}
	x.ends()
	for i := x.leftmost.next(0, n); i < n; i = x.leftmost.next(i+1, n) {
		c := x.s[i]
		x.bucket[c]--
		x.sa[x.bucket[c]] = int32(i)
	}
}

// induce puts all suffixes where they belong, from the leftmost ones that are there.
func (x sorter[T]) induce() {
	n := len(x.s)
	x.begins()
	put := func(v int32) {
		c := x.s[v]
		x.sa[x.bucket[c]] = v
		x.bucket[c]++
	}
	put(int32(n - 1))
	for _, v := range x.sa { // grows behind the place that is looked at
		if v > 0 && !x.small.has(int(v-1)) {
			put(v - 1)
		}
	}
	x.ends()
	for i := n - 1; i >= 0; i-- {
		if v := x.sa[i]; v > 0 && x.small.has(int(v-1)) {
			c := x.s[v-1]
			x.bucket[c]--
			x.sa[x.bucket[c]] = v - 1
		}
	}
}

// name numbers the m sorted pieces in sa[:m], equal ones alike, and writes the numbers, in
// the order of the text, to the end of sa. It returns how many differ.
func (x sorter[T]) name(m int) int {
	n := len(x.s)
	ranks := x.leftmost.ranks()
	names := x.sa[n-m:]
	last, count := -1, 0
	for _, v := range x.sa[:m] {
		if last < 0 || !x.samePiece(last, int(v)) {
			count++
		}
		last = int(v)
		names[x.leftmost.rank(ranks, last)] = int32(count - 1)
	}
	return count
}

// samePiece compares the pieces that begin at a and b, the first letters of the next
// included.
func (x sorter[T]) samePiece(a, b int) bool {
	n := len(x.s)
	endA, endB := x.leftmost.next(a+1, n), x.leftmost.next(b+1, n)
	if endA-a != endB-b || endA == n || endB == n {
		return false
	}
	for ; a <= endA; a, b = a+1, b+1 {
		if x.s[a] != x.s[b] {
			return false
		}
	}
	return true
}

// positions turns the order of the pieces in sa[:m] into that of the positions they are at.
func (x sorter[T]) positions(m int) {
	n := len(x.s)
	at := x.sa[n-m:]
	k := 0
	for i := x.leftmost.next(0, n); i < n; i = x.leftmost.next(i+1, n) {
		at[k] = int32(i)
		k++
	}
	for i, r := range x.sa[:m] {
		x.sa[i] = at[r]
	}
}
