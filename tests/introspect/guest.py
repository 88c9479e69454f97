"""A real guest whose memory is a file: QEMU without libvirt, its serial console and its
monitor. The kernel and the initramfs are those of tests/guest."""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time


class Guest:
    """Boots on creation. 'memory' is the path of the guest's RAM, shared with QEMU."""

    def __init__(self, kernel, initramfs, cpus=2, mib=256, arm=False, cpu="max", append="",
                 extra=()):
        self.directory = tempfile.mkdtemp(prefix="gni-", dir="/dev/shm")
        self.memory = f"{self.directory}/ram"
        self.mib = mib
        self.process = None
        program = "qemu-system-aarch64" if arm else "qemu-system-x86_64"
        tty = "ttyAMA0" if arm else "ttyS0"
        command = [program, "-accel", "tcg", "-machine", "virt" if arm else "q35", "-cpu", cpu,
                   "-smp", str(cpus), "-m", f"{mib}M",
                   "-object", f"memory-backend-file,id=ram,mem-path={self.memory},size={mib}M,"
                   "share=on", *(["-numa", "node,memdev=ram"]),
                   "-nodefaults", "-display", "none", "-kernel", kernel, "-initrd", initramfs,
                   "-append", f"console={tty} quiet panic=-1 {append}",
                   "-chardev", f"socket,id=con,path={self.directory}/con,server=on,wait=off",
                   "-serial", "chardev:con",
                   "-qmp", f"unix:{self.directory}/qmp,server=on,wait=off", *extra]
        with open(f"{self.directory}/log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        try:
            self.console = self._connect("con")
            self.monitor = self._connect("qmp")
            self.buffer = b""
            self.answers = b""
            self._read_answer()  # the greeting
            self.qmp("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def _connect(self, name):
        path = f"{self.directory}/{name}"
        end = time.monotonic() + 20
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(path)
                connection.settimeout(120)
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError("QEMU does not start: " + self.log()) from None
                time.sleep(0.05)

    def log(self):
        with open(f"{self.directory}/log", encoding="utf-8", errors="replace") as file:
            return file.read()[-1000:]

    # ---- monitor ----

    def _read_answer(self):
        while b"\n" not in self.answers:
            chunk = self.monitor.recv(65536)
            if not chunk:
                raise RuntimeError("QEMU closed its monitor: " + self.log())
            self.answers += chunk
        line, self.answers = self.answers.split(b"\n", 1)
        return json.loads(line)

    def qmp(self, command, **arguments):
        self.monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = self._read_answer()
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def freeze(self):
        self.qmp("stop")

    def thaw(self):
        self.qmp("cont")

    def reset(self):
        self.qmp("system_reset")

    # ---- console ----

    def wait_for(self, pattern, seconds=120):
        """Text of the console up to the match, which is taken off it."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.buffer)
            if match:
                text = self.buffer[:match.end()]
                self.buffer = self.buffer[match.end():]
                return text.decode(errors="replace").replace("\r", "")
            if time.monotonic() > end:
                raise RuntimeError(f"guest: no {pattern!r} within {seconds} s; its console: "
                                   + self.buffer[-2000:].decode(errors="replace"))
            self.console.settimeout(max(0.1, end - time.monotonic()))
            try:
                chunk = self.console.recv(65536)
            except TimeoutError:
                continue
            if not chunk:
                raise RuntimeError("QEMU ended: " + self.buffer[-2000:].decode(errors="replace"))
            self.buffer += chunk

    def wait_ready(self, seconds=120):
        """Until the guest answers; what is sent while its console is set up may be lost."""
        self.wait_for(rb"gn: ready\r?\n", seconds)
        for _ in range(30):
            self.console.sendall(b"status\n")
            try:
                return self.wait_for(rb"gn: status [^\n]*\n", 3)
            except RuntimeError:
                continue
        raise RuntimeError("the guest's console does not answer")

    def run(self, command, seconds=120):
        """Output of a shell command in the guest."""
        self.console.sendall(f"run {command}\n".encode())
        return self.wait_for(rb"gn: ok run \d+\r?\n", seconds).rsplit("gn: ok run", 1)[0]

    def start(self, command):
        """Sends a command whose output is read later, by wait_for()."""
        self.console.sendall(f"run {command}\n".encode())

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for name in ("console", "monitor"):
            if hasattr(self, name):
                getattr(self, name).close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
