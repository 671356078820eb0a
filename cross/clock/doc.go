// Package clock holds the time that the slicer says a print takes against the time
// that the simulated printer takes for it.
package clock
