"""`write_postgres` beside PostgreSQL's own COPY of the same rows, on a private server."""
import json
import subprocess

import measure


def main(options):
    measure.tables(options.bench, options.data, options.tpch_scale, ["lineitem"])
    data = options.data / f"tpch-{options.tpch_scale:g}"
    folder = measure.project("postgres", options.data / "postgres-project", data)
    server = subprocess.Popen([options.bench, "postgres"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    try:
        settings = json.loads(server.stdout.readline())
        (folder / "connections").mkdir()
        # YAML is a superset of JSON.
        (folder / "connections" / "pg.yaml").write_text(json.dumps(
            {"affluent": 1, "kind": "connection", "name": "pg", **settings, "type": "postgres"}))
        psql = ["env", f"PGPASSWORD={settings['password']}", "psql", "-q", "-h", settings["host"],
                "-p", settings["port"], "-U", settings["user"], "-d", settings["database"], "-c"]
        compare(options, folder, psql)
    finally:
        server.stdin.close()
        server.wait()
    measure.empty(folder)


def compare(options, folder, psql):
    common = [options.affluent, "-C", folder, "--threads", options.threads,
              "--memory", options.memory, "run"]
    measure.run([*common, "load"])
    # The first writes make the tables; COPY gets a file of the same rows.
    for name in ["append", "truncate", "upsert"]:
        measure.run([*common, name])
    file = options.data / "lineitem.copy"
    measure.run([*psql, f"\\copy appended to '{file}' (format binary)"])
    measure.run([*psql, "create table raw (like appended)"])
    runs = {"COPY": [], "append": [], "truncate": [], "COPY with a key": [], "upsert": []}
    for _ in range(options.rounds):
        measure.run([*psql, "truncate raw"])
        runs["COPY"].append(measure.run([*psql, f"\\copy raw from '{file}' (format binary)"]))
        measure.run([*psql, "drop table appended"])
        runs["append"].append(measure.run([*common, "append", "--full-refresh", "--yes"]))
        runs["truncate"].append(measure.run([*common, "truncate", "--only", "copy"]))
        measure.run([*psql, "drop table if exists keyed"])
        measure.run([*psql, "create table keyed (like raw,"
                            " primary key (l_orderkey, l_linenumber))"])
        runs["COPY with a key"].append(
            measure.run([*psql, f"\\copy keyed from '{file}' (format binary)"]))
        measure.run([*psql, "drop table if exists upserted"])
        runs["upsert"].append(measure.run([*common, "upsert", "--only", "copy"]))
    file.unlink()
    print(f"\n## write_postgres, lineitem scale {options.tpch_scale:g}\n")
    cells = []
    for name, of in runs.items():
        run = measure.best(of)
        base = measure.best(runs["COPY with a key" if name in ("COPY with a key", "upsert")
                                 else "COPY"]).wall
        cells.append([name, f"{run.wall:.1f}", f"{base / run.wall * 100:.0f} %"])
    measure.markdown(["what", "best s", "speed to COPY"], cells)
