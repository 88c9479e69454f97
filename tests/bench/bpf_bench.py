"""What BPF hooks cost the host while a window is open: CPU time of the same work with and without,
in pairs whose order alternates. The work is a system call that does nothing, a byte there and back
through two pipes, and direct reads of 4 KiB by fio. Each hook is paid by everybody ("others": the
window looks at another process) and a little more by the process looked at ("itself").

Needs root. A ratio of 1.05 is 5 % more CPU time. The middle half of the pairs' ratios tells how
far to trust their median."""
import os
import resource
import statistics
import subprocess
import time

import harness

# kind, whether it looks at one process
KINDS = (("tasks", True), ("runq", True), ("oncpu", True), ("blockio", True), ("syscalls", True),
         ("calls", False))


class Work:
    """gn-bpf-load and what it is told; its CPU time per unit."""

    def __init__(self, context):
        self.process = subprocess.Popen([context.program("gn-bpf-load")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def cost(self, command, n):
        before = cpu_ns(self.pid)
        self.process.stdin.write(f"{command} {n}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise RuntimeError(f"gn-bpf-load {command}: {answer}")
        return (cpu_ns(self.pid) - before) / n

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


def cpu_ns(pid):
    """CPU time of the whole process, ended threads included: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


class Hold:
    def __init__(self, context, kind, pid):
        self.process = subprocess.Popen([context.program("gn-bpf-hold"), kind, str(pid)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ok":
            why = self.process.stderr.read().strip()
            self.close()
            raise harness.CannotRun(why)

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
        self.process.stderr.close()


def fio_cost(context, path, n):
    """CPU time of fio per request."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["fio", "--name=r", f"--filename={path}", "--rw=randread", "--bs=4k", "--direct=1",
                    "--ioengine=psync", "--thread", "--size=64m", f"--number_ios={n}", "--norandommap",
                    "--randseed=7", "--output=/dev/null"],
                   check=True, capture_output=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e9 / n


def pairs(context, kind, pid, rounds, cost):
    """Ratios of 'cost' with the hooks to that without."""
    ratios, without = [], []
    for index in range(rounds):
        costs = {}
        for is_on in (index % 2 == 0, index % 2 == 1):
            hold = Hold(context, kind, pid) if is_on else None
            try:
                costs[is_on] = cost()
            finally:
                if hold:
                    hold.close()
        ratios.append(costs[True] / costs[False])
        without.append(costs[False])
    return ratios, statistics.median(without)


def row_of(what, ratios, without_ns):
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    return harness.row(f"{what} ({without_ns:.0f} ns without; half of the pairs: {low:.3f} to {high:.3f})",
                       ratio, "ratio", False, "without the hooks", ratio)


def run(context):
    if os.geteuid() != 0:
        raise harness.CannotRun("root is needed to load BPF programs")
    context.need("fio")
    rounds = 5 if context.quick else 11
    n_calls, n_switches, n_reads = (200_000, 10_000, 4_000) if context.quick else (500_000, 25_000, 8_000)
    path = f"{context.build}/bpf-bench.img"  # on a disk; the scratch directory may be memory
    with open(path, "wb") as image:
        image.write(os.urandom(1 << 20) * 64)
    work, rows = Work(context), []
    try:
        for kind, has_target in KINDS:
            for who, pid in (("others", 1), ("itself", work.pid)) if has_target else (("all", 0),):
                name = f"bpf {kind}, {who}: "
                rows.append(row_of(name + "getpid", *pairs(context, kind, pid, rounds,
                                                           lambda: work.cost("calls", n_calls))))
                rows.append(row_of(name + "pipe round trip", *pairs(context, kind, pid, rounds,
                                                                    lambda: work.cost("switches", n_switches))))
            who, pid = ("others", 1) if has_target else ("all", 0)
            rows.append(row_of(f"bpf {kind}, {who}: fio direct read", *pairs(
                context, kind, pid, max(3, rounds // 3), lambda: fio_cost(context, path, n_reads))))
    finally:
        work.close()
        os.unlink(path)
    return rows
