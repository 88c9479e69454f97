#!/usr/bin/python3
"""A volume's shadow at another NBD server: qemu-nbd, nbdkit, another card. It follows, the link is lost and
returns, the server is not there when the dataplane starts; the volume notices nothing of it."""
import filecmp
import os
import signal
import subprocess

import nbd
from nbd import Dataplane, MIB, Remote, need, qemu_io, run, wait_for

SIZE = 32 * MIB


def mirror(dataplane, url, mode="ASYNC", must=True):
    return dataplane.call("UpdateVolumeMirror", "name=volumes/a", f"mirror.mode={mode}",
                          f"mirror.shadow_url={url}", "mirror.token=1", must=must)


def status(dataplane):
    return dataplane.call("ListVolumes")["volumes"][0]["mirror_status"]


def is_in_step(dataplane):
    state = status(dataplane)
    return state["state"] == "IN_STEP" and not int(state["lag_bytes"])


def follows(dataplane, image, shadow):
    """The shadow becomes equal to the volume."""
    wait_for(lambda: is_in_step(dataplane), 60, lambda: str(status(dataplane)))
    wait_for(lambda: filecmp.cmp(image, shadow, shallow=False), 20, "an equal shadow")


def load(uri, *more):
    need("fio")
    return subprocess.Popen(
        ["fio", "--name=v", "--ioengine=nbd", f"--uri={uri}", "--rw=randrw", "--bssplit=4k/70:64k/30", "--size=32M",
         "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--fsync=50", *more],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ends_well(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output.decode()[:1500]


def use(dataplane, url, shadow):
    image = dataplane.volume("a", SIZE)
    uri = dataplane.export("a")
    qemu_io(uri, "write -P 3 1M 5M")
    mirror(dataplane, url)
    fio = load(uri, "--io_size=24M")
    wait_for(lambda: is_in_step(dataplane) or fio.poll() is not None, 60, lambda: str(status(dataplane)))
    mirror(dataplane, url, "IN_STEP")
    ends_well(fio)
    qemu_io(uri, "write -P 9 5M 1M", "write -z 8M 1M", "discard 2M 1M", "flush")
    follows(dataplane, image, shadow)
    mirror(dataplane, url, "OFF")


def test_servers():
    """Shadows at qemu-nbd, at nbdkit and at another card follow under load, in both modes."""
    need("qemu-nbd", "nbdkit", "qemu-io")
    for make in (nbd.qemu_nbd, lambda d: nbd.nbdkit(d, "file", "{image}")):
        with Dataplane() as dataplane, make(dataplane) as server:
            use(dataplane, server.address(), server.image)
    with Dataplane() as far, Dataplane() as near:
        shadow = far.volume("s", SIZE)
        use(near, far.export("s"), shadow)


def is_cut_off(dataplane):
    state = status(dataplane)
    return state["state"] == "DEGRADED" and state["reason"] == "LINK"


def test_link_loss():
    """The link is lost under load: DEGRADED because of it, the VM goes on; it returns, and the shadow follows."""
    need("qemu-nbd", "qemu-io")
    for mode in ("ASYNC", "IN_STEP"):
        with Dataplane() as dataplane, nbd.qemu_nbd(dataplane) as server:
            image = dataplane.volume("a", SIZE)
            uri = dataplane.export("a")
            mirror(dataplane, server.address(), mode)
            wait_for(lambda: is_in_step(dataplane), 60, lambda: str(status(dataplane)))
            fio = load(uri, "--time_based", "--runtime=4")
            server.end()
            wait_for(lambda: is_cut_off(dataplane), 60, lambda: str(status(dataplane)))
            assert "cannot be reached" in status(dataplane)["message"], status(dataplane)
            ends_well(fio)
            qemu_io(uri, "write -P 7 9M 2M", "flush", "read -P 7 9M 2M")
            server.start()
            follows(dataplane, image, server.image)
            server.process.send_signal(signal.SIGSTOP)
            qemu_io(uri, "write -P 8 9M 2M", "flush")
            wait_for(lambda: status(dataplane)["state"] == "DEGRADED", 60, lambda: str(status(dataplane)))
            server.process.send_signal(signal.SIGCONT)
            follows(dataplane, image, server.image)


def test_start_without():
    """The shadow's server is away when the dataplane starts: the VM's disk works, the state says why, it returns."""
    need("qemu-nbd", "qemu-io")
    with Dataplane() as dataplane, nbd.qemu_nbd(dataplane) as server:
        image = dataplane.volume("a", SIZE)
        uri = dataplane.export("a")
        mirror(dataplane, server.address())
        qemu_io(uri, "write -P 5 1M 1M")
        wait_for(lambda: is_in_step(dataplane), 60, lambda: str(status(dataplane)))
        dataplane.end(signal.SIGKILL)
        server.end()
        dataplane.start()
        qemu_io(uri, "write -P 6 4M 1M", "flush", "read -P 5 1M 1M")
        wait_for(lambda: is_cut_off(dataplane), 60, lambda: str(status(dataplane)))
        server.start()
        follows(dataplane, image, server.image)
        resyncs = int(status(dataplane)["resyncs"])
        assert resyncs <= 1, status(dataplane)


def test_store_without():
    """A volume's own server is away when the dataplane starts: it says so, and serves when the server returns."""
    need("qemu-nbd", "qemu-io")
    with Dataplane() as dataplane, nbd.qemu_nbd(dataplane) as server:
        dataplane.call("CreateVolume", "name=volumes/v", "vm=vms/v", f"store_url={server.address()}")
        dataplane.volume("a", SIZE)
        uri, other = dataplane.export("v"), dataplane.export("a")
        qemu_io(uri, "write -P 5 1M 1M")
        dataplane.end(signal.SIGKILL)
        server.end()
        dataplane.start()
        volume = next(v for v in dataplane.call("ListVolumes")["volumes"] if v["name"] == "volumes/v")
        wait_for(lambda: "remote.sock" in str(dataplane.call("ListVolumes")), 20, "the reason")
        assert not volume["store_status"]["connected"] and int(volume["size_bytes"]) == SIZE, volume
        assert volume["exports"] == ["exports/v"], volume
        qemu_io(other, "write 0 1M", "read 0 1M")
        held = subprocess.Popen(["qemu-io", "-f", "raw", "-c", "read -P 5 1M 1M", uri],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        server.start()
        output = held.communicate(timeout=60)[0].decode()
        assert held.returncode == 0 and "failed" not in output, output
        # Another disk under the same address is left alone, also at a start.
        dataplane.end(signal.SIGKILL)
        server.end()
        os.truncate(server.image, SIZE // 2)
        server.start()
        dataplane.start()
        wait_for(lambda: "left alone" in str(dataplane.call("ListVolumes")), 20, "the refusal")


def test_refusals():
    """A shadow that cannot be had is refused with a reason, and the volume goes on."""
    need("qemu-nbd", "qemu-io")
    with Dataplane() as dataplane, Remote(dataplane, "qemu-nbd", "-r", "-k", "{socket}", "-f", "raw", "-t",
                                          "{image}") as server:
        dataplane.volume("a", SIZE)
        uri = dataplane.export("a")
        for fields, words in ((["mirror.shadow_url=nbd://127.0.0.1:1/x"], "refused"),
                              ([f"mirror.shadow_url={server.address()}"], "read-only"),
                              (["mirror.shadow_url=http://x"], "nbd://"),
                              (["mirror.shadow_url=nbd://x/", "mirror.shadow_path=/x"], "give one")):
            why = dataplane.refused("UpdateVolumeMirror", "name=volumes/a", "mirror.mode=ASYNC", "mirror.token=1", *fields)
            assert words in why, (words, why)
        qemu_io(uri, "write 0 1M")
        assert "could not open" not in run("qemu-io", "-f", "raw", "-c", "read 0 4k", uri)


if __name__ == "__main__":
    nbd.main([test_servers, test_link_loss, test_start_without, test_store_without, test_refusals])
