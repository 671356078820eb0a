//go:build !race

package haltest

// raced says that the race detector is on.
const raced = false
