#!/usr/bin/python3
"""Forecasts of a few real VMs keep the accuracy that they had, with and without the model pack;
they do not look ahead; and damaged input is refused with a sentence.

The traces beside this file are excerpts of the Azure Public Dataset V1 and of Google's cluster
data 2011, both CC BY 4.0. The shipped pack has been trained on them among others: this test
notices changes, it does not judge."""
import array
import gzip
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
REPLAY = os.path.join(os.environ.get("GN_BUILD", "build"), "bin", "gnomon-replay")
PACK = os.path.join(HERE, "../../firmware/model/default.pack")
HORIZONS, LEVELS = (1, 6, 12, 24), (0.5, 0.9, 0.95, 0.99)
# (file, with the pack): pinball of P95 and error of P50, 12 steps ahead, both as a share of
# what "it stays as it is" loses; coverage of P95
EXPECTED = {
    ("azure", False): (0.502, 0.681, 0.954),
    ("azure", True): (0.456, 0.640, 0.955),
    ("azure_periodic", False): (0.173, 0.261, 0.952),
    ("azure_periodic", True): (0.118, 0.231, 0.948),
    ("google", False): (0.377, 0.943, 0.964),
    ("google", True): (0.343, 0.923, 0.957),
}
TOLERANCE = 0.02
number = [0]


def report(ok, name, why=""):
    number[0] += 1
    print(f"{'ok' if ok else 'not ok'} {number[0]} - {name}{'' if ok else ': ' + why}")
    return ok


def replay(*args):
    return subprocess.run([REPLAY, *args], capture_output=True, text=True, check=False)


def read_rows(path):
    """name -> values, None where missing."""
    rows, columns = {}, None
    group = os.path.basename(path).split(".")[0]
    with gzip.open(path, "rt") as file:
        for line in file:
            if line[0] == "#":
                continue
            fields = line.rstrip("\n").split(",")
            if columns is None:
                columns = fields[2:]
                continue
            for column, text in zip(columns, fields[2:]):
                name = f"{group}__{fields[0]}__{column}"
                rows.setdefault(name, []).append(float(text) if text else None)
    return rows


def forecasts_of(folder, name):
    data = array.array("f")
    with open(f"{folder}/{name}.f32", "rb") as file:
        data.frombytes(file.read())
    return data


def score(rows, folder, index=2, skip=600):
    """(pinball P95 / naive's, |error| P50 / naive's, coverage), means over the rows."""
    sums = [0.0, 0.0, 0.0]
    for name, values in rows.items():
        forecast, horizon = forecasts_of(folder, name), HORIZONS[index]
        loss = naive = error = change = covered = n = 0
        for origin in range(skip, len(values) - horizon):
            value, now = values[origin + horizon], values[origin]
            if value is None or now is None:
                continue
            p50, _, p95, _ = forecast[16 * origin + 4 * index:16 * origin + 4 * index + 4]
            loss += max(0.95 * (value - p95), 0.05 * (p95 - value))
            naive += max(0.95 * (value - now), 0.05 * (now - value))
            error += abs(value - p50)
            change += abs(value - now)
            covered += value <= p95
            n += 1
        sums = [s + x for s, x in zip(sums, (loss / naive, error / change, covered / n))]
    return [s / len(rows) for s in sums]


def check_accuracy(file, with_pack, folder):
    path = f"{HERE}/{file}.csv.gz"
    made = replay("--out", folder, *(["--pack", PACK] if with_pack else []), path)
    name = f"{file}, {'with' if with_pack else 'without'} the pack"
    if not report(made.returncode == 0, f"{name}: is replayed", made.stderr.strip()):
        return False
    got = score(read_rows(path), folder)
    want = EXPECTED.get((file, with_pack), (math.nan,) * 3)
    text = " ".join("%.3f" % x for x in got)
    return report(all(abs(g - w) <= TOLERANCE for g, w in zip(got, want)),
                  f"{name}: as accurate as it was", f"{text} where {want} was") & \
        report(0.93 <= got[2] <= 0.97, f"{name}: P95 covers what it says", text)


def check_no_look_ahead(folder):
    """Other futures, the same forecasts until then."""
    path, cut = f"{HERE}/google.csv.gz", 700
    seen, lines = {}, []
    with gzip.open(path, "rt") as file:
        for line in file:
            series = line.split(",")[0]
            seen[series] = seen.get(series, 0) + 1
            if line[0] not in "#s" and seen[series] > cut:
                line = ",".join(line.split(",")[:2] + ["9999"] * (line.count(",") - 1)) + "\n"
            lines.append(line)
    with open(f"{folder}/google.csv", "w", encoding="utf-8") as file:
        file.writelines(lines)
    for out, source in (("a", path), ("b", f"{folder}/google.csv")):
        replay("--pack", PACK, "--out", f"{folder}/{out}", source)
    names = list(read_rows(path))
    first = [forecasts_of(f"{folder}/a", n) for n in names]
    second = [forecasts_of(f"{folder}/b", n) for n in names]
    same = all(a[:16 * cut] == b[:16 * cut] for a, b in zip(first, second))
    differ = all(a[16 * cut:] != b[16 * cut:] for a, b in zip(first, second))
    return report(same, "forecasts do not change when the future does") & \
        report(differ, "and afterwards they do")


def check_bad_input(folder):
    cases = {
        "no interval": "series,t,cpu\na,0,1\n",
        "a word for a number": "# interval_s: 300\nseries,t,cpu\na,0,much\n",
        "a missing field": "# interval_s: 300\nseries,t,cpu\na,0\n",
        "time that goes back": "# interval_s: 300\nseries,t,cpu\na,600,1\na,300,1\n",
        "nothing": "",
    }
    ok = True
    for name, text in cases.items():
        with open(f"{folder}/bad.csv", "w", encoding="utf-8") as file:
            file.write(text)
        made = replay("--out", folder, f"{folder}/bad.csv")
        ok &= report(made.returncode == 1 and "bad.csv, line" in made.stderr,
                     f"refuses a file with {name}", made.stderr.strip() or "it did not")
    made = replay("--out", folder, "--pack", f"{folder}/bad.csv", f"{HERE}/google.csv.gz")
    return ok & report(made.returncode == 1 and "not a model pack" in made.stderr,
                       "refuses what is not a model pack", made.stderr)


def main():
    ok = True
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for file in ("azure", "azure_periodic", "google"):
            for with_pack in (False, True):
                ok &= check_accuracy(file, with_pack, f"{folder}/{file}{with_pack}")
        ok &= check_no_look_ahead(folder)
        ok &= check_bad_input(folder)
    print(f"1..{number[0]}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
