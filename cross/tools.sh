#!/bin/sh
# Brings the outside programs that the demo and the tests talk to into build/tools,
# without root: what the machine has is left alone, what it lacks is downloaded as
# Debian packages and unpacked there.
#
#   cross/tools.sh PROGRAM...     programs: swtpm mosquitto qemu-arm printcore strace mkfs.ext4
#                                 tpm2_checkquote mosquitto_sub cbor2 qemu-system-aarch64,
#                                 u-boot.bin and AAVMF_CODE.fd, what that starts with,
#                                 step-ca and nfpm, which Go builds in some minutes,
#                                 and fdmprinter, the definitions that CuraEngine needs
#
# On other systems it says what to install and ends with 1.
set -eu
cd "$(dirname "$0")/.."
tools=build/tools
apt=build/apt

package() { # program -> packages
	case $1 in
	swtpm) echo swtpm swtpm-tools ;;
	mosquitto | strace) echo "$1" ;;
	mkfs.ext4) echo e2fsprogs ;;
	tpm2_checkquote) echo tpm2-tools ;;
	mosquitto_sub) echo mosquitto-clients ;;
	cbor2) command -v python3 >/dev/null || echo python3 ;;
	qemu-arm) echo qemu-user-static ;;
	printcore) command -v python3 >/dev/null || echo python3 ;;
	qemu-system-aarch64) echo qemu-system-arm ;;
	u-boot.bin | AAVMF_CODE.fd | fdmprinter | step-ca | nfpm) ;;
	*) echo "tools: $1 is not a program this script knows" >&2; exit 2 ;;
	esac
}

# What is taken without the packages it depends on: printcore does not need the
# window system of the suite it is a part of, nor do the definitions of printers.
alone() { # program -> packages
	case $1 in
	printcore) echo printcore printrun-common python3-serial ;;
	fdmprinter) echo cura ;;
	u-boot.bin) echo u-boot-qemu ;;
	AAVMF_CODE.fd) echo qemu-efi-aarch64 ;;
	cbor2) echo python3-cbor2 ;;
	esac
}

have() {
	for dir in /usr "$tools/usr"; do
		[ "$1" = cbor2 ] && [ -d "$dir/lib/python3/dist-packages/cbor2" ] && return 0
		[ "$1" = u-boot.bin ] && [ -f "$dir/lib/u-boot/qemu_arm64/u-boot.bin" ] && return 0
		[ "$1" = AAVMF_CODE.fd ] && [ -f "$dir/share/AAVMF/$1" ] && return 0
		[ "$1" = fdmprinter ] && [ -f "$dir/share/cura/resources/definitions/fdmprinter.def.json" ] && return 0
	done
	for name in "$1" "$1-static"; do
		for dir in $(echo "$PATH" | tr : ' ') /usr/sbin /sbin "$tools/usr/bin" "$tools/usr/sbin" "$tools/sbin"; do
			[ -x "$dir/$name" ] && return 0
		done
	done
	return 1
}

missing=
single=
for program in "$@"; do
	if [ "$program" = step-ca ] && ! have step-ca; then # Debian has none
		echo "tools: building step-ca" >&2
		GOBIN=$PWD/$tools/usr/bin CGO_ENABLED=0 go install github.com/smallstep/certificates/cmd/step-ca@v0.30.2
	fi
	if [ "$program" = nfpm ] && ! have nfpm; then
		echo "tools: building nfpm" >&2
		GOBIN=$PWD/$tools/usr/bin CGO_ENABLED=0 go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0
	fi
	if ! have "$program" || { [ "$program" = swtpm ] && ! have swtpm_setup; }; then
		missing="$missing $(package "$program")"
		single="$single $(alone "$program")"
	fi
done
missing=$(echo $missing)
single=$(echo $single)
[ -n "$missing$single" ] || exit 0

if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
	echo "tools: please install with your package manager: $missing $single" >&2
	exit 1
fi

mkdir -p "$tools" "$apt/lists/partial" "$apt/cache/archives/partial"
private="-o Dir::State::Lists=$PWD/$apt/lists -o Dir::Cache=$PWD/$apt/cache -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Acquire::Retries=3"
uris() { # everything the packages need that this machine lacks
	if [ -n "$single" ]; then apt-get $1 download --print-uris $single 2>/dev/null | sed -n "s/^'[^']*' \([^ _]*\)_.*/\1/p"; fi
	[ -n "$missing" ] || return 0
	apt-get $1 install --print-uris --yes --no-install-recommends $missing 2>/dev/null | sed -n "s/^'[^']*' \([^ _]*\)_.*/\1/p"
}

opts=
list=$(uris "") || list=
if [ -z "$list" ]; then # no package lists here: fetch them into build
	echo "tools: reading package lists" >&2
	opts=$private
	apt-get $opts update -qq >&2
	list=$(uris "$opts")
fi
if [ -z "$list" ]; then
	echo "tools: apt does not know: $missing $single; please install them" >&2
	exit 1
fi
echo "tools: unpacking" $list "into $tools" >&2
(cd "$apt/cache/archives" && apt-get $opts download $list >&2)
for deb in "$apt"/cache/archives/*.deb; do
	dpkg -x "$deb" "$tools"
	rm "$deb"
done
