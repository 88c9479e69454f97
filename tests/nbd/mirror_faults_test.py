#!/usr/bin/python3
"""What befalls a shadow's stores: a full pool, a store that fails, a file cut short, a journal that is
damaged while nobody uses it, two dataplanes at one shadow. The volume's data is never touched by it, the
state says who failed, and when the cause is gone the shadow follows again."""
import filecmp
import os
import signal
import subprocess

import nbd
from nbd import MIB, Dataplane, need, qemu_io, run, wait_for

SIZE = 16 * MIB
SECTOR = 512
META = 64 << 10


class Disk:
    """A volume with an export, which follows into a shadow."""

    def __init__(self, dataplane, name):
        self.dataplane, self.name = dataplane, name
        self.image = dataplane.volume(name, SIZE)
        self.uri = dataplane.export(name)
        self.journal = dataplane.path(f"{name}.journal")
        self.shadow = None

    def follow(self, shadow, mode="ASYNC", token=1):
        where = f"mirror.shadow_url={shadow.address()}" if isinstance(shadow, nbd.Remote) \
            else f"mirror.shadow_path={shadow}"
        self.shadow = shadow.image if isinstance(shadow, nbd.Remote) else shadow
        self.dataplane.call("UpdateVolumeMirror", f"name=volumes/{self.name}", f"mirror.mode={mode}", where,
                            f"mirror.token={token}", f"mirror.journal_path={self.journal}")

    def off(self):
        self.dataplane.call("UpdateVolumeMirror", f"name=volumes/{self.name}", "mirror.mode=OFF")

    def status(self):
        volumes = self.dataplane.call("ListVolumes")["volumes"]
        return next(v for v in volumes if v["name"] == f"volumes/{self.name}")["mirror_status"]

    def wait_state(self, state, reason=None):
        def there():
            status = self.status()
            return status["state"] == state and (not reason or status["reason"] == reason) and status
        return wait_for(there, 60, lambda: f"{state} {reason or ''}: {self.status()}\n{self.dataplane.log()[-800:]}")

    def wait_equal(self):
        def settled():
            status = self.status()
            return status["state"] == "IN_STEP" and not int(status["lag_bytes"])
        wait_for(settled, 60, lambda: f"{self.name}: {self.status()}")
        wait_for(lambda: filecmp.cmp(self.image, self.shadow, shallow=False), 10, f"{self.name}: an equal shadow")

    def write(self, pattern, offset, length):
        """Written, flushed and read back: production goes on."""
        qemu_io(self.uri, f"write -P {pattern} {offset} {length}", "flush", f"read -P {pattern} {offset} {length}")


def sparse(path, size=SIZE):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def mounted(dataplane, name, size):
    """A small file system in a file; its directory."""
    need("mkfs.ext4", "mount")
    image, where = sparse(dataplane.path(f"{name}.img"), size), dataplane.path(name)
    os.mkdir(where)
    run("mkfs.ext4", "-q", "-F", "-m", "0", image)
    if subprocess.run(["mount", "-o", "loop", image, where], capture_output=True, check=False).returncode:
        raise nbd.Skip("no file system can be mounted here")
    return where


def full_pool(dataplane):
    """The pool is full: the shadow store is the reason, the volume goes on, and with room the shadow follows."""
    pool = mounted(dataplane, "pool", 48 * MIB)
    try:
        disk = Disk(dataplane, "full")
        disk.follow(sparse(f"{pool}/s.raw"))
        disk.wait_state("IN_STEP")
        filler = f"{pool}/filler"
        with open(filler, "wb") as file:
            free = os.statvfs(pool)
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 4 * MIB)
        disk.write(0x31, 0, SIZE)
        status = disk.wait_state("DEGRADED", "SHADOW_STORE")
        assert "No space" in status["message"], status
        disk.write(0x32, "3M", "1M")
        os.unlink(filler)
        disk.wait_equal()
        disk.off()
    finally:
        wait_for(lambda: not subprocess.run(["umount", pool], capture_output=True, check=False).returncode, 20,
                 "the pool's end")


def failing_store(dataplane):
    """Each of the shadow's writes fails: both modes go on, the shadow store is the reason, and it returns."""
    trigger = dataplane.path("fails")
    with nbd.nbdkit(dataplane, "--filter=error", "file", "{image}", "error=EIO", "error-pwrite-rate=100%",
                    "error-zero-rate=100%", f"error-file={trigger}") as server:
        disk = Disk(dataplane, "eio")
        disk.follow(server)
        for mode, pattern in (("ASYNC", 0x41), ("IN_STEP", 0x51)):
            disk.follow(server, mode)
            disk.wait_state("IN_STEP")
            with open(trigger, "wb"):
                pass
            disk.write(pattern, "1M", "2M")
            status = disk.wait_state("DEGRADED", "SHADOW_STORE")
            assert "Input/output" in status["message"], status
            disk.write(pattern + 1, "2M", "2M")
            os.unlink(trigger)
            # A server may have more than the volume; only that much is compared.
            wait_for(lambda: disk.status()["state"] == "IN_STEP" and not int(disk.status()["lag_bytes"]), 60, disk.status)
            with open(disk.image, "rb") as ours, open(server.image, "rb") as theirs:
                assert ours.read() == theirs.read(SIZE), "the shadow differs"
        disk.off()


