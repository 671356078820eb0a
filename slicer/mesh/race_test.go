//go:build race

package mesh

// raceDetector says that everything takes ten times as long.
const raceDetector = true
