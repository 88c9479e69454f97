"""How long a VM is away when its QEMU is killed and its shadow takes its place, phase by phase, and
what is lost; with a guest that writes, in step and async, 20 times each. Booting is the guest's own
affair (under TCG, some 7 s on a quiet machine), so the aim of 300 ms is for fence and promotion."""
import os
import signal
import statistics
import time

import harness
from devbox import Devbox, Failed, Vm, wait_for

AIM_MS = {"detect": 1000, "fence and promote": 300}


def qemu_of(devbox, name):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read()
        except OSError:
            continue
        if f"guest={name},".encode() in words and devbox.dir.encode() in words:
            return int(pid)
    raise Failed(f"{name} has no QEMU")


def moves(devbox):
    return [p for p in devbox.ctl("plan", "list", "web-1", "--limit", "100").get("plans", []) if p.get("move")]


def done(devbox, number):
    plans = moves(devbox)
    return plans[0] if len(plans) == number and plans[0]["state"] == "DONE" else None


def wait_in_step(devbox):
    wait_for(lambda: devbox.ctl("shadow", "show", "web-1")["state"] == "IN_STEP", 300, "the shadow in step")


def fail_over(devbox, number):
    """Kills the VM's QEMU under writes; the finished plan."""
    wait_in_step(devbox)
    console = devbox.console("web-1").wait_ready(300)
    console.command("verify 600")
    time.sleep(2)
    console.close()
    os.kill(qemu_of(devbox, "web-1"), signal.SIGKILL)
    return wait_for(lambda: done(devbox, number), 300, "the failover")


def phases(plan):
    took = {a["kind"].lower(): (a["done_us"] - a["at_us"]) / 1000 for a in plan["actions"]}
    move = plan["move"]
    return {"detect": (move["detected_us"] - move["first_us"]) / 1000, "reserve": took["reserve"],
            "fence and promote": took["fence"] + took["promote"], "boot": took["boot"],
            "reachable": took["announce"], "all": (move["done_us"] - move["first_us"]) / 1000}


def rows_of(mode, plans):
    rows = []
    for phase in phases(plans[0]):
        value = statistics.median(phases(plan)[phase] for plan in plans)
        aim = AIM_MS.get(phase)
        rows.append(harness.row(f"failover, {mode}: {phase}", value, "ms, median", False,
                                f"aim of {aim} ms" if aim else None, value / aim if aim else None,
                                1 if aim else None))
    lost = max(int(plan["move"].get("lost_bytes", 0)) for plan in plans)
    rows.append(harness.row(f"failover, {mode}: lost, worst of {len(plans)}", lost, "bytes", False))
    return rows


def run(context):
    if os.geteuid() != 0:
        raise harness.CannotRun("root is needed for libvirt")
    count, rows, number = 2 if context.quick else 20, [], 0
    vms = [Vm("web-1", 1, "", policy={"mode": "enforce"})]
    devbox = Devbox(context.build, f"{context.tmp}/d", vms, tap="gn-bfo", gnomond={"overcommit_milli": 4000})
    try:
        devbox.start()
        devbox.ctl("shadow", "create", "web-1", "--replication", "async")
        for mode in ("async", "in-step"):
            wait_in_step(devbox)
            devbox.ctl("shadow", "update", "web-1", "--replication", mode)
            plans = []
            for _ in range(count):
                number += 1
                plans.append(fail_over(devbox, number))
            rows += rows_of(mode, plans)
    finally:
        devbox.stop()
    return rows
