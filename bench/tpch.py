"""The 22 queries of TPC-H over lake tables; DuckDB answers them over the same Parquet files."""
import json
import math
import subprocess
import time
from datetime import date, datetime
from decimal import Decimal

import duckdb

import measure

TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]


def plain(value):
    """Numbers as floats, the rest as text, so that answers of both can be compared."""
    if isinstance(value, (int, float, Decimal)):
        return float(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def same(ours, theirs):
    def equal(a, b):
        if isinstance(a, float) and isinstance(b, float):
            # Averages of decimals are decimals here and floating-point numbers there.
            return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-2)
        return a == b

    return len(ours) == len(theirs) and all(
        len(a) == len(b) and all(map(equal, a, b)) for a, b in zip(ours, theirs))


class Affluent:
    """A shell of the program, kept open like DuckDB's connection."""

    def __init__(self, options, folder):
        self.command = [options.affluent, "-C", folder, "--threads", options.threads,
                        "--memory", options.memory]

    def answer(self, sql):
        begin = time.perf_counter()
        done = subprocess.run([*map(str, self.command), "query", "--format", "json", sql],
                              capture_output=True, text=True)
        took = time.perf_counter() - begin
        if done.returncode != 0:
            return took, done.stderr
        return took, [list(map(plain, row.values())) for row in json.loads(done.stdout)]


def duckdb_over(options, folder):
    connection = duckdb.connect()
    connection.execute(f"SET threads = {options.threads}")
    connection.execute("CREATE SCHEMA silver")
    for table in TABLES:
        listed = measure.run([options.affluent, "-C", folder, "tables", f"silver.{table}",
                              "--files", "--json"])
        files = [json.loads(line)["path"] for line in listed.output.splitlines()]
        found = [next((folder / "lake").rglob(name)) for name in files]
        names = ", ".join(f"'{path}'" for path in found)
        connection.execute(f"CREATE VIEW silver.{table} AS SELECT * FROM read_parquet([{names}])")
    return connection


def main(options):
    data = measure.tables(options.bench, options.data, options.tpch_scale)
    print(f"\n## TPC-H, scale {options.tpch_scale:g}\n", flush=True)
    folder = measure.project("tpch", options.data / "tpch-project", data)
    common = [options.affluent, "-C", folder, "--threads", options.threads]
    loaded = measure.run([*common, "--memory", options.memory, "run"])
    print(f"eight tables loaded in {loaded.wall:.1f} s")
    ours, theirs = Affluent(options, folder), duckdb_over(options, folder)
    cells, wrong, sums = [], [], [0.0, 0.0]
    for path in sorted((measure.HERE / "tpch" / "queries").glob("*.sql")):
        sql = path.read_text()
        times = [[], []]
        for _ in range(options.rounds):
            took, answer = ours.answer(sql)
            times[0].append(took)
            begin = time.perf_counter()
            expected = [list(map(plain, row)) for row in theirs.execute(sql).fetchall()]
            times[1].append(time.perf_counter() - begin)
        if isinstance(answer, str) or not same(answer, expected):
            wrong.append((path.stem, str(answer)[:300], str(expected)[:300]))
        a, b = min(times[0]), min(times[1])
        sums = [sums[0] + a, sums[1] + b]
        cells.append([path.stem, f"{a:.2f}", f"{b:.2f}", f"{a / b:.2f}"])
    cells.append(["all", f"{sums[0]:.2f}", f"{sums[1]:.2f}", f"{sums[0] / sums[1]:.2f}"])
    measure.markdown(["query", "Affluent s", "DuckDB s", "ratio"], cells)
    print("every query of Affluent is a process of its own: start and opening of tables included")
    for name, answer, expected in wrong:
        print(f"DIFFERENT {name}: {answer}\n  DuckDB: {expected}")
    print(f"{22 - len(wrong)} of 22 answers are the same\n", flush=True)
    measure.empty(folder)
