#!/usr/bin/python3
"""Frames of several VMs through a real gnomon-dataplane, checked where they arrive, while
ports and mirrors come, change and go, sinks stop listening and the process is killed."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../../tests/hostile"))
from dataplane import Dataplane, Load, Tap, missing  # noqa: E402


def sockets(plane, *names):
    return [word for name in names for word in ("--socket", plane.socket(name))]


def port(plane, name):
    return next(p for p in plane.call("ListPorts")["ports"] if p["name"] == f"ports/{name}")


def mirror(plane, name):
    return next(m for m in plane.call("ListMirrors")["mirrors"] if m["name"].endswith(name))


def adds_up(counters):
    return all(counters[f"seen{s}"] == sum(counters[f"{part}{s}"] for part in (
        "copied", "filtered", "sampled_out", "dropped")) for s in ("", "_bytes"))


def frames_arrive(tap, plane):
    for title, words in (("one queue", ()),
                         ("four queues", ("--pairs", "4")),
                         ("tagged, all sizes", ("--vlan", "7", "--min", "64", "--max", "1518")),
                         ("two-descriptor buffers", ("--split-header", "--no-mergeable")),
                         ("a plain old driver", ("--no-indirect", "--no-event-idx"))):
        code, result = Load("gn-fe-net", *sockets(plane, "a", "b"), "--frames", "20000",
                            "--stall", "5000", *words).result()
        tap.check(f"frames arrive unchanged and in order: {title}",
                  code == 0 and result["received"] == 20000, result)


def wait_until(condition, seconds=20):
    """For slow machines; returns whether it came true."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def idle_worker_sleeps(tap, plane):
    time.sleep(0.2)
    before = plane.call("GetDataplaneStatus")
    time.sleep(1)
    after = plane.call("GetDataplaneStatus")
    loops = after["loops"] - before["loops"]
    tap.check("an idle worker sleeps", loops < 2000 and after["sleeps"] > before["sleeps"],
              f"{loops} loops")


def ports_change_under_traffic(tap, plane):
    load = Load("gn-fe-net", *sockets(plane, "a", "b"), "--seconds", "3600", "--rate", "20000",
                "--stall", "5000")
    for i in range(12):
        plane.call("CreatePort", f"name=ports/x{i}", "kind=VHOST_USER", f"vm=vms/x{i}")
        plane.call("CreatePort", f"name=ports/y{i}", "kind=VHOST_USER", f"vm=vms/y{i}")
        guest = Load("gn-fe-net", *sockets(plane, f"x{i}", f"y{i}"), "--frames", "2000",
                     "--station", "50", "--stall", "5000")
        if i % 3:  # else deleted under the front end's feet
            code, result = guest.result()
            if code:
                tap.check(f"new ports {i} work", False, result)
        plane.call("DeletePort", f"name=ports/x{i}")
        plane.call("DeletePort", f"name=ports/y{i}")
        guest.process.kill()
        guest.process.communicate()
    code, result = load.stop()
    tap.check("ports come and go while others' frames flow", code == 0, result)


def mirror_copies_everything(tap, plane):
    plane.call("CreatePort", "name=ports/s", "kind=VHOST_USER", "vm=vms/s", "isolated=true")
    plane.call("CreateMirror", "name=vms/a/mirrors/m", "port=ports/s")
    code, result = Load("gn-fe-net", *sockets(plane, "a", "b"), "--observe", plane.socket("s"),
                        "--frames", "50000", "--rate", "50000", "--stall", "5000", "--min",
                        "60", "--max", "1500").result()
    counters = mirror(plane, "m")["counters"]
    tap.check("a shadow's port receives every frame, unchanged",
              code == 0 and result["observed"] == 50000 and not result["observed_corrupt"]
              and counters["copied"] >= 50000 and adds_up(counters), f"{result}\n{counters}")
    before = port(plane, "a")["counters"]["rx_packets"]
    talker = Load("gn-fe-net", *sockets(plane, "s", "b"), "--seconds", "3600", "--station", "77")
    spoke = wait_until(lambda: port(plane, "s")["counters"]["tx_dropped_isolated"] > 0)
    talker.process.kill()
    talker.process.communicate()
    own, other = port(plane, "s")["counters"], port(plane, "a")["counters"]
    tap.check("what an isolated port sends goes nowhere",
              spoke and own["tx_dropped_isolated"] == own["tx_packets"]
              and other["rx_packets"] - before <= 100, f"{own}\n{other}")


def mirror_changes_under_traffic(tap, plane):
    """The counters add up at every instant, and no packet is missed between two settings."""
    load = Load("gn-fe-net", *sockets(plane, "a", "b"), "--seconds", "3600", "--rate", "20000",
                "--stall", "5000", "--min", "60", "--max", "900")
    settings = ([], ["truncate_bytes=100"], ["sample_one_in=7"], ["direction=RX"],
                ["direction=TX", "truncate_bytes=64", "sample_one_in=3"])
    good, last = True, 0
    for i in range(40):
        plane.call("UpdateMirror", "name=vms/a/mirrors/m", "port=ports/s",
                   *settings[i % len(settings)])
        counters = mirror(plane, "m")["counters"]
        good = good and adds_up(counters) and counters["seen"] >= last
        last = counters["seen"]
    tap.check("a mirror's counters add up while it is changed under traffic", good, counters)
    code, result = load.stop()
    tap.check("frames go on while the mirror changes", code == 0, result)


