#!/usr/bin/python3
"""Flashing: a disk written to a file and read back, boot streams, and everything that is refused. Small
stand-ins for images; no device is touched."""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import bfb
import disk
import update
from image_test import Tests
from sysroot import Failed


def flash(build, board, *words):
    done = subprocess.run([f"{HERE}/flash", board, "--build", build, *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def make_disk(path, board):
    """GPT and an esp that names the board: what flash looks at."""
    disk.write(f"{path}.board", f"{board}\n".encode())
    update.make_fat(f"{path}.esp", 16 << 20, {"board": f"{path}.board"}, "GN-ESP")
    offsets = disk.partition(path, [("gn-esp", disk.ESP_TYPE, 16 << 20), ("gn-data", disk.LINUX_TYPE, 1 << 20)])
    disk.put(path, offsets[0], f"{path}.esp")


def make_image(build, board):
    folder = f"{build}/image/{board}"
    os.makedirs(folder)
    disk.write(f"{folder}/Image", b"kernel of 19 bytes.")
    disk.write(f"{folder}/initramfs.zst", bytes(range(256)) * 40)
    make_disk(f"{folder}/disk.img", f"gnomon,{board}")
    return folder


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_disk(tests, directory):
    build, target = f"{directory}/build", f"{directory}/disk"
    folder = make_image(build, "qemu-virt")
    code, text = flash(build, "qemu-virt", "--to", target, "--dry-run")
    tests.check(code == 0 and not os.path.exists(target), "a dry run writes nothing", text)
    code, text = flash(build, "qemu-virt", "--to", target)
    tests.check(code == 1 and "--yes" in text and not os.path.exists(target), "nobody confirms: nothing is written", text)
    code, text = flash(build, "qemu-virt", "--to", target, "--yes")
    tests.check(code == 0 and read(target) == read(f"{folder}/disk.img"), "a disk is written and read back", text)
    make_disk(f"{directory}/other", "gnomon,other")
    before = read(f"{directory}/other")
    code, text = flash(build, "qemu-virt", "--to", f"{directory}/other", "--yes")
    tests.check(code == 1 and "'gnomon,other'" in text and read(f"{directory}/other") == before,
                "another board's disk is refused", text)
    shutil.copy(f"{directory}/other", f"{folder}/disk.img")
    code, text = flash(build, "qemu-virt", "--to", target, "--yes")
    tests.check(code == 1 and "is not a disk for" in text, "an image of another board is refused", text)
    for board, says in (("devbox", "not flashed"), ("bluefield3", "has no image"), ("none", "no board")):
        code, text = flash(build, board, "--to", target, "--yes")
        tests.check(code == 1 and says in text, f"{board}: {says}", text)
    code, text = flash(build, "qemu-virt", "--to", "/dev/null", "--yes")
    tests.check(code == 1, "what is no disk is refused", text)


def test_streams(tests, directory):
    build = f"{directory}/build"
    folder = make_image(build, "bluefield2")
    code, text = flash(build, "bluefield2", "--to", f"{directory}/x.bfb", "--yes")
    images = bfb.read(read(f"{directory}/x.bfb")) if code == 0 else []
    tests.check([(n, v) for n, v, _ in images] == [(57, 0), (58, 0), (59, 0), (59, 2), (62, 0), (63, 0)],
                "a boot stream has description, path, arguments, kernel, initramfs", text)
    tests.check(images[4][2] == read(f"{folder}/Image") and images[5][2] == read(f"{folder}/initramfs.zst"),
                "and they are the image's")
    # The first header by hand: id 57, size, CRC of data and padding, ids that follow.
    raw = read(f"{directory}/x.bfb")
    first, second, bitmap = struct.unpack_from("<3Q", raw)
    size = second & 0xffffffff
    tests.check(first == 0x13026642 | 1 << 32 | 2 << 36 | 3 << 52 | 57 << 56 and
                second >> 32 == zlib.crc32(raw[24:24 + (size + 7) // 8 * 8]) and
                bitmap == 1 << 58 | 1 << 59 | 1 << 62 | 1 << 63, "its header is as described")
    disk.write(f"{directory}/default.bfb", bfb.write([(1, 0, b"BL2"), (5, 0, b"BL33 of it"), (62, 0, b"another kernel")]))
    rshim = f"{directory}/rshim0"
    os.mkdir(rshim)
    disk.write(f"{rshim}/boot", b"")
    disk.write(f"{rshim}/misc", b"DISPLAY_LEVEL   0\nDEV_INFO        BlueField-3(Rev 1)\n")
    words = ("--to", rshim, "--yes", "--default-bfb", f"{directory}/default.bfb")
    code, text = flash(build, "bluefield2", *words)
    tests.check(code == 1 and "wrong card" in text and not read(f"{rshim}/boot"), "another chip behind rshim is refused", text)
    disk.write(f"{rshim}/misc", b"DEV_INFO        BlueField-2(Rev 1)\n")
    code, text = flash(build, "bluefield2", "--to", rshim, "--yes")
    tests.check(code == 1 and "default.bfb" in text, "without NVIDIA's stages nothing is pushed", text)
    code, text = flash(build, "bluefield2", *words, "--dry-run")
    tests.check(code == 0 and not read(f"{rshim}/boot"), "a dry run pushes nothing", text)
    code, text = flash(build, "bluefield2", *words)
    merged = [n for n, _, _ in bfb.read(read(f"{rshim}/boot"))]
    tests.check(code == 0 and merged == [1, 5, 57, 58, 59, 59, 62, 63], "merged with the site's stages and pushed", text)
    damaged = bytearray(raw)
    damaged[30] ^= 1
    for name, data in (("damaged", bytes(damaged)), ("cut", raw[:-9]), ("no stream", b"x" * 100)):
        try:
            bfb.read(data)
            tests.check(False, f"a stream that is {name} is refused")
        except Failed:
            tests.check(True, f"a stream that is {name} is refused")


def main():
    tests = Tests()
    directory = tempfile.mkdtemp(prefix="gn-flash-")
    try:
        test_disk(tests, directory)
        test_streams(tests, directory)
    except (Failed, OSError, IndexError) as error:
        print(f"not ok {tests.n + 1} - the test came to its end: {error}")
        traceback.print_exc(file=sys.stdout)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"1..{tests.n}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
