//! Several writers at once.

use super::support::{TestLake, batch, ints, merge, open, people, texts, write};
use contracts::Batches;
use contracts::table::{TableStore, WriteMode};
use model::TableName;
use std::collections::{BTreeSet, HashSet};
use tokio::task::JoinSet;

const WRITERS: u64 = 8;
const APPENDS: u64 = 50;
const ROWS: u64 = 100;

/// Each writer has a lake of its own, as processes have: no lock, no memory is shared.
#[tokio::test(flavor = "multi_thread")]
async fn l_01_concurrent_appends_lose_nothing() {
    let lake = TestLake::new();
    lake.write(write("bronze.t", WriteMode::Append, 9_999), people(&[], &[])).await.unwrap();
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let own = open(lake.dir.path());
        tasks.spawn(async move {
            for append in 0..APPENDS {
                let run = writer * APPENDS + append;
                let ids: Vec<i64> = (run * ROWS..(run + 1) * ROWS).map(|id| id as i64).collect();
                let rows = batch(vec![("id", ints(&ids)), ("name", texts(&["x"; ROWS as usize]))]);
                let rows = Batches::from_memory(rows.schema(), vec![rows]);
                let write = write("bronze.t", WriteMode::Append, run);
                own.prepare(write, rows).await.unwrap().commit().await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let name = TableName::parse("bronze.t").unwrap();
    let versions: Vec<u64> =
        lake.lake.history(&name).await.unwrap().iter().map(|commit| commit.version).collect();
    let expected: Vec<u64> = (0..=WRITERS * APPENDS).rev().collect();
    assert_eq!(versions, expected, "versions have gaps");
    let rows: HashSet<String> = lake.rows("bronze.t").await.into_iter().collect();
    assert_eq!(rows.len() as u64, WRITERS * APPENDS * ROWS);
    let info = lake.lake.describe(&name, None).await.unwrap().unwrap();
    assert_eq!(info.rows, Some(WRITERS * APPENDS * ROWS));
}

#[tokio::test(flavor = "multi_thread")]
async fn l_03_one_creator_wins_and_the_others_append() {
    let lake = TestLake::new();
    let mut tasks = JoinSet::new();
    for run in 0..5 {
        let own = open(lake.dir.path());
        tasks.spawn(async move {
            let rows = people(&[run], &["x"]);
            let rows = Batches::from_memory(rows.schema(), vec![rows]);
            let write = write("gold.t", WriteMode::Append, run as u64);
            own.prepare(write, rows).await.unwrap().commit().await.unwrap()
        });
    }
    let mut versions = BTreeSet::new();
    while let Some(committed) = tasks.join_next().await {
        versions.insert(committed.unwrap().version.unwrap());
    }
    assert_eq!(versions, (0..5).collect());
    assert_eq!(lake.rows("gold.t").await.len(), 5);
    let created = (0..5).filter(|version| {
        let path = lake.folder("gold.t").join(format!("_delta_log/{version:020}.json"));
        std::fs::read_to_string(path).unwrap().contains("\"metaData\"")
    });
    assert_eq!(created.collect::<Vec<_>>(), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn l_05_the_same_run_is_one_commit_however_often_it_is_sent() {
    let lake = TestLake::new();
    for run in (1..=5).rev() {
        let mut tasks = JoinSet::new();
        for _ in 0..run {
            let own = open(lake.dir.path());
            tasks.spawn(async move {
                let rows = people(&[run as i64], &["x"]);
                let rows = Batches::from_memory(rows.schema(), vec![rows]);
                let write = write("silver.t", WriteMode::Append, run);
                own.prepare(write, rows).await.unwrap().commit().await.unwrap()
            });
        }
        let mut fresh = 0;
        while let Some(committed) = tasks.join_next().await {
            let committed = committed.unwrap();
            assert_eq!(committed.rows, 1);
            assert_eq!(committed.version, Some(5 - run));
            fresh += usize::from(!committed.already);
        }
        assert_eq!(fresh, 1, "run {run} was committed {fresh} times");
    }
    // Runs came newest first: an older id still landed.
    assert_eq!(lake.rows("silver.t").await, ["1|x", "2|x", "3|x", "4|x", "5|x"]);
    assert_eq!(lake.files_on_disk("silver.t").len(), 5, "files of repeats are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn l_05_a_key_is_found_behind_checkpoints() {
    let lake = TestLake::new();
    for run in 0..25 {
        let rows = people(&[run], &["x"]);
        lake.write(write("silver.t", WriteMode::Append, run as u64), rows).await.unwrap();
    }
    assert!(lake.folder("silver.t").join("_delta_log/_last_checkpoint").exists());
    let again = open(lake.dir.path());
    let rows = people(&[3], &["x"]);
    let rows = Batches::from_memory(rows.schema(), vec![rows]);
    let prepared = again.prepare(write("silver.t", WriteMode::Append, 3), rows).await.unwrap();
    let committed = prepared.commit().await.unwrap();
    assert!(committed.already);
    assert_eq!((committed.version, committed.rows), (Some(3), 1));
    assert_eq!(lake.rows("silver.t").await.len(), 25);
}

/// Both merges are prepared on the same version; the second to commit computes again.
#[tokio::test(flavor = "multi_thread")]
async fn two_merges_at_once_equal_one_after_the_other() {
    let lake = TestLake::new();
    let start = people(&[1, 2, 3], &["a", "b", "c"]);
    lake.write(write("silver.t", WriteMode::Append, 1), start).await.unwrap();
    let first = lake.prepare(merge("silver.t", 2), people(&[2, 4], &["B", "D"])).await.unwrap();
    let other = open(lake.dir.path());
    let rows = people(&[3, 4], &["C", "DD"]);
    let rows = Batches::from_memory(rows.schema(), vec![rows]);
    let second = other.prepare(merge("silver.t", 3), rows).await.unwrap();
    let first = first.commit().await.unwrap();
    let second = second.commit().await.unwrap();
    assert_eq!((first.detail["inserted"], first.detail["updated"]), (1, 1));
    assert_eq!((second.detail["inserted"], second.detail["updated"]), (0, 2));
    assert_eq!(lake.rows("silver.t").await, ["1|a", "2|B", "3|C", "4|DD"]);
    assert_eq!(lake.rows_at("silver.t", 0).await, ["1|a", "2|b", "3|c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overwrite_also_replaces_what_came_after_it_was_prepared() {
    let lake = TestLake::new();
    lake.write(write("gold.t", WriteMode::Append, 1), people(&[1], &["a"])).await.unwrap();
    let overwrite = write("gold.t", WriteMode::Overwrite, 2);
    let prepared = lake.prepare(overwrite, people(&[9], &["z"])).await.unwrap();
    lake.write(write("gold.t", WriteMode::Append, 3), people(&[2], &["b"])).await.unwrap();
    prepared.commit().await.unwrap();
    assert_eq!(lake.rows("gold.t").await, ["9|z"]);
}
