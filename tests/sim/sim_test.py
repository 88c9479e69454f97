#!/usr/bin/python3
"""The fleet under faults: thousands of schedules without a violation; each rule that is broken
on purpose is found; a seed's run can be repeated step by step. Prints TAP."""
import os
import re
import subprocess
import sys

SIM = os.path.join(os.environ.get("GN_BUILD", "build"), "bin/gn-sim")
SCHEDULES = 5000
FLEET = ["--hosts", "40", "--vms", "2000", "--until", "20", "--faults", "60"]
n_tests = 0
failed = False


def report(ok, name, why=""):
    global n_tests, failed
    n_tests += 1
    failed |= not ok
    print(f"{'ok' if ok else 'not ok'} {n_tests} - {name}", flush=True)
    if not ok:
        print("".join(f"# {line}\n" for line in why.splitlines()[-20:]), end="", flush=True)


def sim(*words):
    done = subprocess.run([SIM, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def mutations():
    _, text = sim("--help")
    return text.strip().splitlines()[-1].split()


def main():
    code, text = sim("--seeds", f"1..{SCHEDULES}")
    report(code == 0, f"{SCHEDULES} schedules keep every invariant", text)
    print("".join(f"# {line}\n" for line in text.splitlines()), end="")
    code, text = sim("--seeds", "1", *FLEET)
    report(code == 0, "2,000 VMs on 40 hosts, too", text)
    for name in mutations():
        code, text = sim("--seeds", "1..4000", "--break", name)
        found = re.search(r"^seed (\d+) failed", text)
        report(code == 1 and found is not None, f"'{name}' is found", text)
        if not found:
            continue
        again = sim("--seeds", found.group(1), "--break", name)
        if again != (code, text):
            report(False, f"'{name}': the seed fails again, the same way", again[1])
    first, second = (re.sub(r"\(\d+ a second of CPU\)", "", sim("--seeds", "190", "--trace")[1])
                     for _ in range(2))
    report(first == second and "FAULT" in first, "a trace is the same twice")
    code, text = sim("--seeds", "x")
    report(code == 2 and "give a number" in text, "a wrong option says so", text)
    print(f"1..{n_tests}")
    return 1 if failed else 0


sys.exit(main())