def no_frame_between_two_settings(tap, plane):
    """Both figures are read while nothing flows, so they must be equal to the frame."""
    plane.call("UpdateMirror", "name=vms/a/mirrors/m", "port=ports/s", "truncate_bytes=80")
    before = mirror(plane, "m")["counters"]["seen"], port(plane, "a")["counters"]
    load = Load("gn-fe-net", *sockets(plane, "a", "b"), "--frames", "30000", "--rate", "10000",
                "--stall", "5000")
    size = 80
    while load.process.poll() is None:
        size = 80 + (size - 79) % 16
        plane.call("UpdateMirror", "name=vms/a/mirrors/m", "port=ports/s",
                   f"truncate_bytes={size}")
    code, result = load.result()
    plane.call("UpdateMirror", "name=vms/a/mirrors/m", "port=ports/s", "truncate_bytes=95")
    after = mirror(plane, "m")["counters"]["seen"], port(plane, "a")["counters"]
    passed = sum(after[1][k] - before[1][k] for k in ("rx_packets", "tx_packets",
                                                      "rx_dropped_ring"))
    tap.check("no frame passes between two settings unseen",
              code == 0 and after[0] - before[0] == passed >= 30000,
              f"seen {after[0] - before[0]}, passed {passed}, {result}")


def dead_sink_does_not_delay(tap, plane):
    observer = Load("gn-fe-net", *sockets(plane, "x", "y"), "--observe", plane.socket("s"),
                    "--seconds", "3600", "--rate", "10", "--station", "60")
    wait_until(lambda: port(plane, "s")["connected"])
    observer.process.send_signal(signal.SIGSTOP)
    before = mirror(plane, "m")["counters"]
    code, result = Load("gn-fe-net", *sockets(plane, "a", "b"), "--frames", "50000",
                        "--stall", "5000").result()
    after = mirror(plane, "m")["counters"]
    observer.process.kill()
    observer.process.communicate()
    tap.check("a sink that hangs costs copies, not frames",
              code == 0 and adds_up(after) and after["dropped"] > before["dropped"],
              f"{result}\n{after}")


def captures(tap, plane):
    path = f"{plane.directory}/x.pcapng"
    plane.call("CreateMirror", "name=vms/b/mirrors/f", f"pcapng_path={path}",
               "truncate_bytes=64")
    code, result = Load("gn-fe-net", *sockets(plane, "a", "b"), "--frames", "20000", "--rate",
                        "40000", "--stall", "5000").result()
    counters = mirror(plane, "f")["counters"]
    plane.call("DeleteMirror", "name=vms/b/mirrors/f")
    data = open(path, "rb").read()
    packets = at = 0
    while at < len(data):
        packets += data[at:at + 4] == b"\x06\0\0\0"
        at += int.from_bytes(data[at + 4:at + 8], "little")
    tap.check("a capture file holds every frame that was copied", code == 0 and adds_up(counters)
              and packets == counters["copied"] > 1000 and at == len(data),
              f"{packets} packets, {counters}, {result}")


def n_frames(plane):
    counters = port(plane, "a")["counters"]
    return counters["rx_packets"] + counters["tx_packets"]


def survives_kill(tap, plane):
    plane.call("UpdateMeter", "vm=vms/a", "rx_bps=1000000000")
    load = Load("gn-fe-net", *sockets(plane, "a", "b"), "--seconds", "3600", "--rate", "5000",
                "--reconnect", "20000", "--stall", "300")
    flows = wait_until(lambda: n_frames(plane) > 2000)
    for _ in range(2):
        plane.kill()
        plane.start()
        flows = flows and wait_until(lambda: n_frames(plane) > 2000)
    tap.check("frames flow again after each kill -9", flows)
    ports = {p["name"] for p in plane.call("ListPorts")["ports"]}
    tap.check("ports, mirrors and meters are back",
              {"ports/a", "ports/b", "ports/s"} <= ports
              and mirror(plane, "m")["truncate_bytes"] == 95
              and plane.call("ListMeters")["meters"][0]["rx_bps"] == 1000000000, ports)
    tap.check("the mirror sees them again", mirror(plane, "m")["counters"]["seen"] > 0)
    code, result = load.stop()
    tap.check("front ends reconnected and nothing arrived damaged",
              code == 0 and result["reconnects"] >= 4, result)


def stolen_address(tap, plane):
    """Both front ends use the same stations, so the second one lies."""
    before = n_frames(plane)
    honest = Load("gn-fe-net", *sockets(plane, "a", "b"), "--seconds", "3600", "--rate", "2000",
                  "--stall", "5000")
    wait_until(lambda: n_frames(plane) > before + 100)
    thief = Load("gn-fe-net", *sockets(plane, "x", "y"), "--seconds", "3600")
    caught = wait_until(lambda: port(plane, "x")["counters"]["tx_dropped_spoofed"] > 0)
    thief.process.kill()
    thief.process.communicate()
    code, result = honest.stop()
    tap.check("a VM cannot take another's address", code == 0 and caught, result)


def main():
    tap = Tap()
    name = missing("gnomon-dataplane", "gn-dpctl", "gn-fe-net")
    if name:
        tap.skip("network", f"{name} is not built")
        return tap.end()
    plane = Dataplane(ports=("a", "b", "x", "y"))
    try:
        for step in (frames_arrive, idle_worker_sleeps, ports_change_under_traffic,
                     mirror_copies_everything, mirror_changes_under_traffic,
                     no_frame_between_two_settings, dead_sink_does_not_delay, captures, stolen_address, survives_kill):
            step(tap, plane)
    finally:
        code = plane.end()
    tap.check("it ends when told to", code == 0, f"exit {code}")
    return tap.end()


sys.exit(main())
