"""BlueField's boot stream (BFB): images one after another, each behind a header of 24 bytes.

A header is three 64-bit little-endian words: magic 0x13026642, major 1 in bits 32-35, minor 2 in 36-39,
the next image's version in 44-47, this one's in 48-51, the header's size / 8 in 52-55, the image's id
in 56-63; the data's size and, above it, the CRC-32 of data and padding; a bitmap of the ids that
follow. Data is padded to 8 bytes. Written from the format's description; never read by a card."""
import struct
import zlib

from sysroot import Failed

MAGIC = 0x13026642
DESCRIPTION, PATH, ARGUMENTS, IMAGE, INITRAMFS = 57, 58, 59, 62, 63
BOOT_PATH = "VenHw(F019E406-8C9C-11E5-8797-001ACA00BFC4)/Image"
GENERATIONS = (0, 2)  # versions of the arguments: one a generation of the chip


def read(data):
    """[(id, version, data)] of a boot stream."""
    images, at = [], 0
    while at < len(data):
        if len(data) - at < 24:
            raise Failed(f"the boot stream ends within a header, at byte {at}")
        first, second, _ = struct.unpack_from("<3Q", data, at)
        size, crc = second & 0xffffffff, second >> 32
        if first & 0xffffffff != MAGIC or (first >> 52 & 15) != 3:
            raise Failed(f"byte {at} of the boot stream is not a header")
        padded = data[at + 24:at + 24 + (size + 7) // 8 * 8]
        if len(padded) < size or zlib.crc32(padded) != crc:
            raise Failed(f"the image at byte {at} of the boot stream is damaged (CRC-32)")
        images.append((first >> 56, first >> 48 & 15, padded[:size]))
        at += 24 + len(padded)
    return images


def write(images):
    """The boot stream of [(id, version, data)]."""
    out = b""
    for i, (number, version, data) in enumerate(images):
        following = images[i + 1:]
        after = following[0][1] if following else 0
        bitmap = 0
        for other, _, _ in following:
            bitmap |= 1 << other
        padded = data + b"\0" * (-len(data) % 8)
        first = MAGIC | 1 << 32 | 2 << 36 | after << 44 | version << 48 | 3 << 52 | number << 56
        out += struct.pack("<3Q", first, len(data) | zlib.crc32(padded) << 32, bitmap) + padded
    return out


def payload(description, arguments, kernel, initramfs):
    """What is ours: no boot stages, which are NVIDIA's."""
    return [(DESCRIPTION, 0, description.encode()), (PATH, 0, BOOT_PATH.encode()),
            *((ARGUMENTS, version, arguments.encode()) for version in GENERATIONS),
            (IMAGE, 0, kernel), (INITRAMFS, 0, initramfs)]


def merge(base, ours):
    """The site's default.bfb with our images in place of its own of the same ids."""
    replaced = {number for number, _, _ in ours}
    return [image for image in base if image[0] not in replaced] + ours
