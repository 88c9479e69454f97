#!/usr/bin/python3
"""gnomon-shim and what comes out of a VM's channel: real reports of gnomon-guest, run on this
machine, and what a hostile guest may write. libvirt's own test driver plays the hypervisor; the test
plays QEMU, which listens on the channel's socket."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("GN_BUILD", f"{ROOT}/build"))
PATIENCE = 30  # seconds

CONFIG = """url: ipc://{dir}/shim.ipc
libvirt_uri: test:///default
journal: {dir}/journal
limits: {{vms: ['test'], max_vcpus: 4, max_memory_mib: 4096}}
agents: {dir}
"""


class Channel:
    """QEMU's end of the port: what the guest writes goes to whoever is connected."""

    def __init__(self, directory):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(f"{directory}/test.sock")
        self.server.listen(1)
        self.server.settimeout(PATIENCE)
        self.client = None

    def accept(self):
        self.client, _ = self.server.accept()
        self.client.settimeout(PATIENCE)

    def write(self, data):
        self.client.sendall(data)

    def close(self):
        if self.client:
            self.client.close()
        self.server.close()


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="gna-", dir="/tmp")
        with open(f"{self.dir}/shim.yaml", "w", encoding="utf-8") as out:
            out.write(CONFIG.format(dir=self.dir))
        self.channel = Channel(self.dir)
        with open(f"{self.dir}/log", "wb") as log:
            self.shim = subprocess.Popen([f"{BUILD}/bin/gnomon-shim", "--config", f"{self.dir}/shim.yaml"],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(f"{self.dir}/shim.ipc"), "the shim's socket")
        wait_for(lambda: self.stats() is not None, "libvirt's test driver")

    def stats(self):
        done = subprocess.run([f"{BUILD}/bin/gn-call", f"ipc://{self.dir}/shim.ipc", "Host/GetHostStats"],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            return None
        return next(vm for vm in json.loads(done.stdout)["vms"] if vm["name"] == "vms/test")

    def agent(self):
        return self.stats().get("agent")

    def memory_kib(self):
        with open(f"/proc/{self.shim.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def log(self):
        with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.shim.send_signal(signal.SIGTERM)
        self.shim.wait(PATIENCE)
        shutil.rmtree(self.dir, ignore_errors=True)


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: nothing after {PATIENCE} s")
        time.sleep(0.05)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def frames(count, *options):
    """Reports of a real gnomon-guest, while this machine does something; None: it cannot run here."""
    agent = subprocess.Popen([f"{BUILD}/bin/gnomon-guest", "--port", "-", "--period", "200", *options],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    data, found = b"", []
    try:
        while len(found) <= count:
            chunk = agent.stdout.read1(65536)
            if not chunk:
                return None, agent.stderr.read().decode()
            data += chunk
            found = data.split(b"GNA1")[1:]
        return [b"GNA1" + frame for frame in found[:count]], ""
    finally:
        agent.kill()
        agent.wait()
        agent.stdout.close()
        agent.stderr.close()


def flow(w, data):
    """A guest that writes without pause, read at the shim's own pace."""
    for at in range(0, len(data), 65536):
        w.channel.client.settimeout(PATIENCE)
        sender = data[at:at + 65536]
        while sender:
            w.channel.client.setblocking(False)
            try:
                sender = sender[w.channel.client.send(sender):]
            except BlockingIOError:
                w.stats()


def test_reports(w, good):
    expect(w.agent() is None, "a report before any came")
    w.channel.accept()
    w.channel.write(good[0])
    report = wait_for(w.agent, "the report")
    expect(report["parts"] and "calls" in report["parts"], str(report)[:300])
    expect(any(c["name"] in ("read", "write", "futex", "epoll_wait", "poll", "clock_nanosleep") for c in
               report["calls"]), str(report["calls"])[:500])
    expect(int(report["system_calls"]) >= sum(int(c["count"]) for c in report["calls"]), "rows exceed the sum")


def test_other_questions(w, good):
    """The list of VMs is no statistics: nothing of agents is in it."""
    done = subprocess.run([f"{BUILD}/bin/gn-call", f"ipc://{w.dir}/shim.ipc", "Host/ListHostVms"],
                          capture_output=True, text=True, timeout=PATIENCE, check=False)
    expect(done.returncode == 0 and "vms/test" in done.stdout, done.stderr)
    expect(w.agent(), "the shim ended, or lost the report")


def test_hostile(w, good):
    before = w.memory_kib()
    number = int(w.agent()["sequence"])
    flow(w, os.urandom(1 << 20))
    flow(w, b"GNA1" * (1 << 18))
    flow(w, b"GNA1\xf0\x3f\x00\x00" + b"\0" * (1 << 20))
    broken = bytearray(good[1])
    broken[200] ^= 1
    flow(w, bytes(broken) * 20)
    expect(int(w.agent()["sequence"]) == number, f"hostile bytes were taken for a report: {w.agent()}")
    flow(w, b"\0" * 20000 + good[1])  # what is left of a frame that never came is passed over first
    flow(w, good[2])
    wait_for(lambda: int(w.agent()["sequence"]) > number, "a good report after all that")
    expect(w.memory_kib() < before + 4096, f"memory grew from {before} to {w.memory_kib()} KiB")


def test_reconnects(w, good):
    number = int(w.agent()["sequence"])
    w.channel.write(good[0][:1000])
    w.channel.client.close()
    w.stats()
    w.stats()
    w.channel.accept()
    w.channel.write(good[0])  # the agent was started anew: its numbers begin again
    wait_for(lambda: int(w.agent()["sequence"]) != number, "a report over the new connection")


def test_silent_is_old(w, good):
    time.sleep(11)
    expect(w.agent() is None, "a report of ten seconds ago is still told")
    expect(w.shim.poll() is None, w.log())


TESTS = [("a real report is told with the statistics", test_reports),
         ("other questions are answered as before", test_other_questions),
         ("hostile bytes are bounded, and passed over", test_hostile),
         ("a channel that breaks in the middle of a frame is connected again", test_reconnects),
         ("an old report is not told", test_silent_is_old)]


def main():
    good, why = frames(3, "--parts", "calls")
    if not good:
        print(f"ok 1 - agents # SKIP gnomon-guest does not run here: {why.strip()}")
        return 0
    failed = 0
    with World() as w:
        for number, (name, test) in enumerate(TESTS, 1):
            try:
                test(w, good)
                print(f"ok {number} - {name}", flush=True)
            except (AssertionError, OSError, KeyError, TypeError, subprocess.SubprocessError) as why:
                failed += 1
                print(f"not ok {number} - {name}\n# {type(why).__name__} {why}\n# {w.log()[-500:]}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
