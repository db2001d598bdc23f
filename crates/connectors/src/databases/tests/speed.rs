//! How fast PostgreSQL is written and read, against its own COPY. Run on request:
//! `cargo t -p connectors --run-ignored only speed --no-capture`

use super::super::ALL;
use super::support::{context, new_request, read, sink, source};
use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringViewArray,
};
use contracts::{Batches, Past};
use futures::StreamExt;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stdx::hash::Random;
use testkit::Postgres;

const ROWS: usize = 1_000_000;
const BATCH_ROWS: usize = 8192;

/// Rows of the shape of TPC-H's `lineitem`.
fn batch(random: &mut Random, first: usize, rows: usize) -> RecordBatch {
    let numbers = |random: &mut Random, bound: u64| -> ArrayRef {
        let values = (0..rows).map(|_| random.below(bound).cast_signed());
        Arc::new(Int64Array::from_iter_values(values))
    };
    let decimals = |random: &mut Random, bound: u64| -> ArrayRef {
        let values = (0..rows).map(|_| i128::from(random.below(bound)));
        let array = Decimal128Array::from_iter_values(values);
        Arc::new(array.with_precision_and_scale(15, 2).unwrap())
    };
    let dates = |random: &mut Random| -> ArrayRef {
        let values = (0..rows).map(|_| i32::try_from(8000 + random.below(2500)).unwrap());
        Arc::new(Date32Array::from_iter_values(values))
    };
    let texts = |random: &mut Random, of: &[&str]| -> ArrayRef {
        let values = (0..rows).map(|_| of[random.below(of.len() as u64) as usize]);
        Arc::new(StringViewArray::from_iter_values(values))
    };
    let keys = (first..first + rows).map(|key| i64::try_from(key / 4).unwrap());
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
    RecordBatch::try_from_iter([
        ("l_orderkey", keys),
        ("l_partkey", numbers(random, 400_000)),
        ("l_suppkey", numbers(random, 20_000)),
        ("l_linenumber", numbers(random, 7)),
        ("l_quantity", decimals(random, 5_000)),
        ("l_extendedprice", decimals(random, 10_000_000)),
        ("l_discount", decimals(random, 11)),
        ("l_tax", decimals(random, 9)),
        ("l_returnflag", texts(random, &["A", "N", "R"])),
        ("l_linestatus", texts(random, &["O", "F"])),
        ("l_shipdate", dates(random)),
        ("l_commitdate", dates(random)),
        ("l_receiptdate", dates(random)),
        ("l_shipinstruct", texts(random, &["DELIVER IN PERSON", "TAKE BACK RETURN", "NONE"])),
        ("l_shipmode", texts(random, &["AIR", "TRUCK", "REG AIR", "RAIL"])),
        (
            "l_comment",
            texts(random, &["carefully regular deposits", "quickly final accounts sleep"]),
        ),
    ])
    .unwrap()
}

fn batches() -> Vec<RecordBatch> {
    let mut random = Random::new(7);
    (0..ROWS)
        .step_by(BATCH_ROWS)
        .map(|first| batch(&mut random, first, BATCH_ROWS.min(ROWS - first)))
        .collect()
}

fn input(batches: &[RecordBatch]) -> Batches {
    let halves = batches.chunks(batches.len().div_ceil(2));
    let partitions = halves.map(|half| {
        let half: Vec<_> = half.iter().cloned().map(Ok).collect();
        futures::stream::iter(half).boxed()
    });
    Batches::new(batches[0].schema(), partitions.collect())
}

fn report(what: &str, took: Duration, of: Duration) {
    let rate = ROWS as f64 / took.as_secs_f64() / 1000.0;
    let ratio = of.as_secs_f64() / took.as_secs_f64() * 100.0;
    println!("{what}: {:.2} s, {rate:.0} k rows/s, {ratio:.0} % of COPY", took.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn speed_of_postgres() {
    let Some(postgres) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({"type": "postgres", "host": "127.0.0.1", "port": postgres.port(),
        "database": Postgres::DATABASE, "user": Postgres::USER, "password": Postgres::PASSWORD,
        "tls": "disable"});
    let context = context(folder.path(), &[("pg", settings)]);
    let batches = batches();
    let file = folder.path().join("lineitem.copy");
    let copy = |sql: &str| {
        let start = Instant::now();
        let status = postgres.psql_command().args(["-c", sql]).status().unwrap();
        assert!(status.success());
        start.elapsed()
    };
    let fill = sink(ALL, "write_postgres", &json!({"connection": "pg", "table": "l0"}));
    let request = new_request();
    fill.prepare(&context, request, input(&batches)).await.unwrap().commit().await.unwrap();
    copy(&format!("\\copy l0 to '{}' (format binary)", file.display()));
    for round in 0..3 {
        postgres.psql("drop table if exists raw; create table raw (like l0)");
        let raw_in = copy(&format!("\\copy raw from '{}' (format binary)", file.display()));
        report("COPY in", raw_in, raw_in);
        for (mode, key) in [("append", None), ("truncate", None), ("upsert", Some("l_orderkey"))] {
            postgres.psql("drop table if exists l1; create table l1 (like l0)");
            let mut config = json!({"connection": "pg", "table": "l1", "mode": mode});
            if key.is_some() {
                postgres.psql("alter table l1 add unique (l_orderkey, l_linenumber, l_comment, l_partkey, l_suppkey)");
                config["key"] =
                    json!(["l_orderkey", "l_linenumber", "l_comment", "l_partkey", "l_suppkey"]);
            }
            let writer = sink(ALL, "write_postgres", &config);
            let start = Instant::now();
            let prepared = writer.prepare(&context, new_request(), input(&batches)).await.unwrap();
            prepared.commit().await.unwrap();
            report(&format!("round {round}, write_postgres {mode}"), start.elapsed(), raw_in);
        }
        let raw_out = copy("\\copy l0 to '/dev/null' (format binary)");
        report("COPY out", raw_out, raw_out);
        for split in [None, Some(json!({"parts": 2}))] {
            let mut config = json!({"connection": "pg", "table": "l0"});
            let what = if split.is_some() { "two parts" } else { "one part" };
            config["split"] = split.unwrap_or_default();
            let reader = source(ALL, "postgres", &config);
            let inputs = reader.discover(&context, &Past::default()).await.unwrap().inputs;
            let start = Instant::now();
            let batches = reader_rows(reader.as_ref(), &context, inputs).await;
            assert_eq!(batches, ROWS);
            report(&format!("round {round}, postgres in {what}"), start.elapsed(), raw_out);
        }
    }
}

/// Reads all partitions side by side, as the engine does.
async fn reader_rows(
    source: &dyn contracts::Source,
    context: &contracts::Context,
    inputs: Vec<model::run::Input>,
) -> usize {
    let empty = read(source, context, Vec::new(), None).await.unwrap();
    assert!(empty.0.is_empty());
    let request = contracts::ReadRequest {
        inputs,
        partitions: 2,
        sample: None,
        rejects: Arc::new(super::support::Kept::default()),
        bytes: Arc::default(),
    };
    let batches = source.read(context, request).await.unwrap();
    let tasks = batches.partitions.into_iter().map(|mut partition| {
        tokio::spawn(async move {
            let mut rows = 0;
            while let Some(batch) = partition.next().await {
                rows += batch.unwrap().num_rows();
            }
            rows
        })
    });
    let mut rows = 0;
    for task in tasks.collect::<Vec<_>>() {
        rows += task.await.unwrap();
    }
    rows
}
