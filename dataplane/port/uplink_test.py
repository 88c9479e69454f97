#!/usr/bin/python3
"""Uplinks end to end: net_tap devices in network namespaces. The kernel's TCP and a front
end's frames cross a VLAN trunk, single frames wake a sleeping lcore, and the sockets belong to
the user of the configuration."""
import ctypes
import json
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../../tests/hostile"))
from dataplane import Dataplane, Load, Tap, missing, program  # noqa: E402

TRUNK, TAPS = "gntap0", ("gntap1", "gntap2")
USER = "nobody"
ETHERTYPE = 0x88b5  # for local experiments
N_SINGLE = 400


class Uplinked(Dataplane):
    """A trunk and two uplinks in VLANs of their own, and VMs in two more. Samples are rare,
    since reading counters wakes the lcore."""

    def start(self):
        path = f"{self.directory}/dataplane.yaml"
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        config.update(socket_user=USER, period_ms=60000, ports=[
            {"name": "ports/a", "vm": "vms/a", "vlan": 10},
            {"name": "ports/b", "vm": "vms/b", "vlan": 20},
            *({"name": f"ports/{name}", "devargs": f"net_tap{vlan},iface={name}",
               "uplink": True, "vlan": vlan}
              for name, vlan in ((TRUNK, 0), (TAPS[0], 30), (TAPS[1], 40)))])
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        super().start()


class Namespace:
    """A network of its own, which ends with its process."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        while os.readlink(f"/proc/{self.process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)

    def run(self, *words, check=True):
        return subprocess.run(["nsenter", "-t", str(self.process.pid), "-n", *words],
                              check=check, capture_output=True, text=True)

    def take(self, device):
        subprocess.run(["ip", "link", "set", device, "netns", str(self.process.pid)], check=True)
        self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", check=False)
        self.run("ip", "link", "set", device, "up")

    def python(self, code, *words):
        return subprocess.Popen(["nsenter", "-t", str(self.process.pid), "-n", sys.executable,
                                 "-c", code, *words], stdout=subprocess.PIPE, text=True)

    def end(self):
        self.process.kill()
        self.process.wait()


def set_namespace(fd):
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def packet_socket(space, device, ethertype):
    """Made in the namespace, used from here."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{space.process.pid}/ns/net", os.O_RDONLY)
    set_namespace(there)
    try:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype))
        s.bind((device, ethertype))
        return s
    finally:
        set_namespace(here)
        os.close(here)
        os.close(there)


SERVER = """
import hashlib, socket
server = socket.create_server(("10.9.0.2", 5001))
print("listening", flush=True)
peer, _ = server.accept()
peer.settimeout(60)
digest, n = hashlib.sha256(), 0
while data := peer.recv(1 << 16):
    digest.update(data)
    n += len(data)
print(n, digest.hexdigest())
"""
CLIENT = """
import hashlib, random, socket
data = random.Random(1).randbytes(2 << 20)
with socket.create_connection(("10.9.0.2", 5001), 60) as s:
    s.sendall(data)
print(len(data), hashlib.sha256(data).hexdigest())
"""
PROBE = """
import socket
try:
    socket.create_connection(("10.9.0.2", 5001), 2)
    print("connected")
except (TimeoutError, OSError):
    print("nobody answers")
"""


class Retagger(threading.Thread):
    """A switch behind the trunk that joins two pairs of VLANs: what comes with one tag goes
    back with the other. (Not every kernel has VLAN devices and bridges.)"""
    PAIRS = {10: 20, 20: 10, 30: 40, 40: 30}
    SOL_PACKET, PACKET_AUXDATA, SO_RCVBUFFORCE, ETH_P_ALL = 263, 8, 33, 3

    def __init__(self, space):
        super().__init__()
        self.socket = packet_socket(space, TRUNK, self.ETH_P_ALL)
        self.socket.setsockopt(self.SOL_PACKET, self.PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, self.SO_RCVBUFFORCE, 8 << 20)
        self.socket.settimeout(0.2)
        self.ends = False
        self.n = {vlan: 0 for vlan in self.PAIRS}
        self.start()

    def run(self):
        while not self.ends:
            try:
                frame, ancillary, _, address = self.socket.recvmsg(65536, 64)
            except TimeoutError:
                continue
            if address[2] == socket.PACKET_OUTGOING or not ancillary:
                continue
            vlan = struct.unpack("IIIHHHH", ancillary[0][2])[5] & 4095  # vlan_tci
            if vlan in self.PAIRS:
                self.n[vlan] += 1
                self.socket.send(frame[:12] + struct.pack("!HH", 0x8100, self.PAIRS[vlan])
                                 + frame[12:])

    def end(self):
        self.ends = True
        self.join()
        self.socket.close()


def vlans_are_apart(tap, spaces):
    for i, space in enumerate(spaces):
        space.run("ip", "address", "add", f"10.9.0.{i + 1}/24", "dev", TAPS[i])
    server = spaces[1].python(SERVER)
    server.stdout.readline()
    client = spaces[0].run(sys.executable, "-c", PROBE, check=False)
    server.kill()
    server.communicate()
    tap.check("another VLAN hears nothing", client.stdout.strip() == "nobody answers",
              f"{client.stdout}\n{client.stderr}")


