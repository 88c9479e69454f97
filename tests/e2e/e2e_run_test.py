#!/usr/bin/python3
"""'make run' as a user meets it: it ends by itself with a report, refuses a second run beside
it, obeys Ctrl-C, cleans up after a kill -9, and leaves nothing on the machine."""
import json
import os
import shutil
import signal
import subprocess
import time

import tap
from processes import wait_for

RUN = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "tools", "run", "gnomon-run"))


def machine(build):
    """What a run could leave behind."""
    links = set(os.listdir("/sys/class/net"))
    with open("/proc/mounts", encoding="utf-8") as file:
        mounts = {line.split()[1] for line in file if build in line or "gnomon" in line}
    processes = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(build.encode() + b"/run/") for word in words):
            processes.add(pid)
    with open("/proc/sys/vm/nr_hugepages", encoding="ascii") as file:
        hugepages = int(file.read())
    sockets = {os.path.join(d, f) for d, _, files in os.walk(f"{build}/run") for f in files
               if f.endswith((".sock", ".ipc"))}
    return {"links": {link for link in links if link == "gn-up0"}, "mounts": mounts,
            "processes": processes, "hugepages": hugepages, "sockets": sockets}


def start(build, *arguments, log):
    with open(log, "wb") as out:
        return subprocess.Popen([RUN, "--build", build, *arguments], stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT, start_new_session=True)


def said(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read()


def check_report(steps, path):
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    steps.check(report["samples"] > 0 and report["forecasts"] > 0, "the report counts samples and forecasts")
    web = [vm for vm in report["vms"] if vm["name"] == "web-1"][0]
    steps.check(web["packets_rx"] > 0 and web["packets_tx"] > 0 and web["disk_reads"] > 0 and
                web["disk_writes"] > 0 and web["before"]["vcpus"] >= 1 and web["after"]["vcpus"] >= 1,
                "a VM's packets, disk requests and allocations are in it", str(web))
    steps.check([s for s in report["shadows"] if s["vm"] == "web-1" and s["state"] not in ("", "FAILED")],
                "the shadow is in it", str(report["shadows"]))
    mirror = report["mirrors"][0]
    steps.check(mirror["seen"] == mirror["copied"] + mirror["filtered"] + mirror["sampled_out"] +
                mirror["dropped"] and mirror["copied"] > 0, "the mirror's counters add up", str(mirror))
    guests = {guest["vm"]: guest for guest in report["guests"]}
    steps.check(all(guests[name]["state"] == "READY" and guests[name]["processes"] > 5 and
                    guests[name]["demand"]["cpu"]["from"] == "guest" for name in ("web-1", "web-2", "load-1")),
                "every guest's kernel was read, and its demand comes from there", str(guests))
    steps.check(all({"vm", "kind", "reason", "result"} <= set(a) for a in report["actions"]),
                "actions tell VM, kind, reason and result")


def whole_run(steps, build, directory):
    log = f"{directory}/first.log"
    before = machine(build)
    first = start(build, "--for", "100", log=log)
    wait_for(lambda: "reserving hugepages" in said(log), 60, "the first run's start")
    second = subprocess.run([RUN, "--build", build, "--for", "60"], capture_output=True, text=True, timeout=60)
    steps.check(second.returncode == 1 and "another run uses" in second.stderr,
                "a second run beside it is refused with a sentence", second.stderr)
    steps.check(first.wait(240) == 0, "it ends by itself with status 0", said(log)[-600:])
    steps.check(machine(build) == before, "it leaves nothing", f"{before} then {machine(build)}")
    check_report(steps, f"{build}/run/report.json")


def interrupted(steps, build, directory):
    log = f"{directory}/second.log"
    before = machine(build)
    run = start(build, log=log)
    wait_for(lambda: "booting web-1" in said(log), 90, "the second run's VMs")
    run.kill()  # no chance to clean up
    run.wait()
    log = f"{directory}/third.log"
    run = start(build, log=log)
    wait_for(lambda: "Try next" in said(log), 180, "a run after one that was killed")
    steps.ok("a run that was killed with kill -9 does not hinder the next")
    os.kill(run.pid, signal.SIGINT)
    steps.check(run.wait(90) == 0 and "nothing is left" in said(log), "Ctrl-C ends it", said(log)[-600:])
    time.sleep(1)
    after = machine(build)
    steps.check(after == before, "and nothing of either run is left", f"{before} then {after}")


def wrong_arguments(steps):
    bad = subprocess.run([RUN, "--for", "5"], capture_output=True, text=True, timeout=20)
    steps.check(bad.returncode == 2 and "60 or more" in bad.stderr, "too short a run is refused", bad.stderr)


def body(steps):
    build, directory = os.path.abspath(tap.BUILD), "/tmp/gn-run-test"
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    try:
        wrong_arguments(steps)
        whole_run(steps, build, directory)
        interrupted(steps, build, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


tap.run(body)
