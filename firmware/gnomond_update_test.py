#!/usr/bin/python3
"""Updates from gnomonctl through gnomond and the real gnomon-updater to a disk of files: signed by a
real CA, tampered with, cut, resumed, killed at many points; the slot that runs is never touched."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools", "image"))
import disk
import update
from gnomond_test import BUILD, World, check, main

MIB = 1 << 20
SLOT_MIB, IMAGE_BYTES = 12, 9 * MIB + 4096
KILLS = 8
BOARD = "gnomon,qemu-virt"


class Card(World):
    """A card whose disk is files; slot a runs and is good."""

    def __init__(self):
        super().__init__(mode="forecast_only")
        d = self.dir
        with open(f"{d}/g.yaml", "a", encoding="ascii") as file:
            file.write(f"updater: {{url: 'ipc://{d}/u.ipc'}}\n")
        with open(f"{d}/u.yaml", "w", encoding="ascii") as file:
            file.write(f"""
listen: ipc://{d}/u.ipc
dataplane_url: ipc://{d}/dataplane.ipc
gnomond_url: ipc://{d}/g.ipc
board: board/qemu-virt/board.yaml
release: {d}/release
roots: {d}/ca/updates.pem
environment: {d}/grubenv
slot_a: {d}/a
slot_b: {d}/b
running_file: {d}/slot
good_file: {d}/good
state_dir: {d}/update
restart: [/usr/bin/touch, {d}/restarted]
steady_s: 1
patience_s: 30
""")
        self.put("release", b"1.0 4\n")
        self.put("slot", b"a\n")
        self.put("grubenv", disk.environment_of({"a": ("good", 3, "1.0")}, security=4))
        self.old = random.Random(1).randbytes(MIB)
        self.put("a", self.old.ljust(SLOT_MIB * MIB, b"\0"))
        self.put("b", b"\0" * SLOT_MIB * MIB)
        for words in (["init", f"{d}/ca"], ["issue", f"{d}/ca", "updates", "dev"],
                      ["issue", f"{d}/ca", "operators", "mallory"]):
            subprocess.run([f"{BUILD}/bin/gnomon-ca", *words], check=True, capture_output=True)
        self.put("new", random.Random(2).randbytes(IMAGE_BYTES))

    def put(self, name, content):
        with open(f"{self.dir}/{name}", "wb") as file:
            file.write(content)

    def get(self, name):
        with open(f"{self.dir}/{name}", "rb") as file:
            return file.read()

    def start(self):
        super().start()
        self.start_updater()

    def start_updater(self):
        self.spawn("updater", [f"{BUILD}/bin/gnomon-updater", "--config", f"{self.dir}/u.yaml"])
        self.wait("the updater answers", lambda: self.call("GetUpdateStatus", quiet=True) is not None)

    def make(self, name, board=BOARD, version="2.0", security=4, days=(-1, 1), signer="updates/dev"):
        """An update file."""
        day = 86400
        now = int(time.time())
        manifest = update.manifest_of(f"{self.dir}/new", board, version, security,
                                      (now + days[0] * day, now + days[1] * day))
        keys = update.Signer(f"{self.dir}/ca/{signer}.key", f"{self.dir}/ca/{signer}.pem")
        update.write_update(f"{self.dir}/{name}", f"{self.dir}/new", manifest, keys)
        return f"{self.dir}/{name}"

    def ctl(self, *words, start_only=False):
        command = [f"{BUILD}/bin/gnomonctl", "--server", f"ipc://{self.dir}/g.ipc", *words]
        if start_only:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def slots(self):
        s = self.call("GetUpdateStatus")
        return {slot["name"]: slot["state"] for slot in s["slots"]}, s["next"]

    def check_untouched(self):
        check(self.get("a")[:MIB] == self.old, "the slot that runs was written to")


def test_install():
    with Card() as card:
        card.wait("the slot's health", lambda: "slot a: good" in card.ctl("update", "status")[1])
        code, text = card.ctl("update", "install", card.make("2.update"), "--restart")
        check(code == 0 and "slot b is written and checked" in text, text)
        card.wait("the restart", lambda: os.path.exists(f"{card.dir}/restarted"))
        check(card.slots() == ({"a": "good", "b": "trial"}, "b"), card.slots())
        check(card.get("b")[:IMAGE_BYTES] == card.get("new"), "the slot holds something else")
        card.check_untouched()
        card.stop("updater")
        card.put("slot", b"b\n")  # the boot loader did as it was told
        card.start_updater()
        code, text = card.ctl("update", "install", card.make("3.update", version="3.0"))
        check(code == 1 and "only way back" in text, text)
        card.wait("slot b to be good", lambda: card.slots()[0]["b"] == "good")
        code, text = card.ctl("update", "rollback")
        check(code == 0 and "booted next" in text, text)
        text = card.ctl("update", "history")[1]
        for words in ("is being installed", "the next restart tries it", "is good", "wanted back by an operator"):
            check(words in text, text)
        audit = card.ctl("audit", "show")[1]
        check("BeginUpdate" in audit and "WriteUpdate" not in audit, audit)


def test_refusals():
    with Card() as card:
        before = card.get("grubenv"), card.get("b")
        for name, options, says in (
            ("board", {"board": "gnomon,bluefield2"}, "made for another board"),
            ("older", {"security": 3}, "older than one that was good"),
            ("expired", {"days": (-9, -2)}, "it has expired"),
            ("early", {"days": (2, 9)}, "not valid yet"),
            ("ca", {"signer": "operators/mallory"}, "not signed by whom this card trusts"),
        ):
            code, text = card.ctl("update", "install", card.make(f"{name}.update", **options))
            check(code == 1 and says in text, f"{name}: {text}")
        # A byte changed in the manifest, the signature, the certificates, in every part of them.
        whole = card.get(os.path.basename(card.make("whole")))
        head = 8 + 12 + sum(int.from_bytes(whole[8 + 4 * i:12 + 4 * i], "little") for i in range(3))
        for at in range(0, head, 41):
            card.put("changed", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
            code, text = card.ctl("update", "install", f"{card.dir}/changed")
            check(code in (1, 2), f"byte {at}: {text}")
        check((card.get("grubenv"), card.get("b")) == before, "a refusal wrote something")
        card.check_untouched()


def test_tampered_image():
    with Card() as card:
        path = card.make("x.update")
        whole = card.get("x.update")
        first = len(whole) - IMAGE_BYTES
        for at in (first, first + 5 * MIB, len(whole) - 1):
            card.put("changed", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
            code, text = card.ctl("update", "install", f"{card.dir}/changed")
            check(code == 1 and "not what was signed" in text, f"byte {at}: {text}")
            check(card.slots() == ({"a": "good", "b": "empty"}, "a"), card.slots())
        card.put("short", whole[:-5 * MIB])
        code, text = card.ctl("update", "install", f"{card.dir}/short")
        check(code == 2 and "get the rest" in text, text)
        check(card.slots()[1] == "a", "a part of an image would be booted")
        code, text = card.ctl("update", "install", path)
        check(code == 0 and "goes on at byte" in text, text)


def has_arrived(card, i):
    """Whether the i-th twelfth of the image has been reached: it was zero before, and is random."""
    with open(f"{card.dir}/b", "rb") as file:
        file.seek(i * (IMAGE_BYTES // KILLS))
        return any(file.read(16))


def test_killed_at_many_points():
    """SIGKILL to the updater at many points of an install: what the boot loader finds is always the old
    slot, whole and good, and the install goes on."""
    with Card() as card:
        path = card.make("x.update")
        for i in range(KILLS):
            installing = card.ctl("update", "install", path, start_only=True)
            while installing.poll() is None and not has_arrived(card, i):
                time.sleep(0.005)
            card.stop("updater", signal.SIGKILL)
            installing.wait(timeout=60)
            check(b"a_state=good" in card.get("grubenv"), card.get("grubenv")[:300])
            card.check_untouched()
            card.start_updater()
        code, text = card.ctl("update", "install", path)
        check(code == 0, text)
        check(card.get("b")[:IMAGE_BYTES] == card.get("new"), "the slot holds something else")


def test_support_file_has_no_secrets():
    """What the card is told and what its services printed before they died: keys and passwords are blotted out."""
    with Card() as card:
        secrets = ["MHcCAQEEIBkg4LVWM9nuwNSk3yByxZpYRTBnVJk5oXMpYiYRkeyQ", "hunter2-of-the-store", "tok-5a8f"]
        os.mkdir(f"{card.dir}/crash")
        card.put("crash/1764000000000-gnomond.txt", (
            f"ended by signal 11\n-----BEGIN EC PRIVATE KEY-----\n{secrets[0]}\n-----END EC PRIVATE KEY-----\n"
            f"opened nbd://backup:{secrets[1]}@store/vda\ntoken={secrets[2]}\nlast words").encode())
        card.stop("gnomond")
        with open(f"{card.dir}/g.yaml", "a", encoding="ascii") as file:
            file.write(f"crash_dir: {card.dir}/crash\n")
        World.start(card)
        code, text = card.ctl("support", f"{card.dir}/support.json")
        check(code == 0 and "3 secrets were blotted out" in text, text)
        made = card.get("support.json").decode()
        told = json.loads(made)
        check("last words" in told["ListCrashReports"]["reports"][0]["text"], made[-2000:])
        check(told["GetStatus"]["version"] and told["ListVms"]["vms"][0]["name"] == "vms/web-1", made[:1000])
        for secret in secrets:
            check(secret not in made, f"the file tells {secret}")
        keys = [card.get(f"ca/{name}").decode().splitlines()[1] for name in ("updates.key", "updates/dev.key")]
        check(not any(key in made for key in keys), "the file has a private key")
        check(os.stat(f"{card.dir}/support.json").st_mode & 0o077 == 0, "others may read it")


def test_no_slots_and_no_updater():
    with Card() as card:
        card.stop("updater")
        os.remove(f"{card.dir}/slot")
        card.spawn("updater", [f"{BUILD}/bin/gnomon-updater", "--config", f"{card.dir}/u.yaml"])
        card.wait("an answer", lambda: "not started from a slot" in card.ctl("update", "status")[1])
        card.stop("updater")
        code, text = card.ctl("update", "status")
        check(code == 1 and "u.ipc" in text, text)


if __name__ == "__main__":
    sys.exit(main(globals()))
