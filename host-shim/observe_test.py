#!/usr/bin/python3
"""gnomon-shim observing real processes through the real kernel: what it counts is what they did
and what /proc says. libvirt's own test driver plays the hypervisor, and gn-bpf-load, started with
QEMU's name and arguments, plays the VM, since it does exactly what it is told."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("GN_BUILD", f"{ROOT}/build"))
PATIENCE = 30  # seconds until something that takes milliseconds is given up

CONFIG = """url: ipc://{dir}/shim.ipc
libvirt_uri: test:///default
journal: {dir}/journal
limits: {{vms: ['test', 'gone'], max_vcpus: 4, max_memory_mib: 4096}}
"""
OBSERVE = """observe: {threads: true, kinds: [runq, oncpu, blockio, syscalls], max_seconds: 20,
          max_windows: 2}
"""


class Report:
    def __init__(self):
        self.number = self.failed = 0

    def line(self, good, name, why=""):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}", flush=True)
        if not good:
            print(f"# {why}", flush=True)

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {why}", flush=True)


class Refused(Exception):
    pass


class Load:
    """gn-bpf-load as the VM 'name'."""

    def __init__(self, name):
        self.process = subprocess.Popen(
            ["/usr/bin/qemu-system-x86_64", "-name", f"guest={name},debug-threads=on", "-S"],
            executable=f"{BUILD}/bin/gn-bpf-load", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def do(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise RuntimeError(f"{command}: {answer}")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Shim:
    def __init__(self, directory, observe, prefix=()):
        self.url = f"ipc://{directory}/shim.ipc"
        self.ids = 0
        with open(f"{directory}/shim.yaml", "w", encoding="utf-8") as out:
            out.write(CONFIG.format(dir=directory) + observe)
        self.log = f"{directory}/shim.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*prefix, f"{BUILD}/bin/gnomon-shim", "--config", f"{directory}/shim.yaml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(f"{directory}/shim.ipc") or self.process.poll(),
                 "the shim's socket")

    def call(self, method, **fields):
        words = [f"{name}={value}" for name, value in fields.items()]
        done = subprocess.run([f"{BUILD}/bin/gn-call", self.url, f"Host/{method}", *words],
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return json.loads(done.stdout)

    def observe(self, kind, seconds, vm="vms/test", window=None):
        self.ids += 1
        return self.call("Observe", id=window or f"window-{self.process.pid}-{self.ids}", vm=vm,
                         kind=kind, duration_us=int(seconds * 1e6), reason="test")

    def get(self, kind):
        return self.call("GetObservation", vm="vms/test", kind=kind)

    def finish(self, kind):
        return self.call("StopObserve", vm="vms/test", kind=kind)

    def refusal(self, *arguments, **more):
        try:
            self.observe(*arguments, **more)
        except Refused as why:
            return str(why)
        return "not refused"

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(PATIENCE)


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: nothing after {PATIENCE} s")
        time.sleep(0.02)


def words(path):
    with open(path, encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


def programs():
    """How many BPF programs of ours the kernel holds."""
    listed = subprocess.run(["bpftool", "-j", "prog", "list"], capture_output=True, text=True,
                            check=True).stdout
    names = ("runq_", "oncpu_", "blockio_", "syscalls_")
    return [p["id"] for p in json.loads(listed) if p.get("name", "").startswith(names)]


# ---- the cases ----

def probes(shim, report):
    found = {p["name"]: p for p in shim.call("ListProbes")["probes"]}
    print("# " + "; ".join(f"{n}: {p['result']} {p['reason']}" for n, p in found.items()))
    report.line(sorted(found) == ["blockio", "oncpu", "runq", "syscalls", "threads"]
                and all((p["result"] == "AVAILABLE") == (p["reason"] == "")
                        for p in found.values()),
                "each probe says whether it works here, or why not", found)
    return {name for name, p in found.items() if p["result"] == "AVAILABLE"}


def threads(shim, load, report):
    load.do("switches 200")
    listed = shim.call("ListThreads", name="vms/test")
    cpu, delay, runs = words(f"/proc/{load.pid}/schedstat")
    only = listed["threads"][0]
    report.line(listed["process"]["pid"] == load.pid and len(listed["threads"]) == 1
                and (only["cpu_ns"], only["run_delay_ns"], only["runs"]) == (cpu, delay, runs),
                "a thread's time on CPUs, waits and runs are those of /proc/PID/schedstat",
                f"{listed} {cpu} {delay} {runs}")
    process = {vm["name"]: vm for vm in shim.call("GetHostStats")["vms"]}["vms/test"]["process"]
    io = dict(line.split(": ") for line in open(f"/proc/{load.pid}/io", encoding="utf-8"))
    report.line(process["read_calls"] == int(io["syscr"])
                and process["write_calls"] == int(io["syscw"]),
                "the process's read and write calls, ended threads included, are /proc/PID/io's",
                f"{process} {io}")


def system_calls(shim, load, report):
    shim.observe("SYSCALLS", 20)
    load.do("calls 12345")
    counts = {c["name"]: c["calls"] for c in shim.finish("SYSCALLS")["system_calls"]}
    report.line(counts.get("getpid") == 12345 and "sendto" not in counts,
                "a window counts the VM's system calls exactly, by name", counts)


def waits_in_sum(shim, load, report):
    """Against a rival on the same CPU, so that the waits are long beside what it takes to note one:
    the hooks run some microseconds after the kernel's own look at the clock."""
    cpus = os.sched_getaffinity(load.pid)
    cpu = {min(cpus)}
    os.sched_setaffinity(load.pid, cpu)
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                             preexec_fn=lambda: os.sched_setaffinity(0, cpu))
    try:
        shim.observe("RUNQ", 20)
        before = words(f"/proc/{load.pid}/schedstat")
        load.do("spin 500")
        waited = words(f"/proc/{load.pid}/schedstat")[1] - before[1]
        wait = shim.finish("RUNQ")["histograms"][0]
    finally:
        rival.kill()
        rival.wait()
        os.sched_setaffinity(load.pid, cpus)
    report.line(waited > 100_000_000 and abs(wait["sum_ns"] - waited) <= waited * 0.1,
                "and their sum is schedstat's run-queue delay", f"{wait} {waited}")


