#!/usr/bin/python3
"""Volumes exported over NBD, used by the clients that people have: qemu-io, qemu-img, nbdinfo,
nbdcopy, fio. Who may write, what is refused, what comes back after a kill."""
import filecmp
import json
import os
import random
import signal
import subprocess

import nbd
from nbd import MIB, Dataplane, need, qemu_io, run


def test_use():
    """qemu-io writes, reads, zeroes, trims; nbdinfo sees what is offered."""
    need("qemu-io", "nbdinfo")
    with Dataplane() as dataplane:
        dataplane.volume("a")
        uri = dataplane.export("a")
        qemu_io(uri, "write -P 7 0 4k", "write -f -P 9 1M 3M", "read -P 7 0 4k",
                "read -P 9 1M 3M", "read -P 0 8M 32M", "write -P 5 16M 8M", "read -P 5 16M 8M",
                "flush", "write -z 1M 1M", "write -z -u 2M 64k", "read -P 0 1M 1088k",
                "read -P 9 2112k 1984k", "discard 3M 1M")
        info = json.loads(run("nbdinfo", "--json", uri))["exports"][0]
        assert info["export-size"] == 64 * MIB and not info["is_read_only"], info
        for what in ("cache", "df", "fast_zero", "flush", "fua", "multi_conn", "trim", "zero"):
            assert info[f"can_{what}"], (what, info)
        assert info["contexts"] == ["base:allocation"], info
        assert info["block_size_minimum"] == 512, info
        listed = json.loads(run("nbdinfo", "--list", "--json", uri))["exports"]
        assert [e["export-name"] for e in listed] == ["a"], listed
        extents = json.loads(run("nbdinfo", "--map", "--json", uri))
        assert extents[0]["type"] == 0 and extents[0]["offset"] == 0, extents
        assert sum(e["length"] for e in extents) == 64 * MIB, extents
        assert any(e["type"] == 3 for e in extents), extents
        # Seen by whoever reads the file, so written to it.
        with open(dataplane.path("a.raw"), "rb") as file:
            assert file.read(4096) == b"\7" * 4096
        counters = dataplane.counters("a")
        assert counters["connections_total"] >= 3 and not counters["rejected"], counters
        assert dataplane.end(signal.SIGTERM) == 0, dataplane.log()


def test_copy():
    """nbdcopy over many connections and qemu-img convert move images both ways."""
    need("nbdcopy", "qemu-img")
    with Dataplane() as dataplane:
        source = dataplane.path("source.raw")
        image = bytearray(24 * MIB)
        dice = random.Random(3)
        for _ in range(40):
            at = dice.randrange(0, len(image) - 200000)
            image[at:at + 100000] = dice.randbytes(100000)
        with open(source, "wb") as file:
            file.write(image)
        copy = dataplane.volume("a", 24 * MIB)
        uri = dataplane.export("a")
        run("nbdcopy", "--flush", "--connections=4", "--requests=64", source, uri)
        assert filecmp.cmp(source, copy, shallow=False)
        run("nbdcopy", uri, dataplane.path("back.raw"))
        assert filecmp.cmp(source, dataplane.path("back.raw"), shallow=False)
        other = dataplane.volume("b", 24 * MIB)
        target = dataplane.export("b")
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", "-m", "16", "-W", uri, target)
        assert filecmp.cmp(source, other, shallow=False)
        assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", uri, target)


