#!/usr/bin/python3
"""Kernels other than the test guest's, where Debian has them: 6.12 from backports (another symbol
table layout, per-CPU RSS counters) and 6.1 on arm64 (no data symbols in the symbol table)."""
import os
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import compare  # noqa: E402  (needs the path above)
from guest import Guest  # noqa: E402
from guest_test import BUILD, Skip, expect, introspect, printed, program  # noqa: E402

ROUNDS = 2


def fetched(name, architecture, suite, load):
    """Directory with the kernel and its initramfs."""
    directory = f"{BUILD}/guest-{name}"
    done = subprocess.run([f"{HERE}/fetch-kernel", architecture, suite, load, directory],
                          capture_output=True, check=False, timeout=300)
    if done.returncode == 3:
        raise Skip(f"no mirror has a kernel for {architecture} in {suite}")
    expect(done.returncode == 0, done.stderr.decode())
    return directory


def compare_frozen(guest, *options):
    for _ in range(ROUNDS):
        before = printed(guest)
        guest.freeze()
        try:
            ours = introspect(guest.memory, *options)
        finally:
            guest.thaw()
        check = compare.compare(before, ours, printed(guest))
        expect(not check.problems, "; ".join(check.problems[:10]))
        expect(check.checked > 200, f"only {check.checked} values were compared")
    return ours


def test_6_12():
    directory = fetched("6.12", "amd64", "bookworm-backports", program("gn-load"))
    # QEMU 7.2 gets CMPXCHG16B's flags wrong without KVM; newer kernels' allocator uses it.
    with Guest(f"{directory}/vmlinuz", f"{directory}/initramfs.gz", 2, 512,
               cpu="max,-cx16") as guest:
        guest.wait_ready()
        found = compare_frozen(guest)
        expect(found["release"].startswith("6.12."), found["release"])
        expect(found["found_by"] == "vmcoreinfo" and all(found["capabilities"].values()),
               f"{found['found_by']} {found['capabilities']}")


def test_arm64():
    for tool in ("qemu-system-aarch64", "aarch64-linux-gnu-gcc"):
        if not shutil.which(tool):
            raise Skip(f"{tool} is not installed")
    load = f"{BUILD}/guest-gn-load-arm64"
    sources = [f"tests/guest/load/{name}.c" for name in ("main", "pattern", "cpu", "memory",
                                                         "network", "disk")]
    subprocess.run(["aarch64-linux-gnu-gcc", "-O2", "-static", "-D_GNU_SOURCE", "-I.", "-o", load,
                    *sources, "-lpthread"], check=True, cwd=f"{HERE}/../..")
    directory = fetched("arm64", "arm64", "bookworm", load)
    with Guest(f"{directory}/vmlinuz", f"{directory}/initramfs.gz", 2, 512, arm=True,
               cpu="cortex-a72") as guest:
        guest.wait_ready()
        found = compare_frozen(guest, "--base", "0x40000000")
        can = found["capabilities"]
        expect(can["tasks"] and can["cpu"] and can["memory"] and can["log"], str(can))


TESTS = [("kernel 6.12 on x86-64", test_6_12), ("kernel 6.1 on arm64", test_arm64)]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that guests end too
    failed = 0
    for number, (name, test) in enumerate(TESTS, 1):
        try:
            test()
            print(f"ok {number} - {name}")
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}")
        except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as why:
            failed += 1
            print(f"not ok {number} - {name}")
            print("# " + str(why).replace("\n", "\n# "))
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