def cut_short(dataplane):
    """A volume's file is made shorter behind our back: an error where there is nothing, the rest is served."""
    disk = Disk(dataplane, "short")
    disk.write(0x61, "1M", "1M")
    os.truncate(disk.image, 8 * MIB)
    output = run("qemu-io", "-f", "raw", "-c", "read 12M 64k", "-c", "read -P 0x61 1M 1M", disk.uri, code=None)
    assert "Input/output" in output and "Pattern verification failed" not in output, output
    os.truncate(disk.image, SIZE)
    disk.write(0x62, "12M", "1M")


def scribble(path, offset, size):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(os.urandom(size))


DAMAGES = {
    "supers": lambda journal: scribble(journal, 0, 2 * SECTOR),
    "one-super": lambda journal: scribble(journal, 0, SECTOR),
    "lease": lambda journal: scribble(journal, 2 * SECTOR, 2 * SECTOR),
    "bitmap": lambda journal: scribble(journal, 4 * SECTOR, META - 4 * SECTOR),
    "ring": lambda journal: scribble(journal, META, 8 * MIB),
    "short": lambda journal: os.truncate(journal, META + 4 * MIB),
    "stump": lambda journal: os.truncate(journal, 100),
    "empty": lambda journal: os.truncate(journal, 0),
    "gone": os.unlink,
    "shadow-short": None,
}


def damaged(dataplane):
    """Journals damaged or cut between a kill and the start: nothing is lost, every shadow gets equal again."""
    disks = {}
    for number, name in enumerate(DAMAGES):
        disks[name] = disk = Disk(dataplane, f"d-{name}")
        disk.follow(sparse(dataplane.path(f"{name}.shadow")))
        disk.write(number + 1, "1M", "1M")
    for disk in disks.values():
        disk.wait_state("IN_STEP")
    for number, disk in enumerate(disks.values()):
        qemu_io(disk.uri, f"write -P {number + 101} 4M 3M", "flush")
    dataplane.end(signal.SIGKILL)
    for name, damage in DAMAGES.items():
        if damage:
            damage(disks[name].journal)
        else:
            os.truncate(disks[name].shadow, 5 * MIB)
    dataplane.start()
    for number, (name, disk) in enumerate(disks.items()):
        qemu_io(disk.uri, f"read -P {number + 1} 1M 1M", f"read -P {number + 101} 4M 3M")
        disk.write(number + 201, "9M", "1M")
        status = disk.status()
        if status["state"] in ("IN_STEP", "SYNCING"):
            continue
        # Not a volume's trouble, but it must say what to do; then a new start of the mirror is one.
        assert status["message"], (name, status)
        os.truncate(disk.shadow, SIZE)
        disk.off()
        disk.follow(disk.shadow)
    for disk in disks.values():
        disk.wait_equal()
        disk.off()


def contended(dataplane):
    """Two dataplanes at one shadow: the second is refused, and after it was given the shadow the first is fenced."""
    disk = Disk(dataplane, "mine")
    shadow = sparse(dataplane.path("both.shadow"))
    disk.follow(shadow, token=1)
    disk.wait_state("IN_STEP")
    with Dataplane() as second:
        other = Disk(second, "theirs")
        for token in (1, 2):
            why = second.refused("UpdateVolumeMirror", "name=volumes/theirs", "mirror.mode=ASYNC",
                                 f"mirror.shadow_path={shadow}", f"mirror.token={token}",
                                 f"mirror.journal_path={other.journal}")
            assert "held by another writer, which is at work" in why, why
        other.write(0x71, 0, "1M")
        disk.write(0x72, 0, "1M")
        dataplane.end(signal.SIGKILL)
        why = wait_for(lambda: (lambda w: w if "fenced" in w else None)(second.refused(
            "UpdateVolumeMirror", "name=volumes/theirs", "mirror.mode=ASYNC", f"mirror.shadow_path={shadow}",
            "mirror.token=1", f"mirror.journal_path={other.journal}")), 20, "the refusal of the same token")
        other.follow(shadow, token=2)
        dataplane.start()
        status = disk.wait_state("STALE", "LEASE")
        assert "lease" in status["message"], status
        qemu_io(disk.uri, "read -P 0x72 0 1M")
        disk.write(0x73, "2M", "1M")
        other.wait_equal()
        other.write(0x74, "5M", "1M")
        other.wait_equal()


def shared(case):
    """All cases have one dataplane: each has to leave it as it was."""
    def test():
        case(shared.dataplane)
    test.__doc__ = case.__doc__
    return test


if __name__ == "__main__":
    need("qemu-io")
    with Dataplane() as shared.dataplane:
        nbd.main([shared(case) for case in (full_pool, failing_store, cut_short, damaged, contended)])
