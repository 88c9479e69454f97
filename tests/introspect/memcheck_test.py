#!/usr/bin/python3
"""The fuzz target's corpus under valgrind: sanitizers instrument only what is compiled with them,
valgrind also libbpf, whose parser reads what a guest's memory says."""
import glob
import os
import shutil
import subprocess
import sys

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "introspect")


def main():
    replay = f"{BUILD}/bin/gn-introspect-replay"
    if not shutil.which("valgrind") or not os.access(replay, os.X_OK):
        print("ok 1 - memcheck # SKIP valgrind is not installed or gn-introspect-replay not built")
        return 0
    files = sorted(glob.glob(f"{CORPUS}/*"))
    done = subprocess.run(["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full",
                           "--errors-for-leak-kinds=definite", replay, *files],
                          capture_output=True, text=True, check=False, timeout=550)
    good = done.returncode == 0 and done.stdout.count("\nok ") + done.stdout.startswith("ok ") == len(files)
    print(f"{'ok' if good else 'not ok'} 1 - {len(files)} mutated memories under valgrind, libbpf included")
    if not good:
        print("# " + (done.stderr[-3000:] or done.stdout[-500:]).replace("\n", "\n# "))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
