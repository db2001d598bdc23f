//! Programs of others read our tables and see the same rows.

use crate::program::Project;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Replays nothing of ours: deltalake reads the table by its log; `DuckDB` reads the files that
/// the log names. Rows are compared by count, sum of ids, and xor of a hash of every value.
const READER: &str = r#"
import datetime, decimal, hashlib, json, sys
import deltalake, duckdb

folder, ours = sys.argv[1], sys.argv[2]
decimal.getcontext().prec = 60

def text(value):
    if value is None: return None
    if isinstance(value, bool): return str(value).lower()
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.timezone.utc) if value.tzinfo else value
        return utc.strftime("%Y-%m-%dT%H:%M:%S.%f")
    if isinstance(value, datetime.date): return value.isoformat()
    if isinstance(value, decimal.Decimal): return format(value.quantize(decimal.Decimal("1e-9")), "f")
    if isinstance(value, float): return repr(value)
    if isinstance(value, list): return "[" + ",".join(str(text(item)) for item in value) + "]"
    return str(value)

def digest(rows):
    xor = 0
    for row in rows:
        line = "|".join(f"{name}={text(row[name])}" for name in sorted(row))
        xor ^= int.from_bytes(hashlib.sha256(line.encode()).digest()[:8], "big")
    return {"count": len(rows), "sum": sum(row["id"] for row in rows), "xor": f"{xor:016x}"}

def normal(name, value):
    # JSON has no dates, times and decimals: ours come as texts.
    if value is None: return None
    if name == "at": return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if name == "day": return datetime.date.fromisoformat(value)
    if name == "amount": return decimal.Decimal(value)
    if name == "rate": return float(value)
    return value

ours = [json.loads(line, parse_float=decimal.Decimal) for line in open(ours)]
ours = [{name: normal(name, value) for name, value in row.items()} for row in ours]
table = deltalake.DeltaTable(folder)
arrow = table.to_pyarrow_table()
types = {field.name: str(field.type) for field in arrow.schema}
con = duckdb.connect()
con.execute("set timezone = 'UTC'")
files = table.file_uris()
query = con.execute("select * replace (\"at\" at time zone 'UTC' as \"at\") from read_parquet($1, hive_partitioning = true, union_by_name = true, "
                    "hive_types_autocast = true)", [files])
names = [column[0] for column in query.description]
seen = [dict(zip(names, row)) for row in query.fetchall()]
print(json.dumps({"ours": digest(ours), "deltalake": digest(arrow.to_pylist()),
                  "duckdb": digest(seen), "types": types, "files": len(files),
                  "version": table.version()}))
"#;

const TABLES: &str = r#"
affluent: 1
kind: pipeline
name: tables
nodes:
  - {id: rows, use: csv, with: {path: "data/*.csv", delimiter: ",", header: true}}
  - id: typed
    use: cast
    from: rows
    with: {columns: {id: integer, amount: "decimal(30,9)", rate: float, ok: boolean, day: date, at: {type: timestamp, zone: UTC}}}
  - {id: plain, use: select, from: typed, with: {columns: [id, amount, rate, ok, day, at, text]}}
  - {id: grown, use: write_table, from: plain, with: {table: bronze.grown, mode: append}}
  - {id: latest, use: deduplicate, from: plain, with: {keys: [id], order_by: [at], keep: last}}
  - {id: merged, use: write_table, from: latest, with: {table: silver.merged, mode: merge, key: [id]}}
  - {id: split, use: write_table, from: plain, with: {table: silver.split, mode: append, partition_by: [day]}}
"#;

fn python() -> Option<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let program = std::env::var("AFFLUENT_PYTHON")
        .unwrap_or_else(|_| format!("{home}/.cache/affluent/venv/bin/python"));
    let there = Command::new(&program).args(["-c", "import deltalake, duckdb, pyarrow"]).output();
    if there.is_ok_and(|output| output.status.success()) {
        return Some(PathBuf::from(program));
    }
    testkit::skip("Python with deltalake, duckdb and pyarrow (scripts/setup test)");
    None
}

/// A delivery: ids that overlap with the last one, every type, missing values, odd texts.
fn delivery(number: usize) -> String {
    let mut text = "id,amount,rate,ok,day,at,text\n".to_owned();
    for row in 0..1_000 {
        let id = number * 500 + row;
        let amount =
            format!("{}123456789012345678.{:09}", if id.is_multiple_of(3) { "-" } else { "" }, id);
        let odd = ["é 漢字 🎈", "\"quoted, twice\"", "", "NULL", " space "][id % 5];
        let rate = if id.is_multiple_of(11) { String::new() } else { format!("{id}.125") };
        let (day, second) = (1 + id % 4, id % 60);
        text.push_str(&format!(
            "{id},{amount},{rate},{},2026-02-0{day},2026-02-0{day} 1{number}:00:{second:02}.00000{},{odd}\n",
            id.is_multiple_of(2),
            id % 10
        ));
    }
    text
}

fn assert_read_alike(project: &Project, python: &Path, table: &str, story: &str) -> Value {
    let rows = project.ok(&["query", "--format", "ndjson", &format!("select * from {table}")]);
    let ours = project.write("ours.ndjson", rows);
    let folder = project.path().join("lake/test").join(table.replace('.', "/"));
    let mut command = Command::new(python);
    let output = command.args(["-c", READER]).arg(folder).arg(ours).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{story} {table}: {error}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{story} {table}: {} in {} files", seen["ours"], seen["files"]);
    assert_eq!(seen["deltalake"], seen["ours"], "{story} {table}: {seen}");
    assert_eq!(seen["duckdb"], seen["ours"], "{story} {table}: {seen}");
    seen
}

#[test]
fn l_08_deltalake_and_duckdb_read_the_same_rows() {
    let Some(python) = python() else { return };
    let project = Project::new(&[("pipelines/tables.yaml", TABLES)]);
    for number in 0..3 {
        project.write(&format!("data/{number}.csv"), delivery(number));
        project.ok(&["run"]);
    }
    for (table, count) in
        [("bronze.grown", 3_000), ("silver.merged", 2_000), ("silver.split", 3_000)]
    {
        let seen = assert_read_alike(&project, &python, table, "as written");
        assert_eq!(seen["ours"]["count"], count);
        for (column, expected) in [
            ("id", "int64"),
            ("amount", "decimal128(30, 9)"),
            ("rate", "double"),
            ("ok", "bool"),
            ("day", "date32[day]"),
            ("at", "timestamp[us, tz=UTC]"),
        ] {
            assert_eq!(seen["types"][column], expected, "{table}.{column}");
        }
        project.ok(&["maintain", table, "--optimize"]);
        let after = assert_read_alike(&project, &python, table, "optimized");
        assert_eq!(after["ours"], seen["ours"]);
        project.ok(&["maintain", table, "--vacuum", "--retention-hours", "0"]);
        let after = assert_read_alike(&project, &python, table, "vacuumed");
        assert_eq!(after["ours"], seen["ours"]);
    }
}
