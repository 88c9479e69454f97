#!/usr/bin/python3
"""Hazards and alerts of a running gnomond (model host and dataplane of tests/gnomond): a leak
is told before memory is full, noise is not; hooks, acknowledgement, restarts. Prints TAP."""
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gnomond_test import BUILD, World, check, main  # noqa: E402 (needs the path above)

CTL = f"{BUILD}/bin/gnomonctl"
ALERTS = "raise_after_ms: 300, clear_after_ms: 2000"
HOOK = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/told"
"""


class AlertWorld(World):
    def __init__(self, alerts=ALERTS, **options):
        super().__init__(mode="'off'", extra="", **options)
        self.write_config("'off'", f"alerts: {{{alerts.format(dir=self.dir)}}}")

    def mood(self, **troubles):
        text = "".join(f"{key} {value}\n" for key, value in troubles.items())
        with open(f"{self.dir}/mood.new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(f"{self.dir}/mood.new", f"{self.dir}/mood")

    def alerts(self, *fields):
        return self.call("ListAlerts", *fields)["alerts"]

    def hazard(self):
        return self.call("GetHazard", "name=vms/web-1")

    def signs(self):
        return {sign["name"]: sign for sign in self.hazard()["signs"]}

    def ctl(self, *words, code=0):
        done = subprocess.run([CTL, f"--server=ipc://{self.dir}/g.ipc", *words],
                              capture_output=True, text=True, check=False)
        check(done.returncode == code, f"gnomonctl {' '.join(words)}: exit {done.returncode}: "
              f"{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def read(self, name):
        try:
            with open(f"{self.dir}/{name}", encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def write_hook(self, text):
        path = f"{self.dir}/hook"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def is_sampled(self):
        return self.call("GetStatus")["samples"] > 300


def memory_used(w):
    return next(d["value"] for d in w.call("GetVm", "name=vms/web-1")["demands"]
                if d["resource"] == "MEMORY")


def test_a_leak_is_told_before_memory_is_full():
    with AlertWorld(ALERTS + ", exec: {dir}/hook") as w:
        w.write_hook(HOOK)
        w.mood(noise_kib=20000)
        w.wait("samples", w.is_sampled)
        time.sleep(15)
        check(not w.alerts("include_cleared=true"), f"noise raises: {w.alerts()}")
        w.mood(noise_kib=20000, leak_kib_s=3000)
        alert = w.wait("the alert", w.alerts)[0]
        used = memory_used(w)
        check(used < (512 - 24) << 20, f"memory is full already: {used}")
        check(alert["kind"] == "POTENTIAL_FAILURE" and alert["resource"] == "vms/web-1", str(alert))
        check("memory is full in" in alert["text"] and "MiB an hour" in alert["text"], alert["text"])
        check(alert["expected_us"] > alert["raised_us"], str(alert))
        check("a resource is about to run out" in w.signs(), str(w.signs()))
        check("memory is full in" in w.ctl("hazard", "web-1"), "gnomonctl hazard does not say it")
        check(alert["text"][:40] in w.ctl("alert", "list"), "gnomonctl alert list does not say it")
        w.wait("the hook", lambda: "raised POTENTIAL_FAILURE vms/web-1 alerts/1 vms/web-1 may fail"
               in w.read("told"))
        w.mood(noise_kib=20000)  # the process was restarted
        w.wait("it is cleared", lambda: not w.alerts())
        check(w.alerts("include_cleared=true")[0]["times"] == 1, "it flapped")
        w.wait("the hook, again", lambda: "cleared POTENTIAL_FAILURE" in w.read("told"))


def test_disk_errors_acknowledged_over_restarts():
    """Also to syslog and to watchers; what an operator acknowledged stays so after a kill."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with AlertWorld(ALERTS + ", syslog: {dir}/log.sock") as w:
        log.bind(f"{w.dir}/log.sock")
        log.settimeout(60)
        w.wait("samples", w.is_sampled)
        watch = subprocess.Popen([CTL, f"--server=ipc://{w.dir}/g.ipc",
                                  f"--events=ipc://{w.dir}/e.ipc", "watch"], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)
        try:
            time.sleep(1)
            w.mood(disk_errors=3)
            alert = w.wait("the alert", w.alerts)[0]
            check("disk requests failed" in alert["text"], alert["text"])
            line = log.recv(2000).decode()
            check(line.startswith("<28>gnomond: alert raised: alerts/1 POTENTIAL_FAILURE vms/web-1: vms/web-1 may fail"), line)
            seen = ""
            while "alert.raised" not in seen:
                seen = watch.stdout.readline()
                check(seen, "gnomonctl watch ended")
            check("alerts/1: vms/web-1 may fail" in seen, seen)
        finally:
            watch.kill()
            watch.wait()
            watch.stdout.close()
        check("is acknowledged" in w.ctl("alert", "ack", "1"), "")
        check("acknowledged already" in w.ctl("alert", "ack", "1", code=1), "")
        check("no alert 'alerts/9'" in w.ctl("alert", "ack", "9", code=1), "")
        w.stop()
        w.start()
        check(w.alerts()[0]["state"] == "ACKNOWLEDGED", str(w.alerts()))
        w.stop("gnomond", signal.SIGTERM)
        w.start()
        levels = w.signs()
        check(levels["disk requests fail"]["level_q8"] > 0, f"signs are forgotten: {levels}")
        check(w.alerts()[0]["times"] == 1, "raised again by the restart")
    log.close()


