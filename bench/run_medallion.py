"""The medallion job: Affluent beside its peers, alternating, in one run; prints ratios.

usage: run_medallion.py AFFLUENT BENCH DATA_DIR [--scale 2] [--rounds 3] [--threads 2] [--peers duckdb,polars,pandas]

Every competitor reads the same lineitem CSV and writes bronze (as received), silver (typed, range
checked, deduplicated on its key) and gold (daily aggregate) as zstd Parquet; Affluent as Delta tables.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

here = Path(__file__).parent
parser = argparse.ArgumentParser()
parser.add_argument("affluent")
parser.add_argument("bench")
parser.add_argument("data")
parser.add_argument("--scale", type=float, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--memory", type=int, default=1024)
parser.add_argument("--peers", default="duckdb,polars,pandas")
arguments = parser.parse_args()

data = Path(arguments.data) / f"tpch-{arguments.scale:g}"
csv = data / "lineitem.csv"
if not csv.exists():
    print("making", csv, flush=True)
    subprocess.run([arguments.bench, "--scale", str(arguments.scale), "--dir", data, "lineitem"], check=True)
rows = sum(chunk.count(b"\n") for chunk in iter(lambda f=open(csv, "rb"): f.read(1 << 24), b"")) - 1
work = Path(arguments.data) / "medallion"


def measured(command, cwd=None):
    """Wall seconds, CPU seconds, peak memory in MB and standard output of one command."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], cwd=cwd, stdout=subprocess.PIPE, stderr=sys.stderr)
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed: {output}")
    wall = time.perf_counter() - begin
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000, output


def clean():
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)


def run_affluent():
    clean()
    project = work / "project"
    shutil.copytree(here / "medallion" / "project", project)
    (project / "data").mkdir()
    (project / "data" / "lineitem.csv").symlink_to(csv.resolve())
    return measured([arguments.affluent, "-C", project, "--threads", arguments.threads,
                     "--memory", arguments.memory, "run"])


def run_peer(name):
    clean()
    return measured([sys.executable, here / "medallion" / f"{name}_peer.py", csv, work, arguments.threads])


peers = [name for name in arguments.peers.split(",") if name]
results = {name: [] for name in ["affluent", *peers]}
for round_number in range(arguments.rounds):
    for name in results:
        # One round of the slow ones is enough to know where they stand.
        if name in ("pandas", "polars") and round_number > 0:
            continue
        result = run_affluent() if name == "affluent" else run_peer(name)
        results[name].append(result)
        print(f"round {round_number + 1} {name}: {result[0]:.1f} s wall, {result[1]:.1f} s CPU, {result[2]:.0f} MB", flush=True)
        parts = [line for line in result[3].splitlines() if line.startswith(("part", "check"))]
        print("  " + "; ".join(parts) if parts else result[3].rstrip(), flush=True)

best = {name: min(runs) for name, runs in results.items() if runs}
base = best["duckdb"][0] if "duckdb" in best else best["affluent"][0]
print(f"\nlineitem scale {arguments.scale:g}: {rows:,} rows, {csv.stat().st_size / 1e9:.2f} GB, {arguments.threads} threads\n")
print("| system | wall s (best) | wall s (median) | CPU s | peak MB | rows/s | ratio to DuckDB |")
print("|---|--:|--:|--:|--:|--:|--:|")
for name, (wall, cpu, memory, _) in best.items():
    median = statistics.median(run[0] for run in results[name])
    print(f"| {name} | {wall:.1f} | {median:.1f} | {cpu:.1f} | {memory:.0f} | {rows / wall:,.0f} | {wall / base:.2f} |")
shutil.rmtree(work, ignore_errors=True)
