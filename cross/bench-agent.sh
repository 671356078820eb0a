#!/bin/sh
# Other collectors that are installed, on the same few numbers at the same pace as the
# agent of BenchmarkAgent: what a process of theirs computes a second, and what of it is
# resident. Those that are not installed are named; Debian has neither.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/telegraf.conf" <<'CONF'
[agent]
interval = "1s"
flush_interval = "1s"
[[inputs.cpu]]
[[inputs.mem]]
[[inputs.disk]]
[[outputs.file]]
files = ["/dev/null"]
CONF
cat >"$work/metricbeat.yml" <<'CONF'
metricbeat.modules:
- module: system
  metricsets: [cpu, memory, filesystem]
  period: 1s
output.file:
  path: DIR
  filename: metricbeat-bench
CONF

measure() { # name, command...
	name=$1
	shift
	if ! command -v "$1" >/dev/null; then
		printf '%-12s not installed here\n' "$name"
		return
	fi
	"$@" >/dev/null 2>&1 &
	pid=$!
	sleep 5
	for task in /proc/$pid/task/*; do cut -d' ' -f1 "$task/schedstat"; done | awk '{ s += $1 } END { print s }' >"$work/from"
	sleep 20
	for task in /proc/$pid/task/*; do cut -d' ' -f1 "$task/schedstat"; done | awk '{ s += $1 } END { print s }' >"$work/to"
	rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	awk -v name="$name" -v rss="$rss" -v from="$(cat "$work/from")" -v to="$(cat "$work/to")" \
		'BEGIN { printf "%-12s %6.2f cpu-ms a second, %d KiB\n", name, (to - from) / 20e6, rss }'
}

sed -i "s|DIR|$work|" "$work/metricbeat.yml"
measure telegraf telegraf --config "$work/telegraf.conf"
measure metricbeat metricbeat -c "$work/metricbeat.yml" --path.data "$work/data"
