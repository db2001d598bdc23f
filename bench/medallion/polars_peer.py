"""Polars (lazy, streaming) does the medallion job."""
import os
import sys
import time

csv, out, threads = sys.argv[1], sys.argv[2], sys.argv[3]
os.environ["POLARS_MAX_THREADS"] = threads
import polars as pl  # noqa: E402  (the variable is read at import)


def step(name, frame, path):
    begin = time.perf_counter()
    frame.sink_parquet(path, compression="zstd")
    print(f"part {name} {time.perf_counter() - begin:.2f}", flush=True)


raw = pl.scan_csv(csv, infer_schema=False)
step("bronze", raw, f"{out}/bronze.parquet")
ints = ["l_orderkey", "l_partkey", "l_suppkey", "l_linenumber"]
decimals = ["l_quantity", "l_extendedprice", "l_discount", "l_tax"]
dates = ["l_shipdate", "l_commitdate", "l_receiptdate"]
typed = pl.scan_parquet(f"{out}/bronze.parquet").with_columns(
    *[pl.col(c).cast(pl.Int64, strict=False) for c in ints],
    *[pl.col(c).cast(pl.Decimal(15, 2), strict=False) for c in decimals],
    *[pl.col(c).str.to_date("%Y-%m-%d", strict=False) for c in dates],
)
valid = typed.filter(
    pl.col("l_orderkey").is_not_null() & pl.col("l_linenumber").is_not_null()
    & pl.col("l_shipdate").is_not_null()
    & pl.col("l_quantity").is_between(1, 50) & pl.col("l_discount").is_between(0, 0.1)
    & pl.col("l_tax").is_between(0, 0.08)
)
unique = valid.unique(subset=["l_orderkey", "l_linenumber"], keep="any", maintain_order=False)
step("silver", unique, f"{out}/silver.parquet")
gold = pl.scan_parquet(f"{out}/silver.parquet").group_by("l_shipdate").agg(
    pl.len().alias("lines"), pl.col("l_quantity").sum().alias("quantity"),
    pl.col("l_extendedprice").sum().alias("gross"),
    (pl.col("l_extendedprice") * (1 - pl.col("l_discount"))).sum().alias("net"),
)
step("gold", gold, f"{out}/gold.parquet")
print("check", pl.scan_parquet(f"{out}/gold.parquet").select(
    pl.len(), pl.col("lines").sum(), pl.col("gross").sum()).collect().row(0))
