"""What a slot of the card holds, and the signed file that brings it there.

An update file is "GNUPDATE", three sizes (32-bit, little-endian), manifest, signature and chain of
certificates, and the slot's content. firmware/update/manifest.h says what the manifest is."""
import hashlib
import os
import re
import struct
import subprocess
import tempfile

from rootfs import EPOCH
from sysroot import Failed, run

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.normpath(f"{HERE}/../..")
MAGIC = b"GNUPDATE"
MIB = 1 << 20
VALID_DAYS = 365


def release():
    """(version, security version) of these sources, by the Makefile."""
    with open(f"{REPOSITORY}/Makefile", encoding="utf-8") as file:
        text = file.read()
    return re.search(r"^VERSION := (\S+)", text, re.M).group(1), int(re.search(r"^SECURITY := (\d+)", text, re.M).group(1))


def compatible(board):
    """The board's string, which an update for it carries."""
    with open(f"{REPOSITORY}/board/{board}/board.yaml", encoding="utf-8") as file:
        return re.search(r"^compatible: (\S+)", file.read(), re.M).group(1)


def make_fat(path, size, files, label):
    """A FAT file system whose bytes depend on 'files' (name to source) alone."""
    with open(path, "wb") as file:
        file.truncate(size)
    run(["/usr/sbin/mkfs.vfat", "--invariant", "-F", "16", "-n", label, path])
    environment = {**os.environ, "TZ": "UTC", "SOURCE_DATE_EPOCH": str(EPOCH), "MTOOLS_SKIP_CHECK": "1"}
    folders = {os.path.dirname(name) for name in files}
    for folder in sorted({"/".join(f.split("/")[:i + 1]) for f in folders if f for i in range(f.count("/") + 1)}):
        run(["mmd", "-i", path, f"::{folder}"], env=environment)
    for name, source in sorted(files.items()):
        os.utime(source, (EPOCH, EPOCH))
        run(["mcopy", "-m", "-i", path, source, f"::{name}"], env=environment)


def make_slot(target, kernel, initramfs):
    """Writes 'target': what a slot holds, rounded up to MiB."""
    content = os.path.getsize(kernel) + os.path.getsize(initramfs)
    make_fat(target, (content // MIB + 3) * MIB, {"Image": kernel, "initramfs.zst": initramfs}, "GN-SLOT")


class Signer:
    """A key whose certificate 'cards' trust for updates."""

    def __init__(self, key, chain):
        self.key, self.chain = key, chain

    @classmethod
    def of_developer(cls, build):
        """A CA of this build's own, made when it is not there; GN_SIGN_KEY and GN_SIGN_CHAIN name
        real ones."""
        if os.environ.get("GN_SIGN_KEY"):
            return cls(os.environ["GN_SIGN_KEY"], os.environ["GN_SIGN_CHAIN"])
        directory = f"{build}/image/signing"
        tool = f"{build}/bin/gnomon-ca"
        os.makedirs(f"{build}/image", exist_ok=True)
        run([tool, "init", directory, "--if-missing"])
        run([tool, "issue", directory, "updates", "developer", "--if-missing"])
        return cls(f"{directory}/updates/developer.key", f"{directory}/updates/developer.pem")

    def sign(self, text):
        with tempfile.NamedTemporaryFile() as file:
            file.write(text)
            file.flush()
            done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key, file.name],
                                  capture_output=True, check=False)
        if done.returncode:
            raise Failed(f"{self.key} cannot sign: {done.stderr.decode().strip()}")
        return done.stdout


def manifest_of(image, board, version, security, valid):
    with open(image, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return (f"gnomon-update 1\nboard {board}\nversion {version}\nsecurity {security}\n"
            f"valid {valid[0]} {valid[1]}\nimage {os.path.getsize(image)} {digest}\n").encode()


def write_update(target, image, manifest, signer):
    """'signer' with sign() and chain, a PEM file."""
    with open(signer.chain, "rb") as file:
        parts = [manifest, signer.sign(manifest), file.read()]
    with open(f"{target}.new", "wb") as out, open(image, "rb") as content:
        out.write(MAGIC + struct.pack("<3I", *map(len, parts)) + b"".join(parts))
        while piece := content.read(MIB):
            out.write(piece)
    os.replace(f"{target}.new", target)
