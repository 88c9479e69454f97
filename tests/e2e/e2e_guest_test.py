#!/usr/bin/python3
"""Demand measured inside real guests from outside: gnomond takes it from the guest's kernel, says
so, falls back to libvirt when gnomon-introspect is killed, and comes back when the runner has
started it again; 'gnomonctl vm top' shows the guest's processes. The card tells the host what to observe,
of which VM and for how long."""
import os
import shutil
import subprocess
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import Failed, wait_for

VMS = [Vm("seen-1", 1, "gn.cpu=const:300", vcpus=1, max_vcpus=2)]
LOOPS = "for i in 1 2 3; do (while :; do :; done) & done"


def demand(devbox, resource):
    vm = devbox.ctl("vm", "show", "seen-1")
    return next((d for d in vm["demands"] if d["resource"] == resource), {})


def is_from(devbox, resource, source):
    return demand(devbox, resource).get("source") == f"SOURCE_{source}"


def wait_for_source(devbox, resource, source, seconds=60):
    try:
        wait_for(lambda: (devbox.tend() and False) or is_from(devbox, resource, source), seconds, "")
    except Failed:
        told = devbox.ctl("vm", "top", "seen-1")
        told.get("sample", {}).pop("top", None)
        raise Failed(f"{resource} demand is not from {source}: {demand(devbox, resource)}; {told}") from None


def guest_is_used(devbox, steps):
    for resource in ("CPU", "MEMORY"):
        wait_for_source(devbox, resource, "GUEST")
    steps.ok("CPU and memory demand come from the guest's kernel")
    text = subprocess.run(devbox.ctl_command("vm", "show", "seen-1"), capture_output=True, text=True, timeout=20,
                          check=True).stdout
    steps.check("the guest's kernel (libvirt: " in text, "'vm show' says so, and what libvirt reads", text)
    memory = demand(devbox, "MEMORY")
    inside = devbox.console("seen-1")
    line = next(line for line in inside.shell("cat /proc/meminfo") if line.startswith("MemAvailable"))
    free = int(line.split()[1]) << 10
    inside.close()
    used = memory["allocated"] - free
    steps.check(abs(memory["value"] - memory.get("correction", 0) - used) < 8 << 20,
                "memory demand is what the guest does not call available", f"{memory}, available {free}")


def loops(devbox):
    sample = devbox.ctl("vm", "top", "seen-1")["sample"]
    return [p for p in sample["top"] if p["name"] == "sh" and int(p["cpu_milli"]) > 50]


def waiting_is_demand(devbox, steps):
    """Three loops on one vCPU: the host sees one vCPU in use, the guest wants three."""
    console = devbox.console("seen-1")
    console.shell(LOOPS)
    wait_for(lambda: int(demand(devbox, "CPU")["value"]) > 1800, 30, "demand beyond what the VM has")
    seen = demand(devbox, "CPU")
    steps.check(seen["other_value"] <= 1100, "what waits in the guest's run queue is demand; libvirt sees one vCPU",
                str(seen))
    wait_for(lambda: len(loops(devbox)) >= 2, 30, "the loops among the busiest processes")
    steps.ok("'vm top --json' names the loops")
    text = subprocess.run(devbox.ctl_command("vm", "top", "seen-1", "--once", "--sort", "cpu"), capture_output=True,
                          text=True, timeout=20, check=True).stdout
    rows = [line.split() for line in text.split("\n\n")[-1].splitlines()[1:]]
    shares = [float(row[2]) for row in rows]
    steps.check("READY  Linux" in text and shares == sorted(shares, reverse=True) and
                "sh" in [row[-1] for row in rows[:4]], "'vm top --once' shows the busiest first", text)
    console.close()


OBSERVE = {"observe": {"threads": True, "kinds": ["runq", "syscalls"], "max_seconds": 20}}


