#!/usr/bin/python3
"""The Debian packages: the same twice, lintian is silent, and what is in them runs."""
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
n = 0


def check(condition, name, detail=""):
    global n
    n += 1
    print(f"{'ok' if condition else 'not ok'} {n} - {name}", flush=True)
    if not condition:
        print("".join(f"# {line}\n" for line in detail.splitlines()))
        raise SystemExit(1)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def made():
    """What 'make deb' makes: {file name: SHA-256}."""
    done = run(f"{HERE}/deb", "--build", BUILD)
    check(done.returncode == 0, "the packages are made", done.stderr)
    found = {}
    for path in glob.glob(f"{BUILD}/deb/*.deb"):
        with open(path, "rb") as file:
            found[os.path.basename(path)] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def test_lintian():
    """No error and no warning; the one exception is that a package that was never uploaded has no
    bug to close."""
    done = run("lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags",
               "initial-upload-closes-no-bugs", *sorted(glob.glob(f"{BUILD}/deb/*.deb")))
    check(done.returncode == 0 and not done.stdout.strip(), "lintian has nothing to say", done.stdout + done.stderr)


def test_content(directory):
    for path in glob.glob(f"{BUILD}/deb/*.deb"):
        run("dpkg-deb", "-x", path, directory)
    for program in ("usr/bin/gnomonctl", "usr/bin/gnomon-ca", "usr/sbin/gnomon-shim"):
        done = run(f"{directory}/{program}", "--help")
        check(done.returncode == 0 and os.path.basename(program) in done.stdout, f"{program} runs", done.stderr)
    done = run("bash", "-n", f"{directory}/usr/share/bash-completion/completions/gnomonctl")
    check(done.returncode == 0, "bash reads the completion", done.stderr)
    with open(f"{directory}/usr/lib/systemd/system/gnomon-shim.service", encoding="utf-8") as file:
        unit = file.read()
    check("ExecStart=/usr/sbin/gnomon-shim " in unit and "NoNewPrivileges=yes" in unit,
          "the unit starts the packaged program, sandboxed", unit)


def main():
    directory = tempfile.mkdtemp(prefix="gn-deb-")
    try:
        first = made()
        check(len(first) == 2 and first == made(), "made twice they are the same to the byte", str(first))
        test_lintian()
        test_content(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"1..{n}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
