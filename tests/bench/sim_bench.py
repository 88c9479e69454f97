"""The simulation's speed, and what one decision of the brain costs from 10 to 10,000 VMs, in
instructions (callgrind: repeatable, whatever else the machine does)."""
import re
import subprocess

import harness

BEGIN, END = 1000, 2000  # decisions


def instructions(context, program, vms, decisions):
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program,
                           str(vms), str(decisions)],
                          capture_output=True, text=True, check=True, cwd=context.tmp)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def per_decision(context, program, vms):
    first = instructions(context, program, vms, BEGIN)
    return (instructions(context, program, vms, END) - first) / (END - BEGIN)


def events_per_second(context, *fleet):
    """Of CPU time, the quickest of three."""
    done = [subprocess.run([context.program("gn-sim"), *fleet], capture_output=True, text=True,
                           check=True).stdout for _ in range(3)]
    return max(float(re.search(r"\((\d+) a second of CPU", text).group(1)) for text in done)


def run(context):
    context.need("valgrind")
    program = context.program("sim-bench")
    rows = [harness.row("simulation, schedules of a few VMs",
                        events_per_second(context, "--seeds", "1..100"), "events/s", True),
            harness.row("simulation, 2,000 VMs on 40 hosts",
                        events_per_second(context, "--seeds", "1", "--hosts", "40", "--vms", "2000",
                                          "--until", "10"), "events/s", True)]
    base = per_decision(context, program, 10)
    rows.append(harness.row("decision, one of 10 VMs", base, "instructions", False))
    for vms in (100, 1000, 10000):
        count = per_decision(context, program, vms)
        rows.append(harness.row(f"decision, one of {vms} VMs", count, "instructions", False,
                                "one of 10 VMs", count / base, 1.5))
    return rows
