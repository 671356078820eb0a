#!/bin/sh
# Prints which tests were skipped in the output of go test -v, and why; ends with 1 if
# one of them "needs" something. What a test says last before it is skipped is why: go
# test prints that before the skip, and that of a subtest even before its parent's end.
found=$(awk '/^=== RUN / { why[$3] = "" }
	/^=== (RUN|CONT|NAME) / { test = $3; next }
	/^ +[^ ]+\.go:[0-9]+: / { why[test] = $0 }
	/^ *--- SKIP: / { print; print why[$3] }')
[ -n "$found" ] || exit 0
echo "skipped:"
echo "$found"
! echo "$found" | grep -qE '\.go:[0-9]+: needs '
