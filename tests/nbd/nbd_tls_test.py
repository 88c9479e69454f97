#!/usr/bin/python3
"""Exports and stores with TLS: certificates of gnomon-ca, the right ones get in and only they."""
import os
import socket

import nbd
from nbd import Dataplane, need, program, qemu_io, run


class Authority:
    """Certificates of a fleet in the dataplane's directory, and client folders as libnbd and QEMU want them."""

    def __init__(self, directory):
        self.directory = directory
        run(program("gnomon-ca"), "init", f"{directory}/ca")
        self.issue("cards", "card-1", "--san", "127.0.0.1")
        self.issue("operators", "ann")
        self.issue("operators", "bob")
        run(program("gnomon-ca"), "init", f"{directory}/other")
        run(program("gnomon-ca"), "issue", f"{directory}/other", "operators", "ann")
        self.folder("ann", "ca", "operators/ann")
        self.folder("bob", "ca", "operators/bob")
        self.folder("stranger", "other", "operators/ann")
        self.folder("nobody", "ca", None)

    def issue(self, root, name, *more):
        run(program("gnomon-ca"), "issue", f"{self.directory}/ca", root, name, *more)

    def folder(self, name, authority, cert):
        folder = f"{self.directory}/{name}"
        os.mkdir(folder)
        # QEMU also wants to see who signed its own certificate.
        with open(f"{folder}/ca-cert.pem", "w", encoding="utf-8") as both:
            for root in (f"{self.directory}/ca/cards.pem", f"{self.directory}/{authority}/operators.pem"):
                with open(root, encoding="utf-8") as file:
                    both.write(file.read())
        if cert:
            os.symlink(f"{self.directory}/{authority}/{cert}.pem", f"{folder}/client-cert.pem")
            os.symlink(f"{self.directory}/{authority}/{cert}.key", f"{folder}/client-key.pem")

    def configuration(self):
        ca = f"{self.directory}/ca"
        own = {"cert_file": f"{ca}/cards/card-1.pem", "key_file": f"{ca}/cards/card-1.key"}
        return {"nbd_tls": {"ca_file": f"{ca}/operators.pem", **own}}


class Setting(Dataplane):
    def __enter__(self):
        self.authority = Authority(self.directory)
        self.config = self.authority.configuration()
        self.start()
        self.volume("a")
        self.port = nbd.free_port()
        return self

    def listen(self, *fields):
        self.export("a", f"listen=tcp://127.0.0.1:{self.port}", "tls=true", *fields)

    def info(self, who, code=0):
        folder = f"{self.directory}/{who}"
        return run("nbdinfo", f"nbds://127.0.0.1:{self.port}/a?tls-certificates={folder}", code=code)

    def qemu(self, who, *commands, code=0):
        words = [word for command in commands for word in ("-c", command)]
        return run("qemu-io", "--object", f"tls-creds-x509,id=t,endpoint=client,dir={self.directory}/{who}",
                   "--image-opts", *words, "driver=nbd,export=a,tls-creds=t,server.type=inet,"
                   f"server.host=127.0.0.1,server.port={self.port}", code=code)


def test_good():
    """Clients with a certificate of the trusted root read and write, much at once."""
    need("qemu-io", "nbdinfo", "nbdcopy")
    with Setting() as setting:
        setting.listen()
        assert "with TLS" in setting.info("ann")
        setting.qemu("bob", "write -P 4 0 8M", "read -P 4 0 8M", "flush")
        uri = f"nbds://127.0.0.1:{setting.port}/a?tls-certificates={setting.directory}/ann"
        run("nbdcopy", uri, f"{setting.directory}/copy.raw")
        run("nbdcopy", f"{setting.directory}/copy.raw", uri)
        with open(f"{setting.directory}/copy.raw", "rb") as file:
            assert file.read(8 << 20) == b"\4" * (8 << 20)


def test_bad():
    """Without certificate, with a stranger's, without TLS: no."""
    need("qemu-io", "nbdinfo")
    with Setting() as setting:
        setting.listen()
        for who in ("nobody", "stranger"):
            setting.info(who, code=1)
            setting.qemu(who, "read 0 4k", code=1)
        plain = run("nbdinfo", f"nbd://127.0.0.1:{setting.port}/a", code=1)
        assert "TLS" in plain, plain
        assert setting.counters("a")["connections_total"] == 0
        setting.info("ann")


def test_names():
    """Only the certificates that an export names may use it."""
    need("nbdinfo")
    with Setting() as setting:
        setting.listen("clients.0=bob", "clients.1=eve")
        setting.info("bob")
        assert "not among" in setting.qemu("ann", "read 0 4k", code=1)
        setting.call("CreateNbdExport", "name=exports/b", "volume=volumes/a", "tls=true", "read_only=true",
                     f"listen=tcp://127.0.0.1:{setting.port}")
        listed = run("nbdinfo", "--list", f"nbds://127.0.0.1:{setting.port}/?tls-certificates="
                     f"{setting.directory}/ann")
        assert 'export="b"' in listed and 'export="a"' not in listed, listed
        why = setting.refused("CreateNbdExport", "name=exports/c", "volume=volumes/a", "read_only=true",
                              f"listen=tcp://127.0.0.1:{setting.port}", "allow_plain_tcp=true")
        assert "with TLS by another" in why, why


def test_stalled_handshakes():
    """Those that stop in the middle of TLS' handshake keep nobody out."""
    need("nbdinfo")
    with Setting() as setting:
        setting.listen()
        stalled = []
        for _ in range(40):
            client = socket.create_connection(("127.0.0.1", setting.port))
            client.sendall(b"\0\0\0\3IHAVEOPT\0\0\0\5\0\0\0\0\x16\3\1")
            stalled.append(client)
        setting.info("ann")
        for client in stalled:
            client.close()


def test_store():
    """A volume at an nbds:// server: the server's name and root are checked."""
    need("qemu-io")
    with Setting() as server, Dataplane() as dataplane:
        server.listen()
        ca = f"{server.directory}/ca"
        dataplane.end(15)
        own = {"cert_file": f"{ca}/operators/ann.pem", "key_file": f"{ca}/operators/ann.key"}
        url = f"store_url=nbds://127.0.0.1:{server.port}/a"
        dataplane.config = {"nbd_client_tls": {"ca_file": f"{ca}/hosts.pem", **own}}
        dataplane.start()
        why = dataplane.refused("CreateVolume", "name=volumes/r", "vm=vms/r", url)
        assert "not correctly signed" in why or "verification" in why, why
        why = dataplane.refused("CreateVolume", "name=volumes/r", "vm=vms/r", url.replace("127.0.0.1", "localhost"))
        assert "TLS" in why, why
        dataplane.end(15)
        dataplane.config = {"nbd_client_tls": {"ca_file": f"{ca}/cards.pem", **own}}
        dataplane.start()
        dataplane.call("CreateVolume", "name=volumes/r", "vm=vms/r", url)
        uri = dataplane.export("r")
        qemu_io(uri, "write -P 9 0 4M", "read -P 9 0 4M", "flush")
        server.end(9)
        server.start()
        qemu_io(uri, "read -P 9 0 4M", "write -P 8 0 4M", "read -P 8 0 4M")


if __name__ == "__main__":
    nbd.main([test_good, test_bad, test_names, test_stalled_handshakes, test_store])
