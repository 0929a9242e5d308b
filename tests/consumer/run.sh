#!/bin/sh
# Builds and runs the consumer against an installed tree:
#
#	run.sh cmake|pkgconfig PREFIX WORK
#
# PREFIX: where kv was installed; WORK: a directory for the results, made anew.
set -eu

way=$1 prefix=$2 work=$3
source=$(cd "$(dirname "$0")" && pwd)
pc=$(find "$prefix" -name kv.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
version=$(pkg-config --modversion kv)

rm -rf "$work"
mkdir -p "$work"
case $way in
cmake)
	cmake -S "$source" -B "$work" -DCMAKE_PREFIX_PATH="$prefix" -DKV_WANTED="$version"
	cmake --build "$work"
	;;
pkgconfig)
	flags="-Wall -Wextra -Wpedantic -Werror"
	# The flags are lists of words on purpose.
	# shellcheck disable=SC2046,SC2086
	{
		cc -std=c11 $flags "$source/consumer.c" $(pkg-config --cflags --libs kv) \
			-o "$work/consumer_c"
		c++ -std=c++11 $flags "$source/consumer.cpp" $(pkg-config --cflags --libs kv) \
			-o "$work/consumer_cpp"
	}
	;;
esac

for program in "$work/consumer_c" "$work/consumer_cpp"; do
	answer=$("$program")
	[ "$answer" = "kv $version" ] || {
		echo "$program said '$answer', expected 'kv $version'" >&2
		exit 1
	}
done
