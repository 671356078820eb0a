//go:build !mipsle

package confine

// machineMapCalls are calls that map memory besides mmapCall: none.
var machineMapCalls []uint32
