#!/usr/bin/python3
"""Volumes whose store is another NBD server: qemu-nbd, nbdkit with its filters, another dataplane, and
servers that die, hang, fail and lie. Used through an export of the volume, so that the same bytes
pass our client and our server."""
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import nbd
from nbd import MIB, WRITE, Client, Dataplane, nbdkit, need, qemu_io, qemu_nbd, run, wait_for

SIZE = 32 * MIB


def store(server):
    return f"store_url={server.address()}"


def volume(dataplane, server, *fields):
    """The address of an export of it."""
    dataplane.call("CreateVolume", "name=volumes/v", "vm=vms/v", store(server), *fields)
    return dataplane.export("v")


def status(dataplane):
    return dataplane.call("ListVolumes")["volumes"][0]["store_status"]


def exercise(uri, image):
    qemu_io(uri, "write -P 1 0 4k", "write -f -P 2 1M 7M", "read -P 1 0 4k", "read -P 2 1M 7M",
            "write -z 1M 1M", "read -P 0 1M 1M", "read -P 0 20M 8M", "discard 2M 1M", "flush",
            "write -P 7 31M 1M", "read -P 7 31M 1M")
    with open(image, "rb") as file:
        assert file.read(4096) == b"\1" * 4096
        file.seek(3 * MIB)
        assert file.read(5 * MIB) == b"\2" * (5 * MIB)


