#!/usr/bin/python3
"""A VM whose QEMU is killed comes back on its shadow's disk with every acknowledged write: after an
operator's approval in FORECAST_ONLY, by itself in ENFORCE, and also when gnomond is killed in the
middle. What may not be promoted is refused with its reason. The shadow then follows in
the other direction."""
import os
import shutil
import signal
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import Failed, run, wait_for

VMS = [Vm("web-1", 1, "gn.peer=10.77.0.2 gn.udp=const:100", file_system="ext4"),
       Vm("web-2", 2, "gn.peer=10.77.0.1 gn.udp=const:100 gn.http=const:3")]

# Each file is durable, with its checksum, before its number is told.
WRITER = """mkdir -p /mnt && mount -t ext4 /dev/vda /mnt || exit 1
i=$(ls /mnt | sed -n 's/^f\\([0-9]*\\)$/\\1/p' | sort -n | tail -1)
while :; do
 i=$((i+1))
 dd if=/dev/urandom of=/mnt/f$i bs=16k count=2 2>/dev/null
 md5sum </mnt/f$i >/mnt/f$i.md5
 sync
 echo $i >/tmp/acked.new
 mv /tmp/acked.new /tmp/acked
 rm -f /mnt/f$((i-100)) /mnt/f$((i-100)).md5
done"""


def write_files(console):
    for line in WRITER.splitlines():
        quoted = line.replace("'", "'\\''")
        console.command(f"run echo '{quoted}' >>/tmp/writer")
    console.command("run sh /tmp/writer >/tmp/writer.log 2>&1 &")
    before = acknowledged(console)
    wait_for(lambda: acknowledged(console) > before + 2, 60, "files written in the guest")


def acknowledged(console):
    console.socket.sendall(b"run echo files $(cat /tmp/acked || echo 0)\n")
    return int(console.wait("files", 30).split()[1])


def check_files(console, n, steps, name):
    """The guest's own file system, after its journal was replayed, has what it had acknowledged."""
    answer = console.command(
        f"run mkdir -p /mnt && mount -t ext4 /dev/vda /mnt && i={max(1, n - 50)}; while [ $i -le {n} ]; do "
        "md5sum </mnt/f$i | cmp -s - /mnt/f$i.md5 || exit 1; i=$((i+1)); done; umount /mnt", 60)
    steps.check(answer.endswith(" 0"), name, f"of {n} files: {answer}")


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


def shadow_of(devbox):
    return devbox.ctl("shadow", "show", "web-1")


def wait_in_step(devbox):
    return wait_for(lambda: (lambda s: s["state"] == "IN_STEP" and s)(shadow_of(devbox)), 120, "the shadow in step")


def moves(devbox):
    return [p for p in devbox.ctl("plan", "list", "web-1", "--limit", "100").get("plans", []) if p.get("move")]


def newest(devbox, state):
    plans = moves(devbox)
    return plans[0] if plans and plans[0]["state"] == state else None


def wait_move(devbox, state, number, seconds=200):
    """Until the so-many-th move of this run is in that state."""
    try:
        return wait_for(lambda: len(moves(devbox)) == number and newest(devbox, state), seconds, "")
    except Failed:
        raise Failed(f"no {number} moves, the last {state}: {moves(devbox)}") from None


def refused(devbox, words, *options):
    try:
        devbox.ctl("shadow", "promote", "web-1", *options)
    except Failed as why:
        return words in str(why)
    return False


def phases(plan):
    move = plan["move"]
    steps = {a["kind"].lower(): (a["done_us"] - a["at_us"]) / 1000 for a in plan["actions"]}
    steps["detect"] = (move["detected_us"] - move["first_us"]) / 1000
    steps["away"] = (move["done_us"] - move["first_us"]) / 1000
    return ", ".join(f"{name} {ms:.0f} ms" for name, ms in steps.items())


def refusals(devbox, steps):
    steps.check(refused(devbox, "the VM runs and its card holds the volume"),
                "a VM that runs is not promoted away from")
    devbox.ctl("shadow", "update", "web-1", "--hold")
    steps.check(refused(devbox, "an operator holds it"), "an operator's hold is obeyed")
    devbox.ctl("shadow", "update", "web-1", "--release")
    steps.check(not moves(devbox), "and no plan was made")


