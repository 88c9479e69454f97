#!/usr/bin/python3
"""A volume and its shadow under verified load: first synchronisation while the disk is used, kill
-9 of the dataplane again and again in both modes, mirroring switched off and on. After each life
the load's own verification of the primary passes, and shadow and primary become equal."""
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
KILLS = 4
IMAGE_BYTES = 64 << 20


class Skip(Exception):
    pass


def program(name):
    path = f"{BUILD}/bin/{name}"
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not built")
    return path


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what()}")


class Dataplane:
    """gnomon-dataplane with one volume made by control, and files for a shadow."""

    def __init__(self, directory):
        self.directory = directory
        self.image = f"{directory}/disk.raw"
        self.shadow = f"{directory}/shadow.raw"
        self.socket = f"{directory}/vhost/a.sock"
        self.process = None
        for path in (self.image, self.shadow):
            with open(path, "wb") as file:
                file.truncate(IMAGE_BYTES)
        with open(f"{directory}/board.yaml", "w", encoding="utf-8") as file:
            file.write("name: devbox\ncompatible: gnomon,devbox\nidle: backoff\nmain_lcore: 0\n"
                       "workers: [1]\nhugepages: false\nmemory_mib: 64\nmbufs: 2048\n")
        with open(f"{directory}/dp.yaml", "w", encoding="utf-8") as file:
            file.write(f"board: {directory}/board.yaml\nrun_dir: {directory}\n"
                       f"state_dir: {directory}/state\nfile_prefix: gnm{os.getpid()}\n")

    def start(self):
        with open(f"{self.directory}/dp.log", "ab") as log:
            self.process = subprocess.Popen(
                [program("gnomon-dataplane"), "--config", f"{self.directory}/dp.yaml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.call("GetDataplaneStatus"), 20, self.log)

    def end(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(timeout=30)

    def call(self, method, *fields, must=False):
        done = subprocess.run([program("gn-dpctl"), f"ipc://{self.directory}/dataplane.ipc", method,
                               *fields], capture_output=True, check=False, timeout=30)
        if done.returncode and must:
            raise AssertionError(f"{method}: {done.stderr.decode()} {done.stdout.decode()}")
        return None if done.returncode else json.loads(done.stdout)

    def create(self):
        self.call("CreateVolume", "name=volumes/a", "vm=vms/a", f"path={self.image}", "queues=4",
                  must=True)

    def mirror(self, mode, *fields):
        return self.call("UpdateVolumeMirror", "name=volumes/a", f"mirror.mode={mode}",
                         f"mirror.shadow_path={self.shadow}", "mirror.token=1", *fields, must=True)

    def volume(self):
        volumes = (self.call("ListVolumes") or {}).get("volumes")
        return volumes[0] if volumes else {}

    def status(self):
        return self.volume().get("mirror_status", {})

    def wait_in_step(self, settled=False):
        def good():
            status = self.status()
            return status.get("state") == "IN_STEP" and (
                not settled or not int(status.get("lag_bytes", 0))) and status
        return wait_for(good, 60, lambda: f"IN_STEP: {self.status()} {self.log()}")

    def log(self):
        with open(f"{self.directory}/dp.log", encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]


class Load:
    """Verified load on the volume until it is ended."""

    def __init__(self, dataplane, seed):
        self.dataplane = dataplane
        self.process = subprocess.Popen(
            [program("gn-fe-blk"), "--socket", dataplane.socket, "--seconds", "600", "--queues", "3",
             "--depth", "8", "--block", "8192", "--segment", "1024", "--read", "2", "--write", "4",
             "--zeroes", "1", "--discard", "1", "--flush", "1", "--seed", str(seed), "--verify",
             "--image", dataplane.image, "--reconnect", "30000", "--wait", "20000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: dataplane.volume().get("connected"), 20, dataplane.log)

    def finish(self):
        assert self.process.poll() is None, f"the load ended early: {self.process.communicate()}"
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, f"{out.decode()} {err.decode()} {self.dataplane.log()}"
        report = json.loads(out)
        for name in ("errors", "mismatches", "duplicates", "lost"):
            assert report[name] == 0, f"{name}: {report}"
        assert report["writes"] > 100 and report["verified_blocks"] > 100, report

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def check_equal(dataplane):
    dataplane.wait_in_step(settled=True)
    assert filecmp.cmp(dataplane.image, dataplane.shadow, shallow=False), \
        f"the shadow differs: {dataplane.status()}"


def lives(directory, body):
    dataplane = Dataplane(directory)
    load = None
    dataplane.start()
    try:
        dataplane.create()
        load = Load(dataplane, 7)
        body(dataplane)
        load.finish()
        check_equal(dataplane)
    finally:
        if load:
            load.kill()
        dataplane.end(signal.SIGKILL)


def first_synchronisation(directory):
    """And off, and on again, and from one mode to the other."""
    def body(dataplane):
        reply = dataplane.mirror("ASYNC")
        assert reply["mirror"]["mode"] == "ASYNC", reply
        status = dataplane.wait_in_step()
        assert int(status["writes"]) > 0 and int(status["point_us"]) > 0, status
        dataplane.mirror("IN_STEP")
        dataplane.wait_in_step()
        off = dataplane.mirror("OFF")
        assert "mirror_status" not in off or not off["mirror_status"], off
        assert not os.path.exists(f"{directory}/state/a.journal")
        time.sleep(0.2)
        dataplane.mirror("IN_STEP")
        dataplane.wait_in_step()
    lives(directory, body)


def killed(mode):
    def body(dataplane):
        choose = random.Random(3)
        dataplane.mirror(mode)
        dataplane.wait_in_step()
        for i in range(KILLS):
            time.sleep(choose.uniform(0.05, 0.5))
            dataplane.end(signal.SIGKILL)
            dataplane.start()
            if i % 2: # the others are killed in their resynchronisation
                dataplane.wait_in_step()
        assert int(dataplane.status()["resyncs"]) > 0, dataplane.status()
    return lambda directory: lives(directory, body)


def block_of(number, blocks):
    """As in sequence.c."""
    mask = (1 << 64) - 1
    z = number * 0x9e3779b97f4a7c15 & mask
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & mask
    z = (z ^ z >> 27) * 0x94d049bb133111eb & mask
    return (z ^ z >> 31) % blocks


def prefix_of(path):
    """How many of the numbered writes the image has, which must be the first ones, whole."""
    with open(path, "rb") as file:
        image = file.read()
    blocks = len(image) // 4096
    found = [int.from_bytes(image[i * 4096:i * 4096 + 8], "little") for i in range(blocks)]
    expected = [0] * blocks
    for number in range(1, max(found) + 1):
        expected[block_of(number, blocks)] = number
    for i, number in enumerate(expected):
        assert image[i * 4096:(i + 1) * 4096] == number.to_bytes(8, "little") * 512, \
            f"not a prefix: block {i} has write {found[i]}, not {number}, in one of {max(found)}"
    return max(found)


def prefix(mode):
    """The consistent point that is kept after a kill has exactly the first so many writes."""
    least = 200 if mode == "IN_STEP" else 2000 # each waits for two flushes there

    def case(directory):
        dataplane = Dataplane(directory)
        writer = None
        dataplane.start()
        try:
            dataplane.create()
            # So slow that the point is still there to be looked at.
            dataplane.mirror(mode)
            dataplane.wait_in_step()
            dataplane.mirror(mode, "mirror.resync_bytes_per_s=1000000")
            writer = subprocess.Popen([program("gn-fe-sequence"), dataplane.socket],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_for(lambda: int(dataplane.status().get("writes", 0)) > least, 300, dataplane.status)
            dataplane.end(signal.SIGKILL)
            words = writer.communicate(timeout=30)[0].split()
            acknowledged = int(words[1])
            assert acknowledged > least, words
            dataplane.start()
            point = f"{dataplane.shadow}.point"
            wait_for(lambda: os.path.exists(point), 30, dataplane.status)
            writes = prefix_of(point)
            assert writes >= (acknowledged if mode == "IN_STEP" else least // 2), (writes, acknowledged)
            assert dataplane.status()["state"] == "SYNCING", dataplane.status()
            dataplane.mirror(mode)
            check_equal(dataplane)
            wait_for(lambda: not os.path.exists(point), 10, lambda: f"{point} stays")
        finally:
            if writer and writer.poll() is None:
                writer.kill()
                writer.communicate()
            dataplane.end(signal.SIGKILL)
    return case


def orderly_restart(directory):
    """After an orderly end nothing has to be copied."""
    dataplane = Dataplane(directory)
    dataplane.start()
    try:
        dataplane.create()
        load = Load(dataplane, 9)
        try:
            dataplane.mirror("ASYNC")
            dataplane.wait_in_step()
            load.finish()
        finally:
            load.kill()
        dataplane.wait_in_step(settled=True)
        dataplane.end(signal.SIGTERM)
        assert filecmp.cmp(dataplane.image, dataplane.shadow, shallow=False)
        dataplane.start()
        status = dataplane.wait_in_step()
        assert int(status.get("resyncs", 0)) == 0, status
    finally:
        dataplane.end(signal.SIGKILL)


def plant(path, offset, data):
    """Rots what lies there, past the dataplane."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)
        os.fsync(file.fileno())


def verified(directory):
    """Both are compared under load: what is equal is told equal; what rots is found, and
    repaired."""
    def verify(dataplane, *fields):
        number = int(dataplane.call("VerifyVolume", "name=volumes/a", *fields, must=True)
                     ["mirror_status"]["verify"]["number"])

        def ended():
            verify = dataplane.status().get("verify", {})
            assert int(verify.get("number", 0)) == number, verify
            return verify.get("state") != "RUNNING" and verify
        return wait_for(ended, 90, dataplane.status)

    def body(dataplane):
        for mode in ("ASYNC", "IN_STEP"):
            dataplane.mirror(mode)
            dataplane.wait_in_step()
            result = verify(dataplane)
            assert result["state"] == "DONE" and int(result["done_bytes"]) == IMAGE_BYTES, result
            assert not int(result.get("differing_bytes", 0)), result
        # The load writes everywhere, so what rots may be overwritten before it is found.
        plant(dataplane.shadow, 5 << 20, os.urandom(20 << 20))
        result = verify(dataplane, "repair=true")
        differing = int(result["differing_bytes"])
        assert differing and differing == int(result["repaired_bytes"]), result
        result = verify(dataplane)
        assert not int(result.get("differing_bytes", 0)), result
        assert dataplane.call("VerifyVolume", "name=volumes/b") is None
        dataplane.call("VerifyVolume", "name=volumes/a", "bytes_per_s=1000", must=True)
        assert dataplane.call("VerifyVolume", "name=volumes/a") is None # one at a time
        dataplane.call("VerifyVolume", "name=volumes/a", "cancel=true", must=True)
        wait_for(lambda: dataplane.status()["verify"]["state"] == "ENDED", 10, dataplane.status)
        dataplane.call("VerifyVolume", "name=volumes/a", "bytes_per_s=1000", must=True)
        dataplane.mirror("OFF")
        assert dataplane.call("VerifyVolume", "name=volumes/a") is None
        dataplane.mirror("ASYNC")
    lives(directory, body)

    dataplane = Dataplane(directory) # at rest, exactly what was planted is told
    dataplane.start()
    try:
        dataplane.mirror("ASYNC")
        dataplane.wait_in_step(settled=True)
        with open(dataplane.shadow, "rb") as file:
            file.seek(40 << 20)
            rot = bytes(byte ^ 0x10 for byte in file.read(1024))
        plant(dataplane.shadow, 40 << 20, rot)
        result = verify(dataplane)
        assert [(int(r["offset_bytes"]), int(r["length_bytes"])) for r in result["ranges"]] == \
            [(40 << 20, 1024)], result
        result = verify(dataplane, "repair=true")
        assert int(result["repaired_bytes"]) == 1024, result
        check_equal(dataplane)
    finally:
        dataplane.end(signal.SIGKILL)


def refused(directory):
    dataplane = Dataplane(directory)
    dataplane.start()
    try:
        dataplane.create()
        for fields in (["mirror.mode=ASYNC", "mirror.shadow_path=relative"],
                       ["mirror.mode=ASYNC", f"mirror.shadow_path={directory}/none"],
                       ["mirror.mode=ASYNC", f"mirror.shadow_path={dataplane.image}"]):
            assert dataplane.call("UpdateVolumeMirror", "name=volumes/a", *fields) is None, fields
        with open(f"{directory}/small.raw", "wb") as file:
            file.truncate(1 << 20)
        assert dataplane.call("UpdateVolumeMirror", "name=volumes/a", "mirror.mode=ASYNC",
                              f"mirror.shadow_path={directory}/small.raw") is None
        assert not dataplane.status()
        # A shadow that is gone at a restart leaves the disk usable, and says so.
        dataplane.mirror("ASYNC")
        dataplane.wait_in_step()
        dataplane.end(signal.SIGTERM)
        os.unlink(dataplane.shadow)
        dataplane.start()
        status = dataplane.status()
        assert status["state"] == "STALE" and "does not exist" in status["message"], status
        load = Load(dataplane, 4)
        try:
            time.sleep(0.3)
            load.finish()
        finally:
            load.kill()
    finally:
        dataplane.end(signal.SIGKILL)


def main():
    cases = [("a live disk is synchronised, and off and on again", first_synchronisation),
             ("kill -9, async", killed("ASYNC")), ("kill -9, in step", killed("IN_STEP")),
             ("the kept point is a prefix, async", prefix("ASYNC")),
             ("the kept point is a prefix, in step", prefix("IN_STEP")),
             ("an orderly restart copies nothing", orderly_restart),
             ("both are compared under load, what rots is repaired", verified),
             ("what cannot be is refused", refused)]
    print(f"1..{len(cases)}")
    failed = False
    for number, (name, case) in enumerate(cases, 1):
        directory = tempfile.mkdtemp(prefix="gnm", dir="/tmp")
        try:
            case(directory)
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except Exception as why:  # pylint: disable=broad-except
            failed = True
            text = str(why).replace("\n", "\n# ")
            print(f"not ok {number} - {name}\n# {type(why).__name__}: {text}", flush=True)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
