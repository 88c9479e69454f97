#!/usr/bin/python3
"""The fuzz target's corpus and mutations of the type information under valgrind: sanitizers
instrument only what is compiled with them, valgrind also libbpf, whose parser reads what a guest's
memory says."""
import glob
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "introspect")


MUTATIONS = 400
BTF, BTF_SIZE = 0x100000 + 0x60000, 0x40000  # in the made-up memory: tests/introspect/image.h


def mutate(directory, count, seed):
    """Words of the type information overwritten: its header, its records, its strings."""
    rng = random.Random(seed)
    wild = (0, 1, 0xffffffff, 0x7fffffff, 0x80000000, 0xffffffffffffffff, 0x0400000004000000)
    for number in range(count):
        data = bytes([rng.randrange(3)])
        for _ in range(rng.randrange(1, 9)):
            reach = rng.choice((24, 4096, BTF_SIZE))
            value = rng.choice(wild) if rng.random() < 0.6 else rng.getrandbits(64)
            data += struct.pack("<IQ", BTF + rng.randrange(reach), value)
        with open(f"{directory}/{number:04}", "wb") as file:
            file.write(data)


def main():
    replay = f"{BUILD}/bin/gn-introspect-replay"
    if not shutil.which("valgrind") or not os.access(replay, os.X_OK):
        print("ok 1 - memcheck # SKIP valgrind is not installed or gn-introspect-replay not built")
        return 0
    with tempfile.TemporaryDirectory(prefix="gnm-") as directory:
        mutate(directory, MUTATIONS, 7)
        files = sorted(glob.glob(f"{CORPUS}/*")) + sorted(glob.glob(f"{directory}/*"))
        done = subprocess.run(["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full",
                               "--errors-for-leak-kinds=definite", replay, *files],
                              capture_output=True, text=True, check=False, timeout=550)
    said = sum(line.startswith("ok ") for line in done.stdout.splitlines())
    good = done.returncode == 0 and said == len(files)
    print(f"{'ok' if good else 'not ok'} 1 - {len(files)} mutated memories under valgrind, libbpf included")
    if not good:
        print("# " + (done.stderr[-3000:] or done.stdout[-500:]).replace("\n", "\n# "))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
