"""Disk requests per second through a vhost-user-blk socket: gnomon-dataplane next to
qemu-storage-daemon, on the same file or device without the page cache, with the same load
(gn-fe-blk: a guest's driver that sleeps until it is interrupted, as a guest's does).

The back end has one CPU, the load the other; the dataplane backs off when idle, as on board
devbox, since the kernel's own I/O threads need the CPUs too. Twice: on a file of this machine's
disk, where the disk sets the pace, and on a memory device (zram), where the way from ring to
device and back does. qemu-storage-daemon runs with its io_uring engine and with its default,
threads; the better one counts."""
import fcntl
import json
import os
import stat
import statistics
import subprocess

import harness

FILE_BYTES = 1 << 30
CASES = [("read", 32), ("write", 32), ("read", 1), ("write", 1)]


class QemuStorageDaemon:
    def __init__(self, context, path, engine):
        self.context = context
        self.socket = f"{context.tmp}/q.sock"
        driver = "host_device" if stat.S_ISBLK(os.stat(path).st_mode) else "file"
        self.process = context.start(
            ["taskset", "-c", str(context.cpu_poll), "qemu-storage-daemon",
             "--blockdev", f"driver={driver},node-name=f,filename={path},aio={engine},"
             "cache.direct=on,discard=unmap",
             "--object", "iothread,id=t",
             "--export", "type=vhost-user-blk,id=e,node-name=f,iothread=t,writable=on,"
             f"addr.type=unix,addr.path={self.socket}"], "qsd.log")
        harness.wait_for(lambda: os.path.exists(self.socket), 10, lambda: "qemu-storage-daemon:\n"
                         + context.log(self.process))

    def stop(self):
        self.context.stop(self.process)
        if os.path.exists(self.socket):
            os.unlink(self.socket)


class Gnomon:
    def __init__(self, context, path):
        self.path = path
        self.dataplane = harness.Dataplane(
            context, {"volumes": [{"name": "volumes/a", "vm": "vms/a", "path": path}]},
            idle="backoff")
        self.socket = f"{self.dataplane.directory}/vhost/a.sock"

    def stop(self):
        self.dataplane.stop()
        harness.wait_for(self._is_free, 10, "the disk's lock")

    def _is_free(self):
        """The kernel may end a process's io_uring, and its locks, a little after it."""
        with open(self.path, "r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True


def load(context, socket, kind, depth):
    """Operations per second."""
    done = subprocess.run(
        [*context.first, context.program("gn-fe-blk"), "--socket", socket, f"--{kind}", "1", "--depth",
         str(depth), "--seconds", str(context.seconds), "--cpu", str(context.cpu_load),
         "--seed", "7"], capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"gn-fe-blk: {done.stdout.decode()} {done.stderr.decode()}")
    return json.loads(done.stdout)["ops_per_s"]


def collect(context, path):
    systems = {"qemu-storage-daemon io_uring": lambda: QemuStorageDaemon(context, path,
                                                                         "io_uring"),
               "qemu-storage-daemon threads": lambda: QemuStorageDaemon(context, path,
                                                                        "threads")}
    try:
        context.program("gnomon-dataplane")
        systems = {"gnomon": lambda: Gnomon(context, path), **systems}
    except harness.CannotRun as reason:
        print(f"# {reason}: only its peer is measured")
    results = {name: {case: [] for case in CASES} for name in systems}
    for index in range(context.rounds):
        for name, start in systems.items():
            system = start()
            for case in CASES:
                results[name][case].append(load(context, system.socket, *case))
            system.stop()
        print(f"#   round {index + 1}: " + "; ".join(
            f"{name} " + ", ".join(f"{values[case][-1]:.0f}" for case in CASES)
            for name, values in results.items()), flush=True)
    return results


def rows_of(results, where):
    rows = []
    ours = results.pop("gnomon", None)
    for case in CASES:
        title = f"blk 4 KiB random {case[0]}, depth {case[1]}, {where}"
        peer = max(results, key=lambda name, case=case: statistics.median(results[name][case]))
        theirs = results[peer][case]
        if not ours:
            rows.append(harness.row(f"{title}, {peer}", statistics.median(theirs),
                                    "operations/s", True))
            continue
        rows.append(harness.row(title, statistics.median(ours[case]), "operations/s", True, peer,
                                harness.median_ratio(ours[case], theirs), 1.2))
    return rows


class MemoryDevice:
    """A block device in memory; it has O_DIRECT, which tmpfs has not."""
    CONTROL = "/sys/class/zram-control"

    def __enter__(self):
        if os.geteuid() != 0 or not os.path.exists(f"{self.CONTROL}/hot_add"):
            raise harness.CannotRun("no zram device can be made")
        with open(f"{self.CONTROL}/hot_add", encoding="utf-8") as file:
            self.number = file.read().strip()
        self._write(f"/sys/block/zram{self.number}/disksize", FILE_BYTES)
        return f"/dev/zram{self.number}"

    def __exit__(self, *_):
        self._write(f"/sys/block/zram{self.number}/reset", 1)
        self._write(f"{self.CONTROL}/hot_remove", self.number)

    @staticmethod
    def _write(path, value):
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(value))


def run(context):
    context.need("qemu-storage-daemon", "taskset")
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
    return rows
