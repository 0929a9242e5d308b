#!/bin/sh
# Builds everything that the tests need, with assertions, into build/tests and runs the tests.
# Arguments go to ctest: `sh tests/run.sh -R cursor`, `sh tests/run.sh -C long -L long`.
# Installs missing Debian packages. In CI (the variable is set) warnings are errors.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/tests

sh "$root/tools/need.sh" gcc g++ libc6-dev cmake make pkg-config binutils \
	libxxhash-dev liburing-dev libjansson-dev libcmocka-dev

cmake -S "$root" -B "$build" --log-level=WARNING \
	-DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo -DKV_ASSERTS=ON \
	-DKV_BUILD_TESTS=ON -DKV_WERROR="${CI:+ON}" >/dev/null
jobs=$(nproc)
cmake --build "$build" -j "$jobs"

cd "$build"
exec ctest -j "$jobs" --output-on-failure "$@"
