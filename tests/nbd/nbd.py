"""What the NBD tests share: a dataplane of their own with exports, clients, TAP, a raw client."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
MIB = 1 << 20


class Skip(Exception):
    pass


def program(name):
    path = f"{BUILD}/bin/{name}"
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not built")
    return path


def need(*commands):
    for command in commands:
        if not shutil.which(command):
            raise Skip(f"'{command}' is not installed; run tools/setup/setup")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command, code=0, **more):
    """The command's output; it must end with 'code' (None: whatever)."""
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, **more)
    output = (done.stdout + done.stderr).decode(errors="replace")
    if code is not None and done.returncode != code:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}: {output}")
    return output


def qemu_io(uri, *commands, code=0, options=()):
    words = [word for command in commands for word in ("-c", command)]
    output = run("qemu-io", *options, "-f", "raw", *words, uri, code=code)
    if not code and ("failed" in output or "error" in output.lower()):
        raise AssertionError(f"{commands}: {output}")
    return output


class Dataplane:
    """gnomon-dataplane in a directory of its own."""

    def __init__(self, **config):
        self.directory = tempfile.mkdtemp(prefix="gnn-", dir="/tmp")
        self.config = config
        self.process = None
        self.write("board.yaml", {
            "name": "devbox", "compatible": "gnomon,devbox", "idle": "backoff", "main_lcore": 0,
            "workers": [1], "hugepages": False, "memory_mib": 64, "mbufs": 2048})

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end(signal.SIGTERM)
        shutil.rmtree(self.directory, ignore_errors=True)

    def write(self, name, content):
        with open(f"{self.directory}/{name}", "w", encoding="utf-8") as file:
            json.dump(content, file)  # JSON is YAML

    def path(self, name):
        return f"{self.directory}/{name}"

    def start(self):
        self.write("dp.yaml", {
            "board": self.path("board.yaml"), "run_dir": self.directory,
            "state_dir": self.path("state"), "file_prefix": f"gnn{os.getpid()}", **self.config})
        with open(self.path("dp.log"), "ab") as log:
            self.process = subprocess.Popen(
                [program("gnomon-dataplane"), "--config", self.path("dp.yaml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.call("GetDataplaneStatus", must=False), 20, self.log)

    def end(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the dataplane did not end") from None
        code, self.process = self.process.returncode if self.process else 0, None
        return code

    def log(self):
        with open(self.path("dp.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def call(self, method, *fields, must=True):
        done = subprocess.run([program("gn-dpctl"), f"ipc://{self.directory}/dataplane.ipc", method,
                               *fields], capture_output=True, check=False, timeout=30)
        if done.returncode and must:
            raise AssertionError(f"{method} {fields}: {done.stderr.decode()}")
        return None if done.returncode else json.loads(done.stdout)

    def refused(self, method, *fields):
        """The sentence with which it is refused."""
        done = subprocess.run([program("gn-dpctl"), f"ipc://{self.directory}/dataplane.ipc", method,
                               *fields], capture_output=True, check=False, timeout=30)
        assert done.returncode == 1, f"{method} {fields} was not refused: {done.stdout.decode()}"
        return done.stderr.decode()

    def volume(self, name, size=64 * MIB, *fields):
        path = self.path(f"{name}.raw")
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.truncate(size)
        self.call("CreateVolume", f"name=volumes/{name}", f"vm=vms/{name}", f"path={path}", *fields)
        return path

    def export(self, name, *fields, volume=None):
        """Its address on a Unix socket."""
        self.call("CreateNbdExport", f"name=exports/{name}", f"volume=volumes/{volume or name}",
                  *fields)
        return self.uri(name)

    def uri(self, name, export=None):
        return f"nbd+unix:///{export or name}?socket={self.directory}/nbd/{name}.sock"

    def counters(self, name):
        for export in self.call("ListNbdExports")["exports"]:
            if export["name"] == f"exports/{name}":
                return export["counters"]
        raise AssertionError(f"no export {name}")

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("VmRSS"):
                    return int(line.split()[1])
        return 0


class Remote:
    """A remote server on a Unix socket, to be killed and started again."""

    def __init__(self, dataplane, *command):
        self.socket = dataplane.path("remote.sock")
        self.image = dataplane.path("remote.raw")
        self.command = [word.format(socket=self.socket, image=self.image) for word in command]
        self.process = None
        if not os.path.exists(self.image):
            with open(self.image, "wb") as file:
                file.truncate(32 * MIB)

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.socket) or self.process.poll(), 10, "the remote server")

    def __enter__(self):
        self.start()
        return self

    def end(self, number=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(timeout=10)

    def __exit__(self, *_):
        self.end()

    def address(self):
        return f"nbd+unix:///?socket={self.socket}"


def qemu_nbd(dataplane):
    need("qemu-nbd")
    return Remote(dataplane, "qemu-nbd", "-k", "{socket}", "-f", "raw", "-t", "-e", "8", "{image}")


def nbdkit(dataplane, *words):
    need("nbdkit")
    return Remote(dataplane, "nbdkit", "-f", "-U", "{socket}", *words)


OPTION = b"IHAVEOPT"
GO, LIST, ABORT, STRUCTURED = 7, 3, 2, 8
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)


class Client:
    """A raw client on a Unix socket; negotiates as far as it is told to."""

    def __init__(self, path, transmission=True, structured=False, export=b""):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        assert self.get(16) == b"NBDMAGIC" + OPTION
        self.get(2)
        if not transmission:
            return
        self.put(struct.pack(">I", 3))
        if structured:
            self.option(STRUCTURED)
            assert self.reply()[0] == 1
        self.option(GO, struct.pack(">I", len(export)) + export + b"\0\0")
        while True:
            kind, data = self.reply()
            assert not kind >> 31, data
            if kind == 1:
                break

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def put(self, data):
        self.socket.sendall(data)

    def get(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return data

    def option(self, number, data=b""):
        self.put(OPTION + struct.pack(">II", number, len(data)) + data)

    def reply(self):
        magic, _, kind, size = struct.unpack(">QIII", self.get(20))
        assert magic == 0x3e889045565a9
        return kind, self.get(size)

    def request(self, command, offset=0, length=0, data=b"", cookie=1, flags=0):
        self.put(struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length) + data)

    def simple(self):
        magic, error, cookie = struct.unpack(">IIQ", self.get(16))
        assert magic == 0x67446698
        return error, cookie

    def is_cut(self):
        """The server closes within the time limit, whatever it still says."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


def main(tests):
    """Runs the functions, each a TAP line named by its docstring's first line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    failed = 0
    for number, test in enumerate(tests, 1):
        name = test.__doc__.split("\n", maxsplit=1)[0].rstrip(".")
        try:
            test()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception as error:  # the others are worth knowing too
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in (str(error) + "\n" + traceback.format_exc()).split("\n"):
                print(f"#   {line}")
    print(f"1..{len(tests)}")
    sys.exit(1 if failed else 0)
