#!/usr/bin/python3
"""A guest whose kernel panics is lost though its QEMU is there: the card sees it from outside, kills what
is left of it and starts the shadow, with every acknowledged write. In FORECAST_ONLY it is only said. A
guest that dies again soon after is left to people."""
import os
import shutil
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import Failed, wait_for

VMS = [Vm("web-1", 1, "", file_system="ext4")]


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


def wait_move(devbox, state, number, seconds=200):
    def found():
        plans = moves(devbox)
        return len(plans) == number and plans[0]["state"] == state and plans[0]
    try:
        return wait_for(found, seconds, "")
    except Failed:
        raise Failed(f"no {number} moves, the last {state}: {moves(devbox)}") from None


def ready(devbox):
    """In step, and the guest's kernel is read."""
    wait_for(lambda: devbox.ctl("shadow", "show", "web-1")["state"] == "IN_STEP", 120, "the shadow in step")
    wait_for(lambda: devbox.ctl("vm", "show", "web-1").get("guest", {}).get("state") == "GUEST_STATE_READY", 90,
             "a guest that is read")


def panic(console):
    console.shell("echo 0 >/proc/sys/kernel/panic")
    console.socket.sendall(b"run echo c >/proc/sysrq-trigger\n")


def only_said(devbox, console, steps):
    console.shell("mkdir -p /mnt && mount -t ext4 /dev/vda /mnt && echo here >/mnt/acknowledged && sync")
    old = qemu_of(devbox, "web-1")
    panic(console)
    plan = wait_move(devbox, "PENDING", 1, 60)
    steps.check("the guest's kernel has panicked" in plan["reason"], "a panic is noticed from outside", plan["reason"])
    time.sleep(2)
    steps.check(qemu_of(devbox, "web-1") == old and devbox.virsh("domstate", "web-1").strip() == "running",
                "in FORECAST_ONLY nothing is changed")
    return plan, old


def moved(devbox, plan, old, steps):
    devbox.ctl("plan", "approve", plan["name"])
    plan = wait_move(devbox, "DONE", 1)
    console = devbox.wait_booted(VMS[0], 240)
    steps.check(qemu_of(devbox, "web-1") != old and not plan["move"].get("lost_bytes"),
                "approved, what is left of it is killed and the shadow takes its place", str(plan["move"]))
    answer = console.command("run mkdir -p /mnt && mount -t ext4 /dev/vda /mnt && grep -q here /mnt/acknowledged", 60)
    steps.check(answer.endswith(" 0"), "with what it had acknowledged", answer)
    return console


def left_to_people(devbox, console, steps):
    devbox.ctl("policy", "set", "web-1", "--mode", "enforce")
    ready(devbox)
    panic(console)
    wait_for(lambda: "panic" in str(devbox.ctl("vm", "show", "web-1").get("guest", {}).get("signs")), 60, "the panic")
    time.sleep(4)
    steps.check(len(moves(devbox)) == 1, "one that dies again soon after is not failed over by itself again",
                str(moves(devbox)))
    devbox.ctl("shadow", "promote", "web-1")
    wait_move(devbox, "DONE", 2)
    steps.ok("but by an operator's word")
    return devbox.wait_booted(VMS[0], 240)


def body(steps):
    directory = short_directory()
    devbox = Devbox(tap.BUILD, directory, VMS, tap="gn-e2ep", gnomond={"overcommit_milli": 4000})
    try:
        devbox.start()
        console = devbox.wait_booted(VMS[0], 240)
        devbox.ctl("shadow", "create", "web-1", "--replication", "in-step")
        ready(devbox)
        plan, old = only_said(devbox, console, steps)
        console = moved(devbox, plan, old, steps)
        left_to_people(devbox, console, steps)
    except BaseException:
        tap.tails(devbox)
        raise
    finally:
        devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)


tap.run(body)
