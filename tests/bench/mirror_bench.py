"""What a shadow costs its volume: 4 KiB random writes through the vhost-user-blk socket of a
volume without one, with one that follows (async), and with one that must have a write before
it is acknowledged (in_step); volumes, shadows and journals of one dataplane, all on this machine's
disk, but for one more in async whose shadow and journal are in memory: what that costs is not the
disk's. The load goes from one to the next in short turns. Then how fast a first synchronisation copies,
what a snapshot costs under load, and the memory of a mirror."""
import os
import shutil
import statistics
import subprocess
import tempfile
import time

import blk_bench
import harness
import pool

DISK_BYTES = 1 << 30
CASES = [("write", 32), ("write", 1)]
MODES = ["OFF", "ASYNC", "IN_STEP", "ELSEWHERE"]
MEMORY = "/dev/shm"


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


class Volumes:
    def __init__(self, context, directory):
        self.context, self.directory = context, directory
        paths = {mode: self.file(f"{mode}.raw", True) for mode in MODES}
        self.dataplane = harness.Dataplane(context, {"volumes": [
            {"name": f"volumes/{self.name(mode)}", "vm": "vms/a", "path": path}
            for mode, path in paths.items()]}, idle="backoff")

    @staticmethod
    def name(mode):
        return mode.lower().replace("_", "-")

    def file(self, name, filled, directory=None):
        path = f"{directory or self.directory}/{name}"
        with open(path, "wb") as out:
            if not filled:
                out.truncate(DISK_BYTES)
            for _ in range(DISK_BYTES >> 20 if filled else 0):
                out.write(os.urandom(1 << 20))
            os.fsync(out.fileno())
        return path

    def socket(self, mode):
        return f"{self.dataplane.directory}/vhost/{self.name(mode)}.sock"

    def status(self, mode):
        volumes = self.dataplane.call("ListVolumes")["volumes"]
        return next(v for v in volumes if v["name"] == f"volumes/{self.name(mode)}")["mirror_status"]

    def follow(self, mode, directory=None):
        """Seconds until the whole disk was copied."""
        directory = directory or self.directory
        shadow = self.file(f"{mode}.shadow", False, directory)
        begin = time.monotonic()
        self.dataplane.call("UpdateVolumeMirror", f"name=volumes/{self.name(mode)}",
                            f"mirror.mode={'ASYNC' if mode == 'ELSEWHERE' else mode}",
                            f"mirror.shadow_path={shadow}", "mirror.token=1",
                            f"mirror.journal_path={directory}/{mode}.journal",
                            "mirror.journal_bytes=268435456")
        self.settle(mode)
        return time.monotonic() - begin

    def settle(self, mode):
        harness.wait_for(lambda: (lambda s: s["state"] == "IN_STEP" and not int(s["lag_bytes"]))(self.status(mode)),
                         120, lambda: f"{mode}: {self.status(mode)}")


def costs(volumes):
    results = {mode: {case: [] for case in CASES} for mode in MODES}
    for case in CASES:
        for _ in range(2 * volumes.context.rounds):
            for mode in MODES:
                results[mode][case].append(blk_bench.load(volumes.context, volumes.socket(mode), *case))
                if mode != "OFF":
                    volumes.settle(mode) # what it owes is not the next one's to pay
        print(f"#   {case[0]}, depth {case[1]}: " + ", ".join(
            f"{mode} {statistics.median(values[case]):.0f}" for mode, values in results.items()), flush=True)
    rows = []
    for mode, aim in (("ASYNC", 0.9), ("IN_STEP", None), ("ELSEWHERE", 0.9)):
        title = "async, shadow and journal in memory," if mode == "ELSEWHERE" else mode.lower()
        for case in CASES:
            ours, theirs = results[mode][case], results["OFF"][case]
            rows.append(harness.row(f"mirror {title} 4 KiB random {case[0]}, depth {case[1]}",
                                    statistics.median(ours), "operations/s", True, "off",
                                    harness.median_ratio(ours, theirs), aim))
    return rows


