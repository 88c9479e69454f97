#!/usr/bin/python3
"""gnomon-introspect beside gnomon-dataplane: a guest's memory comes by way of its network port,
what the guest does is published, and resets, pauses, kills and restarts are survived."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guest import Guest  # noqa: E402  (needs the path above)

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
VM = "vms/a"
NEIGHBOUR = "vms/b"


class Skip(Exception):
    pass


def program(name):
    path = f"{BUILD}/bin/{name}"
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not built")
    return path


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what() if callable(what) else what}: not within {seconds} s")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


class World:
    """Dataplane, gnomon-introspect, a listener to its samples, and a guest; at the end a second one."""

    def __init__(self, period_ms=200):
        self.directory = tempfile.mkdtemp(prefix="gnl-", dir="/tmp")
        self.processes = []
        self.samples = []
        self.guest = self.neighbour = None
        d = self.directory
        self.write("board.yaml", "name: devbox\ncompatible: gnomon,devbox\nidle: backoff\n"
                   "main_lcore: 0\nworkers: [1]\nhugepages: false\nmemory_mib: 64\nmbufs: 2048\n")
        self.write("dp.yaml", f"board: {d}/board.yaml\nrun_dir: {d}\nstate_dir: {d}/state\n"
                   f"file_prefix: gnl{os.getpid()}\nports:\n  - {{name: ports/a-net0, vm: {VM}}}\n"
                   f"  - {{name: ports/b-net0, vm: {NEIGHBOUR}}}\n"
                   f"volumes:\n  - {{name: volumes/a-vda, vm: {VM}, path: {d}/disk.raw}}\n")
        with open(f"{d}/disk.raw", "wb") as disk:
            disk.truncate(8 << 20)
        self.period_ms = period_ms
        self.configure()

    def configure(self, more=""):
        self.write("in.yaml", f"run_dir: {self.directory}\nperiod_ms: {self.period_ms}\nstuck_s: 2\n{more}")

    def restart_introspect(self):
        self.introspect.send_signal(signal.SIGTERM)
        self.introspect.wait(20)
        self.start_introspect()

    def write(self, name, text):
        with open(f"{self.directory}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, name, *words, stdout=None):
        with open(f"{self.directory}/{name}.log", "ab") as log:
            process = subprocess.Popen([program(name), *words], stdin=subprocess.DEVNULL,
                                       stdout=stdout or log, stderr=log)
        self.processes.append(process)
        return process

    def start_dataplane(self):
        self.dataplane = self.start("gnomon-dataplane", "--config", f"{self.directory}/dp.yaml")
        wait_for(lambda: os.path.exists(f"{self.directory}/vhost/a-net0.sock"), 30,
                 "the port's socket")

    def start_introspect(self):
        self.introspect = self.start("gnomon-introspect", "--config",
                                     f"{self.directory}/in.yaml")
        wait_for(lambda: os.path.exists(f"{self.directory}/guests.ipc"), 20, "guests.ipc")
        listener = self.start("gn-samples", f"ipc://{self.directory}/guests.ipc",
                              stdout=subprocess.PIPE)
        threading.Thread(target=self.listen, args=(listener.stdout,), daemon=True).start()

    def listen(self, stream):
        for line in stream:
            for sample in json.loads(line).get("samples", []):
                self.samples.append(sample)

    def boot(self, cpus=2, device="net"):
        self.guest = self.boot_with(cpus, device)
        if device == "net":
            self.guest.run("ip link set eth0 up")

    def boot_neighbour(self):
        self.neighbour = self.boot_with(1, "neighbour")
        self.neighbour.run("ip link set eth0 up")

    def boot_with(self, cpus, device):
        """A guest whose only device is a network port or a disk."""
        for name in ("vmlinuz", "initramfs.gz"):
            if not os.path.exists(f"{BUILD}/guest/{name}"):
                raise Skip(f"{BUILD}/guest/{name} is not built")
        net = ["-netdev", "vhost-user,id=n,chardev=c", "-device", "virtio-net-pci,netdev=n,vectors=0"]
        socket, extra = {
            "net": ("a-net0", net),
            "neighbour": ("b-net0", net),
            "disk": ("a-vda", ["-device", "vhost-user-blk-pci,chardev=c,num-queues=1,vectors=0"]),
        }[device]
        guest = Guest(
            f"{BUILD}/guest/vmlinuz", f"{BUILD}/guest/initramfs.gz", cpus, 256,
            extra=["-chardev", f"socket,id=c,path={self.directory}/vhost/{socket}.sock,reconnect=1",
                   *extra])
        try:
            guest.wait_ready()
        except BaseException:
            guest.close()
            raise
        return guest

    def next_sample(self, condition, seconds=60, first=None):
        """First sample from now, or from number 'first' on, that meets the condition."""
        first = len(self.samples) if first is None else first
        return wait_for(
            lambda: next((s for s in self.samples[first:] if condition(s["guest"])), None),
            seconds, lambda: f"no such sample in {len(self.samples) - first}; the last: "
            f"{json.dumps(self.samples[-1:])[:1500]}; log: {self.log('gnomon-introspect')[-800:]}")

    def next_sample_of(self, vm, condition, first=None, seconds=60):
        """As next_sample(), of one VM; the condition is on the whole sample."""
        first = len(self.samples) if first is None else first
        return wait_for(lambda: next((s for s in self.samples[first:] if s["vm"] == vm and condition(s)), None),
                        seconds, lambda: f"no such sample of {vm}; log: {self.log('gnomon-introspect')[-800:]}")

    def ready(self, seconds=60):
        return self.next_sample(lambda g: state(g) == "READY", seconds)

    def log(self, name):
        with open(f"{self.directory}/{name}.log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def parser(self):
        return wait_for(lambda: children(self.introspect.pid), 20, "a parser")[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for guest in (self.guest, self.neighbour):
            if guest:
                guest.close()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def state(guest):
    return guest["state"].replace("GUEST_STATE_", "")


def number(message, field):
    return int(message.get(field, 0))


def test_reads_what_the_guest_does(w):
    sample = w.ready()
    guest = sample["guest"]
    expect(sample["vm"] == VM and number(sample, "period_us") > 0, str(sample)[:300])
    expect(re.match(r"\d+\.\d+", guest["kernel_release"]), guest["kernel_release"])
    expect(guest["found_by"] == "vmcoreinfo", guest["found_by"])
    expect(all(c.get("available") for c in guest["capabilities"]), str(guest["capabilities"]))
    expect(number(guest["cpu"], "online") == 2, str(guest["cpu"]))
    wait_for(lambda: len(w.samples) > 8, 20, "some samples")
    passes = [s["guest"] for s in w.samples if state(s["guest"]) == "READY"]
    expect(passes and all(number(g, "cost_us") and number(g, "read_bytes") for g in passes),
           f"costs: {[g.get('cost_us') for g in passes]}")
    expect(any(p["name"] == "gn-load" and p["pid"] == 1 for p in guest["top"]), str(guest["top"]))


def test_demand_includes_waiting(w):
    """Four loops on two CPUs want four, and get two."""
    w.guest.run("for i in 1 2 3 4; do (while :; do :; done) & done; sleep 1")
    sample = w.next_sample(lambda g: state(g) == "READY" and
                           number(g.get("cpu", {}), "demand_milli") > 3000)
    cpu = sample["guest"]["cpu"]
    expect(number(cpu, "busy_milli") <= 2500, str(cpu))
    expect(number(cpu, "wait_milli") > 1000, str(cpu))
    loops = [p for p in sample["guest"]["top"] if p["name"] == "sh" and number(p, "cpu_milli")]
    expect(loops, f"the loops are not among the busiest: {sample['guest']['top']}")
    w.guest.run("kill $(for p in /proc/[0-9]*; do [ \"$(cat $p/comm 2>/dev/null)\" = sh ] && "
                "echo ${p#/proc/}; done) 2>/dev/null; true")


def test_parser_is_shut_in(w):
    parser, supervisor = status_of(w.parser()), status_of(w.introspect.pid)
    for name, status in (("parser", parser), ("supervisor", supervisor)):
        expect(status["Seccomp"] == "2", f"{name}: Seccomp {status['Seccomp']}")
        expect(status["NoNewPrivs"] == "1", f"{name}: NoNewPrivs {status['NoNewPrivs']}")
    expect(int(parser["CapEff"], 16) == 0 and int(parser["CapPrm"], 16) == 0, str(parser))
    if os.geteuid() == 0:
        expect(parser["Uid"].split() == ["65534"] * 4, parser["Uid"])
    for fd in os.listdir(f"/proc/{w.parser()}/fd"):
        with open(f"/proc/{w.parser()}/fdinfo/{fd}", encoding="utf-8") as file:
            flags = int(re.search(r"flags:\s+(\d+)", file.read()).group(1), 8)
        target = os.readlink(f"/proc/{w.parser()}/fd/{fd}")
        expect(target.startswith("socket:") or fd == "2" or flags & 3 == os.O_RDONLY,
               f"descriptor {fd}, {target}, can be written")
    with open(f"/proc/{w.parser()}/limits", encoding="utf-8") as file:
        limits = {line[:25].strip(): line[25:].split()[0] for line in file}
    for name in ("Max processes", "Max file size", "Max core file size", "Max locked memory"):
        expect(limits[name] == "0", f"{name}: {limits[name]}")
    expect(limits["Max address space"] != "unlimited" and int(limits["Max address space"]) < 4 << 30,
           f"address space: {limits['Max address space']}")
    with open(f"/proc/{w.parser()}/maps", encoding="utf-8") as file:
        shared = [line for line in file if re.match(r"\S+ .{3}s ", line)]
    expect(shared and all(line.split()[1][1] == "-" for line in shared), str(shared))


def test_hangs_up(w):
    """Who connects and leaves at once stops nng's listener; it is opened anew."""
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{w.directory}/guests.ipc")
    time.sleep(5)  # the guard of the channel notices within three
    w.ready()
    mode = os.stat(f"{w.directory}/guests.ipc").st_mode & 0o777
    expect(mode == 0o600, f"mode {mode:o}")


