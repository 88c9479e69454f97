"""Cycles per packet of parsing and of counting features, by kind of traffic (feature_bench.c),
hostile traffic included. No peer: figures to compare between versions."""
import json
import subprocess

import harness


def run(context):
    done = subprocess.run([*context.first, context.program("feature_bench")],
                          capture_output=True, check=True, timeout=300)
    return [harness.row(line["name"].replace("_", " "), line["value"], line["unit"], False)
            for line in map(json.loads, done.stdout.splitlines())]
