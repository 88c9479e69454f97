#!/usr/bin/python3
"""A dataplane that hands out one VM's memory again and again, as it does for a front end that sends its
memory table without end: parsers are not started at that rate, and another VM's goes on. The parsers are
counted by their numbers in a pid namespace of gnomon-introspect's own."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from live_test import Skip, children, expect, program, state, status_of, wait_for  # noqa: E402  (needs the path above)

VERSION, TABLE, GONE, REGIONS = 0x31304d52, 1, 2, 8  # proto/ram.h
MIB = 1 << 20
TABLES = 2000
SETTLE_S = 0.1  # firmware/introspect/service.c


def message(kind, vm, size=0):
    regions = struct.pack("=QQQ", 0, size, 0) if kind == TABLE else b""
    return struct.pack("=IIQ128sII", VERSION, kind, 1, vm.encode(), kind == TABLE, 0) + regions.ljust(24 * REGIONS, b"\0")


class FakeDataplane:
    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(1)
        self.listener.settimeout(30)
        self.memory = []

    def accept(self):
        self.reader, _ = self.listener.accept()
        self.reader.settimeout(30)

    def give(self, vm):
        """Memory that is all zero, another file each time."""
        fd = os.memfd_create("ram")
        os.truncate(fd, 16 * MIB)
        socket.send_fds(self.reader, [message(TABLE, vm, 16 * MIB)], [fd])
        os.close(fd)

    def close(self):
        self.reader.close()
        self.listener.close()


def number_inside(pid):
    """The process's number in its own namespace."""
    return int(status_of(pid)["NSpid"].split()[-1])


def newest(supervisor):
    return max((number_inside(pid), pid) for pid in children(supervisor))


def run(directory, processes):
    dataplane = FakeDataplane(f"{directory}/ram.sock")
    with open(f"{directory}/in.yaml", "w", encoding="utf-8") as file:
        file.write(f"run_dir: {directory}\nram_socket: {directory}/ram.sock\nperiod_ms: 200\ngive_up_s: 1\n")
    unshared = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", program("gnomon-introspect"), "--config",
                                 f"{directory}/in.yaml"], stdin=subprocess.DEVNULL)
    processes.append(unshared)
    dataplane.accept()
    supervisor = wait_for(lambda: children(unshared.pid), 20, "gnomon-introspect")[0]
    listener = subprocess.Popen([program("gn-samples"), f"ipc://{directory}/guests.ipc"], stdout=subprocess.PIPE,
                                text=True)
    processes.append(listener)
    samples = []
    threading.Thread(target=lambda: samples.extend(s for line in listener.stdout
                                                   for s in json.loads(line).get("samples", [])), daemon=True).start()
    dataplane.give("vms/b")
    wait_for(lambda: any(s["vm"] == "vms/b" and state(s["guest"]) == "UNSUPPORTED" for s in samples), 30,
             "a sample of vms/b")
    first, neighbour = newest(supervisor)
    begin = time.monotonic()
    for _ in range(TABLES):
        dataplane.give("vms/a")
    wait_for(lambda: len(children(supervisor)) == 2, 60, "the parser of the last table")
    started = newest(supervisor)[0] - first
    most = 2 + (time.monotonic() - begin) / SETTLE_S
    print(f"# {TABLES} tables, {started} parsers")
    expect(1 <= started <= most, f"{started} parsers were started, {most:.0f} expected at most")
    n = len(samples)
    wait_for(lambda: sum(s["vm"] == "vms/b" for s in samples[n:]) > 3, 30, "more samples of vms/b")
    wait_for(lambda: any(s["vm"] == "vms/a" and state(s["guest"]) == "UNSUPPORTED" for s in samples[n:]), 30,
             "a sample of vms/a")
    expect(neighbour in children(supervisor), "the other VM's parser was started anew")
    dataplane.reader.sendall(message(GONE, "vms/a"))
    wait_for(lambda: children(supervisor) == [neighbour], 20, "the end of vms/a's parser")
    dataplane.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = tempfile.mkdtemp(prefix="gnt-", dir="/tmp")
    processes = []
    name = "a VM whose memory table comes without end leaves time for the others"
    try:
        if os.geteuid() != 0 or not shutil.which("unshare"):
            raise Skip("needs root and unshare")
        run(directory, processes)
        print(f"ok 1 - {name}")
        return 0
    except Skip as why:
        print(f"ok 1 - {name} # SKIP {why}")
        return 0
    except (AssertionError, RuntimeError, OSError, ValueError) as why:
        print(f"not ok 1 - {name}\n# {why!r}")
        return 1
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