def tcp_crosses_the_trunk(tap, spaces, retagger):
    before = dict(retagger.n)
    server = spaces[1].python(SERVER)
    server.stdout.readline()
    client = spaces[0].python(CLIENT)
    sent, received = client.communicate(timeout=120)[0], server.communicate(timeout=120)[0]
    tap.check("a TCP stream crosses the trunk whole", sent and sent == received
              and retagger.n[30] - before[30] > 1000 and retagger.n[40] > before[40],
              f"{sent}\n{received}\n{retagger.n}")


def front_end_crosses_the_trunk(tap, plane, retagger):
    before = dict(retagger.n)
    code, result = Load("gn-fe-net", "--socket", plane.socket("a"), "--socket",
                        plane.socket("b"), "--frames", "5000", "--rate", "2000", "--min", "60",
                        "--max", "1514", "--stall", "10000").result()
    tap.check("a VM's frames cross the trunk by tags, unchanged and in order",
              code == 0 and result["received"] == 5000
              and sum(retagger.n[v] - before[v] for v in (10, 20)) >= 5000,
              f"{result}\n{retagger.n}")


def single_frames_wake_the_lcore(tap, plane, spaces, trunk_space):
    """One frame at a time, each after the lcore went to sleep; nothing else would wake it."""
    sender = packet_socket(spaces[0], TAPS[0], ETHERTYPE)
    receiver = packet_socket(trunk_space, TRUNK, ETHERTYPE)
    receiver.settimeout(5)
    lost = 0
    for i in range(N_SINGLE):
        frame = b"\xff" * 6 + b"\2gn\0\0\1" + ETHERTYPE.to_bytes(2, "big") + i.to_bytes(46, "big")
        sender.send(frame)
        try:
            while receiver.recv(2000) != frame:
                pass
        except TimeoutError:
            lost += 1
            if lost == 3:
                break
        time.sleep(0.002)
    tap.check("a single frame wakes a sleeping lcore", not lost, f"{lost} of {i + 1} stayed")


def signals_do_no_harm(tap, plane):
    """A tap whose queue of signals is full sends SIGIO instead, which ends a process."""
    plane.process.send_signal(signal.SIGIO)
    try:
        plane.process.wait(1)
    except subprocess.TimeoutExpired:
        pass
    tap.check("it survives a full queue of signals", plane.is_alive())


def check_says_who_does_what(tap, plane):
    """More workers do not make the network faster: the operator must hear of it."""
    path = f"{plane.directory}/board.yaml"
    with open(path, encoding="utf-8") as file:
        board = json.load(file)
    said = []
    for workers in ([1], [3, 1, 2]):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**board, "workers": workers}, file)
        said.append(subprocess.run([program("gnomon-dataplane"), "--check", "--config",
                                    f"{plane.directory}/dataplane.yaml"], check=False,
                                   capture_output=True, text=True).stdout)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(board, file)
    tap.check("--check says which lcores run what",
              "lcore 1 runs the network and the volumes" in said[0]
              and "lcore 3 runs the whole network, the other 2 only volumes" in said[1],
              said)


def sockets_belong_to_the_user(tap, plane):
    uid = pwd.getpwnam(USER).pw_uid
    plane.call("CreatePort", "name=ports/c", "kind=VHOST_USER", "vm=vms/c")
    plane.make_image("d", 1 << 20)
    plane.call("CreateVolume", "name=volumes/d", "vm=vms/c", f"path={plane.image('d')}")
    good = all(os.stat(plane.socket(n)).st_uid == uid and os.stat(plane.socket(n)).st_mode & 0o777
               == 0o600 for n in ("a", "c", "d"))
    tap.check("sockets belong to socket_user alone", good)
    plane.kill()
    plane.start()
    good = all(os.stat(plane.socket(n)).st_uid == uid for n in ("a", "c", "d"))
    tap.check("also after a restart", good)


def main():
    tap = Tap()
    name = missing("gnomon-dataplane", "gn-dpctl", "gn-fe-net")
    if name or os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        tap.skip("uplinks", f"{name} is not built" if name else "needs root and /dev/net/tun")
        return tap.end()
    if any(os.path.exists(f"/sys/class/net/{device}") for device in (TRUNK, *TAPS)):
        tap.skip("uplinks", f"one of the interfaces {TRUNK} {' '.join(TAPS)} exists")
        return tap.end()
    plane = Uplinked()
    behind, *spaces = Namespace(), Namespace(), Namespace()
    try:
        for space, device in zip((behind, *spaces), (TRUNK, *TAPS)):
            space.take(device)
        single_frames_wake_the_lcore(tap, plane, spaces, behind)
        vlans_are_apart(tap, spaces)
        retagger = Retagger(behind)
        try:
            tcp_crosses_the_trunk(tap, spaces, retagger)
            front_end_crosses_the_trunk(tap, plane, retagger)
        finally:
            retagger.end()
        signals_do_no_harm(tap, plane)
        check_says_who_does_what(tap, plane)
        sockets_belong_to_the_user(tap, plane)
    finally:
        code = plane.end()
        for space in (behind, *spaces):
            space.end()
    tap.check("it ends when told to", code == 0, f"exit {code}")
    return tap.end()


sys.exit(main())
