"""Disk requests per second through a vhost-user-blk socket: gnomon-dataplane next to
qemu-storage-daemon, on the same file or device without the page cache, with the same load
(gn-fe-blk: a guest's driver that sleeps until it is interrupted, as a guest's does). All
back ends are there at once, asleep; the load goes from one to the next in short turns.

The back end has one CPU, the load the other; the dataplane backs off when idle, as on board
devbox, since the kernel's own I/O threads need the CPUs too. Twice: on a file of this machine's
disk, where the disk sets the pace, and on a memory device (zram), where the way from ring to
device and back does. qemu-storage-daemon runs with its io_uring engine and with its default,
threads; the better one counts."""
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
        self.socket = f"{context.tmp}/q-{engine}.sock"
        driver = "host_device" if stat.S_ISBLK(os.stat(path).st_mode) else "file"
        self.process = context.start(
            ["taskset", "-c", str(context.cpu_poll), "qemu-storage-daemon",
             "--blockdev", f"driver={driver},node-name=f,filename={path},aio={engine},"
             "cache.direct=on,discard=unmap,locking=off",
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
        self.dataplane = harness.Dataplane(
            context, {"volumes": [{"name": "volumes/a", "vm": "vms/a", "path": path}]},
            idle="backoff")
        self.socket = f"{self.dataplane.directory}/vhost/a.sock"

    def stop(self):
        self.dataplane.stop()


def load(context, socket, kind, depth):
    """Operations per second."""
    done = subprocess.run(
        [*context.first, context.program("gn-fe-blk"), "--socket", socket, f"--{kind}", "1",
         "--depth", str(depth), "--seconds", str(context.seconds / 3), "--cpu",
         str(context.cpu_load), "--seed", "7"], capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"gn-fe-blk: {done.stdout.decode()} {done.stderr.decode()}")
    return json.loads(done.stdout)["ops_per_s"]


def start_all(context, path):
    systems = {}
    try:
        context.program("gnomon-dataplane")
        systems["gnomon"] = Gnomon(context, path)
    except harness.CannotRun as reason:
        print(f"# {reason}: only its peer is measured")
    for engine in ("io_uring", "threads"):
        systems[f"qemu-storage-daemon {engine}"] = QemuStorageDaemon(context, path, engine)
    return systems


def collect(context, path):
    systems = start_all(context, path)
    results = {name: {case: [] for case in CASES} for name in systems}
    for case in CASES:
        for _ in range(2 * context.rounds):
            for name, system in systems.items():
                results[name][case].append(load(context, system.socket, *case))
        print(f"#   {case[0]}, depth {case[1]}: " + ", ".join(
            f"{name} {statistics.median(values[case]):.0f}"
            for name, values in results.items()), flush=True)
    for system in systems.values():
        system.stop()
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
        harness.wait_for(self._reset, 10, "the memory device's release")
        self._write(f"{self.CONTROL}/hot_remove", self.number)

    def _reset(self):
        """The kernel may end a process's io_uring a little after the process."""
        try:
            self._write(f"/sys/block/zram{self.number}/reset", 1)
        except OSError:
            return False
        return True

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
