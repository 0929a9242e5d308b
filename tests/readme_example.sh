#!/bin/sh
# Compiles the first C example of README.md as a user would, and runs it:
#
#	readme_example.sh README PREFIX WORK
#
# PREFIX: where kv was installed; WORK: a directory for the results, made anew.
set -eu

readme=$1 prefix=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
awk '/^```c$/ { inside = 1; next } inside && /^```$/ { exit } inside' "$readme" >"$work/example.c"
[ -s "$work/example.c" ] || {
	echo "$readme has no block that begins with \`\`\`c" >&2
	exit 1
}

pc=$(find "$prefix" -name kv.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
cd "$work"
# The flags are a list of words on purpose.
# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Wpedantic -Werror example.c $(pkg-config --cflags --libs kv) -o example
./example