def fio(uri, *more, seconds=0):
    need("fio")
    words = ["fio", "--name=v", "--ioengine=nbd", f"--uri={uri}", "--rw=randrw", "--bssplit=4k/70:64k/25:1M/5",
             "--size=32M", "--iodepth=32", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0",
             "--output-format=json", *more]
    if seconds:
        words += ["--time_based", f"--runtime={seconds}"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ends_well(load):
    output, _ = load.communicate(timeout=90)
    assert load.returncode == 0, output.decode()[:1000]


def test_servers():
    """qemu-nbd and nbdkit as stores: all kinds of requests, and fio with verification."""
    for make in (qemu_nbd, lambda d: nbdkit(d, "file", "{image}")):
        with Dataplane() as dataplane, make(dataplane) as server:
            uri = volume(dataplane, server)
            exercise(uri, server.image)
            ends_well(fio(uri, "--io_size=64M"))
            state = status(dataplane)
            assert state["connected"] and not state["reconnects"] and not state["garbled"], state


def test_plain_server():
    """A server without structured replies, flush, FUA, trim or zeroes is a store, too."""
    with Dataplane() as dataplane, nbdkit(
            dataplane, "--no-sr", "--filter=nozero", "--filter=nocache", "memory", "32M", "zeromode=none") as server:
        uri = volume(dataplane, server)
        qemu_io(uri, "write -P 2 1M 7M", "read -P 2 1M 7M", "flush", "write -f -P 3 0 4k", "read -P 3 0 4k")


def test_dataplane_behind_dataplane():
    """Another dataplane's export is a store; killed under load, the load's verification passes."""
    with Dataplane() as far, Dataplane() as near:
        far.volume("a", SIZE)
        far.export("a")
        near.call("CreateVolume", "name=volumes/v", "vm=vms/v",
                  f"store_url=nbd+unix:///a?socket={far.directory}/nbd/a.sock")
        uri = near.export("v")
        load = fio(uri, seconds=6)
        for _ in range(2):
            time.sleep(1)
            far.end(signal.SIGKILL)
            far.start()
        ends_well(load)
        assert status(near)["reconnects"] >= 1, status(near)


def test_killed_servers():
    """qemu-nbd killed and started under fio's verification: requests are sent again, none is lost."""
    with Dataplane() as dataplane, qemu_nbd(dataplane) as server:
        uri = volume(dataplane, server)
        load = fio(uri, seconds=6)
        for _ in range(4):
            time.sleep(0.8)
            server.end()
            time.sleep(0.2)
            server.start()
        ends_well(load)
        assert status(dataplane)["reconnects"] >= 1, status(dataplane)


def test_hang():
    """A server that stops answering is left after answer_ms; then requests go on, or fail after give_up_ms."""
    with Dataplane() as dataplane, qemu_nbd(dataplane) as server:
        uri = volume(dataplane, server, "answer_ms=300", "give_up_ms=2000")
        qemu_io(uri, "write -P 5 0 1M")
        server.process.send_signal(signal.SIGSTOP)
        why = run("qemu-io", "-f", "raw", "-c", "read 0 4k", uri, code=None)
        assert "failed" in why or "error" in why.lower(), why
        state = status(dataplane)
        assert state["unanswered"] >= 1 and state["given_up"] >= 1, state
        server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: "failed" not in run("qemu-io", "-f", "raw", "-c", "read -P 5 0 1M", uri, code=None), 10,
                 "its return")
        server.end()
        held = subprocess.Popen(["qemu-io", "-f", "raw", "-c", "read -P 5 0 1M", uri],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(0.5)
        server.start()
        output = held.communicate(timeout=20)[0].decode()
        assert "failed" not in output and held.returncode == 0, output


def test_errors():
    """Errors of the server reach the client as errors of their kind and cost no connection."""
    for error, words in (("EIO", "Input/output"), ("ENOSPC", "No space")):
        with Dataplane() as dataplane, nbdkit(
                dataplane, "--filter=error", "memory", "32M", f"error={error}", "error-pwrite-rate=100%") as server:
            uri = volume(dataplane, server)
            assert words in run("qemu-io", "-f", "raw", "-c", "write 0 4k", uri, code=None)
            qemu_io(uri, "read 0 4k")
            state = status(dataplane)
            assert not state["reconnects"] and not state["garbled"], state


def test_orderly_end():
    """A server that says it is being shut down has lost the request, not failed it: the next one gets it."""
    with Dataplane() as dataplane:
        trigger = dataplane.path("ends")
        with nbdkit(dataplane, "--filter=error", "file", "{image}", "error=ESHUTDOWN", "error-rate=100%",
                    f"error-file={trigger}") as server:
            uri = volume(dataplane, server)
            with open(trigger, "wb"):
                pass
            held = subprocess.Popen(["qemu-io", "-f", "raw", "-c", "write -P 5 1M 64k", "-c", "read -P 5 1M 64k", uri],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            wait_for(lambda: int(status(dataplane)["reconnects"]) > 1, 20, lambda: str(status(dataplane)))
            os.unlink(trigger)
            output = held.communicate(timeout=60)[0].decode()
            assert held.returncode == 0 and "rror" not in output and "failed" not in output, output
            assert not status(dataplane)["garbled"], status(dataplane)


def test_delay():
    """A slow server slows down and breaks nothing."""
    with Dataplane() as dataplane, nbdkit(
            dataplane, "--filter=delay", "memory", "32M", "rdelay=30ms", "wdelay=20ms") as server:
        uri = volume(dataplane, server)
        ends_well(fio(uri, "--io_size=4M"))


def test_refusals():
    """Stores that cannot be had are refused with a reason, quickly."""
    with Dataplane() as dataplane:
        cases = [("store_url=nbd://127.0.0.1:1/x", "refused"), ("store_url=http://x", "nbd://"),
                 (f"store_url=nbd+unix:///x?socket={dataplane.path('none')}", "No such file"),
                 ("store_url=nbds://127.0.0.1:1/x", "nbd_client_tls")]
        for field, words in cases:
            why = dataplane.refused("CreateVolume", "name=volumes/v", "vm=vms/v", field)
            assert words in why, (field, why)
        why = dataplane.refused("CreateVolume", "name=volumes/v", "vm=vms/v", "store_url=nbd://x/",
                                "path=/x")
        assert "one store" in why, why
        with nbdkit(dataplane, "-r", "file", "{image}") as server:
            why = dataplane.refused("CreateVolume", "name=volumes/v", "vm=vms/v", store(server))
            assert "read-only" in why, why
            dataplane.call("CreateVolume", "name=volumes/v", "vm=vms/v", store(server), "read_only=true")
            why = dataplane.refused("CloneVolume", "name=volumes/v", f"target_path={dataplane.path('c')}")
            assert "NBD server" in why, why


class Liar(threading.Thread):
    """A hostile server: 'answers(connection, request)' says what to send for each request."""

    def __init__(self, path, greeting, answers):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        self.greeting, self.answers, self.n = greeting, answers, 0
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.n += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            connection.sendall(self.greeting(connection))
            while True:
                request = connection.recv(28, socket.MSG_WAITALL)
                if len(request) < 28:
                    break
                connection.sendall(self.answers(request))
        except OSError:
            pass
        connection.close()


def honest_greeting(connection):
    connection.sendall(b"NBDMAGICIHAVEOPT\0\3")
    connection.recv(4 + 16, socket.MSG_WAITALL)
    reply = struct.pack(">QII", 0x3e889045565a9, 8, 1) + b"\0\0\0\0"
    connection.sendall(reply)
    size = struct.unpack(">QII", connection.recv(16, socket.MSG_WAITALL))[2]
    connection.recv(size, socket.MSG_WAITALL)
    head = struct.pack(">QI", 0x3e889045565a9, 7)
    return head + struct.pack(">IIHQH", 3, 12, 0, SIZE, 0x6d) + head + struct.pack(">II", 1, 0)


def chunk(cookie, kind, payload, flags=1):
    return struct.pack(">IHHQI", 0x668e33ef, flags, kind, cookie, len(payload)) + payload


LIES = {
    "garbage": lambda cookie, offset, size: os.urandom(64),
    "another cookie": lambda cookie, offset, size: chunk(cookie ^ 1, 0, b""),
    "a cookie of another connection": lambda cookie, offset, size: chunk(cookie ^ 1 << 40, 0, b""),
    "no data": lambda cookie, offset, size: chunk(cookie, 0, b""),
    "half the data": lambda cookie, offset, size: chunk(cookie, 1, struct.pack(">Q", offset) + b"x" * (size // 2)),
    "data of elsewhere": lambda cookie, offset, size:
        chunk(cookie, 1, struct.pack(">Q", offset + size) + b"x" * size),
    "data before it": lambda cookie, offset, size: chunk(cookie, 1, struct.pack(">Q", 0) + b"x" * size),
    "too much data": lambda cookie, offset, size: chunk(cookie, 1, struct.pack(">Q", offset) + b"x" * (size + 512)),
    "the same twice": lambda cookie, offset, size:
        chunk(cookie, 1, struct.pack(">Q", offset) + b"x" * size, 0) * 2,
    "a hole of 4 GiB": lambda cookie, offset, size: chunk(cookie, 2, struct.pack(">QI", offset, 0xffffffff)),
    "an unknown chunk": lambda cookie, offset, size: chunk(cookie, 77, b"y" * 8),
    "a simple reply": lambda cookie, offset, size: struct.pack(">IIQ", 0x67446698, 0, cookie) + b"x" * size,
    "an endless error": lambda cookie, offset, size:
        struct.pack(">IHHQI", 0x668e33ef, 1, 0x8001, cookie, 0xffffffff) + b"\0\0\0\5\0\0",
    "an error of nothing": lambda cookie, offset, size: chunk(cookie, 0x8001, b"\0" * 6),
}


def test_liars():
    """Servers that answer nonsense are cut off each time, the request fails in the end, all else lives."""
    for name, lie in LIES.items():
        with Dataplane() as dataplane:
            path = dataplane.path("liar.sock")

            def answers(request, lie=lie):
                cookie, offset, size = struct.unpack(">QQI", request[8:])
                return lie(cookie, offset, size)
            liar = Liar(path, honest_greeting, answers)
            dataplane.call("CreateVolume", "name=volumes/v", "vm=vms/v", "give_up_ms=500",
                           f"store_url=nbd+unix:///v?socket={path}")
            uri = dataplane.export("v")
            dataplane.volume("good")
            good = dataplane.export("good")
            # At an offset, so that before it is something.
            why = run("qemu-io", "-f", "raw", "-c", "read 64k 4k", uri, code=None)
            assert "failed" in why or "rror" in why, (name, why)
            state = status_of(dataplane, "v")
            assert state["garbled"] >= 1 and state["given_up"] >= 1, (name, state)
            qemu_io(good, "write 0 1M", "read 0 1M")
            liar.listener.close()


def test_silence():
    """A server that is there at once after each cut and never answers: give_up_ms counts all the same."""
    with Dataplane() as dataplane:
        path = dataplane.path("silent.sock")
        liar = Liar(path, honest_greeting, lambda request: b"")
        dataplane.call("CreateVolume", "name=volumes/v", "vm=vms/v", "answer_ms=200", "give_up_ms=1000",
                       f"store_url=nbd+unix:///v?socket={path}")
        why = run("qemu-io", "-f", "raw", "-c", "read 64k 4k", dataplane.export("v"), code=None)
        assert "failed" in why or "rror" in why, why
        state = status_of(dataplane, "v")
        assert state["unanswered"] >= 2 and state["given_up"] >= 1, state
        liar.listener.close()


class Slow(Liar):
    """Honest, but keeps its answers until 'go' is set; 'seen' has the requests."""

    def __init__(self, path):
        self.go, self.seen = threading.Event(), []
        super().__init__(path, honest_greeting, None)

    def serve(self, connection):
        connection.sendall(self.greeting(connection))
        while len(request := connection.recv(28, socket.MSG_WAITALL)) == 28:
            command, cookie, offset, size = struct.unpack(">HQQI", request[6:])
            data = connection.recv(size, socket.MSG_WAITALL) if command == 1 else b""
            self.seen.append((command, offset, data[:1]))
            threading.Thread(target=self.answer, args=(connection, cookie), daemon=True).start()

    def answer(self, connection, cookie):
        self.go.wait(60)
        connection.sendall(chunk(cookie, 0, b""))


def test_return():
    """A client that comes back is served when what it left behind has ended, so no old write comes after a new one."""
    with Dataplane() as dataplane:
        path = dataplane.path("slow.sock")
        slow = Slow(path)
        dataplane.call("CreateVolume", "name=volumes/v", "vm=vms/v", f"store_url=nbd+unix:///v?socket={path}")
        dataplane.export("v")
        export = f"{dataplane.directory}/nbd/v.sock"
        with Client(export) as lost:
            lost.request(WRITE, 0, 512, b"1" * 512)
            wait_for(lambda: slow.seen, 20, "the first write")
        with Client(export) as back:
            back.request(WRITE, 0, 512, b"2" * 512)
            time.sleep(1)
            assert slow.seen == [(WRITE, 0, b"1")], slow.seen
            slow.go.set()
            assert back.simple() == (0, 1)
        assert slow.seen == [(WRITE, 0, b"1"), (WRITE, 0, b"2")], slow.seen
        slow.listener.close()


def status_of(dataplane, name):
    for one in dataplane.call("ListVolumes")["volumes"]:
        if one["name"] == f"volumes/{name}":
            return one["store_status"]
    raise AssertionError(name)


def test_lying_greetings():
    """Servers that negotiate nonsense, or never end, are refused with a reason."""
    def says(data):
        def greeting(connection):
            return data
        return greeting

    def endless(connection):
        connection.sendall(b"NBDMAGICIHAVEOPT\0\3")
        connection.recv(20, socket.MSG_WAITALL)
        connection.sendall(struct.pack(">QIII", 0x3e889045565a9, 8, 1, 0))
        return struct.pack(">QIIIHQ", 0x3e889045565a9, 7, 3, 10, 9, 0) * 100

    def sized(size, flags=0x6d):
        def greeting(connection):
            return honest_greeting(connection).replace(struct.pack(">QH", SIZE, 0x6d), struct.pack(">QH", size, flags))
        return greeting
    cases = [(says(os.urandom(200)), "does not speak NBD"), (says(b"NBDMAGIC" + bytes(200)), "old forms"),
             (says(b"NBDMAGICIHAVEOPT\0\3" + b"x" * 400), "garbled"), (endless, "does not end"),
             (sized(0), "at least one block"), (sized(2**64 - 512), "no sense"), (sized(SIZE, 0), "no sense")]
    with Dataplane() as dataplane:
        for number, (greeting, words) in enumerate(cases):
            path = dataplane.path(f"liar{number}.sock")
            liar = Liar(path, greeting, lambda request: b"")
            why = dataplane.refused("CreateVolume", "name=volumes/v", "vm=vms/v",
                                    f"store_url=nbd+unix:///v?socket={path}")
            assert words in why, (words, why)
            liar.listener.close()


def test_changed_disk():
    """A server that comes back with another disk gets none of this one's writes."""
    with Dataplane() as dataplane, nbdkit(dataplane, "memory", "32M") as server:
        uri = volume(dataplane, server, "give_up_ms=1500")
        qemu_io(uri, "write -P 5 0 1M")
        server.end()
        server.command[-1] = "16M"
        server.start()
        assert "failed" in run("qemu-io", "-f", "raw", "-c", "write 0 4k", uri, code=None)
        assert "another export" in status(dataplane)["problem"], status(dataplane)


if __name__ == "__main__":
    need("qemu-io")
    nbd.main([test_servers, test_plain_server, test_dataplane_behind_dataplane, test_killed_servers, test_hang,
              test_errors, test_orderly_end, test_delay, test_refusals, test_liars, test_silence, test_return,
              test_lying_greetings, test_changed_disk])