def run_queue(shim, load, report):
    shim.observe("RUNQ", 20)
    shim.observe("ONCPU", 20)
    before = words(f"/proc/{load.pid}/schedstat")
    load.do("sleeps 300")
    after = words(f"/proc/{load.pid}/schedstat")
    wait = shim.finish("RUNQ")["histograms"][0]
    run = shim.finish("ONCPU")["histograms"][0]
    runs = after[2] - before[2]
    # Some kernels leave out a few events of switching when they are busy.
    few = 2 + runs * 0.05
    report.line(wait["name"] == "wait" and sum(wait["buckets"]) == wait["count"]
                and abs(wait["count"] - runs) <= few,
                "each wait for a CPU is counted once, as often as schedstat says",
                f"{wait} runs {runs}")
    ran = after[0] - before[0]
    waits_in_sum(shim, load, report)
    report.line(run["name"] == "slice" and abs(run["count"] - runs) <= few,
                "so are stretches on a CPU", f"{run} runs {runs}")
    shim.observe("ONCPU", 20)
    before = words(f"/proc/{load.pid}/schedstat")
    load.do("spin 300")
    ran = words(f"/proc/{load.pid}/schedstat")[0] - before[0]
    run = shim.finish("ONCPU")["histograms"][0]
    report.line(abs(run["sum_ns"] - ran) <= ran * 0.2,
                "and their sum is the time that schedstat says", f"{run} {ran}")


def block_io(shim, load, report):
    # Where the build is: /tmp may be in memory.
    with tempfile.NamedTemporaryFile(prefix="gno-", dir=BUILD) as file:
        file.write(b"x" * 4096 * 200)
        file.flush()
        os.fsync(file.fileno())
        try:
            load.do(f"reads {file.name} 1")
        except RuntimeError as why:
            report.skip("block requests", f"no direct I/O here: {why}")
            return
        timed(shim, load, report, file.name)


def timed(shim, load, report, path):
    shim.observe("BLOCKIO", 20)
    load.do(f"reads {path} 150")
    load.do(f"writes {path} 70")
    window = {h["name"]: h for h in shim.finish("BLOCKIO")["histograms"]}
    if not window["read"]["count"] + window["write"]["count"]:
        report.skip("block requests", "this file system has no block device of its own")
        return
    # A few may be sent on by a kernel thread, whose requests belong to nobody.
    report.line(135 <= window["read"]["count"] <= 150 and 60 <= window["write"]["count"] <= 70,
                "each block request of the VM is timed once, by direction", window)


def ends_by_time(shim, load, report):
    began = time.monotonic()
    opened = shim.observe("SYSCALLS", 1)
    report.line(opened["state"] == "OPEN" and opened["ends_us"] - opened["started_us"] == 1000000,
                "a window tells when it will end", opened)
    same = shim.observe("SYSCALLS", 1, window=opened["id"])
    report.line(same["id"] == opened["id"] and same["started_us"] == opened["started_us"],
                "the same request again gets the same window", same)
    while time.monotonic() < began + 1.5:
        load.do("calls 10")
    wait_for(lambda: not programs(), "the programs' end")
    ended = shim.get("SYSCALLS")
    report.line(ended["state"] == "ENDED" and ended["ended_by"] == "time"
                and ended["ended_us"] == ended["ends_us"],
                "it ends by itself, and its hooks are taken away", ended)
    load.do("calls 1000")
    again = shim.get("SYSCALLS")
    report.line(again["system_calls"] == ended["system_calls"],
                "its result is kept and does not change", again)


