#!/bin/sh
# Other collectors that are installed, on the same few numbers at the same pace as the
# agent of BenchmarkIdle, over MQTT as it: what a process of theirs computes a second, and what of
# it is resident. Those that are not installed are named; Debian has neither. What none of whose
# messages arrives is an error, as it is for BenchmarkIdle, which waits for its frames at a broker.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
PATH=$PATH:$PWD/build/tools/usr/sbin:$PWD/build/tools/usr/bin
running=
trap 'for pid in $running; do kill "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

if ! go test -run '^$' -bench '^BenchmarkIdle$' -benchtime 1x ./cross/prove/evidence >"$work/idle" 2>&1; then
	cat "$work/idle" >&2
	exit 1
fi
awk '/^BenchmarkIdle/ && NF > 3 {
	for (i = 3; i < NF; i += 2) v[$(i + 1)] = $i
	printf "%-12s %6.2f cpu-ms a second, %d KiB\n", "platen", v["cpu-ms/s"], v["KiB"]
	n++ }
	END { if (!n) printf "%-12s not measured here: see cross/tools.sh\n", "platen" }' "$work/idle"

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

missing() { # name, program...: says so if one of the programs is not there
	name=$1
	shift
	for program; do
		if ! command -v "$program" >/dev/null; then
			printf '%-12s not measured: %s is not installed here\n' "$name" "$program"
			return 0
		fi
	done
	return 1
}

computed() { # pid: what its threads have computed, in ns
	kill -0 "$1" || return 1
	for task in /proc/"$1"/task/*; do cut -d' ' -f1 "$task/schedstat"; done | awk '{ s += $1 } END { print s }'
}

measure() { # name, beginning of the files that what it sends arrives in, command...
	name=$1 arrived=$2
	shift 2
	"$@" >"$work/$name.log" 2>&1 &
	pid=$!
	running="$running $pid"
	sleep 5
	from=$(computed "$pid")
	sleep 40
	to=$(computed "$pid")
	rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	if [ "$(cat "$arrived"* 2>/dev/null | wc -l)" -eq 0 ]; then
		echo "$name: nothing that it sends has arrived; its log ends with" >&2
		tail -n 5 "$work/$name.log" >&2
		exit 1
	fi
	awk -v name="$name" -v rss="$rss" -v from="$from" -v to="$to" \
		'BEGIN { printf "%-12s %6.2f cpu-ms a second, %d KiB\n", name, (to - from) / 40e6, rss }'
}

# A broker at a port that nobody has: one that cannot listen at its port ends.
start_broker() {
	for try in 0 1 2 3 4 5 6 7 8 9; do
		port=$((20000 + ($$ + 997 * try) % 12000))
		printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$work/mosquitto.conf"
		mosquitto -c "$work/mosquitto.conf" >"$work/mosquitto.log" 2>&1 &
		broker=$!
		while kill -0 "$broker" 2>/dev/null; do
			if grep -q ' running$' "$work/mosquitto.log"; then
				running="$running $broker"
				return
			fi
			sleep 1
		done
	done
	cat "$work/mosquitto.log" >&2
	exit 1
}

if ! missing telegraf telegraf mosquitto mosquitto_sub; then
	start_broker
	mosquitto_sub -p "$port" -t 'telegraf/#' >"$work/arrived" 2>&1 &
	running="$running $!"
	sed -i "s|PORT|$port|" "$work/telegraf.conf"
	measure telegraf "$work/arrived" telegraf --config "$work/telegraf.conf"
fi
if ! missing metricbeat metricbeat; then
	sed -i "s|DIR|$work|" "$work/metricbeat.yml"
	measure metricbeat "$work/metricbeat-bench" metricbeat -c "$work/metricbeat.yml" --path.data "$work/data"
fi
