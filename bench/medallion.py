"""The medallion job: Affluent beside its peers, alternating, in one run.

Every competitor reads the same lineitem CSV and writes bronze (as received), silver (typed, range
checked, deduplicated on its key) and gold (daily aggregate) as zstd Parquet; Affluent as Delta.
"""
import sys

import measure

#: One round of the slow ones is enough to know where they stand.
ONCE = ("pandas", "polars")


def affluent(options, csv, work, *arguments, memory=None):
    """A run of the project, in an empty lake."""
    folder = measure.project("medallion", work / "project", csv.parent)
    return measure.run([options.affluent, "-C", folder, "--threads", options.threads,
                        "--memory", memory or options.memory, "run", *arguments])


def peer(name, options, csv, work):
    measure.empty(work)
    script = measure.HERE / "medallion" / f"{name}_peer.py"
    return measure.run([sys.executable, script, csv, work, options.threads])


def compare(options, csv, work, rows):
    names = ["affluent", *(name for name in options.peers.split(",") if name)]
    runs = {name: [] for name in names}
    for number in range(options.rounds):
        for name in names:
            if name in ONCE and number > 0:
                continue
            measure.empty(work)
            if name == "affluent":
                run = affluent(options, csv, work, "medallion")
            else:
                run = peer(name, options, csv, work)
            runs[name].append(run)
            parts = [line for line in run.output.splitlines() if line.startswith("part ")]
            print(f"round {number + 1} {name}: {run.wall:.1f} s, {run.cpu:.1f} s CPU,"
                  f" {run.memory:.0f} MB", *parts, sep="  ", flush=True)
    base = measure.best(runs["duckdb"]).wall if "duckdb" in runs else None
    cells = []
    for name, of in runs.items():
        run = measure.best(of)
        ratio = f"{run.wall / base:.2f}" if base else ""
        cells.append([name, f"{run.wall:.1f}", f"{measure.median(of):.1f}", f"{run.cpu:.1f}",
                      f"{run.memory:.0f}", f"{rows / run.wall:,.0f}", ratio])
    measure.markdown(["system", "best s", "median s", "CPU s", "peak MB", "rows/s",
                      "to DuckDB"], cells)


def parts(options, csv, work):
    """The job's parts by themselves, and what counting and landing cost."""
    cells = []
    measure.empty(work)
    folder = measure.project("medallion", work / "project", csv.parent)
    common = [options.affluent, "-C", folder, "--threads", options.threads,
              "--memory", options.memory]
    for label, name in [("CSV read, cast, checked; nothing written", "read"),
                        ("CSV to bronze", "ingest"), ("bronze to silver", "refine"),
                        ("silver to gold", "daily")]:
        run = measure.run([*common, "run", name])
        cells.append([label, f"{run.wall:.1f}", f"{run.cpu:.1f}", f"{run.memory:.0f}"])
    measure.markdown(["part", "s", "CPU s", "peak MB"], cells)
    whole = {"as it is": [], "rows not counted": [], "file copied to landing first": []}
    for _ in range(options.rounds):
        whole["as it is"].append(affluent(options, csv, work, "medallion"))
        whole["rows not counted"].append(
            affluent(options, csv, work, "medallion", "--without-counts"))
        whole["file copied to landing first"].append(affluent(options, csv, work, "landed"))
    base = measure.best(whole["as it is"]).wall
    cells = []
    for label, runs in whole.items():
        run = measure.best(runs)
        cells.append([label, f"{run.wall:.1f}", f"{run.cpu:.1f}", f"{run.wall / base:.2f}"])
    measure.markdown(["whole job", "best s", "CPU s", "ratio"], cells)


def main(options):
    csv = measure.tables(options.bench, options.data, options.scale, ["lineitem"]) / "lineitem.csv"
    with open(csv, "rb") as file:
        rows = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 24), b"")) - 1
    print(f"\n## Medallion job\n\nlineitem scale {options.scale:g}: {rows:,} rows,"
          f" {csv.stat().st_size / 1e9:.2f} GB, {options.threads} threads,"
          f" Affluent with --memory {options.memory}\n", flush=True)
    work = options.data / "medallion"
    compare(options, csv, work, rows)
    parts(options, csv, work)
    measure.empty(work)
