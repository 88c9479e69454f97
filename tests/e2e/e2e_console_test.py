#!/usr/bin/python3
"""The console's page in a real Chromium before the whole real system: log in, see the forecast's
fan and an allocation step, approve a plan, edit a policy, take a snapshot; a picture of each view
stays in build/screens. What the page says is held against what libvirt and gnomonctl say."""
import json
import os
import re
import shutil
import subprocess

import tap
from devbox import Devbox, Vm, short_directory

CHROMIUM = "/usr/bin/chromium"
HERE = os.path.dirname(os.path.abspath(__file__))
DEMAND = "gn.cpu=periodic:150:930:20:6 gn.memory=daily:20:60:20 gn.disk=const:100"
LIMIT_S = 900


def policy(mode):
    return {"mode": mode, "resources": [
        {"resource": "cpu", "quantile_milli": 950, "horizon_ms": 6000, "minimum": 1000, "maximum": 3000,
         "step": 1000, "headroom_milli": 250, "dead_band_milli": 50, "cooldown_ms": 3000,
         "shrink_after_ms": 600000, "max_change": 1000}]}


def drive(steps, devbox):
    """Takes over the driver's TAP."""
    screens = os.path.join(os.path.abspath(tap.BUILD), "screens")
    shutil.rmtree(screens, ignore_errors=True)
    os.makedirs(screens)
    told = {"url": f"https://127.0.0.1:{devbox.console_port}", "password": devbox.first_password,
            "console_pid": devbox.web.process.pid, "screens": screens,
            "libraries": os.path.join(os.path.abspath(tap.BUILD), "web-build")}
    done = subprocess.run(["node", f"{HERE}/console_page.mjs", json.dumps(told)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=LIMIT_S)
    for line in done.stdout.splitlines():
        found = re.match(r"(ok|not ok) \d+ - (.*)", line)
        if found and found.group(1) == "ok":
            steps.ok(found.group(2))
        else:
            print(line if not found else f"# failed: {found.group(2)}", flush=True)
    steps.check(done.returncode == 0, "the browser came to the end", done.stdout[-300:] + done.stderr[-600:])


def body(steps):
    vms = [Vm("web-1", 1, DEMAND, policy("enforce")), Vm("web-2", 2, DEMAND, policy("forecast_only"), max_vcpus=2)]
    devbox = Devbox(tap.BUILD, short_directory(), vms, tap="gn-e2ec", console=True,
                    gnomond={"horizons": [2, 4, 6, 10], "overcommit_milli": 4000})
    try:
        devbox.start()
        for vm in vms:
            devbox.wait_booted(vm).close()
        devbox.ctl("shadow", "create", "web-1")
        drive(steps, devbox)
        steps.check(devbox.vcpus("web-2") == 2, "libvirt has what was approved on the page")
        saved = devbox.ctl("policy", "get", "web-2")
        cpu = [r for r in saved["resources"] if r["resource"] == "CPU"][0]
        steps.check(saved["mode"] == "ENFORCE" and cpu["maximum"] == 2000, "gnomond has the policy of the page", saved)
        told = subprocess.run(devbox.ctl_command("audit", "verify"), capture_output=True, text=True, timeout=60)
        steps.check(told.returncode == 0 and "is whole" in told.stdout, "gnomonctl finds the audit log whole", told)
    except BaseException:
        for part in (devbox.gnomond, devbox.web.process, devbox.shim, devbox.dataplane):
            print(f"# {part.name}: {'still runs' if part.running() else f'ended with {part.child and part.child.returncode}'}")
        tap.tails(devbox)
        for what in (("plan", "list"), ("forecast", "web-1")):
            told = subprocess.run(devbox.ctl_command(*what), capture_output=True, text=True, timeout=60)
            print("# " + (told.stdout + told.stderr).replace("\n", "\n# "))
        raise
    finally:
        devbox.stop()
        shutil.rmtree(devbox.dir, ignore_errors=True)


if not os.path.exists(CHROMIUM) or not os.path.exists(f"{tap.BUILD}/web/page.js"):
    print("ok 1 - everything # SKIP needs Chromium and the built page (npm's registry was not reachable)")
else:
    tap.run(body)
