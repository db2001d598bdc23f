"""Measures Affluent beside its peers and prints the tables of docs/src/benchmarks.md."""
import argparse
import os
import platform
from pathlib import Path

import medallion
import orchestration
import postgres
import small
import tpch

PARTS = {"medallion": medallion, "tpch": tpch, "postgres": postgres, "small": small,
         "orchestration": orchestration}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them by default")
parser.add_argument("--affluent", type=Path, required=True, help="the program, a release build")
parser.add_argument("--bench", type=Path, required=True, help="the program of this folder")
parser.add_argument("--data", type=Path, required=True, help="where data is made and worked on")
parser.add_argument("--scale", type=float, default=2, help="of the medallion job")
parser.add_argument("--tpch-scale", type=float, default=1, help="of the queries and PostgreSQL")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--memory", type=int, default=1024, help="MiB that Affluent may use")
parser.add_argument("--peers", default="duckdb,polars,pandas")
options = parser.parse_args()
options.affluent = options.affluent.resolve()
options.bench = options.bench.resolve()
options.data.mkdir(parents=True, exist_ok=True)
options.data = options.data.resolve()

print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
for part in options.parts or PARTS:
    PARTS[part].main(options)
