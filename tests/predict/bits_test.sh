#!/bin/bash
# bits_test.sh - the same forecasts, bit by bit, on x86-64 and arm64, with any optimisation and
# with the other compiler.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d /tmp/gnb-XXXXXX)
trap 'rm -rf "$work"' EXIT
sources="tests/predict/digest.c firmware/hazard/anomaly.c firmware/core/text.c
	$(ls firmware/predict/*.c | grep -v -e _test.c -e _fuzz.c)"
pack=
[ -f firmware/model/default.pack ] && pack=firmware/model/default.pack
n=0
failed=0
# shellcheck disable=SC2086
compare() { # name, compiler, flags, runner
	n=$((n + 1))
	if ! command -v "$2" > /dev/null || { [ -n "$4" ] && ! command -v "$4" > /dev/null; }; then
		echo "ok $n - $1 # SKIP needs $2 $4"
	elif $2 -std=gnu11 $3 -I. -o "$work/d" $sources && $4 "$work/d" $pack > "$work/out" &&
		cmp -s "$work/first" "$work/out"; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		diff "$work/first" "$work/out"
		failed=1
	fi
}
# shellcheck disable=SC2086
gcc -std=gnu11 -O2 -I. -o "$work/d" $sources && "$work/d" $pack > "$work/first" || exit 1
[ "$(wc -l < "$work/first")" = 7 ] || exit 1
compare "gcc -O0 says the same as -O2" gcc -O0 ""
compare "clang says the same" clang-14 -O3 ""
compare "arm64 says the same" aarch64-linux-gnu-gcc "-O2 -static" qemu-aarch64-static
echo "1..$n"
exit $failed
