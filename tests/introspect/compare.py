"""Compares what gnomon-introspect reads with what the guest says of itself.

The guest prints its /proc, is frozen, read from outside, goes on, and prints its /proc again.
What can only grow must lie between the two print-outs; what is the same in both must be exactly
that. No tolerance, but where a comment says why."""
import re

TICK_NS = 10_000_000  # USER_HZ is 100

SCRIPT = ("for f in stat meminfo vmstat loadavg schedstat sys/kernel/tainted; do echo @@ $f; "
          "cat /proc/$f; done; for p in /proc/[0-9]*; do echo @p ${p#/proc/}; cat $p/stat; "
          "cat $p/io; cat $p/task/*/schedstat; done 2>/dev/null; echo @@ end; "
          "cat /proc/schedstat")


def parse(text):
    """(files by name, processes by number)"""
    files, processes, name, pid = {}, {}, None, None
    for line in text.splitlines():
        if line.startswith("@@ "):
            name, pid = line[3:], None
            files[name] = []
        elif line.startswith("@p "):
            name, pid = None, int(line[3:])
            processes[pid] = []
        elif name is not None:
            files[name].append(line)
        elif pid is not None:
            processes[pid].append(line)
    return files, {pid: p for pid, p in ((pid, process(lines))
                                         for pid, lines in processes.items()) if p}


def process(lines):
    """None when the process ended while it was printed."""
    match = re.match(r"(\d+) \((.*)\) (\S) (.*)", lines[0]) if lines else None
    if not match:
        return None
    rest = [int(word) for word in match.group(4).split()]
    out = {"comm": match.group(2), "state": match.group(3), "ppid": rest[0],
           "minor_faults": rest[6], "major_faults": rest[8], "threads": rest[16],
           "start_ticks": rest[18], "rss_pages": rest[20]}
    schedstat = []
    for line in lines[1:]:
        if re.match(r"\w+: \d+$", line):
            key, value = line.split(": ")
            out[key] = int(value)
        elif re.match(r"\d+ \d+ \d+$", line):
            schedstat.append([int(word) for word in line.split()])
    if "syscr" not in out or len(schedstat) != out["threads"]:
        return None
    out["runtime_ns"] = sum(line[0] for line in schedstat)
    out["wait_ns"] = sum(line[1] for line in schedstat)
    return out


def table(lines, pattern=r"(\w+):?\s+(\d+)"):
    return {m.group(1): int(m.group(2)) for m in (re.match(pattern, line) for line in lines) if m}


def cpu_times(lines):
    """rq_cpu_time and run_delay by CPU, of /proc/schedstat."""
    return [(int(words[7]), int(words[8])) for words in (line.split() for line in lines)
            if re.match(r"cpu\d+$", words[0])]


class Comparison:
    def __init__(self):
        self.checked = 0
        self.problems = []

    def between(self, what, low, value, high):
        self.checked += 1
        if not low <= value <= high:
            self.problems.append(f"{what}: {value}, the guest said {low} before and {high} after")

    def equal(self, what, value, expected):
        self.checked += 1
        if value != expected:
            self.problems.append(f"{what}: {value!r}, the guest said {expected!r}")


def compare_process(check, before, ours, after):
    what = f"process {ours['pid']} '{ours['comm']}' "
    check.equal(what + "start", ours["start_ns"] // TICK_NS, before["start_ticks"])
    if before["comm"] == after["comm"]:
        # /proc shows kernel threads' full names, and for kworkers also what they do.
        said = before["comm"][:15]
        if ours["comm"].startswith("kworker"):
            said = said[:len(ours["comm"])]
        check.equal(what + "name", ours["comm"], said)
    for key in ("minor_faults", "major_faults", "runtime_ns", "wait_ns"):
        check.between(what + key, before[key], ours[key], after[key])
    for key, name in (("read_calls", "syscr"), ("write_calls", "syscw"),
                      ("read_bytes", "read_bytes"), ("write_bytes", "write_bytes")):
        check.between(what + key, before[name], ours[key], after[name])
    for key in ("threads", "ppid", "rss_pages"):
        if before[key] == after[key]:
            check.equal(what + key, ours[key], before[key])


def compare_processes(check, before, ours, after):
    by_pid = {p["pid"]: p for p in ours}
    check.equal("processes twice in the list", len(ours) - len(by_pid), 0)
    for pid, said in before.items():
        if pid not in after or after[pid]["start_ticks"] != said["start_ticks"]:
            continue
        check.checked += 1
        if pid not in by_pid:
            check.problems.append(f"process {pid} '{said['comm']}' was not found")
        else:
            compare_process(check, said, by_pid[pid], after[pid])


def compare_memory(check, before, ours, after):
    a, b = table(before), table(after)
    for key, pages, slack in (("MemTotal", "total_pages", 0), ("SwapTotal", "swap_total_pages", 0),
                              ("SwapFree", "swap_free_pages", 0), ("MemFree", "free_pages", 4096),
                              ("MemAvailable", "available_pages", 4096)):
        # The commands that print take and give back memory: up to 4 MiB in between.
        low, high = min(a[key], b[key]), max(a[key], b[key])
        check.between(key, low - slack, ours[pages] * 4, high + slack)
    cache = [t["Cached"] + t["Buffers"] for t in (a, b)]
    check.between("Cached and Buffers", min(cache) - 64, ours["cache_pages"] * 4, max(cache) + 64)


def compare_globals(check, before, ours, after, can):
    compare_memory(check, before["meminfo"], ours, after["meminfo"])
    a, b = table(before["vmstat"]), table(after["vmstat"])
    for key, name in (("pgfault", "faults"), ("pgmajfault", "major_faults"),
                      ("pswpin", "swapped_in"), ("pswpout", "swapped_out"),
                      ("oom_kill", "oom_kills")):
        check.between(key, a[key], ours[name], b[key])
    a, b = table(before["stat"]), table(after["stat"])
    if can["forks"]:
        check.between("forks", a["processes"], ours["forks"], b["processes"])
    if can["signs"]:
        check.equal("taint", ours["taint"], int(before["sys/kernel/tainted"][0]))
    loads = [[round(float(word) * 100) for word in lines["loadavg"][0].split()[:3]]
             for lines in (before, after)]
    for i in range(3):
        # /proc rounds to hundredths; the value moves every five seconds.
        low, high = sorted((loads[0][i], loads[1][i]))
        check.between(f"load {i}", low * 10 - 6, ours["load_milli"][i], high * 10 + 6)
    # The last print-out is of a moment at which every CPU has switched tasks once more.
    a, b = cpu_times(before["schedstat"]), cpu_times(after["end"])
    check.equal("CPUs", len(ours["cpus"]), len(a))
    for i, (low, cpu, high) in enumerate(zip(a, ours["cpus"], b)):
        check.between(f"CPU {i} busy", low[0], cpu["busy_ns"], high[0])
        check.between(f"CPU {i} run delay", low[1], cpu["wait_ns"], high[1])


def compare(before, ours, after):
    """A Comparison of gnomon-introspect's JSON with two print-outs."""
    check = Comparison()
    files_a, processes_a = parse(before)
    files_b, processes_b = parse(after)
    compare_processes(check, processes_a, ours["processes"], processes_b)
    compare_globals(check, files_a, ours["globals"], files_b, ours["capabilities"])
    return check
