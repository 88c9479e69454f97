"""Child processes that end with their parent, log to files and are ended by id."""
import ctypes
import os
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A sentence for the user."""


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def tail_of(path, lines=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])
    except OSError:
        return ""


class Process:
    """One daemon, its log and its restarts."""

    def __init__(self, name, command, log_path):
        self.name, self.command, self.log_path = name, command, log_path
        self.child = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, preexec_fn=die_with_parent)
        return self

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child is not None and self.child.poll() is None

    def kill(self):
        """As a crash would: no chance to clean up."""
        if self.running():
            self.child.kill()
            self.child.wait()

    def stop(self, seconds=10):
        if not self.running():
            return
        self.child.terminate()
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def wait_until(self, ready, seconds, what):
        """Polls ready() until it is true; fails with the log's end when the process dies."""
        end = time.monotonic() + seconds
        while not ready():
            if not self.running():
                raise Failed(f"{self.name} ended with code {self.child.returncode} before {what}; "
                             f"{self.log_path} ends:\n{tail_of(self.log_path)}")
            if time.monotonic() > end:
                raise Failed(f"{self.name}: {what} did not happen within {seconds} s; "
                             f"{self.log_path} ends:\n{tail_of(self.log_path)}")
            time.sleep(0.05)


class Supervised:
    """A process that may end: it is started again, later with every failure in a row."""
    FIRST_S, LONGEST_S, GOOD_S = 1, 30, 60

    def __init__(self, process):
        self.process = process
        self.wait_s = self.FIRST_S
        self.started = self.due = None

    def start(self):
        self.process.start()
        self.started, self.due = time.monotonic(), None
        return self

    def tend(self):
        now = time.monotonic()
        if self.process.child is None or self.process.running():
            return None
        if self.due is None:
            if now - self.started > self.GOOD_S:
                self.wait_s = self.FIRST_S
            self.due = now + self.wait_s
            wait, self.wait_s = self.wait_s, min(2 * self.wait_s, self.LONGEST_S)
            return (f"{self.process.name} ended with code {self.process.child.returncode}; it starts "
                    f"again in {wait} s")
        if now >= self.due:
            self.start()
            return f"{self.process.name} was started again"
        return None


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what} did not happen within {seconds} s")
        time.sleep(0.1)


def run(command, seconds=60, text=""):
    """Runs to the end with 'text' as its input; returns what it printed, or fails with what it said."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True,
                              timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)}: no end after {seconds} s") from None
    if done.returncode:
        raise Failed(f"{' '.join(command)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def free_hugepages():
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":") for line in file)
    return int(fields["HugePages_Free"])


class Hugepages:
    """Makes sure that 'mib' MiB of 2 MiB pages are free; gives back what it added, also what
    an earlier run that was killed had noted in the file 'note'."""
    PATH = "/proc/sys/vm/nr_hugepages"

    def __init__(self, mib, note=None):
        self.needed, self.added, self.note = (mib + 1) // 2, 0, note

    def recover(self):
        if self.note and os.path.exists(self.note):
            with open(self.note, encoding="ascii") as file:
                self.added = int(file.read() or 0)
            self.stop()

    def start(self):
        before = self._total()
        # More than once: pages that others hold beyond the total are counted into it first.
        for _ in range(3):
            missing = self.needed - free_hugepages()
            if missing <= 0:
                return self
            with open(self.PATH, "w", encoding="ascii") as file:
                file.write(str(self._total() + missing))
            self.added = max(0, self._total() - before)
            if self.note:
                with open(self.note, "w", encoding="ascii") as file:
                    file.write(str(self.added))
        missing = self.needed - free_hugepages()
        if missing > 0:
            self.stop()
            raise Failed(f"{missing} of {self.needed} hugepages of 2 MiB could not be had: free some "
                         f"memory, or set 'hugepages: false' in the board file")
        return self

    def _total(self):
        with open(self.PATH, encoding="ascii") as file:
            return int(file.read())

    def stop(self):
        if self.added:
            with open(self.PATH, "w", encoding="ascii") as file:
                file.write(str(max(0, self._total() - self.added)))
            self.added = 0
        if self.note and os.path.exists(self.note):
            os.unlink(self.note)


class Console:
    """The serial console of a test guest (its Unix socket), one answer a command."""

    def __init__(self, path):
        self.path, self.socket, self.buffer, self.n_commands = path, None, b"", 0

    def connect(self, seconds=10):
        def attempt():
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(self.path)
            except OSError:
                s.close()
                return None
            return s
        self.socket = wait_for(attempt, seconds, f"a connection to the console {self.path}")
        return self

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None

    def line(self, seconds):
        self.socket.settimeout(seconds)
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(4096)
            except TimeoutError:
                raise Failed(f"{self.path}: the guest said nothing for {seconds} s; last: "
                             f"{self.buffer!r}") from None
            if not data:
                raise Failed(f"{self.path}: the guest's console closed")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def wait(self, text, seconds=60):
        """The next line that begins with 'text' (or one of several)."""
        end = time.monotonic() + seconds
        while True:
            line = self.line(max(0.1, end - time.monotonic()))
            if line.startswith(text):
                return line

    def command(self, text, seconds=20):
        """Sends one command and returns its answer, not an earlier one's that comes late."""
        self.n_commands += 1
        tag = f"@{os.getpid()}.{self.n_commands}"
        self.socket.sendall(f"{tag} {text}\n".encode())
        return self.wait(f"gn: {tag} ", seconds)

    def shell(self, command, seconds=20):
        """Runs a busybox shell command in the guest; returns the lines that it prints."""
        self.n_commands += 1
        tag = f"gn: @{os.getpid()}.{self.n_commands} "
        self.socket.sendall(f"{tag[4:]}run {command}\n".encode())
        end, lines = time.monotonic() + seconds, []
        while True:
            line = self.line(max(0.1, end - time.monotonic()))
            if line.startswith(tag):
                return lines
            lines.append(line)

    def wait_ready(self, seconds=90):
        """Waits until the guest has booted and its load program answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.command("status", 3)
                return self
            except Failed:
                if time.monotonic() > end:
                    raise

    def status(self):
        """The guest's counters as a dict."""
        words = self.command("status").split()
        return {key: int(value) for key, value in (w.split("=") for w in words if "=" in w)}
