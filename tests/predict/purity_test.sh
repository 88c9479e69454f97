#!/bin/bash
# purity_test.sh - the predictor and the hazards touch nothing but their arguments: their objects
# ask only for memory functions and each other, hold no writable data and no floating point.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d /tmp/gnp-XXXXXX)
trap 'rm -rf "$work"' EXIT
n=0
failed=0
report() {
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1: $2"
		failed=1
	fi
}
sources=$(ls firmware/predict/*.c firmware/hazard/*.c firmware/core/text.c | grep -v -e _test.c -e _fuzz.c)
for source in $sources; do
	object=$work/$(echo "$source" | tr / _).o
	# -mgeneral-regs-only: the compiler refuses to touch a floating-point register
	gcc -std=gnu11 -O2 -I. -mgeneral-regs-only -fno-stack-protector -fno-pie -c -o "$object" "$source" ||
		report "$source compiles without floating point" "it does not"
done
own=$(nm --defined-only -g "$work"/*.o | awk 'NF == 3 {print $3}' | sort -u)
report "objects ask only for memory functions" "$(nm -u "$work"/*.o | awk 'NF == 2 {print $2}' |
	grep -v -x -e 'mem\(cpy\|set\|move\|cmp\|chr\)' | grep -v -x -F "$own" | sort -u | tr '\n' ' ')"
report "objects hold no writable data" "$(nm "$work"/*.o | awk '$2 ~ /^[dDbBC]$/ {print $3}' | tr '\n' ' ')"
if command -v aarch64-linux-gnu-gcc > /dev/null; then
	bad=
	for source in $sources; do
		aarch64-linux-gnu-gcc -std=gnu11 -O2 -I. -mgeneral-regs-only -fno-stack-protector -c \
			-o "$work/a.o" "$source" || bad="$bad $source"
	done
	report "arm64 objects compile without floating point" "$bad"
else
	n=$((n + 1))
	echo "ok $n - arm64 objects compile without floating point # SKIP no aarch64-linux-gnu-gcc"
fi
echo "1..$n"
exit $failed
