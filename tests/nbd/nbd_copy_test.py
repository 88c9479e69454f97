#!/usr/bin/python3
"""Clones of a volume and snapshots of its shadow while a client writes without pause, on a file system without
reflink: each is the content of one instant, though copying takes long."""
import os
import struct
import subprocess
import threading

import nbd
from nbd import MIB, WRITE, Client, Dataplane, need, run, wait_for

SIZE = 64 * MIB
BLOCKS = 512
STRIDE = SIZE // BLOCKS


def offset_of(number):
    """At both ends in turn: a copy that is read in one go holds more of the later writes at its end."""
    n = number % BLOCKS
    return (BLOCKS - 1 - n // 2 if n % 2 else n // 2) * STRIDE


class Writer(threading.Thread):
    """Writes block after block, one at a time, each with its number."""

    def __init__(self, dataplane):
        super().__init__()
        self.client = Client(f"{dataplane.directory}/nbd/a.sock", export=b"a")
        self.answered, self.stops, self.error = 0, False, None

    def run(self):
        try:
            while not self.stops:
                number = self.answered + 1
                self.client.request(WRITE, offset_of(number), 4096, struct.pack("<Q", number) * 512)
                assert self.client.simple() == (0, 1)
                self.answered = number
        except Exception as error:  # for the thread that waits
            self.error = error

    def end(self):
        self.stops = True
        self.join()
        if self.error:
            raise self.error


def instant_of(path):
    """How many of the writes the file has, which must be the first ones."""
    found = {}
    with open(path, "rb") as file:
        for n in range(BLOCKS):
            file.seek(n * STRIDE)
            data = file.read(4096)
            assert data == data[:8] * 512, f"{path}: half of a write in block {n}"
            found[n * STRIDE] = struct.unpack("<Q", data[:8])[0]
    last = max(found.values())
    for number in range(max(1, last - BLOCKS + 1), last + 1):
        assert found[offset_of(number)] == number, f"{path}: has write {last} and not {number}"
    return last


def fill(path):
    """So that copying takes a while; the blocks that are written stay as they are."""
    with open(path, "r+b") as file:
        for n in range(BLOCKS):
            file.seek(n * STRIDE + 4096)
            file.write(os.urandom(STRIDE - 4096))
        os.fsync(file.fileno())


def plain_file_system(dataplane):
    need("mkfs.ext4", "mount")
    image, where = dataplane.path("fs.img"), dataplane.path("pool")
    with open(image, "wb") as file:
        file.truncate(8 * SIZE)
    os.mkdir(where)
    run("mkfs.ext4", "-q", "-F", "-m", "0", image)
    if subprocess.run(["mount", "-o", "loop", image, where], capture_output=True, check=False).returncode:
        raise nbd.Skip("no file system can be mounted here")
    return where


def copies(dataplane, pool, writer):
    for i in range(2):
        for of_shadow in ("false", "true"):
            target, least = f"{pool}/copy-{i}-{of_shadow}.raw", writer.answered
            reply = dataplane.call("CloneVolume", "name=volumes/a", f"target_path={target}", f"of_shadow={of_shadow}")
            assert not reply["reflink"] and int(reply["size_bytes"]) == SIZE, reply
            has = instant_of(target)
            assert has <= writer.answered + 1 and (of_shadow == "true" or has >= least), (has, least)
            os.unlink(target)


def test_copies():
    """Clones and snapshots on ext4 are one instant each, and nobody waits for them"""
    with Dataplane() as dataplane:
        pool = plain_file_system(dataplane)
        try:
            image, shadow = f"{pool}/a.raw", f"{pool}/a.shadow"
            for path in (image, shadow):
                with open(path, "wb") as file:
                    file.truncate(SIZE)
            fill(image)
            dataplane.call("CreateVolume", "name=volumes/a", "vm=vms/a", f"path={image}")
            dataplane.export("a")
            dataplane.call("UpdateVolumeMirror", "name=volumes/a", "mirror.mode=ASYNC", f"mirror.shadow_path={shadow}",
                           "mirror.token=1")
            wait_for(lambda: dataplane.call("ListVolumes")["volumes"][0]["mirror_status"]["state"] == "IN_STEP", 60,
                     "the first synchronisation")
            writer = Writer(dataplane)
            writer.start()
            try:
                wait_for(lambda: writer.answered > BLOCKS or writer.error, 60, "a lap")
                copies(dataplane, pool, writer)
            finally:
                writer.end()
            dataplane.call("DeleteNbdExport", "name=exports/a")
            dataplane.call("DeleteVolume", "name=volumes/a")
        finally:
            wait_for(lambda: not subprocess.run(["umount", pool], capture_output=True, check=False).returncode, 20,
                     "the pool's end")


if __name__ == "__main__":
    nbd.main([test_copies])