def observed_for_a_time(devbox, steps):
    """Through card and shim to the host's kernel: a window on this VM's QEMU, which ends by itself."""
    probes = {p["name"]: p for p in devbox.ctl("host", "probes")["probes"]}
    if probes["syscalls"]["result"] != "AVAILABLE":
        steps.ok(f"windows on the VM's process # SKIP {probes['syscalls']['reason']}")
        return
    steps.check(probes["blockio"]["result"] == "NOT_ALLOWED" and probes["blockio"]["reason"],
                "'host probes' says what may be observed, and why the rest may not", str(probes))
    seen = devbox.ctl("vm", "observe", "seen-1", "--kind", "syscalls", "--for", "2s")
    with open(f"/proc/{seen['pid']}/cmdline", "rb") as file:
        line = file.read()
    steps.check(seen["vm"] == "vms/seen-1" and b"qemu" in line and b"seen-1" in line,
                "a window looks at the process of that VM", str(line[:200]))
    steps.check(seen["ended_by"] == "time" and int(seen["ends_us"]) - int(seen["started_us"]) == 2000000,
                "it ends when the card said", str(seen)[:600])
    steps.check(sum(int(c["calls"]) for c in seen["system_calls"]) > 50, "it has counted QEMU's system calls",
                str(seen)[:600])
    waits = devbox.ctl("vm", "observe", "seen-1", "--kind", "runq", "--for", "2s")["histograms"]
    steps.check(int(waits[0]["count"]) > 10, "and its waits for a CPU", str(waits))
    for kind, length, word in (("blockio", "2s", "kinds"), ("runq", "60s", "20")):
        done = subprocess.run(devbox.ctl_command("vm", "observe", "seen-1", "--kind", kind, "--for", length),
                              capture_output=True, text=True, timeout=30, check=False)
        steps.check(done.returncode and word in done.stderr, f"what the host's owner did not allow is refused: {kind}, "
                    f"{length}", done.stderr)


def killed(devbox, steps):
    time.sleep(15)  # what both read is averaged over the last seconds
    before = int(demand(devbox, "CPU")["value"])
    devbox.introspect.process.kill()
    wait_for(lambda: is_from(devbox, "CPU", "HOST"), 15, "the fall-back to libvirt")
    now = demand(devbox, "CPU")
    steps.check("does not report any more" in now["source_reason"], "after kill -9 libvirt is asked, with the reason",
                str(now))
    steps.check(abs(int(now["value"]) - before) < before // 4,
                "the demand does not jump, although libvirt reads a third of it", f"{before} then {now}")
    wait_for(lambda: "reported nothing for" in devbox.ctl("vm", "top", "seen-1")["note"], 15, "a note in 'vm top'")
    steps.ok("'vm top' says how old its picture is")
    said = wait_for(devbox.tend, 10, "the runner noticing")
    steps.check("starts again in 1 s" in said, "the runner says that it ended", said)
    wait_for_source(devbox, "CPU", "GUEST")
    steps.ok("the runner starts it again, and demand is the guest's once more")


def restarted_card(devbox, steps):
    devbox.gnomond.kill()
    devbox.start_gnomond()
    wait_for(lambda: devbox.ctl("vm", "show", "seen-1").get("demands"), 30, "demand after gnomond's restart")
    wait_for_source(devbox, "CPU", "GUEST", 30)
    steps.ok("after a kill -9 of gnomond the guest is asked at once")


def nothing_else_noticed(devbox, steps):
    steps.check(devbox.dataplane.running() and devbox.shim.running(), "dataplane and shim were not touched")
    console = devbox.console("seen-1")
    console.status()
    console.close()
    steps.ok("and the guest answers")


def body(steps):
    directory = short_directory()
    devbox = Devbox(tap.BUILD, directory, VMS, tap="gn-e2eg", shim=OBSERVE)
    try:
        devbox.start()
        devbox.wait_booted(VMS[0]).close()
        guest_is_used(devbox, steps)
        waiting_is_demand(devbox, steps)
        observed_for_a_time(devbox, steps)
        killed(devbox, steps)
        restarted_card(devbox, steps)
        nothing_else_noticed(devbox, steps)
    except BaseException:
        tap.tails(devbox)
        raise
    finally:
        devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)


tap.run(body)
