#!/bin/sh
# Runs the benchmarks and prints them as one table; then what driving a controller costs
# and takes; then the desk slicer beside others that are installed: see bench-slicer.sh.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build/bench
go test -run '^$' -bench . -benchmem -benchtime "${BENCHTIME:-200ms}" ./hal/... ./slicer/... ./agent/... ./updater/... ./cross/prove/evidence 2>&1 |
	awk '
	/^pkg:/ { pkg = $2; sub(/^platen\//, "", pkg) }
	/^FAIL|^panic/ { print; bad = 1 }
	/^Benchmark/ {
		if (!head++) printf "%-24s %-44s %14s %12s %10s  %s\n", "room", "benchmark", "ns/op", "B/op", "allocs/op", "other"
		name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
		ns = b = a = "-"; other = ""
		for (i = 3; i < NF; i += 2) {
			u = $(i + 1)
			if (u == "ns/op") ns = $i; else if (u == "B/op") b = $i; else if (u == "allocs/op") a = $i
			else other = other " " $i " " u
		}
		printf "%-24s %-44s %14s %12s %10s %s\n", pkg, name, ns, b, a, other
	}
	END { exit bad }'

# The fleet's side with up to 100,000 printers known: batches judged by a core in a second and what
# is resident, each of a printer that was not heard for long; then frames judged and stored.
echo
PLATEN_PRINTERS=100000 go test -run '^$' -bench '^BenchmarkKnown$' -benchtime 5000x ./agent/fleet/verify | grep '^Benchmark'
PLATEN_PRINTERS=10000 go test -run '^$' -bench '^BenchmarkFrames$' -benchtime 20000x ./agent/fleet/ingest | grep '^Benchmark'

# What a line costs the host, beside printcore where it is to be had; Halt to the far end
# of the pty; the controller's planner on a line of 250000 baud, in simulated time and in
# real time while both cores are busy.
echo
[ -x build/tools/usr/bin/printcore ] || cross/tools.sh printcore || true
PLATEN_BENCH=1 go test -count=1 -timeout 30m -v -run '^(TestSpeed|TestHaltLatency|TestCorruptedRate|TestNeverStarves|TestNeverStarvesLoaded)$' ./hal/driver |
	sed -n 's/^ *[a-z_]*_test.go:[0-9]*: //p; /^--- FAIL/p; /^FAIL/p'

# What an idle agent and an idle session have in memory.
echo
go test -count=1 -v -run '^TestScripts/resident$' ./cross/scenario |
	sed -n '/^ *> resident/p; /are resident$/p; /^--- FAIL/p; /^FAIL/p' | uniq

echo
cross/bench-slicer.sh

# The agent's telemetry is BenchmarkAgent above; other collectors beside it.
echo
cross/bench-agent.sh

echo
cross/bench-delta.sh

# A root file system of 256 MiB, beside dd and RAUC.
echo
go run ./cross/benchinstall
