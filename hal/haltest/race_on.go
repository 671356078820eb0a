//go:build race

package haltest

// raced says that the race detector is on, which makes a long print last ten times as
// long.
const raced = true