def test_fio():
    """fio's nbd engine verifies what it wrote, at depth 32, while another client reads."""
    need("fio", "nbdcopy")
    with Dataplane() as dataplane:
        dataplane.volume("a")
        uri = dataplane.export("a")
        load = subprocess.Popen(
            ["fio", "--name=v", "--ioengine=nbd", f"--uri={uri}", "--rw=randrw", "--bs=4k",
             "--bssplit=4k/60:64k/30:2M/10", "--size=64M", "--iodepth=32", "--verify=crc32c", "--io_size=128M",
             "--verify_fatal=1", "--verify_state_save=0", "--output-format=json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(3):
            run("nbdcopy", uri, "null:")
        output, _ = load.communicate(timeout=60)
        assert load.returncode == 0, output.decode()
        assert not dataplane.counters("a")["errors"]


def test_read_only():
    """A read-only export reads and refuses to write, also while another export writes."""
    need("qemu-io")
    with Dataplane() as dataplane:
        dataplane.volume("a")
        uri = dataplane.export("a")
        reader = dataplane.export("r", "read_only=true", volume="a")
        qemu_io(uri, "write -P 3 0 1M")
        qemu_io(reader, "read -P 3 0 1M", options=("-r",))
        assert "Permission denied" in run("qemu-io", "-f", "raw", "-c", "write 0 4k", reader, code=1)
        why = dataplane.refused("CreateNbdExport", "name=exports/b", "volume=volumes/a")
        assert "one at a time" in why and "exports/a" in why, why
        assert "delete its exports" in dataplane.refused("DeleteVolume", "name=volumes/a")
        dataplane.call("DeleteNbdExport", "name=exports/a")
        dataplane.export("b", volume="a")
        assert not os.path.exists(dataplane.path("nbd/a.sock"))


def test_refusals():
    """What cannot be is refused with a reason."""
    with Dataplane() as dataplane:
        dataplane.volume("a")
        dataplane.volume("r", MIB, "read_only=true")
        cases = [
            (("name=a", "volume=volumes/a"), "exports/"),
            (("name=exports/a", "volume=volumes/none"), "no volume"),
            (("name=exports/a", "volume=volumes/r"), "read-only"),
            (("name=exports/a", "volume=volumes/a", "listen=ftp://x"), "unix:///"),
            (("name=exports/a", "volume=volumes/a", "listen=tcp://127.0.0.1:x",
              "allow_plain_tcp=true"), "tcp://address:port"),
            (("name=exports/a", "volume=volumes/a", "listen=tcp://127.0.0.1:10809"), "allow_plain_tcp"),
            (("name=exports/a", "volume=volumes/a", "tls=true"), "nbd_tls"),
            (("name=exports/a", "volume=volumes/a", "clients=x"), "without TLS"),
            (("name=exports/a", "volume=volumes/a", "max_connections=65"), "max_connections"),
            (("name=exports/a", "volume=volumes/a", f"listen=unix://{dataplane.path('none/x')}"),
             "No such file"),
            (("name=exports/a", "volume=volumes/a", f"listen=unix://{dataplane.path('vhost/a.sock')}"),
             "belongs to"),
        ]
        for fields, words in cases:
            why = dataplane.refused("CreateNbdExport", *fields)
            assert words in why, (fields, why)
        dataplane.export("a")
        dataplane.export("a")  # the same again is nothing
        assert "other settings" in dataplane.refused(
            "CreateNbdExport", "name=exports/a", "volume=volumes/a", "max_connections=3")
        assert "no export" in dataplane.refused("DeleteNbdExport", "name=exports/x")


def test_shared_listener():
    """Exports share a TCP listener by name; a client beyond max_connections is told so."""
    need("nbdinfo", "qemu-io")
    with Dataplane() as dataplane:
        port = nbd.free_port()
        listen = (f"listen=tcp://127.0.0.1:{port}", "allow_plain_tcp=true", "max_connections=1")
        for name in "ab":
            dataplane.volume(name)
            dataplane.export(name, *listen)
        uri = f"nbd://127.0.0.1:{port}"
        listed = json.loads(run("nbdinfo", "--list", "--json", uri))["exports"]
        assert sorted(e["export-name"] for e in listed) == ["a", "b"], listed
        qemu_io(f"{uri}/b", "write -P 8 0 4k")
        held = subprocess.Popen(["qemu-io", "-f", "raw", f"{uri}/a"], stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL)
        nbd.wait_for(lambda: dataplane.counters("a")["connections"] == 1, 10, "a connection")
        why = run("qemu-io", "-f", "raw", "-c", "read 0 4k", f"{uri}/a", code=1)
        assert "as many connections as it may" in why, why
        held.communicate(timeout=10)
        assert "no export of that name" in run("qemu-io", "-f", "raw", "-c", "quit", f"{uri}/c", code=1)


def test_kill():
    """After kill -9 exports, data and the writer's right are there again."""
    need("qemu-io")
    with Dataplane() as dataplane:
        dataplane.volume("a")
        uri = dataplane.export("a")
        dataplane.export("r", "read_only=true", volume="a")
        qemu_io(uri, "write -f -P 3 0 1M")
        dataplane.end(signal.SIGKILL)
        dataplane.start()
        qemu_io(uri, "read -P 3 0 1M", "write -P 4 0 4k")
        assert len(dataplane.call("ListNbdExports")["exports"]) == 2
        # An export that cannot be made now keeps its right until it is deleted.
        dataplane.end(signal.SIGKILL)
        os.unlink(dataplane.path("nbd/a.sock"))
        os.mkdir(dataplane.path("nbd/a.sock"))
        dataplane.start()
        assert "exports/a is left out" in dataplane.log()
        dataplane.call("DeleteNbdExport", "name=exports/a")
        dataplane.export("w", volume="a")


if __name__ == "__main__":
    nbd.main([test_use, test_copy, test_fio, test_read_only, test_refusals, test_shared_listener,
              test_kill])
