#!/usr/bin/python3
"""A shadow is rehearsed with a real guest: a clone of its disks boots apart from the network, gives a
sign of life, is measured and thrown away; the VM goes on as if nothing had been, its own disk and
its shadow's are not touched. What cannot be rehearsed is refused; a guest that does not boot fails
the rehearsal; a VM that is lost meanwhile does not wait for it."""
import os
import shutil
import signal
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import Failed, run, wait_for

VMS = [Vm("web-1", 1, "gn.peer=10.77.0.2 gn.udp=const:100 gn.http=8080", file_system="ext4"),
       Vm("web-2", 2, "gn.peer=10.77.0.1 gn.udp=const:100")]


def shadow_of(devbox):
    return devbox.ctl("shadow", "show", "web-1")


def wait_in_step(devbox):
    wait_for(lambda: shadow_of(devbox)["state"] == "IN_STEP", 120, "the shadow in step")


def refused(devbox, words, *arguments):
    try:
        devbox.ctl(*arguments)
    except Failed as why:
        return words in str(why)
    return False


def qemu_of(devbox, name):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read()
        except OSError:
            continue
        if f"guest={name},".encode() in words and devbox.dir.encode() in words:
            return int(pid)
    return None


def is_gone(devbox):
    return qemu_of(devbox, "web-1-shadow") is None and not os.path.exists(
        devbox.path("pool", "web-1-shadow", "vda.run.raw"))


def passes(devbox, consoles, steps):
    before, qemu = consoles[1].status(), qemu_of(devbox, "web-1")
    showed = devbox.ctl("shadow", "rehearse", "web-1", "--within", "100s")
    print(f"# clone {showed['clone_us'] / 1e3:.0f} ms, start {showed['boot_us'] / 1e3:.0f} ms, sign of life "
          f"{showed['probe_us'] / 1e3:.0f} ms, thrown away {showed['remove_us'] / 1e3:.0f} ms, "
          f"RTO {showed['rto_us'] / 1e3:.0f} ms", flush=True)
    steps.check(showed["passed"] and showed["rto_us"] > 0, "the clone boots and answers a GET", str(showed))
    steps.check(is_gone(devbox), "and is thrown away: no QEMU, no file")
    time.sleep(1)
    after = consoles[1].status()
    steps.check(qemu_of(devbox, "web-1") == qemu and after["udp_received"] > before["udp_received"],
                "the VM is not touched", f"{before} then {after}")
    wait_in_step(devbox)
    words = run(devbox.ctl_command("shadow", "show", "web-1"))
    steps.check("rehearsed" in words and "after its start" in words and "http://10.77.0.1:8080/ready" in words, "'shadow show' tells its RTO", words)


def probes(devbox, steps):
    """What is asked is what counts: the clone lives, and has no such page."""
    devbox.ctl("shadow", "update", "web-1", "--probe", "http://10.77.0.1:8080/nothing")
    try:
        devbox.ctl("shadow", "rehearse", "web-1", "--within", "15s")
    except Failed:
        pass
    showed = shadow_of(devbox)["rehearsal"]
    print(f"# {showed['message']}", flush=True)
    steps.check(not showed.get("passed") and "did not answer http://10.77.0.1:8080/nothing within 15 s" in
                showed["message"] and is_gone(devbox), "a clone that does not answer as it should fails", str(showed))
    wait_in_step(devbox)
    devbox.ctl("shadow", "update", "web-1", "--probe", "tcp://10.77.0.1:8080")


def refusals(devbox, steps):
    devbox.ctl("shadow", "rehearse", "web-1", "--no-wait")
    steps.check(refused(devbox, "being moved or rehearsed", "shadow", "rehearse", "web-1") and
                refused(devbox, "is being rehearsed", "shadow", "update", "web-1", "--start") and
                refused(devbox, "is being rehearsed", "shadow", "delete", "web-1"),
                "one at a time, and nothing changes the shadow meanwhile")


def gives_way(devbox, steps):
    """With the one of refusals() under way, the VM is lost."""
    wait_for(lambda: qemu_of(devbox, "web-1-shadow"), 60, "the clone's QEMU")
    devbox.ctl("policy", "set", "web-1", "--mode", "enforce")
    os.kill(qemu_of(devbox, "web-1"), signal.SIGKILL)
    plans = wait_for(lambda: (lambda p: p[0]["move"]["kind"] == "FAILOVER" and p[0]["state"] == "DONE" and p)(
        [p for p in devbox.ctl("plan", "list", "web-1").get("plans", []) if p.get("move")]), 200, "the failover")
    steps.check([p["state"] for p in plans[:2]] == ["DONE", "FAILED"],
                "a VM that is lost during a rehearsal fails over, and the rehearsal gives way", str(plans[:2]))
    wait_for(lambda: is_gone(devbox), 30, "the clone to be gone")
    devbox.wait_booted(VMS[0], 240)


def fails(devbox, steps):
    """A second is too short for any guest."""
    wait_in_step(devbox)
    try:
        devbox.ctl("shadow", "rehearse", "web-1", "--within", "1s")
    except Failed:
        pass
    showed = shadow_of(devbox)["rehearsal"]
    steps.check(not showed.get("passed") and "did not answer tcp://10.77.0.1:8080 within 1 s" in showed["message"],
                "one without a sign of life fails and says so", str(showed))
    wait_for(lambda: is_gone(devbox), 30, "the clone to be gone")
    steps.ok("and is thrown away as well")


def by_schedule(devbox, steps):
    newest = shadow_of(devbox)["rehearsal"]["plan"]
    devbox.ctl("shadow", "update", "web-1", "--rehearse-every", "1d")
    showed = wait_for(lambda: (lambda r: r["plan"] != newest and r)(shadow_of(devbox)["rehearsal"]), 150,
                      "a rehearsal by schedule")
    steps.check(showed.get("passed"), "it is rehearsed by schedule", str(showed))


def body(steps):
    directory = short_directory()
    devbox = Devbox(tap.BUILD, directory, VMS, tap="gn-e2er", gnomond={"overcommit_milli": 4000})
    try:
        devbox.start()
        consoles = [devbox.wait_booted(vm, 240) for vm in VMS]
        steps.check(refused(devbox, "no shadow", "shadow", "rehearse", "web-1"), "without a shadow it is refused")
        devbox.ctl("shadow", "create", "web-1", "--replication", "in-step")
        wait_in_step(devbox)
        steps.check(refused(devbox, "write arp://ADDRESS", "shadow", "update", "web-1", "--probe", "icmp://10.77.0.1"),
                    "a probe that nobody knows is refused")
        # At the clone's own port, with the VM under the same address a few ports away.
        devbox.ctl("shadow", "update", "web-1", "--probe", "http://10.77.0.1:8080/ready")
        passes(devbox, consoles, steps)
        probes(devbox, steps)
        refusals(devbox, steps)
        gives_way(devbox, steps)
        fails(devbox, steps)
        by_schedule(devbox, steps)
    except BaseException:
        tap.tails(devbox)
        raise
    finally:
        devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)


tap.run(body)