def approved(devbox, console, steps):
    """FORECAST_ONLY: seen, proposed, and nothing changed until an operator says so."""
    n = acknowledged(console)
    os.kill(qemu_of(devbox, "web-1"), signal.SIGKILL)
    plan = wait_move(devbox, "PENDING", 1, 20)
    time.sleep(2)
    steps.check(devbox.virsh("domstate", "web-1").strip() == "shut off" and
                os.path.exists(devbox.path("vhost", "web-1-vda.sock")),
                "in FORECAST_ONLY a lost VM's plan is shown and nothing is changed", plan["reason"])
    steps.check("its QEMU is gone" in plan["reason"] and "every write" in plan["reason"],
                "the plan says why", plan["reason"])
    old = devbox.path("disks", "web-1-vda.raw")
    before = os.stat(old).st_mtime_ns
    devbox.ctl("plan", "approve", plan["name"])
    plan = wait_move(devbox, "DONE", 1)
    print(f"# approved: {phases(plan)}", flush=True)
    steps.check(plan["move"]["loss_is_known"] and not plan["move"].get("lost_us") and
                not plan["move"].get("lost_bytes"), "approved, it fails over and loses nothing", str(plan["move"]))
    console = devbox.wait_booted(VMS[0], 240)
    check_files(console, n, steps, "every file that was durable in the guest is there")
    steps.check(os.stat(old).st_mtime_ns == before, "the former disk is not touched any more")
    words = run(devbox.ctl_command("plan", "show", plan["name"]))
    steps.check("noticed in" in words and "no write" in words and "the ports and disks of" in words,
                "'plan show' says it in words", words)
    return console


def other_direction(devbox, steps):
    shadow = wait_in_step(devbox)
    steps.check(shadow["disks"][0]["path"].endswith("vda-b.raw"),
                "the shadow follows in the other direction", str(shadow["disks"]))


def by_itself(devbox, console, steps):
    devbox.ctl("policy", "set", "web-1", "--mode", "enforce")
    write_files(console)
    n = acknowledged(console)
    os.kill(qemu_of(devbox, "web-1"), signal.SIGKILL)
    plan = wait_move(devbox, "DONE", 2)
    print(f"# enforced: {phases(plan)}", flush=True)
    console = devbox.wait_booted(VMS[0], 240)
    check_files(console, n, steps, "in ENFORCE it fails over by itself, with every file")
    return console


def killed_in_between(devbox, console, steps):
    """gnomond dies with the plan under way, and goes on with it: each command once."""
    wait_in_step(devbox)
    write_files(console)
    n = acknowledged(console)
    os.kill(qemu_of(devbox, "web-1"), signal.SIGKILL)
    wait_for(lambda: len(moves(devbox)) == 3, 20, "the plan to begin")
    devbox.gnomond.kill()
    devbox.start_gnomond()
    plan = wait_move(devbox, "DONE", 3)
    print(f"# gnomond killed: {phases(plan)}", flush=True)
    console = devbox.wait_booted(VMS[0], 240)
    check_files(console, n, steps, "after a kill -9 of gnomond the failover goes on, with every file")
    steps.check(len(moves(devbox)) == 3, "it is one plan", str([p["name"] for p in moves(devbox)]))
    return console


def orderly(devbox, steps):
    """Who is shut down in order is not lost."""
    devbox.virsh("destroy", "web-1")
    time.sleep(4)
    steps.check(len(moves(devbox)) == 3 and devbox.virsh("domstate", "web-1").strip() == "shut off",
                "a VM that was ended on purpose is left alone")


def nobody_else(devbox, console, steps):
    before = console.status()
    time.sleep(3)
    after = console.status()
    steps.check(after["udp_received"] > before["udp_received"],
                "the other VM hears web-1 again at the same address", f"{before} then {after}")


def body(steps):
    directory = short_directory()
    devbox = Devbox(tap.BUILD, directory, VMS, tap="gn-e2ev", gnomond={"overcommit_milli": 4000})
    try:
        devbox.start()
        consoles = [devbox.wait_booted(vm, 240) for vm in VMS]
        write_files(consoles[0])
        devbox.ctl("shadow", "create", "web-1", "--replication", "in-step")
        wait_in_step(devbox)
        refusals(devbox, steps)
        console = approved(devbox, consoles[0], steps)
        other_direction(devbox, steps)
        console = by_itself(devbox, console, steps)
        nobody_else(devbox, consoles[1], steps)
        console = killed_in_between(devbox, console, steps)
        orderly(devbox, steps)
    except BaseException:
        tap.tails(devbox)
        raise
    finally:
        devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)


tap.run(body)
