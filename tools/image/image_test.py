#!/usr/bin/python3
"""The card's image boots as a machine of its own, serves its operators, forgets nothing over a power
cut, and lets nobody in who has no certificate."""
import filecmp
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
import rootfs
import update

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
UNREACHABLE = 3


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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_is_reproducible(tests, directory):
    """The root file system and the slot, made again of the same programs elsewhere."""
    image = f"{BUILD}/image"
    again = f"{directory}/again"
    rootfs.build(again, f"{image}/root", f"{image}/arm64/bin", f"{HERE}/../../board/qemu-virt", update.release())
    update.make_slot(f"{again}/slot.img", f"{again}/Image", f"{again}/initramfs.zst")
    for name in ("initramfs.zst", "slot.img"):
        same = filecmp.cmp(f"{image}/qemu-virt/{name}", f"{again}/{name}", shallow=False)
        tests.check(same, f"{name}, made twice, is the same to the byte")


def test_boots(tests, card):
    card.start()
    card.wait_until_up()
    tests.check(True, "it boots and serves its operators")
    code, text = card.ctl("vm", "create", "web-1", "--nic", "net0")
    tests.check(code == 0, "an operator gives it a VM", text)
    stranger = [*card.operator()]
    stranger[stranger.index("--cert") + 1] = f"{card.ca}/cards/card.pem"
    stranger[stranger.index("--key") + 1] = f"{card.ca}/cards/card.key"
    done = subprocess.run([*stranger, "--timeout", "5", "status"], capture_output=True, text=True, check=False)
    tests.check(done.returncode != 0, "a certificate of another root opens nothing", done.stdout)


def test_power_cut(tests, card):
    card.stop(how=9)
    card.start()
    card.wait_until_up()
    # An emulated card on a busy machine may need longer for a handshake than a call waits for one.
    answers = []

    def listed():
        code, text = card.ctl("vm", "list")
        answers.append(text)
        return code == 0

    card.wait_for(listed, "answer after the power cut")
    tests.check("web-1" in answers[-1], "after a power cut it has what it was given", answers[-1])
    said = card.said()
    tests.check("has ended (" not in said, "no service ended in two boots", said[-1500:])


def main():
    made = build_image(BUILD)
    if made.returncode == UNREACHABLE:
        print(f"ok 1 - the card's image # SKIP {made.stderr.strip().splitlines()[0]}")
        return 0
    tests = Tests()
    directory = tempfile.mkdtemp(prefix="gn-image-")
    card = machine.Card(BUILD, f"{directory}/card", ports={name: free_port() for name in machine.PORTS})
    try:
        tests.check(made.returncode == 0, "the image is built", made.stderr)
        test_is_reproducible(tests, directory)
        test_boots(tests, card)
        test_power_cut(tests, card)
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
