#!/usr/bin/python3
"""Attacks a gnomon-dataplane's vhost-user sockets, one evil after another, while other VMs'
frames and disk requests go on, checked. After each the process must live, keep no stray
descriptors, and serve the attacked socket's next, honest front end."""
import re
import subprocess
import sys
import time

from dataplane import Dataplane, Load, Tap, missing, program

HOSTILE = program("gn-fe-hostile")
LEAK = 40  # descriptors: honest churn, and what a case leaves open until it is noticed


def cases(kind):
    out = subprocess.run([HOSTILE, "--kind", kind, "--list"], capture_output=True, check=True)
    return out.stdout.decode().split()


def attack(plane, kind, case):
    other = "spare-blk" if kind == "net" else "spare-net"
    try:
        done = subprocess.run([HOSTILE, "--kind", kind, "--socket", plane.socket(f"evil-{kind}"),
                               "--other", plane.socket(other), "--case", case],
                              capture_output=True, timeout=120, check=False)
        return done.returncode == 0, done.stderr.decode()
    except subprocess.TimeoutExpired:
        return False, "the attack does not end: the dataplane does not answer"


def start_loads(plane):
    net = Load("gn-fe-net", "--socket", plane.socket("good-a"), "--socket",
               plane.socket("good-b"), "--seconds", "3600", "--rate", "2000", "--stall", "5000",
               "--min", "60", "--max", "1400")
    blk = Load("gn-fe-blk", "--socket", plane.socket("good-blk"), "--seconds", "3600", "--rate",
               "500", "--verify", "--image", plane.image("good-blk"), "--stuck", "60000",
               "--read", "3", "--write", "3", "--zeroes", "1", "--flush", "1")
    return net, blk


def check_loads(tap, net, blk):
    code, result = net.stop()
    tap.check("other VMs' frames went on undisturbed", code == 0 and result["received"] > 1000,
              result)
    code, result = blk.stop()
    tap.check("another VM's disk went on undisturbed", code == 0 and result["ops"] > 200
              and result["verified_blocks"] > 0, result)


def attack_all(tap, plane):
    for kind in ("blk", "net"):
        for case in cases(kind):
            before = plane.n_descriptors()
            good, detail = attack(plane, kind, case)
            alive = plane.is_alive()
            time.sleep(0.1)
            kept = plane.n_descriptors() - before if alive else 0
            tap.check(f"{kind}: {case}", good and alive and kept < LEAK,
                      f"{detail}\nalive: {alive}, descriptors kept: {kept}\n"
                      + (plane.log() if not alive else ""))
            if not alive:
                plane.start()


def main():
    tap = Tap()
    lacking = missing("gnomon-dataplane", "gn-fe-hostile", "gn-fe-net", "gn-fe-blk", "gn-dpctl")
    if lacking:
        tap.skip("hostile front ends", f"{lacking} has not been built")
        return tap.end()
    plane = Dataplane(ports=["good-a", "good-b", "evil-net", "spare-net"],
                      volumes=["good-blk", "evil-blk", "spare-blk"])
    first = plane.process.pid
    net, blk = start_loads(plane)
    try:
        attack_all(tap, plane)
        tap.check("it is still the process that was started", plane.process.pid == first)
        status = plane.call("GetDataplaneStatus")
        tap.check("control answers, and no packet buffer is lost",
                  status["mbufs_free"] > 0.9 * status["mbufs_total"], status)
        check_loads(tap, net, blk)
    finally:
        net.abort()
        blk.abort()
        log = plane.log(1 << 20)
        tap.check("the log was not flooded", len(re.findall("\n", log)) < 20000)
        found = [line for line in log.splitlines()
                 if "runtime error" in line or "Sanitizer" in line]
        tap.check("no sanitizer, if built with one, has complained", not found,
                  "\n".join(found[:20]))
        tap.check("it ends cleanly", plane.end() == 0)
    return tap.end()


sys.exit(main())
