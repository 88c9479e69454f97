#!/usr/bin/python3
"""gnomon-replay beyond forecasts: policies with a report, anomalies, drives."""
import math
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
REPLAY = os.path.join(os.environ.get("GN_BUILD", "build"), "bin", "gnomon-replay")
number = [0]
failed = [0]


def report(ok, name, why=""):
    number[0] += 1
    failed[0] += not ok
    print(f"{'ok' if ok else 'not ok'} {number[0]} - {name}{'' if ok else ': ' + str(why)}")


def replay(*args):
    return subprocess.run([REPLAY, *args], capture_output=True, text=True, check=False)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def check_policy(folder):
    rows = "".join(f"<vm>&,{300 * i},{50 + 40 * math.sin(i / 46):.2f}\n" for i in range(2000))
    write(f"{folder}/h.csv", "# interval_s: 300\nseries,t,mem\n" + rows)
    write(f"{folder}/p.yaml", "resource: memory\nquantile_milli: 990\nhorizon_us: 7200000000\n"
          "step: 0.5\nheadroom_milli: 50\nshrink_after_us: 3600000000\ncooldown_us: 300000000\n"
          "initial: 200\n")
    made = replay("--policy", f"{folder}/p.yaml", "--html", f"{folder}/r.html", f"{folder}/h.csv")
    report(made.returncode == 0, "a policy is replayed", made.stderr)
    fields = made.stdout.split("\n")[1].split()
    saved, violated = float(fields[2].rstrip("%")), float(fields[3].rstrip("%"))
    report(saved > 40, "it saves what was never needed", made.stdout)
    report(violated < 2, "and is hardly ever short", made.stdout)
    with open(f"{folder}/r.html", encoding="utf-8") as file:
        page = file.read()
    report("<svg" in page and "<vm>" not in page and "&#60;vm&#62;&#38;" in page,
           "the report has a chart, and names are escaped")
    for text, complaint in (("resource: memory\nbogus: 1\n", "bogus"), ("step: 1\n", "resource is missing")):
        write(f"{folder}/bad.yaml", text)
        made = replay("--policy", f"{folder}/bad.yaml", f"{folder}/h.csv")
        report(made.returncode == 1 and complaint in made.stderr,
               f"refuses a policy with {text.split(':')[0]} wrong", made.stderr)


def check_anomalies(folder):
    rng = random.Random(1)
    lines = [f"2020-01-01 00:{i % 60:02}:00,{100 + rng.random() * 10:.3f}" for i in range(1500)]
    lines[1000] = "2020-01-01 00:00:00,500"
    write(f"{folder}/nab/a/x.csv", "timestamp,value\n" + "\n".join(lines) + "\n")
    write(f"{folder}/nab/labels.csv", "name,windows\nx,1\n")
    made = replay("nab", f"{folder}/nab", "--out", f"{folder}/scores")
    report(made.returncode == 0, "anomalies are scored", made.stderr)
    with open(f"{folder}/scores/a/x.csv", encoding="utf-8") as file:
        scores = [float(line.split(",")[1]) for line in file.read().split("\n")[1:-1]]
    report(len(scores) == 1500 and scores.index(max(scores)) == 1000, "the highest where it is")
    report(not os.path.exists(f"{folder}/scores/labels.csv"), "other files are left alone")
    report(replay("nab", f"{folder}/none", "--out", f"{folder}/scores").returncode == 1,
           "an empty folder is an error")


def check_drives(folder):
    """Drives whose pending sectors grow fail; a learnt model finds that out."""
    rng = random.Random(2)
    lines = ["# made up\ndrive,tstart,tstop,fail,size_tb,smart_5,smart_197"]
    for drive in range(600):
        fails, hours, pending = drive % 6 == 0, 10, 0
        for line in range(8):
            last = line == 7
            pending += rng.randrange(40) if fails and line >= 6 else 0
            lines.append(f"d{drive},{hours},{hours + 700},{int(fails and last)},4,"
                         f"{rng.randrange(3)},{pending}")
            hours += 700
    write(f"{folder}/drives.csv", "\n".join(lines) + "\n")
    for name, args in (("the rule", []), ("a learnt model", ["--learn", f"{folder}/drives.csv"])):
        made = replay("hdd", f"{folder}/drives.csv", "--scores", f"{folder}/s.csv", *args)
        report(made.returncode == 0, f"drives are scored by {name}", made.stderr)
        with open(f"{folder}/s.csv", encoding="utf-8") as file:
            scores = dict(line.rsplit(",", 1) for line in file.read().split("\n")[1:-1])
        last = {}
        for key, value in scores.items():
            drive, hours = key.split("@")
            last[drive] = max(last.get(drive, (0, 0)), (int(hours), float(value)))
        bad = [v for d, (_, v) in last.items() if int(d[1:]) % 6 == 0]
        good = sorted(v for d, (_, v) in last.items() if int(d[1:]) % 6)
        caught = sum(v > good[int(0.98 * len(good))] for v in bad) / len(bad)
        report(caught > 0.8, f"{name} ranks failing drives first", caught)
    write(f"{folder}/bad.csv", "a,b\n1,2\n")
    report("columns drive" in replay("hdd", f"{folder}/bad.csv").stderr, "says what a table needs")


def check_command_line():
    for args, complaint in ((["--horizons", "6,1", "x"], "ascending"), (["--every", "0", "x"], "1"),
                            (["--fold", "3/3", "x"], "K below N"), ([], "CSV"),
                            (["x.csv"], "--out"), (["hdd"], "path"), (["nab", "x"], "--out")):
        made = replay(*args)
        report(made.returncode in (1, 2) and complaint in made.stderr,
               f"complains about '{' '.join(args)}'", made.stderr)
    report("Usage" in replay("--help").stdout and replay("--help").returncode == 0, "--help")


def main():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        check_policy(folder)
        check_anomalies(folder)
        check_drives(folder)
    check_command_line()
    print(f"1..{number[0]}")
    return 1 if failed[0] else 0


if __name__ == "__main__":
    sys.exit(main())
