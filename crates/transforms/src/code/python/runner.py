"""Runs one function of a project over Arrow tables.

In on stdin: the length of the job and the job as JSON, an Arrow stream without rows whose schema
is that of the result, then one Arrow stream for each input. Out on stdout: the result.
Exit codes are those of `child.rs`.
"""

import json
import linecache
import os
import struct
import sys

NO_PYARROW, NO_PANDAS, CODE, MEMORY, RESULT = 10, 11, 12, 13, 14
ROWS_PER_BATCH = 65536


def fail(code, text):
    """Ends the process with a text on stderr, after what the code has printed."""
    sys.stdout.flush()
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()
    os._exit(code)


def limit(memory_bytes):
    """Memory beyond the limit is an error here and not a problem of the machine."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        import ctypes

        parent_death_signal, kill = 1, 9
        ctypes.CDLL(None).prctl(parent_death_signal, kill)
    except (OSError, AttributeError):
        pass  # Not Linux: the end of stdin is the only sign of a dead parent.


def load(job):
    """The function `transform` of the code."""
    linecache.cache[job["file"]] = (
        len(job["code"]),
        None,
        job["code"].splitlines(True),
        job["file"],
    )
    names = {"__name__": "step"}
    exec(compile(job["code"], job["file"], "exec"), names)
    function = names.get("transform")
    if not callable(function):
        fail(CODE, "there is no function `transform`")
    return function


class Work:
    """One job with the modules it needs."""

    def __init__(self, job, stdin, stdout):
        self.job, self.stdin, self.stdout = job, stdin, stdout
        try:
            import pyarrow
            import pyarrow.ipc
        except ImportError as error:
            fail(NO_PYARROW, str(error))
        self.arrow = pyarrow
        pyarrow.set_cpu_count(job["threads"])
        if job["pandas"]:
            try:
                import pandas  # noqa: F401
            except ImportError as error:
                fail(NO_PANDAS, str(error))

    def run(self):
        """Reads, calls, writes."""
        transform = load(self.job)
        self.schema = self.arrow.ipc.open_stream(self.stdin).read_all().schema
        with self.arrow.ipc.new_stream(self.stdout, self.schema) as writer:
            for argument in self.arguments():
                table = self.fit(self.table(transform(argument)))
                for batch in table.to_batches(max_chunksize=ROWS_PER_BATCH):
                    writer.write_batch(batch)
        self.stdout.flush()

    def arguments(self):
        """What the function is called with, call after call."""
        if self.job["batches"]:
            reader = self.arrow.ipc.open_stream(self.stdin)
            for batch in reader:
                yield self.given(self.arrow.Table.from_batches([batch]))
            return
        tables = {}
        for name in self.job["inputs"]:
            table = self.arrow.ipc.open_stream(self.stdin).read_all()
            origin = [name for name in ("_file", "_row") if name in table.column_names]
            if "_row" in origin:
                table = table.sort_by([(name, "ascending") for name in origin])
            tables[name] = self.given(table)
        yield next(iter(tables.values())) if len(tables) == 1 else tables

    def given(self, table):
        """A table as the function wants it."""
        return table.to_pandas() if self.job["pandas"] else table

    def table(self, result):
        """A result as a table."""
        if isinstance(result, self.arrow.Table):
            return result
        if isinstance(result, self.arrow.RecordBatch):
            return self.arrow.Table.from_batches([result])
        if isinstance(result, list) and all(isinstance(row, dict) for row in result):
            names = self.schema.names
            columns = [[row.get(name) for row in result] for name in names]
            return self.arrow.table(dict(zip(names, columns)))
        if hasattr(result, "to_arrow"):
            return result.to_arrow()
        if type(result).__module__.split(".")[0] == "pandas" and hasattr(result, "columns"):
            return self.arrow.Table.from_pandas(result, preserve_index=False)
        fail(RESULT, f"`transform` gave a {type(result).__name__}, which is not a table")

    def fit(self, table):
        """A result with the columns and types that were promised."""
        missing = [name for name in self.schema.names if name not in table.column_names]
        if missing:
            fail(RESULT, f"the result has no column `{missing[0]}`")
        more = [name for name in table.column_names if name not in self.schema.names]
        if more:
            fail(RESULT, f"the result has a column `{more[0]}` that `columns` does not list")
        columns = []
        for field in self.schema:
            try:
                columns.append(table.column(field.name).cast(field.type))
            except (self.arrow.ArrowInvalid, self.arrow.ArrowNotImplementedError) as error:
                fail(RESULT, f"the column `{field.name}` is not {field.type}: {error}")
        return self.arrow.Table.from_arrays(columns, schema=self.schema)


def main():
    """Keeps stdin and stdout for the data: what the code prints goes to stderr."""
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    (size,) = struct.unpack("<Q", stdin.read(8))
    job = json.loads(stdin.read(size))
    limit(job["memory_bytes"])
    try:
        Work(job, stdin, stdout).run()
    except MemoryError:
        fail(MEMORY, "out of memory")
    except (Exception, SystemExit):
        import traceback

        kind, error, trace = sys.exc_info()
        while trace is not None and trace.tb_frame.f_code.co_filename != job["file"]:
            trace = trace.tb_next
        fail(CODE, "".join(traceback.format_exception(kind, error, trace)))
    sys.stderr.flush()
    # Nothing that the code left running may hold the process.
    os._exit(0)


main()