def under_load(context, socket, seconds):
    return subprocess.Popen(
        [*context.first, context.program("gn-fe-blk"), "--socket", socket, "--write", "1", "--depth", "4",
         "--seconds", str(seconds), "--cpu", str(context.cpu_load), "--seed", "9"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def snapshots(context):
    """A 10 GiB sparse volume in a pool with reflink: snapshots of its shadow, clones of itself."""
    where = pool.Pool(f"{context.tmp}/pool", size=8 << 30).start()
    try:
        if not where.has_reflink:
            print(f"# no pool with reflink: {where.why_plain}")
            return []
        path, shadow = f"{where.path}/big.raw", f"{where.path}/big.shadow"
        for name in (path, shadow):
            with open(name, "wb") as file:
                file.truncate(10 << 30)
        dataplane = harness.Dataplane(context, {"volumes": [
            {"name": "volumes/big", "vm": "vms/b", "path": path}]}, idle="backoff")
        try:
            return measure_snapshots(context, dataplane, where.path, shadow)
        finally:
            dataplane.stop()
    finally:
        where.stop()


def measure_snapshots(context, dataplane, directory, shadow):
    dataplane.call("UpdateVolumeMirror", "name=volumes/big", "mirror.mode=ASYNC", f"mirror.shadow_path={shadow}",
                   "mirror.token=1", f"mirror.journal_path={directory}/big.journal", "mirror.journal_bytes=2147483648")
    harness.wait_for(lambda: dataplane.call("ListVolumes")["volumes"][0]["mirror_status"]["state"] == "IN_STEP",
                     120, "the first synchronisation")
    load = under_load(context, f"{dataplane.directory}/vhost/big.sock", 60)
    times = {"clone": [], "snapshot": []}
    held = {"clone": [], "snapshot": []}
    try:
        time.sleep(2)
        for i in range(2 * context.rounds + 1):
            for kind, of_shadow in (("clone", "false"), ("snapshot", "true")):
                target = f"{directory}/{kind}{i}.raw"
                begin = time.monotonic()
                reply = dataplane.call("CloneVolume", "name=volumes/big", f"target_path={target}",
                                       f"of_shadow={of_shadow}")
                times[kind].append((time.monotonic() - begin) * 1000)
                held[kind].append(int(reply["held_us"]) / 1000)
                assert reply["reflink"], reply
                os.unlink(target)
                time.sleep(0.1)
    finally:
        load.kill()
        load.wait()
    rows = []
    for kind, whose in (("clone", "volume's"), ("snapshot", "shadow's")):
        name = f"{kind} of a 10 GiB volume under random writes"
        rows += [harness.row(name, statistics.median(times[kind]), "ms", False, "100 ms",
                             statistics.median(times[kind]) / 100, 1.0),
                 harness.row(f"{name}: the {whose} writes held back", statistics.median(held[kind]), "ms", False,
                             "100 ms", statistics.median(held[kind]) / 100, 1.0)]
    return rows


def run(context):
    context.need_cpus()
    volumes = Volumes(context, context.tmp)
    before = memory_kib(volumes.dataplane.process.pid)
    seconds = volumes.follow("ASYNC")
    memory = memory_kib(volumes.dataplane.process.pid) - before
    volumes.follow("IN_STEP")
    memory_directory = tempfile.mkdtemp(prefix="gnb-", dir=MEMORY)
    volumes.follow("ELSEWHERE", memory_directory)
    rows = [harness.row("mirror first synchronisation", DISK_BYTES / seconds / 1e6, "MB/s", True),
            harness.row("mirror memory", memory / 1024, "MiB", False)]
    try:
        rows += costs(volumes)
    finally:
        volumes.dataplane.stop()
        shutil.rmtree(memory_directory)
    return rows + snapshots(context)
