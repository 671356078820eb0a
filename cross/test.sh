#!/bin/sh
# Runs all tests, with the race detector where this machine has a C compiler, and
# names what was skipped for want of a tool. Under CI nothing is skipped for that.
set -u
cd "$(dirname "$0")/.."
mkdir -p build
export PLATEN_TOOLS="$PWD/build/tools"
export RAPID_SEED="${RAPID_SEED:-1}" # property tests draw the same in every run; make soak draws anew
race= # vet is lint's; linking without symbol tables is faster
command -v "${CC:-cc}" >/dev/null && race=-race
log=build/test.log
# Under CI, where twenty minutes on two cores are all there is, long tests are shorter, and
# the rooms of the slicer that are arithmetic alone go without the race detector.
alone=
[ -z "${CI:-}" ] || alone=$(go list ./slicer/... | grep -vE '^platen/slicer(/pipe|/cmd/.*)$')
go test $race ${CI:+-short} -vet=off -ldflags "-s -w" -timeout 15m -v $(go list ./... | grep -vxF "${alone:-none}") >"$log" 2>&1
code=$?
if [ -n "$alone" ]; then
	CGO_ENABLED=0 go test -short -vet=off -ldflags "-s -w" -timeout 15m -v $alone >>"$log" 2>&1 || code=1
fi
if ! cross/skipped.sh <"$log" && [ -n "${CI:-}" ]; then
	echo "nothing may be skipped for want of a tool under CI" >&2
	[ $code -ne 0 ] || code=1
fi
if [ $code -ne 0 ]; then
	# What each package that failed said last, without what passed.
	awk '/^(=== (RUN|PAUSE|CONT|NAME)| *--- (PASS|SKIP)|PASS$)/ { next }
		{ line[n++ % 80] = $0 }
		/^(ok  |FAIL)\t|^\?/ { if (/^FAIL/) for (i = n > 80 ? n - 80 : 0; i < n; i++) print line[i % 80]; n = 0 }' "$log"
	echo "the whole output is in $log"
	sed -nE 's/^ *(--- FAIL|panic:|WARNING: DATA RACE)/\1/p' "$log" | head -40
fi
grep -aE '^(ok|FAIL|--- FAIL)' "$log"
exit $code
