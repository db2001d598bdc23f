"""How fast a server starts, follows and ends runs; beside other orchestrators where they install."""
import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

FOREACH = 10_000
PIPELINES = 10_000


def node(name, after=None):
    after = f", after: [{after}]" if after else ""
    return f"  - {{id: {name}, use: set_output, with: {{values: {{n: 1}}}}{after}}}"


def chain(name, length):
    nodes = [node("t0")] + [node(f"t{i}", f"t{i - 1}") for i in range(1, length)]
    return document(name, nodes)


def document(name, nodes):
    return "\n".join(["affluent: 1", "kind: pipeline", f"name: {name}", "nodes:", *nodes, ""])


def fan(name, child, count):
    items = json.dumps(list(range(count)))
    foreach = f"  - {{id: each, use: foreach, with: {{items: {items}, pipeline: {child}, at_once: 500}}}}"
    return document(name, [foreach])


class Server:
    """`affluent up` on a folder of its own, opened by its link."""

    def __init__(self, options, folder, database=None):
        environment = {**os.environ, "HOME": str(folder.parent), "AFFLUENT_METRICS_TOKEN": "bench"}
        environment.pop("AFFLUENT_DATABASE", None)
        if database:
            environment["AFFLUENT_DATABASE"] = database
        begin = time.monotonic()
        command = [options.affluent, "-C", folder, "--json", "up", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.said = json.loads(self.process.stdout.readline())
        self.url = self.said["url"]
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=5).read()
                break
            except OSError:
                time.sleep(0.005)
        self.started = time.monotonic() - begin
        opener = urllib.request.build_opener(NoRedirect)
        answer = opener.open(self.said["entry"]["open"])
        self.cookie = answer.headers["set-cookie"].split(";")[0]
        self.bench = options.bench

    def drive(self, workload, *arguments):
        workspace = self.said["workspace"]
        command = [self.bench, "drive", "--url", f"{self.url}/api/v1/workspaces/{workspace}",
                   "--cookie", self.cookie, workload, *map(str, arguments)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def metric(self, name):
        request = urllib.request.Request(f"{self.url}/metrics",
                                         headers={"authorization": "Bearer bench"})
        lines = urllib.request.urlopen(request).read().decode().splitlines()
        values = [float(line.split()[-1]) for line in lines
                  if line.startswith(name) and not line.startswith("#")]
        return sum(values)

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1000
        return 0

    def stop(self):
        self.process.terminate()
        self.process.wait()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def http_error_303(self, request, answer, code, message, headers):
        return answer


def project(options, name, documents):
    folder = options.data / f"orchestration-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pipelines").mkdir(parents=True)
    (folder / "affluent.yaml").write_text("affluent: 1\nname: bench\n")
    for pipeline, text in documents.items():
        (folder / "pipelines" / f"{pipeline}.yaml").write_text(text)
    return folder


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def speeds(options, title, database=None):
    documents = {"one": chain("one", 1), "three": chain("three", 3), "forty": chain("forty", 40),
                 "fan": fan("fan", "one", FOREACH)}
    server = Server(options, project(options, title.lower(), documents), database)
    try:
        forty = server.drive("single", "--pipeline", "forty", "--count", 5)
        row(title, "40 sequential trivial nodes, median of 5", f"{forty['median_ms']:.0f} ms",
            "400 ms")
        three = server.drive("single", "--pipeline", "three", "--count", 100)
        row(title, "3 nodes through the API, median / P95 of 100",
            f"{three['median_ms']:.1f} / {three['p95_ms']:.1f} ms", "10 / 20 ms")
        before = server.cpu_seconds(), server.metric("affluent_store_commits_total")
        burst = server.drive("burst", "--pipeline", "three", "--count", 200)
        cpu = (server.cpu_seconds() - before[0]) * 1000 / 200
        commits = (server.metric("affluent_store_commits_total") - before[1]) / 200
        row(title, "200 such runs at once", f"{burst['runs_per_second']:.0f} runs/s", "500 runs/s")
        row(title, "commits / CPU per run of these", f"{commits:.2f} / {cpu:.2f} ms", "2 / 1 ms")
        fanned = server.drive("single", "--pipeline", "fan", "--count", 1)
        row(title, f"foreach of {FOREACH}", f"{fanned['median_ms'] / 1000:.2f} s", "5 s")
        listed = server.drive("list", "--count", 64)
        row(title, "list of runs, 64 connections",
            f"{listed['requests_per_second']:.0f} req/s, P99 {listed['p99_ms']:.1f} ms",
            "5000 req/s, 30 ms")
    finally:
        server.stop()


def many(options):
    documents = {f"p{i}": chain(f"p{i}", 1) for i in range(PIPELINES)}
    folder = project(options, "many", documents)
    Server(options, folder).stop()
    server = Server(options, folder)
    try:
        row("SQLite", f"start with {PIPELINES} pipelines", f"{server.started:.2f} s", "1 s")
        time.sleep(5)
        before = server.cpu_seconds()
        time.sleep(10)
        idle = (server.cpu_seconds() - before) / 10 * 100
        row("SQLite", "idle with them: memory, share of a core",
            f"{server.megabytes():.0f} MB, {idle:.2f} %", "80 MB, 0.5 %")
    finally:
        server.stop()


def main(options):
    print("\n## Orchestration\n")
    row("metadata", "workload", "measured", "goal")
    row("---", "---", "--:", "--:")
    speeds(options, "SQLite")
    postgres = subprocess.Popen([options.bench, "postgres"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
    settings = json.loads(postgres.stdout.readline())
    url = (f"postgres://{settings['user']}:{settings.get('password', '')}@{settings['host']}:"
           f"{settings['port']}/{settings['database']}")
    try:
        speeds(options, "PostgreSQL", url)
    finally:
        postgres.stdin.close()
        postgres.wait()
    many(options)
