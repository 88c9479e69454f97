"""The shadows' pool: a directory on a file system with reflink (XFS in a file, by a loop device),
where snapshots and copies are instant. Where that cannot be had, a plain directory, and why."""
import os
import shutil
import subprocess
import time

IMAGE_BYTES = 4 << 30  # sparse: it takes what is written


def _run(*command):
    """Why it failed; empty: it did not."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip() or f"exit {done.returncode}"


class Pool:
    def __init__(self, path, size=IMAGE_BYTES):
        self.path, self.size = path, size
        self.image = f"{path}.xfs"
        self.why_plain = "not started"

    def start(self):
        """Never fails for want of XFS: 'why_plain' then says why the directory is a plain one."""
        os.makedirs(self.path, exist_ok=True)
        self.why_plain = self._mount()
        if self.why_plain and os.path.exists(self.image):
            os.unlink(self.image)
        return self

    def _mount(self):
        if not shutil.which("mkfs.xfs"):
            return "mkfs.xfs is not installed (package xfsprogs)"
        with open(self.image, "wb") as file:
            file.truncate(self.size)
        return (_run("mkfs.xfs", "-q", "-f", "-m", "reflink=1", self.image) or
                _run("mount", "-o", "loop,discard", self.image, self.path))

    @property
    def has_reflink(self):
        return not self.why_plain

    def is_mounted(self):
        return os.path.ismount(self.path)

    def stop(self):
        """Also what an earlier run that was killed left."""
        for _ in range(50):
            if not self.is_mounted():
                break
            if _run("umount", self.path):
                time.sleep(0.1)
        if self.is_mounted():
            _run("umount", "-l", self.path)
        if os.path.exists(self.image):
            os.unlink(self.image)
