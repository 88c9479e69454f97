#!/usr/bin/python3
"""NBD clients that lie, stall and flood: they are cut off or told no, and others notice nothing."""
import random
import socket
import struct
import time

import nbd
from nbd import (ABORT, CACHE, DISC, FLUSH, GO, LIST, MIB, OPTION, READ,
                 STATUS, TRIM, WRITE, ZEROES, Client, Dataplane, need, qemu_io, wait_for)

class Setting:
    def __enter__(self):
        self.dataplane = Dataplane()
        self.dataplane.start()
        self.dataplane.volume("a")
        self.uri = self.dataplane.export("a", "max_connections=64")
        self.path = f"{self.dataplane.directory}/nbd/a.sock"
        return self

    def __exit__(self, kind, *_):
        if not kind:
            qemu_io(self.uri, "write -P 6 0 64k", "read -P 6 0 64k")
            assert self.dataplane.call("GetDataplaneStatus")
        self.dataplane.__exit__()


def test_handshakes():
    """Wrong flags, garbage, endless and enormous options are cut off."""
    with Setting() as setting:
        for flags in (0, 0xffffffff, 4):
            with Client(setting.path, transmission=False) as client:
                client.put(struct.pack(">I", flags))
                assert client.is_cut(), flags
        with Client(setting.path, transmission=False) as client:
            client.put(struct.pack(">I", 3) + b"GARBAGE!" * 2)
            assert client.is_cut()
        with Client(setting.path, transmission=False) as client:
            client.put(struct.pack(">I", 3))
            for _ in range(100):
                client.option(LIST)
                while client.reply()[0] != 1:
                    pass
            client.option(LIST)
            assert client.is_cut()
        with Client(setting.path, transmission=False) as client:
            client.put(struct.pack(">I", 3) + OPTION + struct.pack(">II", GO, 0xffffffff))
            assert client.is_cut()
        with Client(setting.path, transmission=False) as client:
            client.put(struct.pack(">I", 3))
            client.option(ABORT)
            assert client.reply()[0] == 1 and client.is_cut()


def test_idle_negotiators():
    """Forty that connect and say nothing keep nobody out."""
    with Setting() as setting:
        idle = [Client(setting.path, transmission=False) for _ in range(40)]
        qemu_io(setting.uri, "write 0 4k")
        time.sleep(1.1)
        qemu_io(setting.uri, "write 0 4k")  # that is too many now: the old ones go
        assert sum(1 for client in idle if _gone(client)) == 40
        for client in idle:
            client.socket.close()


def _gone(client):
    client.socket.settimeout(0.05)
    try:
        return client.socket.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_requests():
    """Requests out of range, unaligned, unknown or with strange flags get an error each."""
    with Setting() as setting, Client(setting.path) as client:
        cases = [(READ, 64 * MIB, 512, 22), (READ, 2**64 - 512, 512, 22), (READ, 1, 512, 22),
                 (READ, 0, 511, 22), (WRITE, 64 * MIB, 512, 28), (TRIM, 64 * MIB - 512, 1024, 22),
                 (ZEROES, 0, 2**32 - 512, 28), (STATUS, 0, 512, 22), (9, 0, 512, 22),
                 (77, 2**63, 1, 22), (READ, 0, 33 * MIB, 75), (FLUSH, 2**63, 5, 0), (CACHE, 0, 512, 0)]
        for cookie, (command, offset, length, error) in enumerate(cases):
            data = b"x" * length if command == WRITE else b""
            client.request(command, offset, length, data, cookie)
            assert client.simple() == (error, cookie), (command, offset, length)
        client.request(WRITE, 0, 512, b"x" * 512, 9, flags=0x8000)
        assert client.simple() == (22, 9)
        client.request(READ, 0, 512, cookie=3)  # the stream is in step still
        assert client.simple() == (0, 3) and client.get(512)
        client.request(DISC)
        assert client.is_cut()
        assert setting.dataplane.counters("a")["errors"] == 12


def test_broken_streams():
    """A wrong magic or a write that is too long ends the connection and is counted."""
    with Setting() as setting:
        with Client(setting.path) as client:
            client.put(b"\0" * 28)
            assert client.is_cut()
        with Client(setting.path) as client:
            client.request(WRITE, 0, 0xfffffe00)
            assert client.is_cut()
        assert setting.dataplane.counters("a")["rejected"] == 2
        # Gone in the middle of a request and of its data, and with everything in flight.
        for size in (1, 27, 28, 28 + 511):
            with Client(setting.path) as client:
                client.put(struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 1, 0, 4 * MIB).ljust(size, b"x")[:size])
        with Client(setting.path) as client:
            for i in range(64):
                client.request(READ, i * MIB % (60 * MIB), MIB, cookie=i)
        wait_for(lambda: setting.dataplane.counters("a")["connections"] == 0, 10,
                 lambda: str(setting.dataplane.counters("a")))


def test_slow_readers():
    """Clients that ask for gigabytes and read nothing hold only themselves up."""
    with Setting() as setting:
        qemu_io(setting.uri, "write -P 1 0 64M")
        before = setting.dataplane.memory_kib()
        slow = [Client(setting.path) for _ in range(8)]
        for client in slow:
            client.socket.settimeout(1)
            try:
                for i in range(20000):
                    client.request(READ, 0, 32 * MIB, cookie=i)
            except TimeoutError:
                pass
        began = time.monotonic()
        qemu_io(setting.uri, *["read -P 1 0 4M"] * 10)
        grown = setting.dataplane.memory_kib() - before
        assert grown < 8 * 4608 + 8192, grown
        assert time.monotonic() - began < 20
        for client in slow:
            client.socket.close()


def test_long_reads():
    """Reads of many pieces come whole and in one stretch, between others."""
    for structured in (False, True):
        with Setting() as setting:
            qemu_io(setting.uri, "write -P 1 0 16M", "write -P 2 16M 1M")
            with Client(setting.path, structured=structured) as client:
                for cookie in range(4):
                    client.request(READ, 0, 16 * MIB, cookie=cookie)
                    client.request(READ, 16 * MIB, 512, cookie=100 + cookie)
                got = {}
                while sum(map(len, got.values())) < 4 * (16 * MIB + 512):
                    if structured:
                        magic, _, _, cookie, size = struct.unpack(">IHHQI", client.get(20))
                        assert magic == 0x668e33ef
                        client.get(8)
                        got[cookie] = got.get(cookie, b"") + client.get(size - 8)
                    else:
                        error, cookie = client.simple()
                        assert not error
                        got[cookie] = client.get(512 if cookie >= 100 else 16 * MIB)
                assert all(data == (b"\2" * 512 if cookie >= 100 else b"\1" * 16 * MIB)
                           for cookie, data in got.items())


def test_noise():
    """Random bytes at every stage, from many at once."""
    dice = random.Random(5)
    with Setting() as setting:
        for _ in range(60):
            with Client(setting.path, transmission=dice.random() < 0.6) as client:
                try:
                    if dice.random() < 0.5:
                        client.put(struct.pack(">IHH", 0x25609513, dice.randrange(32), dice.randrange(9)))
                    client.put(dice.randbytes(dice.randrange(200)))
                except ConnectionError:
                    pass
        wait_for(lambda: setting.dataplane.counters("a")["connections"] == 0, 10, "their end")


if __name__ == "__main__":
    need("qemu-io")
    nbd.main([test_handshakes, test_idle_negotiators, test_requests, test_broken_streams,
              test_slow_readers, test_long_reads, test_noise])
