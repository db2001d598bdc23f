"""What people wait for: the start of the program, a run with nothing to do, a preview."""
import measure


def quick(command, rounds=10):
    return f"{measure.best([measure.run(command) for _ in range(rounds)]).wall * 1000:.0f} ms"


def main(options):
    print("\n## What people wait for\n")
    affluent = options.affluent
    cells = [["affluent --version", quick([affluent, "--version"], 20)]]
    demo = options.data / "demo"
    measure.empty(demo).rmdir()
    first = measure.run([affluent, "demo", demo])
    cells.append(["affluent demo, the first time", f"{first.wall * 1000:.0f} ms"])
    cells.append(["affluent demo again, nothing to do", quick([affluent, "demo", demo])])
    csv = measure.tables(options.bench, options.data, options.scale, ["lineitem"])
    folder = measure.project("medallion", options.data / "preview-project", csv)
    for node in ["lines", "typed", "unique"]:
        command = [affluent, "-C", folder, "preview", f"medallion.{node}"]
        cells.append([f"preview of medallion.{node}", quick(command, 3)])
    cells.append(["size of the program", f"{options.affluent.stat().st_size / 1e6:.0f} MB"])
    measure.markdown(["what", "best"], cells)
    measure.empty(folder)
    measure.empty(demo)
