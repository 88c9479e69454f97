"""What introspection costs: finding a kernel, one pass, their growth with the guest's memory and
tasks, and what a guest notices of being read.

Costs are CPU time of the reading process. The peer of a figure is the aim of the project, not
another program: no other one finds a profile by itself."""
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
    for mib in (1024,) if context.quick else (1024, 4096):
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
    with boot(context, 2, 1024) as guest:
        for count in (200, 1000) if context.quick else (200, 1000, 5000):
            sleepers(guest, count)
            found = measure(context, guest, 500)
            rows.append(harness.row(f"introspect: pass over {count} tasks, p50",
                                    found["p50_us"], "us", False))
            rows.append(harness.row(f"introspect: time per task at {count} tasks",
                                    found["p50_us"] / found["threads"], "us", False))
    return rows


def counted(guest, seconds):
    """Rounds of a fixed loop that the guest does in so many of its own seconds."""
    text = guest.run(f"e=$(( $(cut -d. -f1 /proc/uptime) + {seconds} )); n=0; while "
                     "[ $(cut -d. -f1 /proc/uptime) -lt $e ]; do n=$((n+1)); done; echo n=$n", 300)
    return int(re.search(r"n=(\d+)", text).group(1))


def overhead(context):
    """The guest's own work with and without being read, alternating; mean ratio and its 95 %
    interval. The reader may use the other CPU only as far as the guest leaves it."""
    rows = []
    rounds, seconds = (4, 3) if context.quick else (10, 5)
    with boot(context, 1, 256) as guest:
        counted(guest, 2)
        for hertz in (1, 10):
            ratios = []
            for _ in range(rounds):
                without = counted(guest, seconds)
                reader = context.start([context.program("gn-introspect-passes"), guest.memory,
                                        "--passes", "100000", "--interval-us",
                                        str(1_000_000 // hertz)], "reader.log")
                time.sleep(0.2)
                ratios.append(counted(guest, seconds) / without)
                context.stop(reader)
            mean = statistics.mean(ratios)
            half = 2.1 * statistics.stdev(ratios) / math.sqrt(len(ratios))
            rows.append(harness.row(
                f"introspect: guest's work when read at {hertz} Hz, to unread "
                f"(95 %: {mean - half:.3f} to {mean + half:.3f})", mean, "ratio", True,
                "the same guest, unread", mean))
    return rows


def run(context):
    context.need("qemu-system-x86_64")
    rows = small_guest(context)
    rows += growth_with_memory(context)
    rows += growth_with_tasks(context)
    return rows + overhead(context)
