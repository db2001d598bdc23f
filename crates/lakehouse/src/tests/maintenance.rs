//! Compaction and cleaning up.

use super::support::{TestLake, merge, names, people, write};
use contracts::table::{Maintenance, TableStore, WriteMode};
use model::TableName;

fn what(optimize: bool, vacuum: bool) -> Maintenance {
    Maintenance { optimize, vacuum, retention_hours: 0, dry_run: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_become_one_and_rubbish_goes() {
    let lake = TestLake::new();
    let name = TableName::parse("silver.t").unwrap();
    for run in 1..=4 {
        let rows = people(&[run], &["x"]);
        lake.write(write("silver.t", WriteMode::Append, run as u64), rows).await.unwrap();
    }
    let folder = lake.folder("silver.t");
    std::fs::create_dir_all(folder.join("_staging/abc")).unwrap();
    std::fs::write(folder.join("_staging/abc/part-1.parquet"), b"dead").unwrap();
    std::fs::write(folder.join("part-dead.parquet"), b"dead").unwrap();
    std::fs::write(folder.join("_delta_log/.0.json.1.tmp~"), b"dead").unwrap();
    let before = lake.rows("silver.t").await;
    let report = lake.lake.maintain(&name, what(true, false)).await.unwrap();
    assert_eq!((report.files_compacted, report.files_written), (4, 1));
    assert_eq!(lake.rows("silver.t").await, before);
    let dry = Maintenance { dry_run: true, ..what(false, true) };
    let would = lake.lake.maintain(&name, dry).await.unwrap().files_deleted;
    assert_eq!(would.len(), 4 + 3, "{would:?}");
    let kept = Maintenance { retention_hours: 1, ..what(false, true) };
    assert!(lake.lake.maintain(&name, kept).await.unwrap().files_deleted.is_empty());
    let report = lake.lake.maintain(&name, what(false, true)).await.unwrap();
    assert_eq!(report.files_deleted, would);
    assert_eq!(lake.files_on_disk("silver.t").len(), 1);
    assert_eq!(lake.rows("silver.t").await, before);
    let history = lake.lake.history(&name).await.unwrap();
    assert_eq!(history[0].operation, "OPTIMIZE");
    assert_eq!(history[1].run.as_deref(), Some("01J00000000000000000000004"));
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_compacted_one_by_one() {
    let lake = TestLake::new();
    let name = TableName::parse("silver.t").unwrap();
    for run in 1..=3 {
        let mut append = write("silver.t", WriteMode::Append, run);
        append.partition_by = names(&["name"]);
        lake.write(append, people(&[1, 2], &["a", "b"])).await.unwrap();
    }
    assert_eq!(lake.files_on_disk("silver.t").len(), 6);
    lake.lake.maintain(&name, what(true, true)).await.unwrap();
    let left = lake.files_on_disk("silver.t");
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("name=a/") && left[1].starts_with("name=b/"));
    assert_eq!(lake.rows("silver.t").await, ["1|a", "1|a", "1|a", "2|b", "2|b", "2|b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_leaves_nothing() {
    let lake = TestLake::new();
    let append = lake.prepare(write("gold.t", WriteMode::Append, 1), people(&[1], &["a"])).await;
    append.unwrap().discard().await;
    assert!(lake.files_on_disk("gold.t").is_empty());
    lake.write(write("gold.t", WriteMode::Append, 2), people(&[1], &["a"])).await.unwrap();
    let merging = lake.prepare(merge("gold.t", 3), people(&[1], &["b"])).await.unwrap();
    assert_eq!(lake.files_on_disk("gold.t").len(), 2);
    merging.discard().await;
    assert_eq!(lake.files_on_disk("gold.t").len(), 1);
    assert!(!lake.folder("gold.t").join("_staging").exists());
    assert_eq!(lake.rows("gold.t").await, ["1|a"]);
}
