#!/usr/bin/python3
"""The card boots from its disk (UEFI, GRUB, two slots). A slot that panics gives way to the old one; one
whose health fails does; a good update is booted, found good, and can be taken back."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disk
import machine
import update
from image_test import BUILD, UNREACHABLE, Tests, build_image, free_port

# A trial under emulation on a busy machine: the card's own patience, and the watchdog's, are far longer.
SITE = {"update.yaml": {"slot_a": "/dev/gn/slot-a", "slot_b": "/dev/gn/slot-b",
                        "restart": ["/bin/busybox", "reboot"], "steady_s": 3, "patience_s": 60}}


class Images:
    """What the slots get; made from the image's two files."""

    def __init__(self, directory):
        self.directory, self.image = directory, f"{BUILD}/image/qemu-virt"
        self.good = f"{self.image}/slot.img"

    def with_initramfs(self, name, content):
        """A slot with another initramfs."""
        disk.write(f"{self.directory}/{name}.cpio", content)
        update.make_slot(f"{self.directory}/{name}.img", f"{self.image}/Image", f"{self.directory}/{name}.cpio")
        return f"{self.directory}/{name}.img"

    def that_panics(self):
        """No root file system at all: the kernel finds no init."""
        return self.with_initramfs("panics", b"\0" * 512)

    def that_is_sick(self):
        """The image without its dataplane: the kernel unpacks a second archive over the first."""
        services = "etc/gnomon/services"
        with open(f"{self.image}/rootfs/{services}", encoding="ascii") as file:
            lines = [line for line in file if not line.startswith("dataplane")]
        os.makedirs(f"{self.directory}/over/etc/gnomon")
        disk.write(f"{self.directory}/over/{services}", "".join(lines).encode())
        over = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=f"{services}\n".encode(),
                              cwd=f"{self.directory}/over", stdout=subprocess.PIPE, check=True).stdout
        with open(f"{self.image}/initramfs.zst", "rb") as file:
            packed = file.read()
        # The kernel looks for the next archive at a multiple of 4.
        return self.with_initramfs("sick", packed + b"\0" * (-len(packed) % 4) + over)

    def sign(self, image, version):
        now, path = int(time.time()), f"{self.directory}/{version}.update"
        manifest = update.manifest_of(image, update.compatible("qemu-virt"), version, update.release()[1],
                                      (now - 3600, now + 86400))
        update.write_update(path, image, manifest, update.Signer.of_developer(BUILD))
        return path


def status(card):
    """The answer's text, or "" while the card is on its way."""
    code, text = card.ctl("update", "status")
    return text if code == 0 else ""


def wait_until_runs(card, slot):
    card.wait_for(lambda: f"slot {slot}: good" in status(card), f"slot {slot} that is good", seconds=800)


def install(tests, card, path, what):
    code, text = card.ctl("--timeout", "60s", "update", "install", path, "--restart", seconds=600)
    tests.check(code == 0 and "is written and checked" in text, f"{what} is installed from afar", text)


def check_history(tests, card, words, name):
    text = card.ctl("update", "history")[1]
    tests.check(words in text, name, text)


def run_tests(tests, card, images):
    card.start()
    wait_until_runs(card, "a")
    tests.check(card.said().count("Kernel panic") == 3, "a slot that panics is tried three times", card.said()[-3000:])
    check_history(tests, card, "did not become good in 3 boots", "and the old one runs again, with the reason")
    install(tests, card, images.sign(images.that_is_sick(), "0.3.0"), "an update without a dataplane")
    card.wait_for(lambda: "failed" in status(card), "end of the sick slot's trial", seconds=800)
    wait_until_runs(card, "a")
    check_history(tests, card, "is not good: the dataplane does not answer", "its health fails, and the old slot is back")
    install(tests, card, images.sign(images.good, "0.4.0"), "a good update")
    wait_until_runs(card, "b")
    tests.check("0.4.0" in status(card), "it runs and is good", status(card))
    check_history(tests, card, "is good", "and the history says so")


def main():
    made = build_image(BUILD)
    if made.returncode == UNREACHABLE:
        print(f"ok 1 - updates of the card # SKIP {made.stderr.strip().splitlines()[0]}")
        return 0
    tests = Tests()
    directory = tempfile.mkdtemp(prefix="gn-update-")
    images = Images(directory)
    card = None
    try:
        tests.check(made.returncode == 0, "the image is built", made.stderr)
        version = update.release()[0]
        card = machine.Card(BUILD, f"{directory}/card", ports={name: free_port() for name in machine.PORTS}, site=SITE,
                            slots=[images.good, images.that_panics()],
                            environment=disk.environment_of({"a": ("good", 3, version), "b": ("trial", 3, "0.2.0")}, first="b"))
        run_tests(tests, card, images)
    except (machine.Failed, OSError, subprocess.SubprocessError):
        print(f"not ok {tests.n + 1} - the test came to its end")
        traceback.print_exc(file=sys.stdout)
        return 1
    finally:
        if card:
            card.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"1..{tests.n}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
