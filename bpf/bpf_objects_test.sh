#!/bin/sh
# Objects for the kernel: type information is in them, DWARF is not; each is linked into its programs.
build=${GN_BUILD:-build}
number=0
failed=0
for object in "$build"/obj/bpf/*.bpf.o; do
	[ -e "$object" ] || { echo "ok 1 - objects # SKIP $build/obj/bpf has none"; exit 0; }
	number=$((number + 1))
	sections=$(readelf --sections --wide "$object")
	name=$(basename "$object")
	case $sections in
	*.debug_*) echo "not ok $number - $name has DWARF"; failed=1 ;;
	*.BTF.ext*) echo "ok $number - $name: type information, no DWARF" ;;
	*) echo "not ok $number - $name has no type information"; failed=1 ;;
	esac
done
exit $failed
