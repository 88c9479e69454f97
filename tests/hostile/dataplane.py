"""A gnomon-dataplane for tests, with a board, a configuration and a directory of its own."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

BUILD = os.environ.get("GN_BUILD", "build")


def program(name):
    return os.path.abspath(f"{BUILD}/bin/{name}")


def missing(*names):
    """Of these programs the first that has not been built; None: all are there."""
    return next((n for n in names if not os.access(program(n), os.X_OK)), None)


def has_hugepages(mib):
    with open("/proc/meminfo", encoding="utf-8") as file:
        info = dict(line.split(":") for line in file)
    return int(info["HugePages_Free"]) * int(info["Hugepagesize"].split()[0]) // 1024 >= mib


class Dataplane:
    def __init__(self, ports=(), volumes=(), size=64 << 20):
        """Ports and volumes are names; each port belongs to a VM named like it."""
        self.directory = tempfile.mkdtemp(prefix="gnh-", dir="/tmp")
        for name in volumes:
            self.make_image(name, size)
        board = {"name": "test", "compatible": "gnomon,test", "idle": "backoff",
                 "main_lcore": 0, "workers": [os.cpu_count() - 1],
                 "hugepages": has_hugepages(256), "memory_mib": 192, "mbufs": 8192,
                 "uplinks": []}
        config = {"board": f"{self.directory}/board.yaml", "run_dir": self.directory,
                  "state_dir": f"{self.directory}/state",
                  "file_prefix": os.path.basename(self.directory),
                  "ports": [{"name": f"ports/{n}", "vm": f"vms/{n}"} for n in ports],
                  "volumes": [{"name": f"volumes/{n}", "vm": f"vms/{n}",
                               "path": self.image(n)} for n in volumes]}
        for name, content in (("board.yaml", board), ("dataplane.yaml", config)):
            with open(f"{self.directory}/{name}", "w", encoding="utf-8") as out:
                json.dump(content, out)  # JSON is YAML
        self.process = None
        self.start()

    def image(self, volume):
        return f"{self.directory}/{volume}.raw"

    def make_image(self, volume, size):
        with open(self.image(volume), "wb") as file:
            file.truncate(size)

    def socket(self, name):
        return f"{self.directory}/vhost/{name}.sock"

    def start(self):
        with open(f"{self.directory}/log", "ab") as log:
            self.process = subprocess.Popen(
                [program("gnomon-dataplane"), "--config", f"{self.directory}/dataplane.yaml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not self._answers():
            if not self.is_alive() or time.monotonic() > end:
                raise RuntimeError(f"gnomon-dataplane does not start:\n{self.log()}")
            time.sleep(0.02)

    def _answers(self):
        return os.path.exists(f"{self.directory}/dataplane.ipc") and subprocess.run(
            [program("gn-dpctl"), f"ipc://{self.directory}/dataplane.ipc", "GetDataplaneStatus"],
            capture_output=True, check=False).returncode == 0

    def is_alive(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def n_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def call(self, method, *words):
        done = subprocess.run([program("gn-dpctl"), f"ipc://{self.directory}/dataplane.ipc",
                               method, *words], capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{method}: {done.stderr.decode()}")
        return json.loads(done.stdout)

    def log(self, n_bytes=3000):
        with open(f"{self.directory}/log", encoding="utf-8", errors="replace") as file:
            return file.read()[-n_bytes:]

    def end(self):
        """Returns how the process ended on SIGTERM."""
        if self.is_alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            code = "no end after 20 s"
        shutil.rmtree(self.directory, ignore_errors=True)
        return code


class Load:
    """gn-fe-net or gn-fe-blk in the background; its JSON result at the end."""

    def __init__(self, name, *arguments):
        self.process = subprocess.Popen([program(name), *arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def abort(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def stop(self):
        """Lets it end in its own way; returns (exit status, result)."""
        self.process.send_signal(signal.SIGTERM)
        return self.result()

    def result(self, timeout=120):
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return "no end", {"failure": "the load does not end"}
        try:
            return self.process.returncode, json.loads(out)
        except json.JSONDecodeError:
            return self.process.returncode, {"failure": err.decode()}


class Tap:
    def __init__(self):
        self.number = 0
        self.failed = 0

    def check(self, name, good, detail=""):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}", flush=True)
        if not good:
            for line in str(detail).splitlines():
                print(f"# {line}", flush=True)

    def skip(self, name, reason):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {reason}", flush=True)

    def end(self):
        print(f"1..{self.number}")
        return 1 if self.failed else 0
