#!/usr/bin/python3
"""A shadow is made of a running VM: defined in libvirt as its exact copy, its disk follows every
write of the VM's file system, also when the dataplane is killed, and its port receives the mirrored
packets; then it is removed without a trace."""
import hashlib
import os
import shutil
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import Failed, run, wait_for

VMS = [Vm("web-1", 1, "gn.peer=10.77.0.2 gn.udp=const:300 gn.http=const:3", file_system="ext4"),
       Vm("web-2", 2, "gn.peer=10.77.0.1 gn.udp=const:300 gn.http=const:3")]


def mirror_of(devbox, name):
    found = [m for m in devbox.ctl("mirror", "show")["mirrors"] if m["name"] == name]
    return found[0] if found else None


def identity_holds(counters):
    return all(counters["seen" + unit] == sum(counters[part + unit] for part in
                                              ("copied", "filtered", "sampled_out", "dropped"))
               for unit in ("", "_bytes"))


def body(steps):
    directory = short_directory()
    devbox = Devbox(tap.BUILD, directory, VMS, tap="gn-e2es", gnomond={"overcommit_milli": 4000})
    try:
        devbox.start()
        consoles = [devbox.wait_booted(vm) for vm in VMS]
        write_files(consoles[0])
        defined(devbox, steps)
        follows(devbox, consoles[0], steps)
        snapshots(devbox, steps)
        mirrored(devbox, consoles, steps)
        capture(devbox, steps)
        removed(devbox, steps)
        armed(devbox, consoles, steps)
    except BaseException:
        tap.tails(devbox)
        raise
    finally:
        devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)


def snapshots(devbox, steps):
    made = devbox.ctl("snapshot", "create", "web-1", "one")
    steps.check(made["reflink"] == devbox.pool.has_reflink and os.path.exists(made["paths"][0]),
                "a snapshot is made" + (", in an instant" if made["reflink"] else " by copying"), str(made))
    os.makedirs(devbox.path("pool", "out"))
    devbox.ctl("clone", "web-1", devbox.path("pool", "out"))
    copy = devbox.path("pool", "out", "web-1-vda.raw")
    run(["e2fsck", "-y", "-E", "journal_only", copy])
    run(["e2fsck", "-f", "-n", copy])
    os.unlink(copy)
    steps.ok("a clone is a clean file system")
    devbox.ctl("snapshot", "export", "web-1", "one", devbox.path("pool", "out"))
    with open(copy, "rb") as a, open(made["paths"][0], "rb") as b:
        steps.check(a.read() == b.read(), "a snapshot that is exported is the same")
    devbox.ctl("shadow", "update", "web-1", "--snapshots", "1min:2")
    listed = lambda: devbox.ctl("snapshot", "list", "web-1").get("snapshots", [])
    wait_for(lambda: any(s.get("automatic") for s in listed()), 70, "a snapshot by rule")
    devbox.ctl("shadow", "update", "web-1", "--snapshots", "never")
    wait_for(lambda: devbox.ctl("shadow", "show", "web-1").get("snapshots", []) == [], 5, "the rule's end")
    devbox.ctl("shadow", "update", "web-1", "--stop")
    wait_for(lambda: not devbox.ctl("shadow", "show", "web-1")["runs"], 30, "the shadow to stop")
    shadow = devbox.ctl("snapshot", "revert", "web-1", "one")
    disk = devbox.path("pool", "web-1-shadow", "vda.raw")
    with open(copy, "rb") as a, open(disk, "rb") as b:
        steps.check(a.read() == b.read() and shadow["disk_point_us"] == made["point_us"],
                    "a shadow that is reverted has the snapshot's disk", str(shadow))
    wait_for(lambda: state_of(devbox) == "STALE", 10, "it to follow no more")
    devbox.ctl("shadow", "update", "web-1", "--replication", "async")
    wait_for(lambda: state_of(devbox) == "IN_STEP", 60, "it to follow again")
    devbox.ctl("snapshot", "delete", "web-1", "one")
    steps.check(not os.path.exists(made["paths"][0]), "a deleted snapshot's file is gone")
    devbox.ctl("shadow", "update", "web-1", "--start")
    wait_for(lambda: devbox.ctl("shadow", "show", "web-1")["runs"], 60, "the shadow to run again")
    steps.ok("it follows again, and runs again")


def state_of(devbox):
    return devbox.ctl("shadow", "show", "web-1")["state"]