def test_paused(w):
    w.ready()
    w.guest.freeze()
    sample = w.next_sample(lambda g: state(g) == "STALE")
    expect("stood still" in sample["guest"]["reason"], sample["guest"]["reason"])
    w.guest.thaw()
    w.ready()


def test_killed_parser(w):
    parser = w.parser()
    first = len(w.samples)
    os.kill(parser, signal.SIGKILL)
    sample = w.next_sample(lambda g: state(g) == "UNSUPPORTED", first=first)
    expect("ended unexpectedly" in sample["guest"]["reason"], sample["guest"]["reason"])
    w.ready()
    expect(w.parser() != parser, "the same parser")
    os.kill(w.parser(), signal.SIGSEGV)
    w.next_sample(lambda g: state(g) == "UNSUPPORTED")
    w.ready()
    log = w.log("gnomon-introspect")
    expect("ended (signal 9); it starts again in 1 s" in log and "ended (signal 11); it starts again in 2 s" in log,
           log[-600:])


def test_dataplane_restarted(w):
    """The same memory comes again: the parser goes on, and loses nothing."""
    parser = w.parser()
    w.dataplane.kill()
    w.dataplane.wait()
    w.ready()
    w.start_dataplane()
    wait_for(lambda: "connecting again" in w.log("gnomon-introspect"), 20, "the loss is noticed")
    time.sleep(12)  # memory that nobody vouches for is given up after ten
    w.ready()
    expect(w.parser() == parser, "the parser was started anew")


