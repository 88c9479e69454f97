#!/usr/bin/python3
"""A volume's VM is cut off while it writes, and the volume goes on with its shadow's content: every
acknowledged write is there, in both modes and with the dataplane killed at each step; the former
writer's token is refused for ever; a shadow that lacks writes is promoted only on request, to a
point of which all that is there is a prefix."""
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from mirror_test import Dataplane, Load, Skip, prefix_of, program, wait_for


class Writer:
    """Numbered writes until its back end goes."""

    def __init__(self, dataplane, n_writes=500):
        self.process = subprocess.Popen([program("gn-fe-sequence"), dataplane.socket],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: int(dataplane.volume().get("counters", {}).get("writes", 0)) > n_writes, 60,
                 dataplane.log)

    def acknowledged(self):
        words = self.process.communicate(timeout=30)[0].split()
        assert int(words[1]) > 300, words
        return int(words[1])

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def fence(dataplane, fenced="true"):
    return dataplane.call("FenceVolume", "name=volumes/a", f"fenced={fenced}", must=True)


def promote(dataplane, token, *fields):
    return dataplane.call("PromoteVolume", "name=volumes/a", f"token={token}", *fields)


def restart(dataplane, killed):
    if killed:
        dataplane.end(signal.SIGKILL)
        dataplane.start()


def promoted(mode, killed):
    """With 'killed' the dataplane ends after every step."""
    def body(dataplane):
        dataplane.mirror(mode)
        dataplane.wait_in_step()
        writer = Writer(dataplane)
        try:
            assert promote(dataplane, 2) is None, "a volume that is not fenced was promoted"
            assert fence(dataplane)["fenced"] and not os.path.exists(dataplane.socket)
            acknowledged = writer.acknowledged()
        finally:
            writer.kill()
        restart(dataplane, killed)
        assert dataplane.volume()["fenced"] and not os.path.exists(dataplane.socket)
        assert promote(dataplane, 1) is None, "the mirror's own token was taken"
        reply = wait_for(lambda: promote(dataplane, 2), 30, dataplane.log)
        assert reply["path"] == dataplane.shadow and reply["promotion"]["complete"], reply
        assert reply["promotion"]["from_path"] == dataplane.image, reply
        restart(dataplane, killed)
        assert dataplane.volume()["path"] == dataplane.shadow, dataplane.volume()
        assert promote(dataplane, 2)["promotion"]["complete"], "the same once more is no error"
        n = prefix_of(dataplane.shadow)
        assert n >= acknowledged, f"{acknowledged} writes were acknowledged, {n} are there"
        assert filecmp.cmp(dataplane.image, dataplane.shadow, shallow=False)
        goes_on(dataplane)
    return lambda directory: with_volume(directory, body)


def goes_on(dataplane):
    """On the new store, with the old one as its shadow; who shows the old token is refused."""
    fence(dataplane, "false")
    with open(f"{dataplane.directory}/other.raw", "wb") as file:
        file.truncate(os.path.getsize(dataplane.image))
    assert dataplane.call("CreateVolume", "name=volumes/b", "vm=vms/b",
                          f"path={dataplane.directory}/other.raw", must=True)
    assert dataplane.call("UpdateVolumeMirror", "name=volumes/b", "mirror.mode=ASYNC",
                          f"mirror.shadow_path={dataplane.shadow}", "mirror.token=1") is None
    dataplane.call("DeleteVolume", "name=volumes/b", must=True)
    dataplane.call("UpdateVolumeMirror", "name=volumes/a", "mirror.mode=ASYNC",
                   f"mirror.shadow_path={dataplane.image}", "mirror.token=3", must=True)
    dataplane.image, dataplane.shadow = dataplane.shadow, dataplane.image
    load = Load(dataplane, 5)
    try:
        dataplane.wait_in_step()
        time.sleep(1)
        load.finish()
    finally:
        load.kill()
    dataplane.wait_in_step(settled=True)
    assert filecmp.cmp(dataplane.image, dataplane.shadow, shallow=False)


def lossy(directory):
    """The shadow is being resynchronised: its consistent point is promoted, and nothing else."""
    def body(dataplane):
        dataplane.mirror("ASYNC")
        dataplane.wait_in_step()
        dataplane.mirror("ASYNC", "mirror.resync_bytes_per_s=1000000")
        writer = Writer(dataplane)
        try:
            restart(dataplane, True)
            writer.acknowledged()
        finally:
            writer.kill()
        wait_for(lambda: os.path.exists(f"{dataplane.shadow}.point"), 30, dataplane.status)
        n = prefix_of(f"{dataplane.shadow}.point")
        fence(dataplane)
        assert promote(dataplane, 2) is None, "a shadow that lacks writes was promoted"
        reply = wait_for(lambda: promote(dataplane, 2, "accept_loss=true"), 30, dataplane.log)
        assert not reply["promotion"].get("complete") and int(reply["promotion"]["lost_bytes"]) > 0, reply
        assert prefix_of(dataplane.shadow) == n, "another content than the consistent point"
    with_volume(directory, body)


def no_point(directory):
    """A shadow that never was in step cannot be promoted, whatever is accepted."""
    def body(dataplane):
        dataplane.mirror("ASYNC", "mirror.resync_bytes_per_s=1000000")
        fence(dataplane)
        assert promote(dataplane, 2, "accept_loss=true") is None
        assert dataplane.volume()["path"] == dataplane.image
    with_volume(directory, body)


def with_volume(directory, body):
    dataplane = Dataplane(directory)
    dataplane.start()
    try:
        dataplane.create()
        body(dataplane)
    finally:
        dataplane.end(signal.SIGKILL)


def main():
    cases = [(f"promoted with every write, {mode.lower()}{', killed at each step' if killed else ''}",
              promoted(mode, killed)) for mode in ("ASYNC", "IN_STEP") for killed in (False, True)]
    cases += [("a consistent point, on request", lossy), ("no point, nothing to promote", no_point)]
    print(f"1..{len(cases)}")
    failed = False
    for number, (name, case) in enumerate(cases, 1):
        directory = tempfile.mkdtemp(prefix="gnp", dir="/tmp")
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
