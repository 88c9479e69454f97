"""The card's disk: GPT with an EFI system partition (GRUB and its environment), slots A and B, and
data. Needs neither root nor loop devices."""
import os
import shutil

import update
from rootfs import EPOCH
from sysroot import Failed, run

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = update.MIB
ESP_MIB, SLOT_MIB, DATA_MIB = 16, 64, 64
SECTOR = 512
GRUB_MODULES = ["part_gpt", "fat", "normal", "linux", "loadenv", "regexp", "test", "echo", "sleep", "reboot",
                "configfile", "minicmd", "boot", "all_video"]
DISK_ID = "6E6F6D6F-6E00-4000-8000-000000000000"
ESP_TYPE, LINUX_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def environment_of(slots, first="a", security=1):
    """A boot environment. 'slots': {letter: (state, tries, version)}."""
    text = f"# GRUB Environment Block\nfirst={first}\nsecurity={security}\n"
    for letter in "ab":
        state, tries, version = slots.get(letter, ("empty", 0, ""))
        text += (f"{letter}_state={state}\n{letter}_tries={tries}\n"
                 f"{letter}_security={security if state != 'empty' else 0}\n{letter}_version={version}\n")
    return text.encode().ljust(1024, b"#")


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return path


def make_esp(target, work, sysroot, board, environment, site):
    """GRUB as one program, its configuration and the boot environment."""
    os.makedirs(work, exist_ok=True)
    with open(f"{HERE}/grub.cfg", encoding="ascii") as file, \
            open(f"{board}/cmdline", encoding="ascii") as words:
        configuration = file.read().replace("@CMDLINE@", words.read().strip())
    run(["grub-mkimage", "-O", "arm64-efi", "-d", f"{sysroot}/usr/lib/grub/arm64-efi", "-p", "/grub",
         "-o", f"{work}/grub.efi", *GRUB_MODULES])
    files = {"EFI/BOOT/BOOTAA64.EFI": f"{work}/grub.efi",
             "grub/grub.cfg": write(f"{work}/grub.cfg", configuration.encode()),
             "grubenv": write(f"{work}/grubenv", environment),
             "board": write(f"{work}/board", f"{update.compatible(os.path.basename(board))}\n".encode())}
    if site:
        files["site.cfg"] = write(f"{work}/site.cfg", f'set site="{site}"\n'.encode())
    update.make_fat(target, ESP_MIB * MIB, files, "GN-ESP")


def make_data(target):
    """An empty data partition, the same to the byte for every build."""
    with open(target, "wb") as file:
        file.truncate(DATA_MIB * MIB)
    run(["/sbin/mkfs.ext4", "-q", "-L", "gn-data", "-U", DISK_ID.lower(), "-E",
         f"root_owner=0:0,hash_seed={DISK_ID.lower()}", target],
        env={**os.environ, "E2FSPROGS_FAKE_TIME": str(EPOCH)})


def partition(target, parts):
    """A GPT disk with 'parts' [(name, type, bytes)]; returns where each begins."""
    offsets, at = [], MIB
    table = f"label: gpt\nlabel-id: {DISK_ID}\nfirst-lba: 2048\n"
    for i, (name, kind, size) in enumerate(parts, 1):
        table += (f"start={at // SECTOR}, size={size // SECTOR}, type={kind}, name={name}, "
                  f"uuid={DISK_ID[:-1]}{i}\n")
        offsets.append(at)
        at += size
    with open(target, "wb") as file:
        file.truncate(at + MIB)
    run(["/usr/sbin/sfdisk", "-q", target], input=table)
    return offsets


def put(disk, offset, path):
    """Copies a file into the disk; holes stay holes."""
    run(["dd", f"if={path}", f"of={disk}", "bs=1M", f"seek={offset // MIB}", "conv=notrunc,sparse", "status=none"])


def build(target, work, sysroot, board, slots, environment, data=None, site=""):
    """Writes 'target'. 'slots': [A's content, B's or None]. 'data': a file system, or an empty one is
    made. 'site': this site's kernel arguments."""
    os.makedirs(work, exist_ok=True)
    make_esp(f"{work}/esp.img", f"{work}/esp", sysroot, board, environment, site)
    if not data:
        data = f"{work}/data.img"
        make_data(data)
    for slot in slots:
        if slot and os.path.getsize(slot) > SLOT_MIB * MIB:
            raise Failed(f"{slot} has {os.path.getsize(slot) / MIB:.0f} MiB; a slot has {SLOT_MIB}")
    contents = [f"{work}/esp.img", *slots, data]
    offsets = partition(f"{target}.new", [("gn-esp", ESP_TYPE, ESP_MIB * MIB), ("gn-slot-a", LINUX_TYPE, SLOT_MIB * MIB),
                                          ("gn-slot-b", LINUX_TYPE, SLOT_MIB * MIB),
                                          ("gn-data", LINUX_TYPE, -(-os.path.getsize(data) // MIB) * MIB)])
    for offset, content in zip(offsets, contents):
        if content:
            put(f"{target}.new", offset, content)
    os.replace(f"{target}.new", target)
    shutil.rmtree(work)
