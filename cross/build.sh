#!/bin/sh
# Builds the device binary for every target without cgo and holds the one for ARM v7
# to its size.
#
#   cross/build.sh VERSION RELEASE
set -eu
cd "$(dirname "$0")/.."
mkdir -p build/cross
limit=$((14 * 1024 * 1024))
for target in arm:6 arm:7 arm64: ; do
	arch=${target%%:*} arm=${target#*:}
	out=build/cross/platen-linux-$arch${arm:+v$arm}
	GOOS=linux GOARCH=$arch GOARM=$arm CGO_ENABLED=0 go build -tags nethttpomithttp2 -trimpath \
		-ldflags "-s -w -X platen/agent/cli.version=$1 -X platen/agent/cli.release=$2" -o "$out" ./agent/cmd/platen
	size=$(stat -c %s "$out")
	printf '%-36s %9d bytes\n' "$out" "$size"
	if [ "$target" = arm:7 ] && [ "$size" -gt $limit ]; then
		echo "the ARM v7 binary is over $limit bytes" >&2
		exit 1
	fi
done