def test_read_budget(w):
    """A pass reads some 15 KiB; five a second are more than 64 KiB. So it is read less often, and
    says so."""
    w.configure("budget_kib: 64\n")
    w.restart_introspect()
    w.next_sample(lambda g: state(g) == "READY" and g.get("throttled"))  # the kernel was just found
    sample = w.next_sample(lambda g: state(g) == "READY" and g.get("throttled"))
    period_us, bytes_read = number(sample, "period_us"), number(sample["guest"], "read_bytes")
    expect(bytes_read * 1_000_000 <= period_us * 65 * 1024, f"{bytes_read} bytes in {period_us} us")
    w.configure()
    w.restart_introspect()
    w.next_sample(lambda g: state(g) == "READY" and not g.get("throttled"))


def processes(guest):
    return number(guest.get("tasks", {}), "processes")


def test_reset(w):
    w.guest.run("i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done")
    w.next_sample(lambda g: state(g) == "READY" and processes(g) > 100)
    w.guest.reset()
    w.guest.wait_ready()
    w.guest.run("ip link set eth0 up")
    from_s = time.monotonic()
    sample = w.next_sample(lambda g: state(g) == "READY" and 10 < processes(g) < 100)
    print(f"# found again {time.monotonic() - from_s:.2f} s after the guest was up; "
          f"bootstrap {number(sample['guest'], 'bootstrap_us')} us of CPU time")


def test_guest_goes(w):
    first = len(w.samples)
    w.guest.close()
    w.guest = None
    sample = w.next_sample(lambda g: state(g) == "NO_MEMORY", first=first)
    expect(sample["vm"] == VM, sample["vm"])
    wait_for(lambda: not children(w.introspect.pid), 20, "the end of its parser")


