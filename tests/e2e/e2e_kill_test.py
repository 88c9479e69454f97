#!/usr/bin/python3
"""Every process is killed under real guests' traffic and verified disk writes: the brain, the
shim and the command line without the guests noticing, the dataplane with a short pause."""
import os
import shutil
import signal
import subprocess
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import wait_for

VMS = [Vm("web-1", 1, "gn.peer=10.77.0.2 gn.udp=const:400 gn.http=const:4"),
       Vm("web-2", 2, "gn.peer=10.77.0.1 gn.udp=const:400")]


def traffic_goes_on(console, steps, name, seconds=3):
    console.status()  # begins a new gap measurement
    before = console.status()
    time.sleep(seconds)
    after = console.status()
    steps.check(after["udp_received"] > before["udp_received"] + 10 * seconds and
                after["http_ok"] > before["http_ok"], name, f"{before} then {after}")


def brain_and_shim(devbox, consoles, steps):
    devbox.ctl("policy", "set", "web-1", "--cpu-max", "3")
    samples = devbox.ctl("status")["samples"]
    steps.check(samples > 0, "samples are stored")
    killed_us = time.time() * 1e6
    watch = subprocess.Popen(devbox.ctl_command("watch"), stdout=subprocess.DEVNULL)
    for victim in (devbox.gnomond, devbox.shim):
        victim.kill()
    os.kill(watch.pid, signal.SIGKILL)
    watch.wait()
    traffic_goes_on(consoles[0], steps, "traffic and disk go on without gnomond, shim and gnomonctl")
    devbox.start_shim()
    devbox.start_gnomond()
    wait_for(lambda: devbox.ctl("status").get("shim_connected"), 20, "gnomond finding the shim again")
    policy = devbox.ctl("policy", "get", "web-1")
    cpu = [r for r in policy["resources"] if r["resource"] == "CPU"][0]
    steps.check(cpu["maximum"] == 3000, "the policy that was set survives kill -9", str(cpu))
    wait_for(lambda: devbox.ctl("status")["samples"] > 5, 20, "new samples after the restart")
    times = lambda: [p["wall_us"] for p in devbox.ctl("history", "web-1", "cpu", "--last", "10min",
                                                      "--points", "600")["points"]]
    wait_for(lambda: max(times()) > killed_us, 15, "history going on after the restart")
    steps.check(min(times()) < killed_us, "history from before the kill is kept", str(times()))


def commands_once(devbox, steps):
    """A plan approved while the shim is dead is carried out once, after its return."""
    done_before = devbox.vcpus("web-1")
    devbox.shim.kill()
    devbox.start_shim()
    wait_for(lambda: devbox.ctl("status").get("shim_connected"), 20, "the shim's return")
    steps.check(devbox.vcpus("web-1") == done_before, "a shim's restart repeats no command")


def dataplane(devbox, consoles, steps):
    consoles[0].command("verify 14")
    for _ in range(3):
        time.sleep(2.5)
        devbox.dataplane.kill()
        devbox.start_dataplane()
    wait_for(lambda: not consoles[0].status()["verify_running"], 60, "the end of the verified writes")
    status = consoles[0].status()
    steps.check(status["verify_writes"] > 50 and status["verify_checked"] > 0, "the guest wrote and checked",
                str(status))
    steps.check(status["verify_wrong"] == 0 and status["disk_errors"] == 0,
                "after three kill -9 of the dataplane every acknowledged write is there", str(status))
    traffic_goes_on(consoles[0], steps, "the guests' network resumes by itself")


def body(steps):
    directory = short_directory()
    devbox = Devbox(tap.BUILD, directory, VMS, tap="gn-e2ek")
    try:
        devbox.start()
        consoles = [devbox.wait_booted(vm) for vm in VMS]
        traffic_goes_on(consoles[0], steps, "the guests talk through the dataplane")
        brain_and_shim(devbox, consoles, steps)
        commands_once(devbox, steps)
        dataplane(devbox, consoles, steps)
    except BaseException:
        tap.tails(devbox)
        raise
    finally:
        devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)


tap.run(body)
