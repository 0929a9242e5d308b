#!/bin/sh
# Makes sure that Debian packages are installed: sh tools/need.sh PACKAGE...
# Silent when all of them are. Installs what is missing as root, or through sudo; fails with the
# command to run where neither is to be had.
set -eu

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "Not a Debian system: nothing is installed for you. Needed: $*" >&2
	exit 0
fi

missing=
for package in "$@"; do
	status=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | sort -u) || true
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
	root=
elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
	root=sudo
else
	echo "These packages are missing, and installing them takes root. Please run:" >&2
	echo "    apt-get install$missing" >&2
	exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" \
		>>"$log" 2>&1 </dev/null
}

echo "Installing:$missing"
# $missing is a list of words on purpose.
# shellcheck disable=SC2086
if ! { apt update && apt install -y --no-install-recommends $missing; }; then
	cat "$log" >&2
	echo "apt-get could not install:$missing" >&2
	exit 1
fi
