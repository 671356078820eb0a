#!/bin/sh
# Runs all tests, with the race detector where this machine has a C compiler, and
# names at the end what was skipped for want of a tool. Under CI nothing is skipped.
set -u
cd "$(dirname "$0")/.."
mkdir -p build
export PLATEN_TOOLS="$PWD/build/tools"
race=
command -v "${CC:-cc}" >/dev/null && race=-race
log=build/test.log
: >"$log"
go test $race -timeout 15m -v ./... >"$log" 2>&1
code=$?
grep -vE '^(=== |    --- |--- PASS|--- SKIP|PASS$|        )' "$log" | grep -E '^(ok|FAIL|---|panic|#|\?| )' | grep -v 'no test files'
if [ $code -ne 0 ]; then
	echo
	grep -nE '^ *--- FAIL|^panic:' "$log" | head -40
	echo "the whole output is in $log"
fi
skipped=$(grep -A1 -E '^ *--- SKIP' "$log" | grep -vE '^--$' || true)
if [ -n "$skipped" ]; then
	echo
	echo "skipped:"
	echo "$skipped"
	if [ -n "${CI:-}" ] && echo "$skipped" | grep -q 'needs '; then
		echo "nothing may be skipped for want of a tool under CI" >&2
		[ $code -ne 0 ] || code=1
	fi
fi
exit $code
