//go:build !cgo

package confine

var libcCalls []uint32
