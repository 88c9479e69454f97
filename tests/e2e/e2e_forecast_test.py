#!/usr/bin/python3
"""A VM's vCPU is added because of a forecast, before the peak of its demand and not after it;
a VM in FORECAST_ONLY with the same demand is left alone until an operator approves."""
import shutil
import time

import tap
from devbox import Devbox, Vm, short_directory
from processes import wait_for

DAY_S, PEAK_S, HORIZON_S = 20, 6, 6
DEMAND = f"gn.cpu=periodic:120:920:{DAY_S}:{PEAK_S}"


def policy(mode):
    return {"mode": mode, "resources": [
        {"resource": "cpu", "quantile_milli": 950, "horizon_ms": HORIZON_S * 1000, "minimum": 1000,
         "maximum": 2000, "step": 1000, "headroom_milli": 250, "dead_band_milli": 50,
         "cooldown_ms": 5000, "shrink_after_ms": 600000, "max_change": 1000}]}


def cpu_plans(devbox, vm):
    return [p for p in devbox.ctl("plan", "list", vm, "--limit", "100").get("plans", [])
            if p["inputs"]["resource"] == "CPU"]


def foreseen(devbox, vm):
    """Whether demand is low now and a trusted forecast expects the peak."""
    return any(f["resource"] == "CPU" and f["trusted"] and f["observed"] < 500 and f["p95"] > 800
               for f in devbox.ctl("forecast", vm).get("forecasts", []))


def seconds_into_day(console, wall_us):
    """Where in the guest's day an instant of the host's clock lies; the peak is its end."""
    asked = time.time()
    day_began = (asked + time.time()) / 2 - console.status()["cpu_ms"] / 1000
    return (wall_us / 1e6 - day_began) % DAY_S


def in_quiet_hour(console, begin=1, end=4):
    return begin <= seconds_into_day(console, time.time() * 1e6) <= end


def calm_quiet_hour(devbox, vm, console):
    """Lives through the hours after a peak; whether a trusted forecast asked for no second vCPU in
    them. On a busy machine it takes a few more days until that is so."""
    wait_for(lambda: in_quiet_hour(console, 1, 2), 60, "a quiet hour")
    while in_quiet_hour(console, 1, 6):
        at_horizon = [f for f in devbox.ctl("forecast", vm).get("forecasts", [])
                      if f["resource"] == "CPU" and f["horizon_us"] == HORIZON_S * 1000000]
        if not all(f["trusted"] and f["p95"] < 750 for f in at_horizon):
            return False
        time.sleep(0.5)
    return True


def executed(devbox):
    for plan in cpu_plans(devbox, "web-1"):
        for action in plan["actions"]:
            if action["kind"] == "SET_VCPUS" and plan["state"] == "DONE":
                return plan, action
    return None


def body(steps):
    directory = short_directory()
    vms = [Vm("web-1", 1, DEMAND, policy("off")), Vm("web-2", 2, DEMAND, policy("forecast_only"))]
    settings = {"horizons": [2, 4, HORIZON_S, 10], "overcommit_milli": 4000}
    devbox = Devbox(tap.BUILD, directory, vms, gnomond=settings, tap="gn-e2ef")
    try:
        devbox.start()
        consoles = [devbox.wait_booted(vm) for vm in vms]
        steps.check(devbox.vcpus("web-1") == 1 and devbox.vcpus("web-2") == 1, "both VMs begin with one vCPU")
        # As an operator would: watch until the forecast knows the peak, then let it act. (Before
        # the rhythm is known, a VM is grown on what is seen, which is not what is tested here.)
        wait_for(lambda: foreseen(devbox, "web-1"), 240, "a forecast that knows of the peak to come")
        wait_for(lambda: calm_quiet_hour(devbox, "web-1", consoles[0]), 400, "a forecast that knows of the quiet hours")
        wait_for(lambda: in_quiet_hour(consoles[0]), 60, "a quiet hour")
        steps.check(devbox.vcpus("web-1") == 1, "until then nothing was changed")
        devbox.ctl("policy", "set", "web-1", "--mode", "enforce")
        plan, action = wait_for(lambda: executed(devbox), 120, "a vCPU added to web-1")
        steps.check(devbox.vcpus("web-1") == 2, "libvirt reports the second vCPU of web-1")
        at = seconds_into_day(consoles[0], action["at_us"])
        steps.check(DAY_S - PEAK_S - HORIZON_S - 1 <= at < DAY_S - PEAK_S,
                    "it was added before the peak that it is for",
                    f"at {at:.1f} s of a day whose peak begins at {DAY_S - PEAK_S} s; {plan['reason']}")
        steps.check(plan["inputs"]["observed"] < plan["inputs"]["predicted"] and "web-1" in plan["reason"],
                    "the plan's reason is the forecast, not what was seen", plan["reason"])
        wait_for(lambda: consoles[0].status()["vcpus"] == 2, 20, "the guest using its second vCPU")
        steps.ok("the guest uses its second vCPU")
        pending = wait_for(lambda: [p for p in cpu_plans(devbox, "web-2") if p["state"] == "PENDING"], 120,
                           "a pending plan for web-2")
        steps.check(devbox.vcpus("web-2") == 1 and consoles[1].status()["vcpus"] == 1,
                    "in FORECAST_ONLY the plan is shown and nothing is changed")
        shares = devbox.virsh("dumpxml", "web-2")
        steps.check("current='1'" in shares, "web-2's definition has one vCPU still")
        devbox.ctl("plan", "approve", pending[0]["name"])
        wait_for(lambda: devbox.vcpus("web-2") == 2, 30, "web-2's second vCPU after approval")
        steps.ok("once an operator approves, it is carried out")
    except BaseException:
        tap.tails(devbox)
        raise
    finally:
        devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)


tap.run(body)
