#!/bin/sh
# Runs unit tests built for ARM boards under user-mode emulation, a package at a time in
# its own folder, as go test does.
#
#   cross/test-arm.sh [arm|arm64] PACKAGE...     arm, 32 bits wide, unless told otherwise
set -eu
cd "$(dirname "$0")/.."
arch=arm
case ${1:-} in arm | arm64) arch=$1; shift ;; esac
name=qemu-$([ $arch = arm ] && echo arm || echo aarch64)
qemu=
for c in $name $name-static; do
	for dir in $(echo "$PATH" | tr : ' ') "$PWD/build/tools/usr/bin"; do
		[ -n "$qemu" ] || { [ -x "$dir/$c" ] && qemu=$dir/$c; } || true
	done
done
[ -n "$qemu" ] || { echo "test-arm: needs $name: install qemu-user" >&2; exit 1; }
export RAPID_SEED="${RAPID_SEED:-1}" # as in test.sh
export GOOS=linux GOARCH=$arch GOARM=7 CGO_ENABLED=0
# Not what another processor changes nothing of: memory, processes, how many processors there are, and how
# much a kernel takes; nor flags of memory, which an emulator does not pass on. Emulated, that takes minutes.
host='^(TestAnyNumberOfProcessors|TestDeterministic|TestKeptBuffersPrintTheSame|TestOnceWithCopies|TestOnceGivesMemoryBack|TestAccountNotices|TestSupportNotices|TestLittleStaysInMemory|TestHeights|TestComb|TestCrowds|TestLayersAreInTheVault|TestStorm|TestDriveOrFlash|TestManyEdges|TestOffsetFineContour|TestLargerBudgetsTakeMore|TestKernelFlags)$'
# CI has twenty minutes: the goldens are slices of all models already.
[ -z "${CI:-}" ] || host="$host|^(TestFormats|TestBrokenIsPrintedWhole)$|^TestModels$/^(hollow-sphere.stl|overhang.stl|bracket.3mf|thin-box.stl)$"
# Without vet and symbol tables: lint vets, and linking is a good part of the time. Otherwise built as the
# device's binary is, so that what was compiled for that serves.
exec go test -tags nethttpomithttp2 -trimpath -short -skip "$host" -vet=off -ldflags "-s -w" -timeout 15m -exec "$qemu" "$@"
