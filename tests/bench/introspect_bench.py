"""What introspection costs: finding a kernel, one pass, their growth with the guest's memory and
tasks, and what a guest notices of being read.

Costs are CPU time of the reading process. The peer of a figure is the aim of the project, not
another program: no other one finds a profile by itself. Guests run under QEMU's TCG here."""
import math
import os
import re
import statistics
import subprocess
import sys
import time

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "introspect"))
from guest import Guest  # noqa: E402  (needs the path above)

BOOTSTRAP_AIM_US = 100_000
PASS_AIM_US = 100


def boot(context, cpus, mib):
    for name in ("vmlinuz", "initramfs.gz"):
        if not os.path.exists(f"{context.build}/guest/{name}"):
            raise harness.CannotRun(f"{context.build}/guest/{name} has not been built")
    guest = Guest(f"{context.build}/guest/vmlinuz", f"{context.build}/guest/initramfs.gz", cpus,
                  mib)
    guest.wait_ready()
    return guest


def measure(context, guest, passes, interval_us=0):
    done = subprocess.run([*context.first, context.program("gn-introspect-passes"), guest.memory,
                           "--passes", str(passes), "--interval-us", str(interval_us)],
                          capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    # The program's own JSON; one line.
    return {m.group(1): float(m.group(2))
            for m in re.finditer(r'"(\w+)":([\d.]+)', done.stdout.decode())}


def aimed(name, value, unit, aim):
    """A row whose ratio is value to aim; 1 or less is met."""
    return harness.row(name, value, unit, False, f"aim: {aim} {unit}", value / aim, 1)


def sleepers(guest, count):
    """Starts processes until there are about 'count'."""
    guest.run(f"n=$(ls -d /proc/[0-9]* | wc -l); while [ $n -lt {count} ]; do sleep 100000 & "
              "n=$((n+1)); done", 600)


def memory_in_use(guest, mib):
    """Fills memory, so that a search has something to look at."""
    guest.run(f"mount -t tmpfs -o size={mib}m none /tmp && "
              f"dd if=/dev/urandom of=/tmp/fill bs=1M count={int(mib * 0.7)} 2>/dev/null", 900)


def small_guest(context):
    rows = []
    with boot(context, 2, 256) as guest:
        sleepers(guest, 80)
        found = [measure(context, guest, 1)["bootstrap_us"] for _ in range(context.rounds)]
        rows.append(aimed("introspect: bootstrap of a 256 MiB guest", statistics.median(found),
                          "us", BOOTSTRAP_AIM_US))
        passes = measure(context, guest, 20000)
        rows.append(aimed("introspect: pass over 80 tasks, p50", passes["p50_us"], "us",
                          PASS_AIM_US))
        rows.append(harness.row("introspect: pass over 80 tasks, p99", passes["p99_us"], "us",
                                False))
        slow = measure(context, guest, 10 if context.quick else 30, 1_000_000)
        rows.append(aimed("introspect: pass over 80 tasks once a second, p50", slow["p50_us"],
                          "us", PASS_AIM_US))
    return rows


def growth_with_memory(context):
    rows = []
    for mib in (256, 1024) if context.quick else (256, 1024, 4096):
        with boot(context, 2, mib) as guest:
            memory_in_use(guest, mib)
            found = measure(context, guest, 1000)
            rows.append(harness.row(f"introspect: bootstrap of a {mib} MiB guest, 70 % in use",
                                    found["bootstrap_us"], "us", False))
            rows.append(harness.row(f"introspect: pass, {mib} MiB guest", found["p50_us"], "us",
                                    False))
    return rows


def growth_with_tasks(context):
    rows = []
    with boot(context, 1, 2048) as guest:
        for count in (50, 200, 1000) if context.quick else (50, 200, 1000, 5000):
            sleepers(guest, count)
            found = measure(context, guest, 500)
            rows.append(harness.row(f"introspect: pass over {count} tasks, p50",
                                    found["p50_us"], "us", False))
            rows.append(harness.row(f"introspect: time per task at {count} tasks",
                                    found["p50_us"] / found["threads"], "us", False))
    return rows


def work_ns(guest):
    """CPU time that the guest's busiest CPU needs for a fixed piece of work."""
    before = harness.thread_cpu_ns(guest.process.pid)
    guest.run("i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; "
              "for i in 1 2 3 4 5 6 7 8 9 10; do cat /proc/*/stat >/dev/null 2>&1; done", 300)
    return harness.busiest_thread_ns(before, harness.thread_cpu_ns(guest.process.pid))


def overhead(context):
    """The guest's cost of a fixed piece of work when it is read, to that when it is not; mean of
    the ratios of alternating runs and its 95 % interval. It is the guest's CPU time that is
    compared, since on a card the reader has CPUs of its own. The table's ratio is the interval's
    lower end: at most 1 means that no cost can be measured."""
    rows = []
    rounds = 6 if context.quick else 20
    with boot(context, 1, 256) as guest:
        work_ns(guest)
        for hertz in (1, 10):
            ratios = []
            for index in range(rounds):
                costs = {}
                for is_read in (index % 2 == 0, index % 2 == 1):
                    reader = context.start(
                        [context.program("gn-introspect-passes"), guest.memory, "--passes",
                         "100000", "--interval-us", str(1_000_000 // hertz)],
                        "reader.log") if is_read else None
                    time.sleep(0.5)  # the search for the kernel is not what is measured
                    costs[is_read] = work_ns(guest)
                    if reader:
                        context.stop(reader)
                ratios.append(costs[True] / costs[False])
            mean = statistics.mean(ratios)
            half = 2.1 * statistics.stdev(ratios) / math.sqrt(len(ratios))
            rows.append(harness.row(
                f"introspect: guest's cost of work when read at {hertz} Hz "
                f"(95 %: {mean - half:.3f} to {mean + half:.3f})", mean, "ratio", False,
                "the same guest, unread", mean - half, 1))
    return rows


def run(context):
    context.need("qemu-system-x86_64")
    rows = small_guest(context)
    rows += growth_with_memory(context)
    rows += growth_with_tasks(context)
    return rows + overhead(context)
