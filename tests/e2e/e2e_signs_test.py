#!/usr/bin/python3
"""A real VM that runs out of memory, is paused, and panics: what 'gnomonctl vm show', the events
and the alerts say of it, with nothing installed in the guest; and what they say of a drive of the
host, by a report as smartctl writes it (no drive here fails on demand)."""
import json
import os
import shutil
import subprocess
import tempfile

import tap
from devbox import Devbox, Vm, short_directory
from processes import Failed, wait_for

VMS = [Vm("web-1", 1, "gn.cpu=const:100", vcpus=1, max_vcpus=2)]
ALERTS = {"alerts": {"raise_after_ms": 300, "clear_after_ms": 2000}}


def guest(devbox):
    return devbox.ctl("vm", "show", "web-1").get("guest", {})


def detail(devbox, name):
    return next((s["detail"] for s in guest(devbox).get("signs", []) if s["name"] == name), None)


def wait_for_sign(devbox, name, seconds=60):
    try:
        return wait_for(lambda: detail(devbox, name), seconds, "")
    except Failed:
        raise Failed(f"no sign '{name}': {guest(devbox)}") from None


def alert_with(devbox, words):
    alerts = devbox.ctl("alert", "list").get("alerts", [])
    return next((a for a in alerts if a["kind"] == "POTENTIAL_FAILURE" and words in a["text"]), None)


def shown(devbox):
    return subprocess.run(devbox.ctl_command("vm", "show", "web-1"), capture_output=True, text=True, timeout=20,
                          check=True).stdout


def is_calm(devbox, steps):
    wait_for(lambda: guest(devbox).get("state") == "GUEST_STATE_READY", 60, "a guest that is read")
    text = shown(devbox)
    steps.check("READY, Linux 6." in text, "'vm show' names the guest's state and kernel", text)
    steps.check(not any(detail(devbox, sign) for sign in ("panic", "oops", "memory", "stuck", "clock")),
                "a calm guest shows no sign", text)


def out_of_memory(devbox, steps, console):
    console.shell("tail /dev/zero", 120)
    said = wait_for_sign(devbox, "memory")
    steps.check(said == "processes killed for want of memory: 1", "a process killed for want of memory is a sign", said)
    log = wait_for_sign(devbox, "log")
    steps.check("Out of memory: Killed process" in log, "with what the guest's kernel logs of it", log)
    alert = wait_for(lambda: alert_with(devbox, "killed for want of memory: 1"), 30, "an alert that names it")
    steps.check(alert["resource"] == "vms/web-1", "and an alert names it", str(alert))


def paused(devbox, steps):
    """Stale, and said why; but no failure, as it was paused on purpose."""
    devbox.virsh("suspend", "web-1")
    said = wait_for_sign(devbox, "clock")
    steps.check("stood still for" in said and "STALE" in shown(devbox), "a paused guest's clock is seen to stand still",
                shown(devbox))
    steps.check(not alert_with(devbox, "clock has stood still"), "which is no failure, as it was paused on purpose",
                str(devbox.ctl("alert", "list")))
    devbox.virsh("resume", "web-1")
    wait_for(lambda: guest(devbox).get("state") == "GUEST_STATE_READY", 30, "a guest that is read again")


def panic(devbox, steps, console):
    console.shell("echo 0 >/proc/sys/kernel/panic")
    console.socket.sendall(b"run echo c >/proc/sysrq-trigger\n")
    wait_for_sign(devbox, "panic")
    text = shown(devbox)
    steps.check("the kernel has panicked" in text, "'vm show' says that the kernel has panicked", text)
    wait_for(lambda: "sysrq triggered crash" in (detail(devbox, "log") or ""), 20, "the reason from its log")
    steps.ok("and the reason that its log gives")
    alert = wait_for(lambda: alert_with(devbox, "panic"), 30, "an alert of the panic")
    steps.check("may fail within" in alert["text"], "and an alert says so", alert["text"])


def write_report(folder, hours, reallocated, pending):
    """As gnomon-drives has smartctl write it, as far as it is read."""
    report = {"device": {"name": "/dev/sda"}, "model_name": "Spinner 4000", "serial_number": "SP-4711",
              "user_capacity": {"bytes": 4000787030016}, "power_on_time": {"hours": hours},
              "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": reallocated}},
                                                 {"id": 197, "raw": {"value": pending}}]}}
    with open(f"{folder}/new", "w", encoding="utf-8") as file:
        json.dump(report, file)
    os.rename(f"{folder}/new", f"{folder}/sda.json")


def drive_alert(devbox):
    alerts = devbox.ctl("alert", "list").get("alerts", [])
    return next((a for a in alerts if a["resource"] == "drives/SP-4711"), None)


def failing_drive(devbox, steps, folder):
    """The card takes the host's reports each time that it asks for its state."""
    wait_for(lambda: "SP-4711" in json.dumps(devbox.ctl("hazard", "drives/SP-4711")), 60, "the drive's report")
    steps.check(not drive_alert(devbox), "a drive without errors raises no alert")
    write_report(folder, 20100, 400, 64)
    alert = wait_for(lambda: drive_alert(devbox), 60, "an alert of the drive that reallocates its sectors")
    text = subprocess.run(devbox.ctl_command("hazard", "drives/SP-4711"), capture_output=True, text=True, timeout=20,
                          check=True).stdout
    steps.check("may fail within" in alert["text"] and "sectors" in text, "one that reallocates its sectors does, "
                "and its hazard names them", f"{alert}\n{text}")


def body(steps):
    directory = short_directory()
    drives = tempfile.mkdtemp(prefix="gn-drives-")
    os.chmod(drives, 0o755)
    write_report(drives, 20000, 0, 0)
    devbox = Devbox(tap.BUILD, directory, VMS, gnomond=ALERTS, tap="gn-e2es", shim={"drives": drives})
    try:
        devbox.start()
        console = devbox.wait_booted(VMS[0])
        is_calm(devbox, steps)
        failing_drive(devbox, steps, drives)
        out_of_memory(devbox, steps, console)
        paused(devbox, steps)
        panic(devbox, steps, console)
        steps.check(devbox.dataplane.running() and devbox.shim.running() and devbox.introspect.process.running(),
                    "no process of the card or the host was harmed")
        console.close()
    except BaseException:
        tap.tails(devbox)
        raise
    finally:
        devbox.stop()
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(drives, ignore_errors=True)


tap.run(body)
