#!/bin/sh
# Other collectors that are installed, on the same few numbers at the same pace as the
# agent of BenchmarkIdle, over MQTT as it: what a process of theirs computes a second, and what of
# it is resident. Those that are not installed are named; Debian has neither.
set -eu
cd "$(dirname "$0")/.."
go test -run '^$' -bench '^BenchmarkIdle$' -benchtime 1x ./cross/prove/evidence | awk '/^BenchmarkIdle/ {
	for (i = 3; i < NF; i += 2) v[$(i + 1)] = $i
	printf "%-12s %6.2f cpu-ms a second, %d KiB\n", "platen", v["cpu-ms/s"], v["KiB"] }'
work=$(mktemp -d)
port=$((20000 + $$ % 20000))
PATH=$PATH:$PWD/build/tools/usr/sbin
broker=
trap 'rm -rf "$work"; [ -z "$broker" ] || kill "$broker"' EXIT
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$work/mosquitto.conf"

cat >"$work/telegraf.conf" <<'CONF'
[agent]
interval = "10s"
flush_interval = "10s"
[[inputs.cpu]]
[[inputs.mem]]
[[inputs.disk]]
[[inputs.net]]
[[outputs.mqtt]]
servers = ["tcp://127.0.0.1:PORT"]
topic = "telegraf/{{ .PluginName }}"
CONF
cat >"$work/metricbeat.yml" <<'CONF'
metricbeat.modules:
- module: system
  metricsets: [cpu, memory, filesystem, network]
  period: 10s
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
	sleep 40
	for task in /proc/$pid/task/*; do cut -d' ' -f1 "$task/schedstat"; done | awk '{ s += $1 } END { print s }' >"$work/to"
	rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	awk -v name="$name" -v rss="$rss" -v from="$(cat "$work/from")" -v to="$(cat "$work/to")" \
		'BEGIN { printf "%-12s %6.2f cpu-ms a second, %d KiB\n", name, (to - from) / 40e6, rss }'
}

sed -i "s|DIR|$work|; s|PORT|$port|" "$work/metricbeat.yml" "$work/telegraf.conf"
if command -v telegraf >/dev/null && command -v mosquitto >/dev/null; then
	mosquitto -c "$work/mosquitto.conf" >/dev/null 2>&1 &
	broker=$!
	until mosquitto_pub -p "$port" -t ready -m x 2>/dev/null; do sleep 1; done
fi
measure telegraf telegraf --config "$work/telegraf.conf"
measure metricbeat metricbeat -c "$work/metricbeat.yml" --path.data "$work/data"
