#!/usr/bin/python3
"""Mutated memories through everything that parses them, with the sanitizers in libbpf's code too, whose
source comes from Debian. More than memcheck_test.py tries, since this is faster."""
import glob
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from memcheck_test import BUILD, CORPUS, mutate  # noqa: E402  (needs the path above)

MUTATIONS = 1000


def main():
    directory = f"{BUILD}/introspect-sanitized"
    built = subprocess.run([f"{HERE}/build-sanitized", directory], capture_output=True, text=True, check=False,
                           timeout=400)
    if built.returncode == 3:
        print("ok 1 - sanitized # SKIP no mirror has libbpf's source")
        return 0
    if built.returncode:
        print("not ok 1 - sanitized\n# " + built.stderr[-1000:].replace("\n", "\n# "))
        return 1
    with tempfile.TemporaryDirectory(prefix="gns-") as mutated:
        mutate(mutated, MUTATIONS)
        files = sorted(glob.glob(f"{CORPUS}/*")) + sorted(glob.glob(f"{mutated}/*"))
        done = subprocess.run([f"{directory}/replay", *files], capture_output=True, text=True, check=False,
                              timeout=550, env=dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1"))
    said = sum(line.startswith("ok ") for line in done.stdout.splitlines())
    good = done.returncode == 0 and said == len(files) and "runtime error" not in done.stderr
    print(f"{'ok' if good else 'not ok'} 1 - {len(files)} mutated memories with sanitizers, libbpf included")
    if not good:
        print("# " + (done.stderr[-3000:] or done.stdout[-500:]).replace("\n", "\n# "))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
