//go:build !cgo

package confine

var libcCalls, libcMapCalls []uint32