# Each file is durable, with its checksum, before its number is told.
WRITER = """mkdir -p /mnt && mount -t ext4 /dev/vda /mnt || exit 1
i=1
while [ ! -e /tmp/stop ]; do
 dd if=/dev/urandom of=/mnt/f$i bs=16k count=4 2>/dev/null
 md5sum </mnt/f$i >/mnt/f$i.md5
 sync
 echo $i >/tmp/acked.new
 mv /tmp/acked.new /tmp/acked
 rm -f /mnt/f$((i-200)) /mnt/f$((i-200)).md5
 i=$((i+1))
done
touch /tmp/stopped"""


def write_files(console):
    for line in WRITER.splitlines():
        console.command(f"run echo '{line}' >>/tmp/writer")
    console.command("run sh /tmp/writer >/tmp/writer.log 2>&1 &")
    wait_for(lambda: acknowledged(console) > 2, 30, "files written in the guest")


def acknowledged(console):
    """How many files the guest knows to be durable."""
    console.socket.sendall(b"run echo files $(cat /tmp/acked || echo 0)\n")
    return int(console.wait("files", 20).split()[1])


def copy_shadow(devbox):
    """A copy of the shadow's consistent point. The channel may open its listener anew after peers
    were killed, and a call is lost then: a caller asks again. The process must be the same."""
    pid = devbox.dataplane.pid
    for name in ("check.raw", "check-again.raw"):
        copy = devbox.path("pool", name)
        try:
            run([devbox.program("gn-call"), f"ipc://{devbox.path('dataplane.ipc')}", "Dataplane/CloneVolume",
                 "name=volumes/web-1-vda", f"target_path={copy}", "of_shadow=true"])
            return copy
        except Failed as error:
            lost = "connection" in str(error) and name == "check.raw"
            if not lost or not devbox.dataplane.running() or devbox.dataplane.pid != pid:
                raise
    return None


def check_copy(devbox, at_least):
    """A crash-consistent file system: its journal replayed, fsck finds nothing, and every file that
    was durable then is there. Returns how many files there are."""
    copy, mount = copy_shadow(devbox), devbox.path("check")
    try:
        run(["e2fsck", "-y", "-E", "journal_only", copy])
        run(["e2fsck", "-f", "-n", copy])
        os.makedirs(mount, exist_ok=True)
        run(["mount", "-o", "loop,ro", copy, mount])
        try:
            return check_files(mount, at_least)
        finally:
            run(["umount", mount])
    finally:
        os.unlink(copy)


def check_files(mount, at_least):
    last = max(int(name[1:-4]) for name in os.listdir(mount) if name.endswith(".md5"))
    assert last >= at_least, f"file {at_least} was durable, the copy ends with {last}"
    for i in range(max(1, at_least - 100), at_least + 1):
        with open(f"{mount}/f{i}", "rb") as data, open(f"{mount}/f{i}.md5", encoding="ascii") as digest:
            assert hashlib.md5(data.read()).hexdigest() == digest.read().split()[0], f"file {i} is another"
    return last


def caught_up(devbox, after_us):
    """The shadow has all that was written before 'after_us'."""
    shadow = devbox.ctl("shadow", "show", "web-1")
    return shadow["state"] == "IN_STEP" and shadow["disk_point_us"] > after_us and shadow


def follows(devbox, console, steps):
    shadow = wait_for(lambda: caught_up(devbox, 0), 60, "the shadow to be in step")
    steps.check(shadow["lag"]["journal_size_bytes"] > 0 and shadow["disks"][0]["status"]["writes"] > 0,
                "a disk in use was synchronised, and its lag is told", str(shadow))
    for mode in ("async", "in-step"):
        devbox.ctl("shadow", "update", "web-1", "--replication", mode)
        n, now = acknowledged(console), time.time() * 1e6
        wait_for(lambda: caught_up(devbox, now), 30, "the shadow to have what was written")
        steps.check(check_copy(devbox, n) >= n, f"its content is a clean file system with every file, {mode}")
        devbox.dataplane.kill()
        devbox.start_dataplane()
        wait_for(lambda: acknowledged(console) > n + 2, 30, "the guest to write on after the kill")
        n, now = acknowledged(console), time.time() * 1e6
        wait_for(lambda: caught_up(devbox, now), 60, "the shadow to be in step after the kill")
        steps.check(check_copy(devbox, n) >= n, f"and after kill -9 of the dataplane, {mode}")
    resyncs = devbox.ctl("shadow", "show", "web-1")["disks"][0]["status"]["resyncs"]
    console.command("run touch /tmp/stop; while [ ! -e /tmp/stopped ]; do sleep 1; done", 60)
    answer = console.command("run echo 3 >/proc/sys/vm/drop_caches; cd /mnt; for f in *.md5; do "
                             "md5sum <${f%.md5} | cmp -s - $f || exit 1; done", 60)
    steps.check(answer.endswith(" 0"), "the VM's own disk has every file", answer)
    steps.check(resyncs > 0, "after a kill only what may differ was copied", str(resyncs))


