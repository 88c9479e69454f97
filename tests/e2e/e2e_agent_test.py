#!/usr/bin/python3
"""gnomon-guest inside a real guest: its system calls, calls of a program's function and block I/O come
out of a virtio-serial port, through gnomon-shim and gnomond, to 'gnomonctl vm calls'. The VM is not
harmed when the shim is killed, nor when the agent is."""
import gzip
import os
import shutil
import subprocess
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import Failed, wait_for

API = "/bin/gn-load:gn_pattern_value"
PERIOD_S = 6


def initrd_with_agent(directory):
    """The test guest's, with gnomon-guest and the port's driver behind it: the kernel unpacks both."""
    root = f"{directory}/root"
    os.makedirs(f"{root}/bin")
    os.makedirs(f"{root}/modules")
    shutil.copy(f"{tap.BUILD}/bin/gnomon-guest", f"{root}/bin/")
    modules = [os.path.join(at, "virtio_console.ko") for at, _, files in os.walk(f"{tap.BUILD}/guest/kernel/root")
               if "virtio_console.ko" in files]
    shutil.copy(modules[0], f"{root}/modules/")
    names = "bin\nbin/gnomon-guest\nmodules\nmodules/virtio_console.ko\n"
    archive = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=root, input=names.encode(),
                             capture_output=True, check=True).stdout
    path = f"{directory}/initrd"
    with open(f"{tap.BUILD}/guest/initramfs.gz", "rb") as base, open(path, "wb") as out:
        out.write(base.read() + gzip.compress(archive, 1))
    return path


def report(devbox):
    return devbox.ctl("vm", "calls", "web-1").get("agent")


def number(message, field):
    return int(message.get(field, 0))


def rows(told, **wanted):
    return [c for c in told["calls"] if all(c.get(key) == value for key, value in wanted.items())]


def total(told, field, **wanted):
    return sum(number(c, field) for c in rows(told, **wanted))


def next_report(devbox, after):
    return wait_for(lambda: (told := report(devbox)) and number(told, "sequence") > after and told,
                    120, f"a report after number {after}")


def starts(devbox, console, steps):
    said = console.shell("insmod /modules/virtio_console.ko; ls /dev/vport*")
    steps.check(report(devbox) is None, "nothing is told before the owner starts the agent", str(said))
    console.shell(f"gnomon-guest --period {PERIOD_S * 1000} --api {API} 2>/tmp/agent.log & true")
    try:
        told = next_report(devbox, 0)
    except Failed:
        raise Failed("no report; the agent said: " + " ".join(console.shell("cat /tmp/agent.log"))) from None
    steps.check(set(told["parts"]) == {"calls", "runq", "oncpu", "blockio", "apis"},
                "in a guest every part of the agent works", str(told["parts"]) +
                " ".join(console.shell("cat /tmp/agent.log")))
    return number(told, "sequence")


def counts(devbox, console, steps, sequence):
    """What is done within one period is counted exactly; twice tried, in case it ended in between."""
    for attempt in range(3):
        sequence = number(next_report(devbox, sequence), "sequence")
        console.shell("dd if=/dev/zero of=/dev/null bs=1 count=2000 2>/dev/null")
        console.shell("for i in 1 2 3 4 5 6 7 8 9; do [ -e /none ]; done")
        console.shell("dd if=/dev/vda of=/dev/null bs=4096 count=64 iflag=direct 2>/dev/null", 30)
        told = next_report(devbox, sequence)
        reads = total(told, "count", process="dd", name="read")
        if reads:
            break
    writes = total(told, "count", process="dd", name="write")
    steps.check(2064 <= reads <= 2080 and 2064 <= writes <= 2080, "each process's system calls are counted",
                f"{reads} reads, {writes} writes of dd")
    failed = sum(number(c, "errors") for c in told["calls"] if "stat" in c["name"])
    steps.check(failed >= 9, "and those that fail", f"{failed}: {told['calls']}"[:1500])
    api = total(told, "count", name=API)
    steps.check(rows(told, name=API)[0].get("api") and 5 * PERIOD_S <= api <= 5 * 12 * PERIOD_S,
                "calls of a program's function are counted", f"{api} in {told['period_us']} us")
    block = {h["name"]: h for h in told["histograms"]}
    steps.check(number(block.get("read", {}), "count") >= 64, "block requests have their latency", str(block.keys()))
    steps.check(number(block["wait"], "count") > 100 and number(block["slice"], "count") > 100,
                "and so have waits for a CPU, and time on it", str({k: v.get("count") for k, v in block.items()}))
    text = subprocess.run(devbox.ctl_command("vm", "calls", "web-1"), capture_output=True, text=True, timeout=20,
                          check=True).stdout
    steps.check("system calls in" in text and "read()" in text and API in text, "'vm calls' shows it", text)
    return number(told, "sequence")


def outlived(devbox, console, steps, sequence):
    devbox.shim.kill()
    console.status()
    devbox.start_shim()
    sequence = number(next_report(devbox, sequence), "sequence")
    steps.ok("a shim that was killed hears the agent again; the VM went on")
    console.shell("kill -9 $(pidof gnomon-guest)", 60)
    wait_for(lambda: report(devbox) is None, 40, "the last report growing old")
    steps.ok("an agent that was killed tells nothing any more")
    begin = time.monotonic()
    console.status()
    steps.check(time.monotonic() - begin < 60, "and the guest answers")


def body(steps):
    directory, parts = short_directory(), short_directory()
    devbox = None
    try:
        vm = Vm("web-1", 1, "gn.cpu=const:100", vcpus=1, max_vcpus=1, agent=True, initrd=initrd_with_agent(parts))
        devbox = Devbox(tap.BUILD, directory, [vm], tap="gn-e2ea")
        devbox.start()
        console = devbox.wait_booted(vm)
        sequence = starts(devbox, console, steps)
        sequence = counts(devbox, console, steps, sequence)
        outlived(devbox, console, steps, sequence)
        console.close()
    except BaseException:
        if devbox:
            tap.tails(devbox)
        raise
    finally:
        if devbox:
            devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(parts, ignore_errors=True)


tap.run(body)
