"""DuckDB does the medallion job: CSV to bronze, silver and gold Parquet files (zstd), two threads."""
import sys
import time

import duckdb

csv, out, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
con = duckdb.connect()
con.execute(f"SET threads = {threads}")
# Its fastest way: without file and line of each row, which Affluent carries, and in any order.
con.execute("SET preserve_insertion_order = false")
con.execute(f"SET temp_directory = '{out}/tmp'")


def step(name, sql):
    begin = time.perf_counter()
    con.execute(sql)
    print(f"part {name} {time.perf_counter() - begin:.2f}", flush=True)


step("bronze", f"""
COPY (SELECT * FROM read_csv('{csv}', all_varchar = true, header = true, delim = ',', quote = '"'))
TO '{out}/bronze.parquet' (FORMAT parquet, COMPRESSION zstd)""")
step("silver", f"""
COPY (
  WITH typed AS (
    SELECT try_cast(l_orderkey AS BIGINT) l_orderkey, try_cast(l_partkey AS BIGINT) l_partkey,
      try_cast(l_suppkey AS BIGINT) l_suppkey, try_cast(l_linenumber AS BIGINT) l_linenumber,
      try_cast(l_quantity AS DECIMAL(15,2)) l_quantity,
      try_cast(l_extendedprice AS DECIMAL(15,2)) l_extendedprice,
      try_cast(l_discount AS DECIMAL(15,2)) l_discount, try_cast(l_tax AS DECIMAL(15,2)) l_tax,
      l_returnflag, l_linestatus, try_cast(l_shipdate AS DATE) l_shipdate,
      try_cast(l_commitdate AS DATE) l_commitdate, try_cast(l_receiptdate AS DATE) l_receiptdate,
      l_shipinstruct, l_shipmode, l_comment
    FROM '{out}/bronze.parquet'),
  valid AS (
    SELECT * FROM typed
    WHERE l_orderkey IS NOT NULL AND l_linenumber IS NOT NULL AND l_shipdate IS NOT NULL
      AND l_quantity BETWEEN 1 AND 50 AND l_discount BETWEEN 0 AND 0.1 AND l_tax BETWEEN 0 AND 0.08)
  SELECT * FROM valid QUALIFY row_number() OVER (PARTITION BY l_orderkey, l_linenumber) = 1)
TO '{out}/silver.parquet' (FORMAT parquet, COMPRESSION zstd)""")
step("gold", f"""
COPY (SELECT l_shipdate, count(*) AS lines, sum(l_quantity) AS quantity, sum(l_extendedprice) AS gross,
        sum(l_extendedprice * (1 - l_discount)) AS net
      FROM '{out}/silver.parquet' GROUP BY l_shipdate)
TO '{out}/gold.parquet' (FORMAT parquet, COMPRESSION zstd)""")
print("check", con.execute(
    f"SELECT count(*), sum(lines), sum(gross) FROM '{out}/gold.parquet'").fetchone())
