"""NBD requests per second: gnomon-dataplane's export next to qemu-nbd and nbdkit's file plugin, on the
same file or device, by the same client (fio's nbd engine, one connection over a Unix socket).
All servers are there at once, asleep; the load goes from one to the next in short turns.

Server and client have one CPU each. Twice: on a file of this machine's disk, where the disk sets
the pace, and on a memory device (zram), where the way from socket to device and back does. The
dataplane bypasses the page cache, qemu-nbd does both (the better one counts), nbdkit's file plugin
always goes through it: its reads of the file come from memory.

Also the dataplane's memory for a connection: one that is idle, and one after a load of 4 KiB at
depth 32."""
import json
import os
import socket
import stat
import statistics
import subprocess

import harness
from blk_bench import FILE_BYTES, MemoryDevice

CASES = [("randread", "4k", 32), ("randwrite", "4k", 32), ("randread", "4k", 1), ("randwrite", "4k", 1),
         ("read", "128k", 8), ("write", "128k", 8)]
TITLES = {"randread": "4 KiB random read", "randwrite": "4 KiB random write",
          "read": "128 KiB sequential read", "write": "128 KiB sequential write"}


class Server:
    """One that listens on a Unix socket."""

    def __init__(self, context, name, command):
        self.context = context
        self.path = f"{context.tmp}/{name}.sock"
        self.uri = f"nbd+unix:///?socket={self.path}"
        self.process = context.start(["taskset", "-c", str(context.cpu_poll),
                                      *(word.format(socket=self.path) for word in command)], f"{name}.log")
        harness.wait_for(lambda: os.path.exists(self.path), 10,
                         lambda: f"{name}:\n" + context.log(self.process))

    def stop(self):
        self.context.stop(self.process)
        if os.path.exists(self.path):
            os.unlink(self.path)


class Gnomon:
    def __init__(self, context, path):
        self.dataplane = harness.Dataplane(
            context, {"volumes": [{"name": "volumes/a", "vm": "vms/a", "path": path}]}, idle="backoff")
        self.dataplane.call("CreateNbdExport", "name=exports/a", "volume=volumes/a", "max_connections=64")
        self.path = f"{self.dataplane.directory}/nbd/a.sock"
        self.uri = f"nbd+unix:///a?socket={self.path}"

    def stop(self):
        self.dataplane.stop()


def start_all(context, path):
    systems = {}
    try:
        systems["gnomon"] = Gnomon(context, path)
    except harness.CannotRun as reason:
        print(f"# {reason}: only its peers are measured")
    driver = "host_device" if stat.S_ISBLK(os.stat(path).st_mode) else "file"
    qemu = ["qemu-nbd", "-k", "{socket}", "-t", "-e", "8", "--image-opts",
            f"driver=raw,file.driver={driver},file.filename={path},file.locking=off,"]
    direct = "file.aio=io_uring,file.cache.direct=on,cache.direct=on"
    systems["qemu-nbd direct"] = Server(context, "qemu-direct", [*qemu[:-1], qemu[-1] + direct])
    systems["qemu-nbd cached"] = Server(context, "qemu-cached", [*qemu[:-1], qemu[-1] + "file.aio=threads"])
    systems["nbdkit file"] = Server(context, "nbdkit", ["nbdkit", "-f", "-U", "{socket}", "file", path])
    return systems


def load(context, uri, kind, size, depth):
    """Operations per second."""
    done = subprocess.run(
        [*context.first, "fio", "--name=b", "--ioengine=nbd", f"--uri={uri}", f"--rw={kind}", f"--bs={size}",
         f"--iodepth={depth}", f"--size={FILE_BYTES}", "--time_based", f"--runtime={int(context.seconds * 700)}ms",
         f"--cpus_allowed={context.cpu_load}", "--randseed=7", "--output-format=json"],
        capture_output=True, check=False, timeout=60, cwd=context.tmp)
    if done.returncode:
        raise RuntimeError(f"fio: {done.stdout.decode()[-800:]} {done.stderr.decode()}")
    text = done.stdout.decode()
    job = json.loads(text[text.index("{"):])["jobs"][0]
    return job["read" if "read" in kind else "write"]["iops"]


def collect(context, path):
    systems = start_all(context, path)
    results = {name: {case: [] for case in CASES} for name in systems}
    for case in CASES:
        for _ in range(context.rounds):
            for name, system in systems.items():
                results[name][case].append(load(context, system.uri, *case))
        print(f"#   {case[0]} {case[1]}, depth {case[2]}: " + ", ".join(
            f"{name} {statistics.median(values[case]):.0f}" for name, values in results.items()), flush=True)
    for system in systems.values():
        system.stop()
    return results


def rows_of(results, where):
    rows = []
    ours = results.pop("gnomon", None)
    for case in CASES:
        title = f"nbd {TITLES[case[0]]}, depth {case[2]}, {where}"
        peer = max(results, key=lambda name, case=case: statistics.median(results[name][case]))
        theirs = results[peer][case]
        if not ours:
            rows.append(harness.row(f"{title}, {peer}", statistics.median(theirs), "operations/s", True))
            continue
        rows.append(harness.row(title, statistics.median(ours[case]), "operations/s", True, peer,
                                harness.median_ratio(ours[case], theirs), 1.5 if case[2] == 32 else None))
    return rows


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    return 0


def connect(path):
    """A connection that has chosen the export and does nothing."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(b"\0\0\0\3IHAVEOPT\0\0\0\1\0\0\0\1a")
    client.recv(18 + 10, socket.MSG_WAITALL)
    return client


def memory_rows(context, path):
    system = Gnomon(context, path)
    pid = system.dataplane.process.pid
    before = resident_kib(pid)
    clients = [connect(system.path) for _ in range(32)]
    idle = (resident_kib(pid) - before) / len(clients)
    for client in clients:
        client.close()
    load(context, system.uri, "randwrite", "4k", 32)
    before = resident_kib(pid)
    loaders = [subprocess.Popen(
        ["fio", "--name=b", "--ioengine=nbd", f"--uri={system.uri}", "--rw=randwrite", "--bs=4k", "--iodepth=32",
         f"--size={FILE_BYTES}", "--time_based", "--runtime=3"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, cwd=context.tmp) for _ in range(8)]
    most = before
    while any(loader.poll() is None for loader in loaders):
        most = max(most, resident_kib(pid))
    system.stop()
    return [harness.row("nbd memory of an idle connection", idle, "KiB", False),
            harness.row("nbd memory of a connection at 4 KiB, depth 32", (most - before) / len(loaders),
                        "KiB", False)]


def run(context):
    context.need("qemu-nbd", "nbdkit", "fio", "taskset")
    context.need_cpus()
    path = f"{context.tmp}/disk.raw"
    with open(path, "wb") as file:
        for _ in range(FILE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
    rows = rows_of(collect(context, path), "disk file")
    try:
        with MemoryDevice() as device:
            rows += rows_of(collect(context, device), "memory device")
    except harness.CannotRun as reason:
        print(f"# only on the disk: {reason}")
    return rows + memory_rows(context, path)
