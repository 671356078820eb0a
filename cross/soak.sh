#!/bin/sh
# Long property tests and fuzzing: every fuzz target for FUZZTIME (default 2m), every
# property test with many more cases.
set -eu
export RAPID_SEED=0 # a new one for each property
cd "$(dirname "$0")/.."
for dir in $(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/func //'); do
		echo "== $dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-2m}" "$dir"
	done
done
go test -count=5 -timeout 2h $(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | sed -n 's/ .*rapid.*//p')
go test -count=1 -timeout 2h ./hal/envelope/... ./hal/flash ./hal/watch/... ./slicer/geom/... -rapid.checks=100000
PLATEN_PROGRAMS="${PROGRAMS:-50000000}" go test -count=1 -timeout 2h -run TestNoAcceptedProgramLeavesTheEnvelope ./hal/gcodefile
PLATEN_SOAK=1 go test -count=1 -timeout 2h -run 'TestSupervisedMachineKeepsTheContract|TestFaultsOfHeaters' ./hal/watch
PLATEN_SOAK=1 go test -count=1 -timeout 2h -run TestLarge3MF ./slicer/mesh
PLATEN_SOAK=1 go test -count=1 -timeout 2h -run TestSupport ./slicer
PLATEN_SOAK=1 go test -race -count=1 -timeout 2h -run TestPrint ./hal/grbl
PLATEN_SOAK=3 go test -count=1 -timeout 2h -run 'TestStorm|TestWounds' ./hal/repetier ./hal/reprap
PLATEN_SOAK=1 go test -count=1 -timeout 2h -run TestEveryCut ./hal/flash
PLATEN_SOAK=1 go test -count=1 -timeout 2h -run TestCutsOfThePipeline ./updater/publish
PLATEN_SOAK=1 go test -count=1 -timeout 2h -run TestThirtyDaysAway ./agent/telemetry
go test -count=1 -timeout 2h -run 'TestScripts/hostile' ./cross/scenario
make -s prove-update PROVE="-each 1 -kills 300 -disks 500"
