#!/usr/bin/python3
"""Mutated memories through everything that parses them, with the sanitizers in libbpf's code too, whose
source comes from Debian. The corpus and mutations of the type information, shared out to the machine's
threads.

    sanitized_test.py [MUTATIONS]        as many as you have time for; 'make check' tries 300"""
import glob
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from memcheck_test import BUILD, CORPUS, mutate  # noqa: E402  (needs the path above)

MUTATIONS = 300
SEED = 11  # other mutations than memcheck_test.py's


def replay(program, directory, number, files):
    with open(f"{directory}/out{number}", "wb") as out, open(f"{directory}/err{number}", "wb") as err:
        return subprocess.Popen([program, *files], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                env=dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1"))


def text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def main():
    mutations = int(sys.argv[1]) if len(sys.argv) > 1 else MUTATIONS
    built = subprocess.run([f"{HERE}/build-sanitized", f"{BUILD}/introspect-sanitized"], capture_output=True,
                           text=True, check=False)
    if built.returncode == 3:
        print("ok 1 - sanitized # SKIP no mirror has libbpf's source")
        return 0
    if built.returncode:
        print("not ok 1 - sanitized\n# " + built.stderr[-1000:].replace("\n", "\n# "))
        return 1
    shares = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="gns-") as directory:
        os.mkdir(f"{directory}/m")
        mutate(f"{directory}/m", mutations, SEED)
        files = sorted(glob.glob(f"{CORPUS}/*")) + sorted(glob.glob(f"{directory}/m/*"))
        children = [replay(f"{BUILD}/introspect-sanitized/replay", directory, i, files[i::shares])
                    for i in range(shares)]
        codes = [child.wait() for child in children]
        out = [text(f"{directory}/out{i}") for i in range(shares)]
        err = [text(f"{directory}/err{i}") for i in range(shares)]
    said = sum(line.startswith("ok ") for lines in out for line in lines.splitlines())
    good = not any(codes) and said == len(files) and not any("runtime error" in lines for lines in err)
    print(f"{'ok' if good else 'not ok'} 1 - {len(files)} mutated memories with sanitizers, libbpf included")
    if not good:
        print(f"# exit status {codes}, {said} of {len(files)} done")
        print("# " + "".join(lines[-3000:] for lines in err).replace("\n", "\n# "))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
