#!/bin/sh
# How large the delta between two consecutive builds of the agent is, beside bsdiff's and a
# whole download, and how fast it is applied. OLD names the earlier commit (default: the one
# before the last that changed the agent).
set -eu
cd "$(dirname "$0")/.."
dir=build/bench/delta
mkdir -p "$dir"
new=$(git log -1 --format=%H -- agent hal slicer updater)
old=${OLD:-$(git log -1 --format=%H "$new~1" -- agent hal slicer updater)}
for which in old new; do
	eval "commit=\$$which"
	rm -rf "$dir/src"
	mkdir "$dir/src"
	git archive "$commit" | tar -x -C "$dir/src"
	(cd "$dir/src" && GOOS=linux GOARCH=arm GOARM=7 CGO_ENABLED=0 go build -tags nethttpomithttp2 -trimpath -buildvcs=false \
		-ldflags "-s -w -X platen/agent/cli.release=1" -o "../$which" ./agent/cmd/platen)
done
rm -rf "$dir/src"
echo "delta of two builds of the agent (at most 5 % of the build, 15 % of its zstd -19, at least 20 MB/s, 16 MiB):"
PLATEN_OLD=$PWD/$dir/old PLATEN_NEW=$PWD/$dir/new go test -run '^$' -bench Builds -benchtime 1s ./updater/delta | grep ^Benchmark
printf 'whole, zstd -19: '
zstd -q -19 -c "$dir/new" 2>/dev/null | wc -c
! command -v bsdiff >/dev/null || { bsdiff "$dir/old" "$dir/new" "$dir/bsdiff" && printf 'bsdiff: ' && wc -c <"$dir/bsdiff"; }
