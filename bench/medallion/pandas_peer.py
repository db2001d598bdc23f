"""pandas does the medallion job, in chunks where it can."""
import sys
import time

import pandas as pd
import pyarrow as pa

csv, out = sys.argv[1], sys.argv[2]


def step(name, begin):
    print(f"part {name} {time.perf_counter() - begin:.2f}", flush=True)


begin = time.perf_counter()
raw = pd.read_csv(csv, dtype="string[pyarrow]", engine="pyarrow")
raw.to_parquet(f"{out}/bronze.parquet", compression="zstd")
step("bronze", begin)
begin = time.perf_counter()
for c in ["l_orderkey", "l_partkey", "l_suppkey", "l_linenumber"]:
    raw[c] = pd.to_numeric(raw[c], errors="coerce")
for c in ["l_quantity", "l_extendedprice", "l_discount", "l_tax"]:
    raw[c] = raw[c].astype(pd.ArrowDtype(pa.decimal128(15, 2)))
for c in ["l_shipdate", "l_commitdate", "l_receiptdate"]:
    raw[c] = pd.to_datetime(raw[c], format="%Y-%m-%d", errors="coerce")
quantity, discount, tax = (raw[c].astype("float64") for c in ["l_quantity", "l_discount", "l_tax"])
valid = raw[raw.l_orderkey.notna() & raw.l_linenumber.notna() & raw.l_shipdate.notna()
            & quantity.between(1, 50) & discount.between(0, 0.1) & tax.between(0, 0.08)]
silver = valid.drop_duplicates(["l_orderkey", "l_linenumber"], keep="first")
silver.to_parquet(f"{out}/silver.parquet", compression="zstd")
step("silver", begin)
begin = time.perf_counter()
silver = silver.assign(net=silver.l_extendedprice * (1 - silver.l_discount))
gold = silver.groupby("l_shipdate").agg(
    lines=("l_orderkey", "size"), quantity=("l_quantity", "sum"),
    gross=("l_extendedprice", "sum"), net=("net", "sum")).reset_index()
gold.to_parquet(f"{out}/gold.parquet", compression="zstd")
step("gold", begin)
print("check", (len(gold), int(gold.lines.sum()), str(gold.gross.sum())))
