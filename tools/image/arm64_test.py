#!/usr/bin/python3
"""Unit tests of what decides and of what parses foreign bytes, compiled for arm64 as the image is and run
under qemu-user. (That forecasts are the same bits on both is 'make test T=bits'.)"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import cross
import sysroot
from image_test import BUILD

TESTS = ["demand", "failover", "fixed", "hazard", "ledger", "names", "plan", "policy", "predict", "shadow", "tenure",
         "update", "envelope"]


def main():
    try:
        root = os.path.abspath(sysroot.prepare(f"{BUILD}/image", lambda text: None))
        # Sanitizers need more of the machine than qemu-user gives; x86-64 has them on.
        folder = cross.make(BUILD, root, [f"test/{name}" for name in TESTS], "SAN=-O1")
    except sysroot.Unreachable as error:
        print(f"ok 1 - arm64 # SKIP {str(error).splitlines()[0]}")
        return 0
    except (sysroot.Failed, OSError) as error:
        print(f"not ok 1 - it compiles for arm64: {error}")
        return 1
    failed = 0
    for i, name in enumerate(TESTS, 1):
        done = subprocess.run(["qemu-aarch64-static", "-L", root, f"{folder}/test/{name}"], stdin=subprocess.DEVNULL,
                              env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"}, cwd=cross.REPOSITORY,
                              capture_output=True, text=True, check=False)
        passed = done.returncode == 0 and "\nok 1" in f"\n{done.stdout}{done.stderr}"
        failed += not passed
        print(f"{'ok' if passed else 'not ok'} {i} - {name} on arm64", flush=True)
        if not passed:
            print("".join(f"# {line}\n" for line in (done.stdout + done.stderr).splitlines()[-20:]))
    print(f"1..{len(TESTS)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
