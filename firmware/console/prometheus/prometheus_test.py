#!/usr/bin/python3
"""The Prometheus rules and the Grafana dashboard: promtool takes and tests the rules, and every metric
that they name is one that gnomon-console serves. Prints TAP."""
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = re.compile(r"\bgnomon_[a-z0-9_]+")
UNITS = {"cpu": "vcpus", "memory": "bytes"}


def served():
    """Names in metrics.c; those of resources are put together there."""
    with open(f"{HERE}/../metrics.c", encoding="utf-8") as file:
        names = set(NAME.findall(file.read()))
    for what, unit in UNITS.items():
        names |= {f"gnomon_vm_{what}_{kind}_{unit}" for kind in ("demand", "allocated", "forecast")}
    return names


def used(path):
    with open(path, encoding="utf-8") as file:
        return set(NAME.findall(file.read()))


def promtool(*words):
    done = subprocess.run(["promtool", *words], cwd=HERE, capture_output=True, text=True, timeout=60)
    return done.returncode == 0, done.stdout + done.stderr


def cases():
    if shutil.which("promtool"):
        yield "promtool takes the rules", *promtool("check", "rules", "rules.yaml")
        yield "alerts come when they are to", *promtool("test", "rules", "rules_check.yaml")
    else:
        yield "promtool takes the rules # SKIP promtool is missing (Debian's package prometheus)", True, ""
    for name in ("rules.yaml", "dashboard.json"):
        unknown = used(f"{HERE}/{name}") - served()
        yield f"{name} names only metrics that there are", not unknown, str(sorted(unknown))
    with open(f"{HERE}/dashboard.json", encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    ids = [panel["id"] for panel in panels]
    yield "the dashboard is JSON, and its panels differ", len(ids) == len(set(ids)) > 5, str(ids)


def main():
    failed = 0
    for number, (name, good, detail) in enumerate(cases(), 1):
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
        if not good:
            failed += 1
            print("# " + detail.replace("\n", "\n# "))
    sys.exit(failed > 0)


main()
