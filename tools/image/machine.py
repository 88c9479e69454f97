"""The card as a machine of its own under QEMU (board qemu-virt): its disk, its links, its console.
Used by 'make boot' and by tests. Everything of one card is in one directory."""
import json
import os
import shutil
import signal
import subprocess
import time

import disk

REPOSITORY = os.path.normpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
ADDRESS = "10.0.2.15"
HOST = "10.0.2.2"  # this machine, seen from the card
PORTS = {"control": 7443, "events": 7444, "console": 8443, "nbd": 10809}
DATA_MIB = 64
FIRMWARE = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"


class Failed(Exception):
    """A sentence for the user."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command[:3])}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


class Card:
    def __init__(self, build, directory, board="qemu-virt", ports=None, links=("user,restrict=on",), disks=None, site=None,
                 slots=None, environment=None):
        """'ports': which ports of 127.0.0.1 lead to the card's, by the names of PORTS. 'links': QEMU
        netdevs without ids, one for each of the dataplane's interfaces eth1, eth2 ... 'disks': VMs'
        disks that its data partition has from the start, name to MiB. 'site': configuration files of
        this site instead of the image's, name to content. 'slots': what slots A and B hold (B's may be
        None); the card then boots from a whole disk, as a real one does, with that boot 'environment'
        (disk.environment_of)."""
        self.build, self.directory = os.path.abspath(build), os.path.abspath(directory)
        self.image = f"{self.build}/image/{board}"
        self.ports, self.links = ports or dict(PORTS), links
        self.disks, self.site = disks or {}, site or {}
        self.ca, self.disk = f"{self.directory}/ca", f"{self.directory}/data.ext4"
        self.console = f"{self.directory}/console.log"
        self.qemu = None
        self.slots, self.environment = slots, environment

    def make_identity(self):
        """A demo CA; the card's certificate names it as this machine reaches it."""
        tool = f"{self.build}/bin/gnomon-ca"
        run(tool, "init", self.ca, "--if-missing")
        run(tool, "issue", self.ca, "cards", "card", "--san", "localhost", "--san", "127.0.0.1",
            "--san", ADDRESS, "--if-missing")
        run(tool, "issue", self.ca, "operators", "operator", "--if-missing")
        run(tool, "issue", self.ca, "hosts", "host", "--san", HOST, "--san", "localhost", "--if-missing")

    def make_data(self):
        """The data partition with the card's key, its certificate and the roots, unless it is there."""
        self.make_identity()
        if os.path.exists(self.disk):
            return
        tree = f"{self.directory}/data"
        shutil.rmtree(tree, ignore_errors=True)
        os.makedirs(f"{tree}/identity", mode=0o700)
        for name in ("operators.pem", "cards.pem", "hosts.pem", "cards/card.pem", "cards/card.key"):
            shutil.copy2(f"{self.ca}/{name}", f"{tree}/identity/{os.path.basename(name)}")
        signing = f"{self.build}/image/signing/updates.pem"  # whom 'make image' signs for
        shutil.copy2(signing if os.path.exists(signing) else f"{self.ca}/updates.pem", f"{tree}/identity/updates.pem")
        os.makedirs(f"{tree}/volumes")
        for name, mib in self.disks.items():
            with open(f"{tree}/volumes/{name}", "wb") as file:
                file.truncate(mib << 20)
        os.makedirs(f"{tree}/config")
        for name, content in self.site.items():  # YAML is a superset of JSON
            with open(f"{tree}/config/{name}", "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
        with open(f"{self.disk}.new", "wb") as file:
            file.truncate((DATA_MIB + sum(self.disks.values())) << 20)
        run("/sbin/mkfs.ext4", "-q", "-L", "gn-data", "-E", "root_owner=0:0", "-d", tree, f"{self.disk}.new")
        os.replace(f"{self.disk}.new", self.disk)
        shutil.rmtree(tree)

    def make_disk(self):
        """The disk with its slots, and the data partition in it."""
        self.make_data()
        if not os.path.exists(f"{self.directory}/disk.img"):
            disk.build(f"{self.directory}/disk.img", f"{self.directory}/work", f"{self.build}/image/root",
                       f"{REPOSITORY}/board/qemu-virt", self.slots, self.environment, data=self.disk,
                       site=self.arguments())

    def arguments(self):
        return f"gn.net=eth0,{ADDRESS}/24,{HOST}"

    def boots(self):
        """QEMU's words for where it boots from."""
        if self.slots:
            return ["-bios", FIRMWARE, "-drive", f"file={self.directory}/disk.img,if=none,id=data,format=raw"]
        return ["-no-reboot", "-kernel", f"{self.image}/Image", "-initrd", f"{self.image}/initramfs.zst",
                "-append", f"console=ttyAMA0 quiet panic=1 {self.arguments()} gn.slot=a",
                "-drive", f"file={self.disk},if=none,id=data,format=raw"]

    def command(self):
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-{ADDRESS}:{PORTS[name]}"
                           for name, here in self.ports.items())
        links = [word for i, link in enumerate(self.links)
                 for word in ("-netdev", link.replace(",", f",id=d{i},", 1),
                              "-device", f"virtio-net-pci,netdev=d{i},mac=52:54:00:77:01:{i:02x}")]
        return ["qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "2",
                "-m", "1024", "-nographic", *self.boots(),
                "-netdev", f"user,id=m{forwards}", "-device", "virtio-net-pci,netdev=m", *links,
                "-device", "virtio-blk-pci,drive=data", "-device", "i6300esb", "-action", "watchdog=reset"]

    def start(self, output=None):
        """Boots it; the console goes to console.log, or to 'output'."""
        if not os.path.exists(f"{self.image}/initramfs.zst"):
            raise Failed(f"{self.image} has no image: 'make image' makes it")
        os.makedirs(self.directory, exist_ok=True)
        if self.slots:
            self.make_disk()
        else:
            self.make_data()
        with open(self.console, "ab") as log:
            self.qemu = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=output or log,
                                         stderr=subprocess.STDOUT)

    def runs(self):
        return self.qemu is not None and self.qemu.poll() is None

    def stop(self, how=signal.SIGTERM):
        """Takes its power away."""
        if self.runs():
            self.qemu.send_signal(how)
            self.qemu.wait()

    def said(self):
        with open(self.console, encoding="utf-8", errors="replace") as file:
            return file.read()

    def operator(self):
        """gnomonctl's words, up to the command."""
        return [f"{self.build}/bin/gnomonctl", "--server", f"tls+tcp://127.0.0.1:{self.ports['control']}",
                "--ca", f"{self.ca}/cards.pem", "--cert", f"{self.ca}/operators/operator.pem",
                "--key", f"{self.ca}/operators/operator.key"]

    def ctl(self, *words, seconds=15):
        """(exit status, output) of gnomonctl."""
        done = subprocess.run([*self.operator(), *words], capture_output=True, text=True, check=False,
                              timeout=seconds)
        return done.returncode, done.stdout + done.stderr

    def wait_for(self, is_so, what, seconds=600):
        """Asks until it is so, or the card ends."""
        until = time.monotonic() + seconds
        while not is_so():
            if not self.runs():
                raise Failed(f"the card's machine has ended while {what} was awaited:\n{self.said()[-2000:]}")
            if time.monotonic() > until:
                raise Failed(f"no {what} within {seconds} s:\n{self.said()[-2000:]}")
            time.sleep(0.3)

    def wait_until_up(self):
        """Until an operator reaches gnomond, and gnomond the dataplane."""
        def is_up():
            code, text = self.ctl("status")
            return code == 0 and "dataplane   connected" in text
        self.wait_for(is_up, "card that serves its operators")
