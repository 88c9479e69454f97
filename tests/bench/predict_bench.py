"""What a forecast costs: instructions (callgrind: repeatable, whatever else the machine does),
bytes, and how the cost grows with the number of VMs; next to trees of the same shape in
scikit-learn and, where it is installed, exponential smoothing of statsmodels."""
import os
import re
import statistics
import subprocess
import time

import harness

PACK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../firmware/model/default.pack")
BEGIN, END = 2000, 2500  # steps: the series is in its steady state


def instructions(context, program, steps, pack):
    """Of the whole run, by callgrind."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                           program, "1", str(steps), *pack],
                          capture_output=True, text=True, check=True, cwd=context.tmp)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def per_sample(context, program, pack):
    first = instructions(context, program, BEGIN, pack)
    return (instructions(context, program, END, pack) - first) / (END - BEGIN)


def misses(context, program, vms):
    """Last-level misses per sample with a last level of 2 MiB, by cachegrind's model."""
    counts = []
    for steps in (4, 8):
        done = subprocess.run(["valgrind", "--tool=cachegrind", "--cache-sim=yes", "--LL=2097152,16,64",
                               "--cachegrind-out-file=/dev/null", program, str(vms), str(steps), PACK],
                              capture_output=True, text=True, check=True, cwd=context.tmp)
        counts.append(int(re.search(r"LL misses: +([\d,]+)", done.stderr).group(1).replace(",", "")))
    return max(0, (counts[1] - counts[0]) / (4 * vms))


def cost(program, vms, steps, pack):
    """(ns per sample, bytes per VM, bytes of the pack), the quickest of three."""
    runs = [subprocess.run([program, str(vms), str(steps), *pack], capture_output=True, text=True,
                           check=True).stdout.split() for _ in range(3)]
    return min(float(r[0]) for r in runs), int(runs[0][1]), int(runs[0][2])


def sklearn_ns():
    """One sample's sixteen quantiles by scikit-learn's trees of the same number and depth."""
    try:
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingRegressor
    except ImportError:
        return None
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20000, 37)), rng.normal(size=20000)
    model = HistGradientBoostingRegressor(loss="quantile", quantile=0.95, max_iter=32, max_depth=7,
                                          max_leaf_nodes=128, min_samples_leaf=5).fit(x, y)
    model.predict(x[:1])
    times = []
    for _ in range(20):
        start = time.process_time_ns()
        for _quantile in range(4):
            model.predict(x[:4])  # four horizons at once, four models
        times.append(time.process_time_ns() - start)
    return statistics.median(times)


def ets_ns():
    try:
        import numpy as np
        from statsmodels.tsa.holtwinters import ExponentialSmoothing
    except ImportError:
        return None
    rng = np.random.default_rng(1)
    y = 10 + np.sin(np.arange(2016) * 2 * np.pi / 288) + rng.normal(size=2016) / 5
    start = time.process_time_ns()
    models = [dict(trend=trend, damped_trend=damped, seasonal=seasonal, seasonal_periods=288 if seasonal else None)
              for trend, damped in ((None, False), ("add", False), ("add", True)) for seasonal in (None, "add")]
    fits = [ExponentialSmoothing(y, **model).fit() for model in models]
    min(fits, key=lambda fit: fit.aic).forecast(24)
    return time.process_time_ns() - start


def run(context):
    context.need("valgrind")
    program = context.program("predict-bench")
    rows = []
    for name, pack in (("on-line experts", []), ("with the model pack", [PACK])):
        count = per_sample(context, program, pack)
        rows.append(harness.row(f"forecast, {name}", count, "instructions/sample", False,
                                "20,000 instructions", count / 20000, 1.0))
    ns, size, pack_size = cost(program, 10, 2000, [PACK])
    rows.append(harness.row("forecast, memory", size, "bytes/VM and resource", False,
                            "8 KiB", size / 8192, 1.0))
    rows.append(harness.row("forecast, model pack", pack_size, "bytes", False, "256 KiB",
                            pack_size / 262144, 1.0))
    rows.append(harness.row("forecast, VMs of four resources per core at 1 Hz", 1e9 / ns / 4, "VMs",
                            True))
    for vms in (100, 1000, 10000):
        more, _, _ = cost(program, vms, max(3, 20000 // vms), [PACK])
        base, _, _ = cost(program, 10, max(3, 20000 // vms), [PACK])
        rows.append(harness.row(f"forecast, one of {vms} VMs", more, "ns/sample", False,
                                "one of 10 VMs", more / base, 1.5))
    lines = size / 64
    for vms in (10, 2000):
        missed = misses(context, program, vms)
        rows.append(harness.row(f"forecast, cache misses of one of {vms} VMs", missed, "lines/sample",
                                False, "lines of its state", missed / lines, 1.0))
    for peer, peer_ns in (("scikit-learn, its trees alone", sklearn_ns()),
                          ("statsmodels, exponential smoothing chosen by AIC as AutoETS does", ets_ns())):
        if peer_ns:
            rows.append(harness.row("forecast, CPU time of one sample", ns, "ns", False, peer,
                                    ns / peer_ns))
    return rows
