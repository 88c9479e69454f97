"""The card as its own machine under QEMU: the image's size, and how long from power on until the
dataplane's loops turn; directly by its kernel, and from its disk by UEFI and GRUB. Boots are emulated
here: their ratio says what the disk's way costs, their seconds little about a card."""
import json
import os
import sys
import time

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "image"))
import disk  # noqa: E402  (needs the path above)
import machine  # noqa: E402
from image_test import UNREACHABLE, build_image, free_port  # noqa: E402

MB = 1e6


def forwards(card):
    code, text = card.ctl("--json", "status")
    return code == 0 and json.loads(text).get("dataplane", {}).get("loops", 0) > 0


def boot_s(context, name, **options):
    """Seconds until an operator is told that the dataplane's loops have turned."""
    card = machine.Card(context.build, f"{context.tmp}/{name}", ports={n: free_port() for n in machine.PORTS}, **options)
    try:
        card.make_identity()
        begun = time.monotonic()
        card.start()
        card.wait_for(lambda: forwards(card), "dataplane that forwards")
        return time.monotonic() - begun
    finally:
        card.stop()


def run(context):
    made = build_image(context.build)
    if made.returncode == UNREACHABLE:
        raise harness.CannotRun(made.stderr.strip().splitlines()[0])
    if made.returncode:
        raise RuntimeError(made.stderr)
    image = f"{context.build}/image/qemu-virt"
    sizes = {name: os.path.getsize(f"{image}/{name}") / MB for name in ("Image", "initramfs.zst", "slot.img")}
    direct = boot_s(context, "direct")
    whole = boot_s(context, "disk", slots=[f"{image}/slot.img", None],
                   environment=disk.environment_of({"a": ("good", 3, "bench")}))
    return [harness.row("card image, kernel", sizes["Image"], "MB", False),
            harness.row("card image, root file system packed", sizes["initramfs.zst"], "MB", False),
            harness.row("card image, what an update sends", sizes["slot.img"], "MB", False),
            harness.row("card, power on to forwarding (emulated), kernel directly", direct, "s", False),
            harness.row("card, power on to forwarding (emulated), UEFI and GRUB", whole, "s", False,
                        "kernel directly", whole / direct)]