def test_stuck_threads(w):
    """A reader of a disk that does not answer sleeps uninterruptibly. The memory came by way of
    that disk."""
    w.boot(1, "disk")
    quiet = w.ready()["guest"]["signs"]
    expect(not number(quiet, "stuck_threads"), str(quiet))
    w.dataplane.send_signal(signal.SIGSTOP)
    try:
        said = w.guest.run("dd if=/dev/vda of=/dev/null bs=4096 count=1 skip=900 2>/dev/null & echo pid=$!")
        pid = int(re.search(r"pid=(\d+)", said).group(1))
        signs = w.next_sample(lambda g: number(g.get("signs", {}), "stuck_threads"))["guest"]["signs"]
        expect(signs["stuck_pid"] == pid and number(signs, "longest_sleep_us") >= 2_000_000, f"{pid}: {signs}")
        expect(number(w.samples[-1]["guest"]["tasks"], "blocked") == 1, str(w.samples[-1]["guest"]["tasks"]))
    finally:
        w.dataplane.send_signal(signal.SIGCONT)
    w.next_sample(lambda g: state(g) == "READY" and not number(g["signs"], "stuck_threads"))


def test_dies_of_shortened_memory(w):
    """A front end that takes its memory away kills one parser, nothing else: the other VM's goes on and
    misses nothing."""
    w.ready()
    parser = w.parser()
    w.boot_neighbour()
    before = w.next_sample_of(NEIGHBOUR, lambda s: state(s["guest"]) == "READY")
    neighbour = next(pid for pid in children(w.introspect.pid) if pid != parser)
    w.guest.freeze()
    first = len(w.samples)
    os.truncate(w.guest.memory, 4096)
    w.next_sample_of(VM, lambda s: state(s["guest"]) == "UNSUPPORTED", first)
    expect(w.introspect.poll() is None, "gnomon-introspect died too")
    expect(not os.path.exists(f"/proc/{parser}"), "the parser lives")
    expect(w.dataplane.poll() is None, "the dataplane died")
    w.next_sample_of(NEIGHBOUR, lambda s: number(s, "sequence") > number(before, "sequence") + 20)
    expect(neighbour in children(w.introspect.pid), "the other VM's parser was started anew")
    theirs = [s for s in w.samples[first:] if s["vm"] == NEIGHBOUR]
    numbers = sorted({number(s, "sequence") for s in theirs})  # each listener has its copy
    expect(all(state(s["guest"]) == "READY" for s in theirs), str([s["guest"]["state"] for s in theirs]))
    expect(numbers == list(range(numbers[0], numbers[0] + len(numbers))), str(numbers))


def test_clean_end(w):
    w.introspect.send_signal(signal.SIGTERM)
    expect(w.introspect.wait(20) == 0, f"exit status {w.introspect.returncode}")


TESTS = [
    ("the guest's processes and counters are published", test_reads_what_the_guest_does),
    ("demand includes what waits in the run queue", test_demand_includes_waiting),
    ("parser and supervisor are shut in, memory is read-only", test_parser_is_shut_in),
    ("who hangs up at once does not end what is published", test_hangs_up),
    ("a paused guest is stale, and ready when it goes on", test_paused),
    ("a killed parser is reported and started again", test_killed_parser),
    ("a killed dataplane changes nothing", test_dataplane_restarted),
    ("a read budget makes the period longer and is reported", test_read_budget),
    ("a reset guest is found again", test_reset),
    ("a guest that goes is given up", test_guest_goes),
    ("threads that wait for a dead disk are seen, until it answers", test_stuck_threads),
    ("memory that is taken away ends one parser, and the other VM misses nothing", test_dies_of_shortened_memory),
    ("SIGTERM ends it cleanly", test_clean_end),
]


def run(w, number_, name, test):
    try:
        test(w)
        print(f"ok {number_} - {name}")
        result = 0
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as why:
        print(f"not ok {number_} - {name}")
        print("# " + str(why).replace("\n", "\n# "))
        result = 1
    sys.stdout.flush()
    return result


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that guests end too
    try:
        with World() as w:
            w.start_dataplane()
            w.start_introspect()
            w.boot()
            failed = sum([run(w, i, name, test) for i, (name, test) in enumerate(TESTS, 1)])
    except Skip as why:
        print(f"ok 1 - live # SKIP {why}")
        failed = 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
