#!/usr/bin/python3
"""The card's image: built twice it is the same to the byte; it boots as a machine of its own, serves
its operators, forwards a VM's frames from one of its network ports to another, serves the VM's disk by
NBD with TLS, forgets nothing over a power cut, and lets nobody in who has no certificate."""
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import machine

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
UNREACHABLE = 3
DISK = "web-1-vda.raw"


class Tests:
    def __init__(self):
        self.n = 0

    def check(self, condition, name, detail=""):
        self.n += 1
        print(f"{'ok' if condition else 'not ok'} {self.n} - {name}", flush=True)
        if not condition:
            raise machine.Failed(f"{name}: {detail}")


def build_image(build):
    return subprocess.run([f"{HERE}/image", "qemu-virt", "--build", build], capture_output=True, text=True,
                          check=False)


def digests(build):
    found = {}
    for name in ("Image", "initramfs.zst"):
        with open(f"{build}/image/qemu-virt/{name}", "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def test_is_reproducible(tests, directory):
    """The second time in another folder. The sysroot is shared, and of the programs only one with its
    libraries is compiled anew, which shows what all do: no path and no date gets into them."""
    again = f"{directory}/again"
    os.makedirs(f"{again}/image")
    shutil.copytree(f"{BUILD}/image/arm64", f"{again}/image/arm64", symlinks=True,
                    ignore=shutil.ignore_patterns("gnomon-init", "init", "channel*.o", "*.pb-c.o"))
    for name in ("root", "root.lock"):
        os.symlink(f"{BUILD}/image/{name}", f"{again}/image/{name}")
    made = build_image(again)
    tests.check(made.returncode == 0, "an image is built a second time", made.stderr)
    tests.check(digests(BUILD) == digests(again), "the two are the same to the byte",
                f"{digests(BUILD)} {digests(again)}")
    shutil.rmtree(again)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Wire:
    """The far end of one of the card's network links: frames as datagrams."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            self.card = other.getsockname()

    def link(self):
        return f"socket,udp=127.0.0.1:{self.socket.getsockname()[1]},localaddr=127.0.0.1:{self.card[1]}"

    def gets(self, frame, sender):
        """Whether a frame that 'sender' repeats arrives here, within some seconds."""
        for _ in range(60):
            sender.socket.sendto(frame, sender.card)
            try:
                while True:
                    if self.socket.recv(65536).rstrip(b"\0") == frame:
                        return True
            except TimeoutError:
                continue
        return False


def frame(source, destination, text):
    return bytes.fromhex(destination) + bytes.fromhex(source) + b"\x88\xb5" + text.ljust(50, b".")


VM_MAC, OUTSIDE_MAC = "525400000001", "525400000002"


def test_boots(tests, card):
    card.start()
    card.wait_until_up()
    tests.check(True, "it boots and serves its operators")
    code, text = card.ctl("vm", "create", "web-1", "--nic", "net0,device=net_af_packet1,iface=eth2",
                          "--disk", f"vda,path=/data/volumes/{DISK},nbd=tcp://0.0.0.0:10809")
    tests.check(code == 0, "an operator gives it a VM whose host is joined to it by network links alone", text)
    stranger = [*card.operator()]
    stranger[stranger.index("--cert") + 1] = f"{card.ca}/cards/card.pem"
    stranger[stranger.index("--key") + 1] = f"{card.ca}/cards/card.key"
    done = subprocess.run([*stranger, "--timeout", "5", "status"], capture_output=True, text=True, check=False)
    tests.check(done.returncode != 0, "a certificate of another root opens nothing", done.stdout)


def test_forwards(tests, host, outside):
    tests.check(outside.gets(frame(VM_MAC, OUTSIDE_MAC, b"out"), host), "the VM's frames go out")
    tests.check(host.gets(frame(OUTSIDE_MAC, VM_MAC, b"in"), outside), "and those for it come in")


def qemu_io(card, certificate, command, directory):
    """What the host's QEMU does with the VM's disk at the card, with a certificate of a root."""
    root, name = certificate.split("/")
    os.makedirs(directory, exist_ok=True)
    shutil.copy(f"{card.ca}/{root}/{name}.pem", f"{directory}/client-cert.pem")
    shutil.copy(f"{card.ca}/{root}/{name}.key", f"{directory}/client-key.pem")
    with open(f"{directory}/ca-cert.pem", "wb") as out:
        for part in ("cards", root) if root != "cards" else ("cards",):
            with open(f"{card.ca}/{part}.pem", "rb") as file:
                out.write(file.read())
    done = subprocess.run(
        ["qemu-io", "--object", f"tls-creds-x509,id=t,endpoint=client,dir={directory}", "--image-opts",
         "driver=nbd,export=web-1-vda,tls-creds=t,server.type=inet,server.host=127.0.0.1,"
         f"server.port={card.ports['nbd']}", "-c", command],
        capture_output=True, text=True, check=False, timeout=120)
    return done.returncode == 0, done.stdout + done.stderr


def test_serves_disk(tests, card, directory):
    card.wait_for(lambda: qemu_io(card, "hosts/host", "read 0 512", f"{directory}/host")[0],
                  "export of the disk", 60)
    done, text = qemu_io(card, "hosts/host", "write -f -P 0x5a 1M 64k", f"{directory}/host")
    tests.check(done, "the host writes to the VM's disk at the card, by NBD with TLS", text)
    done, text = qemu_io(card, "cards/card", "read 0 512", f"{directory}/other")
    tests.check(not done, "nobody else does", text)


def test_power_cut(tests, card, host, outside, directory):
    card.stop(how=9)
    card.start()
    card.wait_until_up()
    code, text = card.ctl("vm", "list")
    tests.check(code == 0 and "web-1" in text, "after a power cut it has what it was given", text)
    card.wait_for(lambda: qemu_io(card, "hosts/host", "read 0 512", f"{directory}/host")[0],
                  "export of the disk", 60)
    done, text = qemu_io(card, "hosts/host", "read -P 0x5a 1M 64k", f"{directory}/host")
    tests.check(done and "Pattern verification failed" not in text,
                "and what was written to the disk with FUA", text)
    test_forwards(tests, host, outside)
    said = card.said()
    tests.check("has ended (" not in said and "cannot be" not in said.replace("nobody can log in", ""),
                "no service ended and nothing was missing in two boots", said[-1500:])


def main():
    made = build_image(BUILD)
    if made.returncode == UNREACHABLE:
        print(f"ok 1 - the card's image # SKIP {made.stderr.strip().splitlines()[0]}")
        return 0
    tests = Tests()
    directory = tempfile.mkdtemp(prefix="gn-image-")
    host, outside = Wire(), Wire()
    card = machine.Card(BUILD, f"{directory}/card", ports={name: free_port() for name in machine.PORTS},
                        links=(outside.link(), host.link()), disks={DISK: 16})
    try:
        tests.check(made.returncode == 0, "the image is built", made.stderr)
        test_is_reproducible(tests, directory)
        test_boots(tests, card)
        test_forwards(tests, host, outside)
        test_serves_disk(tests, card, directory)
        test_power_cut(tests, card, host, outside, directory)
    except (machine.Failed, OSError, subprocess.TimeoutExpired):
        print(f"not ok {tests.n + 1} - the test came to its end")
        traceback.print_exc(file=sys.stdout)
        return 1
    finally:
        card.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"1..{tests.n}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
