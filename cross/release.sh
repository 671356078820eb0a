#!/bin/sh
# Builds what a release consists of, for each target: the agent's binary, what it is made
# of (CycloneDX) and how it was built (in-toto, SLSA), the board files it may run with, which
# printers measure, and the sums of all of it. The same commit and toolchain give the same
# bytes, wherever the checkout lies; of a board's slots the same key and the same packages of
# Debian, which are those of the day with its security updates.
#
#   cross/release.sh VERSION RELEASE OUT [KEY]
#
# KEY signs the provenance: see platen-ota key. COMMIT names the commit where this is no
# git checkout. BOARD adds the slots of that board's image, and pcrs.json, what a TPM holds
# after their starts, and debian.sha256, the packages of Debian that they are made of; SIGN is the
# key that its bootloader knows (else one of this checkout's own).
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
version=$1 release=$2 key=${4:-}
mkdir -p "$3"
out=$(cd "$3" && pwd)
[ -z "$key" ] || key=$(cd "$(dirname "$key")" && pwd)/$(basename "$key")
cd "$top"
commit=${COMMIT:-$(git rev-parse HEAD)}
case $release in '' | *[!0-9]* | 0*) echo "name the release: make release RELEASE=N, N above the last one" >&2; exit 2 ;; esac
if [ -z "${COMMIT:-}" ] && [ -n "$(git status --porcelain --untracked-files=no)" ]; then
	echo "the checkout differs from commit $commit: commit first" >&2
	exit 1
fi
tool=$out/.platen-ota
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$tool" ./updater/cmd/platen-ota
trap 'rm -f "$tool"' EXIT
made= # what OUT had before is not of this release
for target in ${TARGETS:-arm:6 arm:7 arm64:}; do
	arch=${target%%:*} arm=${target#*:}
	[ "$arm" != "$target" ] || arm=
	name=platen-linux-$arch${arm:+v$arm}
	GOOS=linux GOARCH=$arch GOARM=$arm CGO_ENABLED=0 go build -tags nethttpomithttp2 -trimpath -buildvcs=false \
		-ldflags "-s -w -X platen/agent/cli.version=$version -X platen/agent/cli.release=$release" -o "$out/$name" ./agent/cmd/platen
	made="$made $name $name.provenance.json $name.sbom.cdx.json"
	"$tool" sbom "$out/$name" --version "$version" >"$out/$name.sbom.cdx.json"
	"$tool" provenance "$out/$name" --commit "$commit" --source "${SOURCE_URI:-git+https://example.com/platen}" \
		--builder "${BUILDER_URI:-https://example.com/platen/make-release}" ${key:+--key "$key"} >"$out/$name.provenance.json"
done
rm -rf "$out/boards"
mkdir "$out/boards"
for board in boards/*.toml; do
	cp "$board" "$out/boards/"
	made="$made $board"
done
if [ -n "${BOARD:-}" ]; then
	cross/tools.sh mkfs.ext4
	go run ./cross/image/mkimage -pack=false -fixed -version "$version" -release "$release" ${SIGN:+-sign "$SIGN"} "$BOARD" >&2
	for file in build/image/"$BOARD"/*.slot build/image/"$BOARD"/pcrs.json build/image/"$BOARD"/debian.sha256; do
		cp "$file" "$out/"
		made="$made $(basename "$file")"
	done
fi
# Everything that this release may ever send: a target beside it.
CGO_ENABLED=0 go run -trimpath -buildvcs=false -tags nethttpomithttp2 ./agent/cmd/platen catalogue -o json >"$out/catalogue.json"
made="$made catalogue.json"
cd "$out"
sha256sum $made >SHA256SUMS
cat SHA256SUMS
