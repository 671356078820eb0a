#!/bin/sh
# Runs unit tests built for 32-bit ARM under user-mode emulation, a package at a
# time in its own folder, as go test does.
#
#   cross/test-arm.sh PACKAGE...
set -eu
cd "$(dirname "$0")/.."
qemu=
for c in qemu-arm qemu-arm-static; do
	for dir in $(echo "$PATH" | tr : ' ') "$PWD/build/tools/usr/bin"; do
		[ -n "$qemu" ] || { [ -x "$dir/$c" ] && qemu=$dir/$c; } || true
	done
done
[ -n "$qemu" ] || { echo "test-arm: needs qemu-arm: install qemu-user" >&2; exit 1; }
export RAPID_SEED="${RAPID_SEED:-1}" # as in test.sh
export GOOS=linux GOARCH=arm GOARM=7 CGO_ENABLED=0
# Not what another word size changes nothing of: memory, processes, how many processors there are. Emulated,
# that takes minutes.
host='^(TestAnyNumberOfProcessors|TestDeterministic|TestKeptBuffersPrintTheSame|TestOnceWithCopies|TestOnceGivesMemoryBack|TestAccountNotices|TestSupportNotices|TestLittleStaysInMemory|TestHeights|TestComb|TestCrowds|TestLayersAreInTheVault|TestStorm|TestDriveOrFlash|TestPythonReadsOurs|TestRepositoriesOfOthers)$'
# Without vet and symbol tables: lint vets, and linking is a good part of the time.
exec go test -short -skip "$host" -vet=off -ldflags "-s -w" -timeout 15m -exec "$qemu" "$@"
