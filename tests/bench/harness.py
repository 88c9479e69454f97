"""What benchmarks share: a scratch directory, processes that end with it, CPUs, figures.

The load runs on one CPU and what is measured on another. CPU time is taken from the kernel
(schedstat), not from the wall clock, so that other work on the machine disturbs a figure less;
runs of the things compared alternate, and figures are medians."""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "devbox"))
from processes import Failed, Hugepages  # noqa: E402  (needs the path above)


class CannotRun(Exception):
    """Something is missing here; the text says what."""


def number(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def row(name, value, unit, higher_is_better, peer=None, ratio=None, aim=None):
    """One result. 'ratio' is ours to the peer's, 'aim' the ratio to reach: at least that
    when higher is better, at most that when not. 'met' is None without an aim."""
    met = None
    if aim is not None and ratio is not None:
        met = ratio >= aim if higher_is_better else ratio <= aim
    return {"name": name, "value": value, "unit": unit, "higher_is_better": higher_is_better,
            "peer": peer, "ratio": ratio, "aim": aim, "met": met}


def median_ratio(ours, theirs):
    """Of runs made in pairs: the median of each pair's ratio."""
    return statistics.median(a / b for a, b in zip(ours, theirs))


def tsc_hz():
    """The time-stamp counter's rate: the kernel's own figure where it tells, else measured."""
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("bogomips"):
            return float(line.split(":")[1]) * 1e6 / 2
    raise CannotRun("this machine does not tell its counter's rate")


def thread_cpu_ns(pid):
    """Time on a CPU so far of each of the process's threads, by thread id."""
    times = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="utf-8") as file:
                times[tid] = int(file.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return times


def busiest_thread_ns(before, after):
    return max(after[tid] - before.get(tid, 0) for tid in after)


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise RuntimeError(f"{what() if callable(what) else what}: nothing after {seconds} s")


class Context:
    """Passed to each benchmark. On leaving, every process is stopped and the scratch
    directory 'tmp' (a short path: unix sockets) removed."""

    def __init__(self, build, quick):
        self.build = build
        self.quick = quick
        self.rounds = 3 if quick else 7
        self.seconds = 0.7 if quick else 2.0
        cpus = sorted(os.sched_getaffinity(0))
        self.cpu_load, self.cpu_poll = cpus[0], cpus[-1]
        # What is measured goes before other work on the machine, as if it had the CPUs.
        self.first = ["nice", "-n", "-20"] if os.geteuid() == 0 else []
        self.processes = []
        self.hugetlb = []

    def __enter__(self):
        self.tmp = tempfile.mkdtemp(prefix="gnb-", dir="/tmp")
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            self.stop(process)
        for hugetlb in self.hugetlb:
            hugetlb.stop()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def program(self, name):
        path = f"{self.build}/bin/{name}"
        if not os.access(path, os.X_OK):
            raise CannotRun(f"{path} has not been built")
        return path

    def need(self, *commands):
        for command in commands:
            if not shutil.which(command):
                raise CannotRun(f"'{command}' is not installed; run tools/setup/setup")

    def need_cpus(self):
        if self.cpu_load == self.cpu_poll:
            raise CannotRun("two CPUs are needed, one for the load")

    def need_hugepages(self, mib):
        """Reserves what is missing and gives it back when the benchmark ends."""
        hugetlb = Hugepages(mib)
        try:
            hugetlb.start()
        except (Failed, OSError) as error:
            raise CannotRun(str(error)) from None
        self.hugetlb.append(hugetlb)

    def start(self, command, log, stdin=subprocess.DEVNULL, **more):
        """Starts a process whose output goes to the file 'log' in 'tmp'."""
        with open(f"{self.tmp}/{log}", "ab") as out:
            process = subprocess.Popen([*self.first, *command], stdin=stdin, stdout=out,
                                       stderr=out, **more)
        process.log = f"{self.tmp}/{log}"
        self.processes.append(process)
        return process

    def log(self, process):
        with open(process.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self, process):
        if process in self.processes:
            self.processes.remove(process)
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Dataplane:
    """A gnomon-dataplane of its own, with a board made for the benchmark."""

    def __init__(self, context, config, idle="poll"):
        self.context = context
        context.need_hugepages(300)
        self.directory = tempfile.mkdtemp(prefix="d-", dir=context.tmp)
        self.url = f"ipc://{self.directory}/dataplane.ipc"
        self.dpctl = context.program("gn-dpctl")
        board = {"name": "bench", "compatible": "gnomon,bench", "idle": idle,
                 "main_lcore": context.cpu_load, "workers": [context.cpu_poll],
                 "hugepages": True, "memory_mib": 256, "mbufs": 32768, "uplinks": []}
        config = {"board": f"{self.directory}/board.yaml", "run_dir": self.directory,
                  "state_dir": f"{self.directory}/state", "file_prefix": "gnbench", **config}
        # JSON is YAML
        for name, content in (("board.yaml", board), ("dataplane.yaml", config)):
            with open(f"{self.directory}/{name}", "w", encoding="utf-8") as out:
                json.dump(content, out)
        self.process = context.start([context.program("gnomon-dataplane"), "--config",
                                      f"{self.directory}/dataplane.yaml"], "dataplane.log")
        wait_for(self._answers, 20, lambda: "gnomon-dataplane does not start:\n"
                 + context.log(self.process)[-2000:])

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError("gnomon-dataplane ended:\n"
                               + self.context.log(self.process)[-2000:])
        return os.path.exists(f"{self.directory}/dataplane.ipc")

    def call(self, method, *words):
        done = subprocess.run([*self.context.first, self.dpctl, self.url, method, *words], capture_output=True,
                              check=False)
        if done.returncode:
            raise RuntimeError(f"{method} {words}: {done.stderr.decode()}")
        return json.loads(done.stdout)

    def stop(self):
        self.context.stop(self.process)
