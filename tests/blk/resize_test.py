#!/usr/bin/python3
"""A volume is made larger while a real guest writes to it: the guest sees the new size and uses it.
What cannot be is refused, with a sentence: smaller, mirrored, exported, a device that has not grown."""
import json
import os
import signal
import subprocess
import sys

import restart_test
from restart_test import Dataplane, Guest, Skip, program, wait_for

LARGER = 96 << 20


def ask(dataplane, method, *fields):
    """The reply, or the sentence of the refusal."""
    done = subprocess.run([program("gn-dpctl"), f"ipc://{dataplane.directory}/dataplane.ipc", method, *fields],
                          capture_output=True, text=True, check=False, timeout=30)
    return done.stderr + done.stdout if done.returncode else json.loads(done.stdout)


def resize(dataplane, size, name="volumes/a"):
    return ask(dataplane, "ResizeVolume", f"name={name}", f"size_bytes={size}")


def started(directory):
    dataplane = Dataplane(directory)
    dataplane.start()
    wait_for(lambda: os.path.exists(dataplane.socket), 20, "the volume's socket")
    return dataplane


def larger_under_a_guest(directory):
    dataplane = started(directory)
    guest = None
    try:
        guest = Guest(directory, dataplane.socket)
        wait_for(lambda: any("gn: " in line for line in guest.lines), 60, "the guest's boot")
        guest.ask("verify 6", "gn: ok")
        reply = resize(dataplane, LARGER)
        assert isinstance(reply, dict) and int(reply["size_bytes"]) == LARGER, reply
        assert os.stat(dataplane.image).st_size == LARGER
        wait_for(lambda: guest.ask("run cat /sys/block/vda/size >/dev/ttyS0", "gn: ok")
                 and str(LARGER // 512) in guest.lines[-6:], 20, lambda: guest.lines[-6:])
        end = wait_for(lambda: (lambda s: s if not s["verify_running"] else None)(guest.status()), 60,
                       "the end of the guest's verification")
        assert end["verify_wrong"] == 0 and end["verify_checked"] > 0, end
        last = LARGER // 4096 - 1
        said = guest.ask(f"run echo larger | dd of=/dev/vda bs=4096 seek={last} conv=fsync,sync 2>/dev/null",
                         "gn: ok run")
        assert said.endswith(" 0"), said
        with open(dataplane.image, "rb") as file:
            file.seek(last * 4096)
            assert file.read(6) == b"larger"
        # After a restart it has that size, too.
        dataplane.end(signal.SIGKILL)
        dataplane.start()
        volume = wait_for(lambda: ask(dataplane, "ListVolumes"), 20, "the volume")["volumes"][0]
        assert int(volume["size_bytes"]) == LARGER, volume
    finally:
        if guest:
            guest.stop()
        dataplane.end(signal.SIGKILL)


def refused(directory):
    dataplane = started(directory)
    try:
        for size, says in ((1 << 20, "not made smaller"), (LARGER + 1, "not a multiple"),
                           (1 << 62, "volume file")):
            said = resize(dataplane, size)
            assert isinstance(said, str) and says in said, (size, said)
        assert "no volume" in resize(dataplane, LARGER, "volumes/b")
        shadow = f"{directory}/shadow.raw"
        with open(shadow, "wb") as file:
            file.truncate(restart_test.IMAGE_BYTES)
        assert isinstance(ask(dataplane, "UpdateVolumeMirror", "name=volumes/a", "mirror.mode=ASYNC",
                              f"mirror.shadow_path={shadow}", "mirror.token=1"), dict)
        said = resize(dataplane, LARGER)
        assert "FAILED_PRECONDITION" in said and "shadow" in said, said
        ask(dataplane, "UpdateVolumeMirror", "name=volumes/a", "mirror.mode=OFF")
        ask(dataplane, "CreateNbdExport", "name=exports/a", "volume=volumes/a", "read_only=true")
        said = resize(dataplane, LARGER)
        assert "FAILED_PRECONDITION" in said and "exported" in said, said
        ask(dataplane, "DeleteNbdExport", "name=exports/a")
        assert isinstance(resize(dataplane, LARGER), dict)
        assert isinstance(resize(dataplane, LARGER), dict), "the same again"
    finally:
        dataplane.end(signal.SIGKILL)


def block_device(directory):
    path = f"{directory}/device.img"
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    done = subprocess.run(["losetup", "-f", "--show", path], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"no loop devices here: {done.stderr.strip()}")
    device = done.stdout.strip()
    dataplane = None
    try:
        dataplane = started(directory)
        assert isinstance(ask(dataplane, "CreateVolume", "name=volumes/d", "vm=vms/d", f"path={device}"), dict)
        said = resize(dataplane, 32 << 20, "volumes/d")
        assert "FAILED_PRECONDITION" in said and "make the device as large first" in said, said
        with open(path, "r+b") as file:
            file.truncate(32 << 20)
        subprocess.run(["losetup", "-c", device], check=True)
        reply = resize(dataplane, 0, "volumes/d")
        assert int(reply["size_bytes"]) == 32 << 20, reply
    finally:
        if dataplane:
            dataplane.end(signal.SIGKILL)
        subprocess.run(["losetup", "-d", device], check=False)


def main():
    cases = [larger_under_a_guest, refused, block_device]
    print(f"1..{len(cases)}", flush=True)
    return 1 if sum(restart_test.run(i, case) for i, case in enumerate(cases, 1)) else 0


if __name__ == "__main__":
    sys.exit(main())
