#!/usr/bin/python3
"""Kernels other than the test guest's, where Debian has them: 6.12 from backports (another symbol
table layout, per-CPU RSS counters) and 6.1 on arm64 (no data symbols in the symbol table). More of them,
which take their time:

    kernels_test.py --all [WORD]         those whose name contains WORD"""
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
# Debian's arm64 cloud kernels have no data symbols in their symbol table, only the exported ones.
ARM64_LACKS = ("signs", "forks")


# Name, architecture, suite, package, beginning of its release, what it need not have, whether 'make check'
# tries it.
# 5.10 is older than what is supported (5.15): a field of task_struct has another name there. It stands for
# 5.15, which Debian does not have.
KERNELS = [
    ("6.12 on x86-64", "amd64", "bookworm-backports", "linux-image-cloud-amd64", "6.12.", (), True),
    ("6.1 on arm64", "arm64", "bookworm", "linux-image-cloud-arm64", "6.1.", ARM64_LACKS, True),
    ("6.12 on arm64", "arm64", "bookworm-backports", "linux-image-cloud-arm64", "6.12.", ARM64_LACKS, False),
    ("6.1 generic on x86-64", "amd64", "bookworm", "linux-image-amd64", "6.1.", (), False),
    ("6.1 real-time on x86-64", "amd64", "bookworm", "linux-image-rt-amd64", "6.1.", (), False),
    ("6.12 real-time on x86-64", "amd64", "bookworm-backports", "linux-image-rt-amd64", "6.12.", (), False),
    ("5.10 on x86-64", "amd64", "bullseye", "linux-image-cloud-amd64", "5.10.", ("tasks",), False),
]


def fetched(architecture, suite, package, load):
    """Directory with the kernel and its initramfs."""
    directory = f"{BUILD}/guest-{suite}-{package}"
    done = subprocess.run([f"{HERE}/fetch-kernel", architecture, suite, package, load, directory],
                          capture_output=True, check=False, timeout=600)
    if done.returncode == 3:
        raise Skip(f"no mirror has {package} in {suite}")
    expect(done.returncode == 0, done.stderr.decode())
    return directory


def load_for_arm64():
    for tool in ("qemu-system-aarch64", "aarch64-linux-gnu-gcc"):
        if not shutil.which(tool):
            raise Skip(f"{tool} is not installed")
    load = f"{BUILD}/guest-gn-load-arm64"
    sources = [f"tests/guest/load/{name}.c" for name in ("main", "pattern", "cpu", "memory",
                                                         "network", "disk")]
    subprocess.run(["aarch64-linux-gnu-gcc", "-O2", "-static", "-D_GNU_SOURCE", "-I.", "-o", load,
                    *sources, "-lpthread"], check=True, cwd=f"{HERE}/../..")
    return load


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
    return ours, check.checked


def try_kernel(architecture, suite, package, release, lacks):
    is_arm = architecture == "arm64"
    directory = fetched(architecture, suite, package, load_for_arm64() if is_arm else program("gn-load"))
    # QEMU 7.2 gets CMPXCHG16B's flags wrong without KVM; newer kernels' allocator uses it.
    with Guest(f"{directory}/vmlinuz", f"{directory}/initramfs.gz", 2, 512, arm=is_arm,
               cpu="cortex-a72" if is_arm else "max,-cx16") as guest:
        guest.wait_ready(300)
        found, n_checked = compare_frozen(guest, *(("--base", "0x40000000") if is_arm else ()))
        expect(found["release"].startswith(release), found["release"])
        lacking = [name for name, is_there in found["capabilities"].items()
                   if not is_there and name not in lacks]
        expect(not lacking, f"{found['found_by']}: without {lacking}")
        without = [name for name, is_there in found["capabilities"].items() if not is_there]
        print(f"# {found['release']}: by {found['found_by']}, {n_checked} values in the last comparison"
              + (f", without {without}" if without else ""))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that guests end too
    failed = 0
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    chosen = [k for k in KERNELS if (k[6] or "--all" in sys.argv) and word in k[0]]
    for number, (name, *kernel, _) in enumerate(chosen, 1):
        try:
            try_kernel(*kernel)
            print(f"ok {number} - kernel {name}")
        except Skip as why:
            print(f"ok {number} - kernel {name} # SKIP {why}")
        except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as why:
            failed += 1
            print(f"not ok {number} - kernel {name}")
            print("# " + str(why).replace("\n", "\n# "))
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