def test_guest_signs():
    with AlertWorld() as w:
        w.wait("samples", w.is_sampled)
        w.mood(clock_stopped_us=61000000, stuck_threads=2)
        alert = w.wait("the alert", w.alerts)[0]
        check("clock has stood still" in alert["text"], alert["text"])
        w.wait("the failure is noted", lambda: "vms/web-1 failed" in w.log())
        check(w.hazard()["outcomes"] >= 1, "nothing is learnt of it")
        w.mood(log_errors=2, oom_kills=1)
        w.wait("the kernel's sign", lambda: "kernel warnings" in w.signs())


def test_shortage_where_nothing_may_be_done():
    """The load is at its allocation, and the mode forbids to grow."""
    with AlertWorld(ALERTS, low=990, high=1000) as w:
        w.write_config("forecast_only", f"alerts: {{{ALERTS}}}")
        w.stop()
        w.start()
        alert = w.wait("the alert", w.alerts)[0]
        check(alert["kind"] == "RESOURCE_SHORTAGE" and alert["subject"] == "cpu", str(alert))
        check(re.match(r"CPU of vms/web-1 (is|may be) short.*: needs [12](\.\d+)? vCPU, has 1 vCPU",
                       alert["text"]), alert["text"])
        check(alert["missing"] > 0 and alert["probability_milli"] >= 100, str(alert))
        w.call("UpdatePolicy", "policy.name=vms/web-1/policy", "policy.mode=OFF", "update_mask.0=mode")
        w.wait("it is cleared", lambda: not w.alerts())


def test_hooks_that_misbehave():
    """One that hangs with its children is killed; one that is missing is told of; many wait."""
    with AlertWorld(ALERTS + ", exec: {dir}/hook, exec_limit_s: 1, exec_concurrent: 2") as w:
        w.wait("samples", w.is_sampled)
        w.mood(disk_errors=3)
        w.wait("the complaint", lambda: "hook cannot be run: No such file" in w.log())
        w.mood()
        w.write_hook("#!/bin/sh\nsleep 1000 & echo $! >>\"$(dirname \"$0\")/pids\"\nsleep 1000\n")
        w.call("DeleteVm", "name=vms/web-1")  # clears its alerts
        w.wait("it is killed", lambda: "took longer than 1 s and was killed" in w.log())
        for pid in w.read("pids").split():
            check(not alive(int(pid)), f"its child {pid} lives on")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main(globals()))
