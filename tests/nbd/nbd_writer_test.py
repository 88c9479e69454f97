#!/usr/bin/python3
"""One writer per volume, whoever it is: the VM's disk (vhost-user-blk) or an export. And what a
writing export shares with the VM's disk: mirrors, copies of one instant, restarts."""
import filecmp
import os
import signal
import subprocess
import time

import nbd
from nbd import MIB, Dataplane, need, program, qemu_io, run, wait_for

SIZE = 32 * MIB


class Disk:
    """The VM's disk in use: verified load through vhost-user-blk until it is ended."""

    def __init__(self, dataplane, *more):
        self.process = subprocess.Popen(
            [program("gn-fe-blk"), "--socket", dataplane.path("vhost/a.sock"), "--seconds", "600",
             "--depth", "8", "--read", "1", "--write", "2", "--verify", "--wait", "20000", "--reconnect", "30000",
             *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.dataplane = dataplane

    def is_attached(self):
        return self.dataplane.call("ListVolumes")["volumes"][0]["connected"]

    def attached(self):
        wait_for(self.is_attached, 20, self.dataplane.log)
        return self

    def end(self):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, out + err

    def kill(self):
        self.process.kill()
        self.process.communicate()


def load(uri, seconds):
    need("fio")
    return subprocess.Popen(
        ["fio", "--name=v", "--ioengine=nbd", f"--uri={uri}", "--rw=randrw", "--bssplit=4k/70:64k/30", "--size=32M",
         "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--time_based",
         f"--runtime={seconds}", "--fsync=50"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ends_well(process):
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output.decode()[:1500]


def test_disk_first():
    """While the VM's disk is attached a writing export is refused, a reading one reads."""
    need("qemu-io")
    with Dataplane() as dataplane:
        dataplane.volume("a", SIZE)
        disk = Disk(dataplane).attached()
        try:
            why = dataplane.refused("CreateNbdExport", "name=exports/a", "volume=volumes/a")
            assert "the VM's disk is attached" in why, why
            reader = dataplane.export("r", "read_only=true", volume="a")
            for _ in range(5):
                qemu_io(reader, "read 0 32M", options=("-r",))
            disk.end()
        finally:
            disk.kill()
        wait_for(lambda: not disk.is_attached(), 10, "its end")
        qemu_io(dataplane.export("a"), "write 0 4k")


def test_export_first():
    """While an export writes the VM's disk cannot attach, also not in the moment after a kill."""
    need("qemu-io")
    with Dataplane() as dataplane:
        dataplane.volume("a", SIZE)
        uri = dataplane.export("a")
        disk = Disk(dataplane)  # tries again and again
        try:
            for _ in range(3):
                time.sleep(0.3)
                assert not disk.is_attached()
                dataplane.end(signal.SIGKILL)
                dataplane.start()
            qemu_io(uri, "write -P 3 0 1M", "read -P 3 0 1M")
        finally:
            disk.kill()
        dataplane.call("DeleteNbdExport", "name=exports/a")
        disk = Disk(dataplane)
        try:
            disk.attached().end()
        finally:
            disk.kill()


def test_mirror():
    """A writing export's writes reach the volume's shadow, while the mirror comes and goes."""
    with Dataplane() as dataplane:
        image = dataplane.volume("a", SIZE)
        shadow = dataplane.path("shadow.raw")
        with open(shadow, "wb") as file:
            file.truncate(SIZE)
        uri = dataplane.export("a")
        fio = load(uri, 5)

        def mirror(mode):
            dataplane.call("UpdateVolumeMirror", "name=volumes/a", f"mirror.mode={mode}",
                           f"mirror.shadow_path={shadow}", "mirror.token=1")

        def in_step():
            status = dataplane.call("ListVolumes")["volumes"][0]["mirror_status"]
            return status and status["state"] == "IN_STEP" and not int(status["lag_bytes"])
        for mode in ("ASYNC", "OFF", "IN_STEP"):
            mirror(mode)
            time.sleep(0.7)
        ends_well(fio)
        wait_for(in_step, 30, lambda: str(dataplane.call("ListVolumes")))
        qemu_io(uri, "write -P 9 5M 1M", "flush")
        wait_for(in_step, 30, lambda: str(dataplane.call("ListVolumes")))
        wait_for(lambda: filecmp.cmp(image, shadow, shallow=False), 10, "an equal shadow")


def test_copy():
    """A copy of one instant is made while an export writes; its writes wait meanwhile."""
    with Dataplane() as dataplane:
        dataplane.volume("a", SIZE)
        uri = dataplane.export("a")
        fio = load(uri, 3)
        for number in range(3):
            time.sleep(0.3)
            dataplane.call("CloneVolume", "name=volumes/a", f"target_path={dataplane.path(f'copy{number}')}")
            assert os.path.getsize(dataplane.path(f"copy{number}")) == SIZE
        ends_well(fio)


def test_meter():
    """The VM's disk limits hold for its exports, and their requests are counted as the VM's."""
    with Dataplane() as dataplane:
        dataplane.volume("a", SIZE)
        uri = dataplane.export("a")
        dataplane.call("UpdateMeter", "vm=vms/a", "disk_operations=100")
        begin = time.monotonic()
        run("fio", "--name=v", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", "--bs=4k", "--size=4M",
            "--number_ios=300", "--iodepth=8")
        # 10 are the burst. A slow machine only takes longer.
        assert time.monotonic() - begin >= 2.8
        counters = dataplane.call("ListVolumes")["volumes"][0]["counters"]
        assert int(counters["writes"]) == 300 and int(counters["write_bytes"]) == 300 * 4096, counters
        # A limit of next to nothing, lifted: who waits goes on at once. Two clients wait behind one meter.
        dataplane.call("UpdateMeter", "vm=vms/a", "disk_bytes=4096")
        waiting = [subprocess.Popen(["qemu-io", "-f", "raw", "-c", f"write -P 5 {n}M 1M", "-c", f"write -P 6 {n}M 64k",
                                     "-c", f"read -P 6 {n}M 64k", uri], stdout=subprocess.PIPE) for n in (1, 2)]
        time.sleep(1.5)
        assert all(process.poll() is None for process in waiting)
        dataplane.call("UpdateMeter", "vm=vms/a")
        for process in waiting:
            output = process.communicate(timeout=20)[0]
            assert process.returncode == 0 and b"failed" not in output, output


def test_many():
    """Exports of several volumes, each with several clients, deleted under load."""
    need("nbdcopy")
    with Dataplane() as dataplane:
        uris = []
        for name in "abcd":
            dataplane.volume(name, SIZE)
            uris.append(dataplane.export(name))
        loads = [load(uri, 2) for uri in uris for _ in range(1)]
        for uri in uris:
            run("nbdcopy", "--connections=8", uri, "null:")
        for fio in loads[1:]:
            ends_well(fio)
        loads.append(load(uris[0], 30))
        time.sleep(0.5)
        dataplane.call("DeleteNbdExport", "name=exports/a")
        ends = loads[-1].wait(timeout=20)
        loads[-1].stdout.close()
        assert ends != 0
        ends_well(loads[0]) if loads[0].poll() == 0 else loads[0].communicate()
        assert dataplane.call("ListNbdExports")["exports"][0]["name"] != "exports/a"
        dataplane.export("a")
        qemu_io(uris[0], "write 0 4k")


if __name__ == "__main__":
    nbd.main([test_disk_first, test_export_first, test_mirror, test_copy, test_meter, test_many])
