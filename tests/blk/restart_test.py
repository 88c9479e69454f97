#!/usr/bin/python3
"""The dataplane is killed and restarted under verified disk load, again and again: no request
is lost or run twice, every acknowledged write is there. Once with our own front end, which keeps
many requests in flight, once with a real guest in QEMU, and once with orderly restarts."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
KILLS = 8
STOPS = 4
GUEST_KILLS = 4
IMAGE_BYTES = 64 << 20
results = []


class Skip(Exception):
    pass


def program(name):
    path = f"{BUILD}/bin/{name}"
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not built")
    return path


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")


class Dataplane:
    """gnomon-dataplane with one volume, from its configuration; restartable."""

    def __init__(self, directory):
        self.directory = directory
        self.image = f"{directory}/disk.raw"
        self.socket = f"{directory}/vhost/a.sock"
        self.process = None
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        with open(f"{directory}/board.yaml", "w", encoding="utf-8") as file:
            file.write("name: devbox\ncompatible: gnomon,devbox\nidle: backoff\nmain_lcore: 0\n"
                       "workers: [1]\nhugepages: false\nmemory_mib: 64\nmbufs: 2048\n")
        with open(f"{directory}/dp.yaml", "w", encoding="utf-8") as file:
            file.write(f"board: {directory}/board.yaml\nrun_dir: {directory}\n"
                       f"state_dir: {directory}/state\nfile_prefix: gnr{os.getpid()}\n"
                       f"volumes:\n  - {{name: volumes/a, vm: vms/a, path: {self.image}, "
                       "queues: 4}\n")

    def start(self):
        with open(f"{self.directory}/dp.log", "ab") as log:
            self.process = subprocess.Popen(
                [program("gnomon-dataplane"), "--config", f"{self.directory}/dp.yaml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(timeout=20)

    def counters(self):
        """The volume and its counters; None while the dataplane starts."""
        done = subprocess.run([program("gn-dpctl"), f"ipc://{self.directory}/dataplane.ipc",
                               "ListVolumes"], capture_output=True, check=False, timeout=30)
        if done.returncode:
            return None
        volumes = json.loads(done.stdout)["volumes"]
        return volumes[0] if volumes else None

    def wait_connected(self):
        """Until a front end has its rings running in this process."""
        return wait_for(lambda: (self.counters() or {}).get("connected"), 20,
                        lambda: "connection; the dataplane said: " + self.log())

    def log(self):
        with open(f"{self.directory}/dp.log", encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]


def number_of(counters, name):
    return int(counters.get("counters", {}).get(name, 0))


def restart_often(dataplane, times, how, seed, still_running):
    """Ends the dataplane at random instants; returns how many requests were found in flight."""
    choose = random.Random(seed)
    resubmitted = 0
    for _ in range(times):
        time.sleep(choose.uniform(0.05, 0.5))
        assert still_running(), "the load ended before the restarts did"
        dataplane.end(how)
        dataplane.start()
        dataplane.wait_connected()
        resubmitted += number_of(dataplane.counters(), "resubmitted")
    return resubmitted


def front_end_load(directory, how, times, seed):
    dataplane = Dataplane(directory)
    stop = None
    dataplane.start()
    try:
        load = subprocess.Popen(
            [program("gn-fe-blk"), "--socket", dataplane.socket, "--seconds", "600", "--queues", "3",
             "--depth", "16", "--block", "8192", "--segment", "1024", "--read", "2", "--write", "4",
             "--zeroes", "1", "--discard", "1", "--flush", "1", "--seed", str(seed), "--verify",
             "--image", dataplane.image, "--reconnect", "20000", "--wait", "20000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stop = load
        dataplane.wait_connected()
        resubmitted = restart_often(dataplane, times, how, seed, lambda: load.poll() is None)
        load.send_signal(signal.SIGINT)
        out, err = load.communicate(timeout=60)
        report = json.loads(out)
        assert load.returncode == 0, f"{out.decode()} {err.decode()} {dataplane.log()}"
        for name in ("errors", "mismatches", "duplicates", "lost"):
            assert report[name] == 0, f"{name}: {report}"
        assert report["reconnects"] >= times, report
        assert report["writes"] > 100 and report["verified_blocks"] > 100, report
        return resubmitted
    finally:
        if stop and stop.poll() is None:
            stop.kill()
            stop.communicate()
        dataplane.end(signal.SIGKILL)


def killed_under_front_end(directory):
    resubmitted = front_end_load(directory, signal.SIGKILL, KILLS, 11)
    assert resubmitted > 0, "no request was ever in flight at a kill: the test tested nothing"


def stopped_under_front_end(directory):
    front_end_load(directory, signal.SIGTERM, STOPS, 12)


class Guest:
    """tests/guest in QEMU under TCG, with the volume as its disk."""

    def __init__(self, directory, socket):
        kernel, initramfs = f"{BUILD}/guest/vmlinuz", f"{BUILD}/guest/initramfs.gz"
        if not os.path.exists(initramfs) or not shutil.which("qemu-system-x86_64"):
            raise Skip("no guest or no qemu-system-x86_64 here")
        self.log = open(f"{directory}/guest.log", "wb")
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-m", "160", "-nodefaults", "-display", "none",
             "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initramfs,
             "-append", "console=ttyS0 quiet panic=-1",
             "-object", "memory-backend-memfd,id=m,size=160M,share=on",
             "-machine", "q35,memory-backend=m",
             "-chardev", f"socket,id=c,path={socket},reconnect=1",
             "-device", "vhost-user-blk-pci,chardev=c,num-queues=2,vectors=0"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.decode(errors="replace").strip())

    def ask(self, command, prefix="gn: ", seconds=30):
        """The first line with 'prefix' after the command."""
        first = len(self.lines)
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        return wait_for(lambda: next((line for line in self.lines[first:]
                                      if line.startswith(prefix)), None), seconds,
                        f"guest's answer to '{command}' ({self.lines[-5:]})")

    def status(self):
        words = [word.split("=") for word in self.ask("status").split() if "=" in word]
        return {name: int(value) for name, value in words if value.isdigit()}

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def killed_under_guest(directory):
    dataplane = Dataplane(directory)
    guest = None
    dataplane.start()
    try:
        wait_for(lambda: os.path.exists(dataplane.socket), 20, "the volume's socket")
        guest = Guest(directory, dataplane.socket)
        wait_for(lambda: any("gn: " in line for line in guest.lines), 60, "the guest's boot")
        guest.ask("verify 12", "gn: ok")
        restart_often(dataplane, GUEST_KILLS, signal.SIGKILL, 13,
                      lambda: guest.process.poll() is None)
        end = wait_for(lambda: (lambda s: s if not s["verify_running"] else None)(guest.status()), 60,
                       "the end of the guest's verification")
        assert end["verify_wrong"] == 0, end
        assert end["verify_writes"] > 50 and end["verify_checked"] > 50, end
    finally:
        if guest:
            guest.stop()
        dataplane.end(signal.SIGKILL)


def run(number, case):
    name = case.__name__.replace("_", " ")
    with tempfile.TemporaryDirectory(prefix="gnr", dir="/tmp") as directory:
        try:
            case(directory)
            print(f"ok {number} - {name}", flush=True)
            return 0
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
            return 0
        except Exception as error:  # pylint: disable=broad-except
            print("".join(f"# {line}\n" for line in f"{error!r}\n".replace("\\n", "\n").splitlines()),
                  end="")
            print(f"not ok {number} - {name}", flush=True)
            return 1


def main():
    cases = [killed_under_front_end, stopped_under_front_end, killed_under_guest]
    failed = sum([run(i, case) for i, case in enumerate(cases, 1)])
    print(f"1..{len(cases)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