def defined(devbox, steps):
    devbox.ctl("shadow", "create", "web-1", "--start")
    shadow = wait_for(lambda: (lambda s: s.get("runs") and s)(devbox.ctl("shadow", "show", "web-1")), 90,
                      "the shadow's making")
    steps.check(shadow["state"] in ("SYNCING", "IN_STEP") and shadow["run_point_us"] > 0,
                "the shadow runs on a copy of a consistent point", str(shadow))
    xml, original = devbox.virsh("dumpxml", "web-1-shadow"), devbox.virsh("dumpxml", "web-1")
    for line in ("<type arch='x86_64' machine=", "<kernel>", "<memory unit", "<mac address="):
        mine, its = ([l.strip() for l in text.splitlines() if line in l] for text in (xml, original))
        steps.check(mine == its and mine, f"the shadow has production's {line.split()[0].strip('<>')}",
                    f"{mine} and {its}")
    steps.check("web-1-shadow-net0.sock" in xml and "web-1-shadow-vda.sock" in xml,
                "its NIC and disk are its own")
    pools = devbox.virsh("pool-list", "--all")
    steps.check("gnomon-shadows" in pools, "its storage pool is known to libvirt", pools)


def mirrored(devbox, consoles, steps):
    shadow = devbox.shadow_console("web-1").wait_ready(120)
    wait_for(lambda: shadow.status().get("udp_received", 0) > 20, 90, "mirrored packets in the shadow's guest")
    steps.ok("the shadow's guest receives production's packets")
    before = consoles[1].status()
    time.sleep(3)
    after = consoles[1].status()
    steps.check(after["http_ok"] > before["http_ok"] and after["http_failed"] == before["http_failed"],
                "the shadow, which answers too, disturbs nobody", f"{before} then {after}")
    mirror = mirror_of(devbox, "vms/web-1/mirrors/shadow")
    steps.check(identity_holds(mirror["counters"]) and mirror["counters"]["copied"] > 0,
                "seen = copied + filtered + sampled out + dropped, in packets and bytes", str(mirror))
    shadow.close()


def capture(devbox, steps):
    path = devbox.path("capture.pcapng")
    devbox.ctl("mirror", "set", "web-1", "capture", "--sink", f"pcapng={path}", "--filter", "proto udp dport 9",
               "--truncate", "60", "--sample", "2")
    wait_for(lambda: os.path.exists(path) and os.path.getsize(path) > 4000, 30, "packets in the capture file")
    devbox.ctl("mirror", "set", "web-1", "capture", "--sink", f"pcapng={path}", "--filter", "proto tcp")
    time.sleep(1)
    mirror = mirror_of(devbox, "vms/web-1/mirrors/capture")
    counters = mirror["counters"]
    steps.check(identity_holds(counters) and counters["filtered"] > 0 and counters["sampled_out"] > 0,
                "a capture session filters and samples, and its counters add up", str(mirror))
    devbox.ctl("mirror", "delete", "web-1", "capture")
    wait_for(lambda: mirror_of(devbox, "vms/web-1/mirrors/capture") is None, 5, "the deleted session's end")
    steps.ok("a session ends when it is deleted")


def removed(devbox, steps):
    devbox.ctl("shadow", "delete", "web-1")
    wait_for(lambda: "web-1-shadow" not in devbox.virsh("list", "--all", "--name"), 30, "the shadow's end")
    wait_for(lambda: mirror_of(devbox, "vms/web-1/mirrors/shadow") is None, 10, "its mirror's end")
    left = [n for n in os.listdir(devbox.path("pool")) if "web-1-shadow" in n and
            os.listdir(devbox.path("pool", n))] if os.path.isdir(devbox.path("pool")) else []
    steps.check(not left and not os.path.exists(devbox.path("vhost", "web-1-shadow-net0.sock")),
                "nothing of the shadow is left", str(left))


def armed(devbox, consoles, steps):
    devbox.ctl("shadow", "create", "web-1", "--when", "cpu 0.5 for 3s")
    steps.check(devbox.ctl("shadow", "show", "web-1").get("armed"), "a shadow with a trigger waits for it")
    consoles[0].command("cpu const:900")
    wait_for(lambda: state_of(devbox) in ("STALE", "SYNCING", "IN_STEP"), 60, "the triggered shadow")
    made_by = devbox.ctl("shadow", "show", "web-1")["made_by"]
    steps.check("trigger" in made_by, "CPU above the threshold makes it", made_by)


tap.run(body)
