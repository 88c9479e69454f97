#!/usr/bin/python3
"""Real failures of a real guest, as gnomon-introspect publishes them: errors in the log, a process
killed for want of memory, memory that leaks, an oops, a panic. (Hung disks and pauses: live_test.)"""
import os
import re
import signal
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from live_test import Skip, World, expect, number, run, state  # noqa: E402  (needs the path above)

LEAK_S = 10  # over which growth is told here; 300 by default
SYSRQ_X = 33  # place of the key x in the kernel's table
MIB = 1 << 20


def signs(guest):
    return guest.get("signs", {})


def when(w, sign, first, seconds=60):
    """Signs of the first sample from number 'first' on that has the sign."""
    return signs(w.next_sample(lambda g: number(signs(g), sign), seconds, first)["guest"])


def test_calm(w):
    """Booting may log errors (of timers, under QEMU's emulation), but shows no other sign."""
    w.ready()
    for sample in w.samples:
        said = signs(sample["guest"])
        expect(not said.get("panic") and not said.get("oops") and not number(said, "oom_kills") and
               not number(said, "stuck_threads"), str(said))


def test_log_errors(w):
    first = len(w.samples)
    w.guest.run("dd if=/dev/zero of=/tmp/m bs=4096 count=4 2>/dev/null; insmod /tmp/m 2>/dev/null")
    said = when(w, "log_errors", first)
    expect(said["log_level"] == 3 and "Invalid ELF header" in said["log_text"], str(said))


def test_killed_for_memory(w):
    first = len(w.samples)
    w.guest.run("tail /dev/zero", 300)
    said = when(w, "oom_kills", first)
    expect(number(said, "oom_kills") == 1, str(said))
    said = when(w, "log_errors", first)
    expect("Out of memory: Killed process" in said["log_text"] and "(tail)" in said["log_text"], str(said))


def test_leak(w):
    """A process that takes 2 MiB twice a second, and what is told once it has stopped."""
    w.configure(f"leak_s: {LEAK_S}\n")
    w.restart_introspect()
    w.ready()
    w.guest.run("(i=0; while [ $i -lt 50 ]; do dd if=/dev/zero of=/tmp/l$i bs=1M count=2 2>/dev/null; "
                "sleep 0.5; i=$((i+1)); done) & true")
    first = len(w.samples)
    said = signs(w.next_sample(lambda g: number(signs(g), "leak_bytes_per_hour") > 5000 * MIB, 120, first)["guest"])
    expect(said["has_leak"], str(said))
    expect(number(said, "leak_bytes_per_hour") < 15000 * MIB, "4 MiB a second are 14400 MiB an hour: "
           f"{number(said, 'leak_bytes_per_hour') // MIB}")
    w.guest.run("while [ ! -e /tmp/l49 ]; do sleep 1; done; rm -f /tmp/l*", 200)
    w.next_sample(lambda g: signs(g).get("has_leak") and number(signs(g), "leak_bytes_per_hour") < 100 * MIB, 120)
    w.configure()
    w.restart_introspect()
    w.ready()


def physical(w, name):
    """Where the guest's memory file holds a symbol: the kernel's image is moved as a whole, and its
    banner tells by how much."""
    table = dict(reversed(line.split()[::2]) for line in w.guest.run(
        f"grep -E ' (linux_banner|{name})$' /proc/kallsyms").splitlines() if len(line.split()) == 3)
    banner, text = int(table["linux_banner"], 16), w.guest.run("cat /proc/version").strip().encode()
    with open(w.guest.memory, "rb") as file:
        memory = file.read()
    found = [m.start() for m in re.finditer(re.escape(text), memory) if m.start() % 4096 == banner % 4096]
    expect(len(found) == 1, f"the banner {text} is at {found}")
    return found[0] + int(table[name], 16) - banner


def test_oops(w):
    """A wild pointer in a table of the kernel, followed by it: the shell dies, the guest lives."""
    at = physical(w, "sysrq_key_table") + 8 * SYSRQ_X
    with open(w.guest.memory, "r+b") as file:
        file.seek(at)
        file.write(struct.pack("<Q", 0x10))
    first = len(w.samples)
    w.guest.run("(echo x >/proc/sysrq-trigger) 2>/dev/null; true")
    said = when(w, "log_errors", first)
    expect(said["log_text"].startswith("BUG: kernel NULL pointer dereference"), str(said))
    # The kernel sets the taint only when all is printed, some samples after the oops began.
    said = signs(w.next_sample(lambda g: signs(g).get("oops") and number(signs(g), "taint") & 128,
                               30, first)["guest"])
    expect(not said.get("panic"), str(said))
    expect("alive" in w.guest.run("echo alive"), "the guest does not answer")


def test_panic(w):
    first = len(w.samples)
    w.guest.run("echo 0 >/proc/sys/kernel/panic")
    w.guest.start("echo c >/proc/sysrq-trigger")
    said = signs(w.next_sample(lambda g: signs(g).get("panic"), 60, first)["guest"])
    expect(said["panic"], str(said))
    said = when(w, "log_errors", first)
    expect("Kernel panic - not syncing: sysrq triggered crash" in said["log_text"] and
           number(said, "log_level") == 0, str(said))
    expect(state(w.samples[-1]["guest"]) in ("READY", "STALE"), str(w.samples[-1]["guest"]["state"]))
    expect(w.introspect.poll() is None, "gnomon-introspect died")


TESTS = [
    ("a calm guest shows no sign", test_calm),
    ("an error in the log is seen, with its text", test_log_errors),
    ("a process killed for want of memory is seen", test_killed_for_memory),
    ("growing memory is told with its rate, and that it ended", test_leak),
    ("an oops is seen, with what the kernel says of it", test_oops),
    ("a panic is seen", test_panic),
]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that guests end too
    try:
        with World() as w:
            w.start_dataplane()
            w.start_introspect()
            w.boot()
            failed = sum([run(w, i, name, test) for i, (name, test) in enumerate(TESTS, 1)])
    except Skip as why:
        print(f"ok 1 - signs # SKIP {why}")
        failed = 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
