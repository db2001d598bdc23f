"""What the benchmarks share: one command measured, tables printed, a folder made anew."""
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass
class Run:
    """One run of a command."""

    wall: float
    cpu: float
    #: Peak of resident memory, in MB.
    memory: float
    output: str


def run(command, cwd=None):
    """Runs a command to its end; one that fails ends the benchmark."""
    command = [str(part) for part in command]
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    if status != 0:
        sys.exit(f"{' '.join(command)} failed:\n{output}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, output)


def best(runs):
    """The run that was disturbed least."""
    return min(runs, key=lambda run: run.wall)


def median(runs):
    return statistics.median(run.wall for run in runs)


def empty(folder):
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def project(name, folder, data):
    """A copy of a project of this folder, with `data` beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / name / "project", folder)
    (folder / "data").symlink_to(Path(data).resolve())
    return folder


def tables(bench, data, scale, names=()):
    """The folder of TPC-H's tables as CSV; made if it is not there."""
    folder = Path(data) / f"tpch-{scale:g}"
    missing = not folder.exists() or any(not (folder / f"{name}.csv").exists() for name in names)
    if missing or not names:
        print(f"tables of TPC-H, scale {scale:g}: {folder}", flush=True)
        run([bench, "tables", "--scale", scale, "--dir", folder, *names])
    return folder


def markdown(header, rows):
    """Prints a table; the first column is text, the others are numbers."""
    print("\n| " + " | ".join(header) + " |")
    print("|---|" + "--:|" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)
