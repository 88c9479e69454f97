#!/usr/bin/python3
"""The dataplane is killed and started again and again while VMs use it. Ports and volumes
were made by calls, so it must know them again by itself. Each disk request completes exactly
once, every acknowledged write is there, and frames flow again, with none changed or late
but around a kill."""
import random
import sys
import time

from dataplane import Dataplane, Load, Tap, missing

KILLS = 8


def make_resources(plane):
    for name in ("a", "b"):
        plane.call("CreatePort", f"name=ports/{name}", f"vm=vms/{name}", "kind=VHOST_USER")
    plane.make_image("d", 64 << 20)
    plane.call("CreateVolume", "name=volumes/d", "vm=vms/a", f"path={plane.image('d')}",
               "queues=2")


def received(plane):
    return sum(p["counters"]["rx_packets"] for p in plane.call("ListPorts")["ports"])


def disk(plane):
    volumes = plane.call("ListVolumes")["volumes"]
    return volumes[0]["counters"] if volumes else {}


def serves_both(plane, seconds):
    """Whether frames and disk requests advance, in this process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        counters = disk(plane)
        if received(plane) > 100 and counters.get("reads", 0) + counters.get("writes", 0) > 100:
            return True
        time.sleep(0.05)
    return False


def kill_often(tap, plane):
    choose = random.Random(3)
    found = 0
    resumed = 0
    for _ in range(KILLS):
        time.sleep(choose.uniform(0.05, 0.4))
        plane.kill()
        plane.start()
        resumed += serves_both(plane, 30)
        found += disk(plane).get("resubmitted", 0)
    tap.check("frames and disk requests resume after each kill", resumed == KILLS,
              f"{resumed} of {KILLS} times\n{plane.log()}")
    tap.check("requests were found in flight and run again", found > 0,
              "none: the test would pass without in-flight tracking")


def check_results(tap, net, blk):
    code, result = blk.stop()
    tap.check("each disk request completed exactly once, every write is there",
              code == 0 and result["reconnects"] >= KILLS and result["duplicates"] == 0
              and result["lost"] == 0 and result["mismatches"] == 0
              and result["verified_blocks"] > 100, result)
    code, result = net.stop()
    tap.check("frames were lost or repeated around kills only, and none was changed",
              code == 0 and result["reconnects"] >= 2 * KILLS and result["received"] > 1000,
              result)


def main():
    tap = Tap()
    lacking = missing("gnomon-dataplane", "gn-fe-net", "gn-fe-blk", "gn-dpctl")
    if lacking:
        tap.skip("kills under load", f"{lacking} has not been built")
        return tap.end()
    plane = Dataplane()
    loads = []
    try:
        make_resources(plane)
        net = Load("gn-fe-net", "--socket", plane.socket("a"), "--socket", plane.socket("b"),
                   "--seconds", "3600", "--min", "60", "--max", "1514", "--reconnect", "60000",
                   "--rate", "20000", "--stall", "2000")
        blk = Load("gn-fe-blk", "--socket", plane.socket("d"), "--seconds", "3600", "--queues",
                   "2", "--depth", "16", "--verify", "--image", plane.image("d"), "--read", "4",
                   "--write", "4", "--zeroes", "1", "--flush", "1", "--reconnect", "60000",
                   "--stuck", "60000")
        loads = [net, blk]
        tap.check("both loads run", serves_both(plane, 30), plane.log())
        kill_often(tap, plane)
        check_results(tap, net, blk)
    finally:
        for load in loads:
            load.abort()
        tap.check("it ends cleanly", plane.end() == 0)
    return tap.end()


sys.exit(main())