def refusals(shim, report):
    shim.observe("RUNQ", 20)
    why = shim.refusal("RUNQ", 1)
    report.line(why.startswith("ALREADY_EXISTS"), "a second window of that kind is refused", why)
    shim.observe("ONCPU", 20)
    why = shim.refusal("SYSCALLS", 1)
    report.line(why.startswith("RESOURCE_EXHAUSTED"), "more windows than allowed are", why)
    shim.finish("RUNQ")
    shim.finish("ONCPU")
    for arguments, more, code, text in (
            (("SYSCALLS", 21), {}, "OUT_OF_RANGE", "one that is too long"),
            (("SYSCALLS", 0.05), {}, "OUT_OF_RANGE", "one that is too short"),
            (("SYSCALLS", 1), {"vm": "vms/other"}, "PERMISSION_DENIED", "a VM not of the card's"),
            (("SYSCALLS", 1), {"vm": "vms/gone"}, "NOT_FOUND", "a VM that does not run"),
            (("SYSCALLS", 1), {"vm": "test"}, "INVALID_ARGUMENT", "what is no VM's name"),
            (("SYSCALLS", 1), {"window": "short"}, "INVALID_ARGUMENT", "what is no id"),
            (("OBSERVATION_KIND_UNSPECIFIED", 1), {}, "INVALID_ARGUMENT", "no kind")):
        why = shim.refusal(*arguments, **more)
        report.line(why.startswith(code), f"{text} is refused", why)
    second = Load("test")
    try:
        time.sleep(1.1)  # the shim looks for processes at most once a second
        why = shim.refusal("SYSCALLS", 1)
    finally:
        second.stop()
    report.line("several" in why or why == "not refused",
                "another process of the VM's name is never taken for it", why)


def vm_gone(shim, report):
    load = Load("gone")
    try:
        time.sleep(1.1)
        shim.observe("SYSCALLS", 20, vm="vms/gone")
    finally:
        load.stop()
    wait_for(lambda: not programs(), "the end of the window of a VM that is gone")
    ended = shim.call("GetObservation", vm="vms/gone", kind="SYSCALLS")
    report.line(ended["ended_by"] == "the VM's process ended", "a window ends with its VM", ended)


def killed(directory, load, report):
    shim = Shim(directory, OBSERVE)
    shim.observe("RUNQ", 20)
    there = len(programs())
    shim.stop(signal.SIGKILL)
    wait_for(lambda: not programs(), "the end of a killed shim's programs")
    report.line(there == 3, "when the shim is killed the kernel takes its hooks away", there)
    load.do("calls 1")


def opted_out(directory, report):
    shim = Shim(directory, "")
    results = {p["result"] for p in shim.call("ListProbes")["probes"]}
    why = shim.refusal("RUNQ", 1)
    stats = shim.call("GetHostStats")["vms"][0]
    shim.stop()
    report.line(results == {"NOT_ALLOWED"} and why.startswith("PERMISSION_DENIED")
                and "process" not in stats,
                "without the owner's opt-in nothing is observed", f"{results} {why} {stats}")


def as_nobody(directory, report, capabilities, wanted, name):
    home = tempfile.mkdtemp(prefix="gno-")
    os.chown(home, 65534, 65534)
    listed = ",".join("+" + c for c in capabilities) or "-all"
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
              f"--inh-caps={listed}", f"--ambient-caps={listed}", "--no-new-privs"]
    shim = Shim(home, OBSERVE, prefix)
    try:
        found = shim.call("ListProbes")["probes"]
    except Refused as why:
        found = str(why)
    shim.stop()
    shutil.rmtree(home)
    good = isinstance(found, list) and all(
        p["result"] in wanted and (p["result"] == "AVAILABLE" or p["reason"]) for p in found)
    report.line(good, name, found)


def main():
    report = Report()
    directory = tempfile.mkdtemp(prefix="gno-")
    load = Load("test")
    try:
        opted_out(directory, report)
        shim = Shim(directory, OBSERVE)
        available = probes(shim, report)
        if available == {"threads", "runq", "oncpu", "blockio", "syscalls"}:
            threads(shim, load, report)
            system_calls(shim, load, report)
            run_queue(shim, load, report)
            block_io(shim, load, report)
            ends_by_time(shim, load, report)
            refusals(shim, report)
            vm_gone(shim, report)
            shim.stop()
            killed(directory, load, report)
            as_nobody(directory, report, ["bpf", "perfmon"], {"AVAILABLE"},
                      "CAP_BPF and CAP_PERFMON are all the privilege that is needed")
        else:
            shim.stop()
            report.skip("observing", f"only {sorted(available)} work on this kernel")
        as_nobody(directory, report, [], {"NO_CAPABILITY"},
                  "without privilege each probe names the capabilities")
    finally:
        load.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"1..{report.number}")
    return 1 if report.failed else 0


sys.exit(main())
