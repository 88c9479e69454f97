#!/usr/bin/python3
"""A shadow is made of a running VM: defined in libvirt as its exact copy, with a disk of its
own, and its port receives the mirrored packets; then it is removed without a trace."""
import os
import shutil
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import wait_for

VMS = [Vm("web-1", 1, "gn.peer=10.77.0.2 gn.udp=const:300 gn.http=const:3"),
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
        defined(devbox, steps)
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


def state_of(devbox):
    return devbox.ctl("shadow", "show", "web-1")["state"]


def defined(devbox, steps):
    devbox.ctl("shadow", "create", "web-1", "--start")
    wait_for(lambda: state_of(devbox) in ("STALE", "SYNCING", "IN_STEP"), 60, "the shadow's making")
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
