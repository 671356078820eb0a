#!/bin/sh
# Tries the package on a Debian 12 that nobody needs afterwards: a board, or a container
# that systemd runs in. Installs it, has its unit print on a simulated printer with a
# software TPM (swtpm, swtpm-tools), restarts it, and purges it. Needs root.
#
#   cross/deb/try.sh PACKAGE.deb BIN MODEL     BIN has platen-sim and platen-ota
#
# For another machine's architecture, debootstrap and qemu-user do as well, up to the unit.
# In a container of systemd-nspawn the calls that sessions confine themselves with have to
# be left: --system-call-filter="memfd_secret seccomp landlock_create_ruleset
# landlock_add_rule landlock_restrict_self".
set -eu
deb=$1 bin=$2 model=$3
dir=/run/platen-try
say() { echo "ok  $*"; }
await() { # what, command...
	what=$1
	shift
	for _ in $(seq 600); do # a guard of minutes; each try takes as long as it takes
		if "$@" >/dev/null 2>&1; then
			say "$what"
			return
		fi
		sleep 0.2
	done
	echo "FAILED $what" >&2
	journalctl -b -u platen --no-pager | tail -20 >&2
	exit 1
}
idle() { platen status -o json | grep -q '"phase": "idle"'; }

dpkg -i "$deb" >/dev/null
platen version
say "installed; user $(id platen)"
cd /etc/platen
if platen doctor >/dev/null; then
	echo "FAILED doctor finds nothing missing in a configuration without a board" >&2
	exit 1
fi
say "doctor wants a board"
systemd-analyze verify --man=no platen.service
systemd-analyze security --no-pager platen.service | tail -n 1

mkdir -p $dir
swtpm_setup --tpm2 --tpmstate $dir --create-ek-cert --create-platform-cert >/dev/null
chown -R platen:platen $dir
systemd-run -q --unit=try-tpm --uid=platen swtpm socket --tpm2 --tpmstate dir=$dir --server type=unixio,path=$dir/tpm.sock --flags not-need-init,startup-clear
systemd-run -q --unit=try-sim "$(realpath "$bin/platen-sim")" marlin2 --pty $dir/tty --speed max
await "simulated printer" test -e $dir/tty
await "software TPM" test -S $dir/tpm.sock
chown platen "$(readlink -f $dir/tty)"
"$bin/platen-ota" init $dir/repo --keys $dir/keys >/dev/null
"$bin/platen-ota" root $dir/repo >root.json
cat >platen.toml <<X
board = "sim"
device = "$dir/tty"
tpm = "swtpm:$dir/tpm.sock"
allow_swap = true
vault = "8MiB"
[update]
url = "https://127.0.0.1:1/"
root = "root.json"
slots = "/var/lib/platen/slots"
X
if platen install /usr/bin/platen --release 1 2>/dev/null; then
	echo "FAILED root installs a release that the agent could not read" >&2
	exit 1
fi
runuser -u platen -- platen install /usr/bin/platen --release 1
systemctl start platen
await "agent in its unit, session ready" idle
platen status | grep confined
platen print "$model"
say "printed"
systemctl restart platen
await "restarted" idle
systemctl stop platen
systemctl stop try-sim try-tpm
rm root.json
dpkg -P platen >/dev/null
if [ -e /var/lib/platen ] || [ -e /usr/bin/platen ]; then
	echo "FAILED something is left" >&2
	exit 1
fi
say "purged"
