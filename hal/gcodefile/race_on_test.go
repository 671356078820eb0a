//go:build race

package gcodefile_test

const raceEnabled = true
