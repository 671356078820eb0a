#!/bin/sh
# Makes the Debian package of the device binary: the same bytes each time, from the same
# commit.
#
#   cross/deb.sh ARCH VERSION RELEASE     ARCH: arm64, armhf, armel or amd64
set -eu
cd "$(dirname "$0")/.."
version=$2 release=$3
case $1 in
arm64 | amd64) target=$1 ;;
armhf) target=armv7 ;;
armel) target=armv6 ;;
*) echo "deb: $1 is none of arm64, armhf, armel and amd64" >&2; exit 2 ;;
esac
out=build/deb
stage=$out/$1
rm -rf "$stage"
mkdir -p "$stage"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
mtime=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
go run ./cross/targets/build -target "$target" -out "$stage" -version "$version" -release "$release" >&2
mv "$stage/platen-linux-$target" "$stage/platen"
host=$stage/host # what runs here and prints pages and completion
CGO_ENABLED=0 go build -tags nethttpomithttp2 -trimpath -ldflags "-s -w -X platen/agent/cli.version=$version" -o "$host" ./agent/cmd/platen
"$host" man | gzip -9n >"$stage/platen.1.gz"
for shell in bash zsh fish; do "$host" completion $shell >"$stage/$shell"; done
rm "$host"
cross/tools.sh nfpm
sed -e "s|@ARCH@|$1|; s|@VERSION@|$version+r$release|; s|@MTIME@|$mtime|; s|@STAGE@|$stage|" cross/deb/nfpm.yaml >"$stage/nfpm.yaml"
package() { PATH=$PATH:$PWD/build/tools/usr/bin nfpm package --config "$stage/nfpm.yaml" --packager deb --target "$1" >&2; }
name=platen_$version+r${release}_$1.deb
package "$out"
package "$stage" # a second time: the same bytes
cmp "$out/$name" "$stage/$name"
rm "$stage/$name"
echo "$out/$name"
