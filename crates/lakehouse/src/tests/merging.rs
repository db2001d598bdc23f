//! merge and scd2.

use super::support::{TestLake, batch, flags, ints, merge, names, people, texts, write};
use arrow::array::{ArrayRef, Int64Array};
use contracts::table::{SchemaPolicy, TableStore, TableWrite, WriteMode};
use model::{TableName, codes};
use std::sync::Arc;

fn history(run: u64, valid_from_us: i64) -> TableWrite {
    let mode = WriteMode::Scd2 { key: names(&["id"]), compare: Vec::new(), valid_from_us };
    write("silver.h", mode, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_updates_inserts_and_leaves_the_rest() {
    let lake = TestLake::new();
    let first = lake.write(merge("silver.t", 1), people(&[1, 2], &["a", "b"])).await.unwrap();
    assert_eq!((first.rows, first.detail["inserted"]), (2, 2));
    let second = lake.write(merge("silver.t", 2), people(&[2, 3], &["B", "c"])).await.unwrap();
    assert_eq!(second.detail["inserted"], 1);
    assert_eq!(second.detail["updated"], 1);
    assert_eq!(lake.rows("silver.t").await, ["1|a", "2|B", "3|c"]);
    let same = lake.write(merge("silver.t", 3), people(&[1, 3], &["a", "c"])).await.unwrap();
    assert_eq!((same.rows, same.detail["unchanged"]), (0, 2));
    assert!(!lake.folder("silver.t").join("_staging").exists());
    let again = lake.write(merge("silver.t", 2), people(&[2, 3], &["B", "c"])).await.unwrap();
    assert!(again.already);
    assert_eq!(again.detail["updated"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_rewrites_only_files_that_hold_a_changed_key() {
    let lake = TestLake::new();
    for (run, ids) in [(1, [1, 2]), (2, [10, 11]), (3, [20, 21])] {
        let rows = people(&ids, &["x", "y"]);
        lake.write(write("silver.t", WriteMode::Append, run), rows).await.unwrap();
    }
    let name = TableName::parse("silver.t").unwrap();
    let paths = |files: Vec<contracts::table::TableFile>| -> Vec<String> {
        files.into_iter().map(|file| file.path).collect()
    };
    let before = paths(lake.lake.files(&name, None).await.unwrap());
    // 2 is unchanged, so that its file stays; 11 is changed.
    lake.write(merge("silver.t", 4), people(&[2, 11, 30], &["y", "Y", "z"])).await.unwrap();
    let after = paths(lake.lake.files(&name, None).await.unwrap());
    assert_eq!(before.iter().filter(|path| after.contains(path)).count(), 2);
    let rows = lake.rows("silver.t").await;
    assert_eq!(rows, ["10|x", "11|Y", "1|x", "20|x", "21|y", "2|y", "30|z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_deletes_where_the_flag_says_so() {
    let lake = TestLake::new();
    let delete = |run| {
        let mode = WriteMode::Merge { key: names(&["id"]), delete_flag: Some("gone".to_owned()) };
        write("silver.t", mode, run)
    };
    let rows = |ids: &[i64], names: &[&str], gone: &[bool]| {
        batch(vec![("id", ints(ids)), ("name", texts(names)), ("gone", flags(gone))])
    };
    let first = rows(&[1, 2, 3], &["a", "b", "c"], &[false, false, true]);
    lake.write(delete(1), first).await.unwrap();
    assert_eq!(lake.rows("silver.t").await, ["1|a", "2|b"]);
    let second = rows(&[1, 2, 9], &["a", "B", "?"], &[true, false, true]);
    let committed = lake.write(delete(2), second).await.unwrap();
    assert_eq!(committed.detail["deleted"], 1);
    assert_eq!(committed.detail["updated"], 1);
    assert_eq!(committed.detail["unchanged"], 1, "a delete of nothing changes nothing");
    assert_eq!(lake.rows("silver.t").await, ["2|B"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_refuses_repeated_and_missing_keys() {
    let lake = TestLake::new();
    let rows = people(&[1, 1, 2, 2, 2, 3], &["a", "b", "c", "d", "e", "f"]);
    let problem = lake.write(merge("silver.t", 1), rows).await.unwrap_err();
    assert!(problem.is(&codes::MERGE_KEY_REPEATED));
    assert!(problem.message().contains("`1` (2 times)"), "{problem}");
    assert!(problem.message().contains("`2` (3 times)"), "{problem}");
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let rows = batch(vec![("id", ids), ("name", texts(&["a", "b"]))]);
    let problem = lake.write(merge("silver.t", 2), rows).await.unwrap_err();
    assert!(problem.message().contains("have no `id`"), "{problem}");
    assert!(lake.files_on_disk("silver.t").is_empty());
    assert!(lake.lake.list().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_moves_rows_between_partitions_and_takes_new_columns() {
    let lake = TestLake::new();
    let mut first = merge("silver.t", 1);
    first.partition_by = names(&["name"]);
    lake.write(first, people(&[1, 2, 3], &["a", "a", "b"])).await.unwrap();
    let rows =
        batch(vec![("id", ints(&[2, 4])), ("name", texts(&["b", "c/d"])), ("more", ints(&[7, 8]))]);
    lake.write(merge("silver.t", 2), rows).await.unwrap();
    assert_eq!(lake.rows("silver.t").await, ["1|a|", "2|b|7", "3|b|", "4|c/d|8"]);
    let mut frozen = merge("silver.t", 3);
    frozen.schema_policy = SchemaPolicy::Freeze;
    let problem = lake.write(frozen, people(&[1], &["x"])).await.unwrap_err();
    assert!(problem.is(&codes::SCHEMA_CHANGED));
}

/// Where a row came from is no change: the same file sent again under another name changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn merge_ignores_the_origin_when_it_compares() {
    let lake = TestLake::new();
    let rows = |file: &str| {
        batch(vec![("id", ints(&[1])), ("name", texts(&["a"])), ("_file", texts(&[file]))])
    };
    lake.write(merge("silver.t", 1), rows("monday.csv")).await.unwrap();
    let again = lake.write(merge("silver.t", 2), rows("tuesday.csv")).await.unwrap();
    assert_eq!(again.detail["unchanged"], 1);
    assert_eq!(lake.rows("silver.t").await, ["1|a|monday.csv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_equals_a_map_over_many_random_rounds() {
    let lake = TestLake::new();
    let mut expected = std::collections::BTreeMap::new();
    let mut random = stdx::hash::Random::new(7);
    for run in 1..=12 {
        let ids: std::collections::BTreeSet<i64> =
            (0..random.below(60)).map(|_| random.below(100) as i64).collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let values: Vec<String> = ids.iter().map(|_| format!("v{}", random.below(4))).collect();
        let texts_of: Vec<&str> = values.iter().map(String::as_str).collect();
        let (mut inserted, mut updated, mut unchanged) = (0, 0, 0);
        for (id, value) in ids.iter().zip(&values) {
            match expected.insert(*id, value.clone()) {
                None => inserted += 1,
                Some(old) if old == *value => unchanged += 1,
                Some(_) => updated += 1,
            }
        }
        let committed = lake.write(merge("silver.t", run), people(&ids, &texts_of)).await.unwrap();
        let count = |what: &str| committed.detail.get(what).copied().unwrap_or_default();
        let counts = (count("inserted"), count("updated"), count("unchanged"));
        assert_eq!(counts, (inserted, updated, unchanged), "round {run}");
        let mut lines: Vec<String> =
            expected.iter().map(|(id, value)| format!("{id}|{value}")).collect();
        lines.sort();
        assert_eq!(lake.rows("silver.t").await, lines, "round {run}");
    }
}

/// The staged rows alone are larger than what a hash join may take.
#[tokio::test(flavor = "multi_thread")]
async fn merge_of_more_rows_than_memory_spills() {
    let lake = TestLake::with_memory(40 << 20);
    let rows = |first: i64, letter: &str| {
        let ids: Vec<i64> = (first..first + 200_000).collect();
        let text = letter.repeat(100);
        let names: Vec<String> = ids.iter().map(|id| format!("{text}{id}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = people(&ids, &names);
        let slices = (0..all.num_rows()).step_by(8192);
        let slices: Vec<_> =
            slices.map(|at| all.slice(at, 8192.min(all.num_rows() - at))).collect();
        contracts::Batches::from_memory(all.schema(), slices)
    };
    let first = lake.lake.prepare(merge("silver.t", 1), rows(0, "a")).await.unwrap();
    first.commit().await.unwrap();
    let second = lake.lake.prepare(merge("silver.t", 2), rows(100_000, "b")).await.unwrap();
    let second = second.commit().await.unwrap();
    assert_eq!(second.detail["inserted"], 100_000);
    assert_eq!(second.detail["updated"], 100_000);
    let name = TableName::parse("silver.t").unwrap();
    let info = lake.lake.describe(&name, None).await.unwrap().unwrap();
    assert_eq!(info.rows, Some(300_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn scd2_closes_the_old_version_and_opens_a_new_one() {
    let lake = TestLake::new();
    let day = |day: i64| day * 86_400_000_000;
    lake.write(history(1, day(1)), people(&[1, 2], &["a", "b"])).await.unwrap();
    let second = lake.write(history(2, day(2)), people(&[1, 2, 3], &["a", "B", "c"])).await;
    let second = second.unwrap();
    assert_eq!((second.detail["inserted"], second.detail["updated"]), (1, 1));
    assert_eq!(second.detail["unchanged"], 1);
    let expected = [
        "1|a|1970-01-02T00:00:00Z||true",
        "2|B|1970-01-03T00:00:00Z||true",
        "2|b|1970-01-02T00:00:00Z|1970-01-03T00:00:00Z|false",
        "3|c|1970-01-03T00:00:00Z||true",
    ];
    assert_eq!(lake.rows("silver.h").await, expected);
    // The same run again, then another run with the same rows: nothing changes.
    assert!(lake.write(history(2, day(2)), people(&[2], &["B"])).await.unwrap().already);
    let third = lake.write(history(3, day(3)), people(&[2, 3], &["B", "c"])).await.unwrap();
    assert_eq!(third.detail["unchanged"], 2);
    assert_eq!(lake.rows("silver.h").await, expected);
    // A third version of the same row leaves the closed one alone.
    lake.write(history(4, day(4)), people(&[2], &["BB"])).await.unwrap();
    let rows = lake.rows("silver.h").await;
    assert!(rows.contains(&expected[2].to_owned()), "{rows:?}");
    assert!(rows.contains(&"2|B|1970-01-03T00:00:00Z|1970-01-05T00:00:00Z|false".to_owned()));
    assert!(rows.contains(&"2|BB|1970-01-05T00:00:00Z||true".to_owned()));
    assert_eq!(rows.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn scd2_never_ends_a_version_before_it_began() {
    let lake = TestLake::new();
    lake.write(history(1, 5_000_000), people(&[1], &["a"])).await.unwrap();
    lake.write(history(2, 1_000_000), people(&[1], &["b"])).await.unwrap();
    let expected =
        ["1|a|1970-01-01T00:00:05Z|1970-01-01T00:00:05Z|false", "1|b|1970-01-01T00:00:05Z||true"];
    assert_eq!(lake.rows("silver.h").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_merge_starts_from_nothing_and_refuses_what_a_merge_refuses() {
    let lake = TestLake::new();
    lake.write(merge("silver.t", 1), people(&[1, 2], &["a", "b"])).await.unwrap();
    let rebuild = |run| TableWrite { rebuild: true, ..merge("silver.t", run) };
    let twice = people(&[1, 1], &["a", "b"]);
    let problem = lake.write(rebuild(2), twice).await.unwrap_err();
    assert!(problem.is(&codes::MERGE_KEY_REPEATED), "{problem}");
    assert_eq!(lake.rows("silver.t").await, ["1|a", "2|b"]);
    let committed = lake.write(rebuild(3), people(&[2, 3], &["B", "c"])).await.unwrap();
    assert_eq!((committed.rows, committed.detail["removed"]), (2, 2));
    assert_eq!(lake.rows("silver.t").await, ["2|B", "3|c"]);
    // Columns that do not come any more are gone, as in an overwrite.
    lake.write(rebuild(4), batch(vec![("id", ints(&[9]))])).await.unwrap();
    assert_eq!(lake.rows("silver.t").await, ["9"]);
    assert!(!lake.folder("silver.t").join("_staging").exists());
}

/// Rows of a history that is rebuilt: the instant since when each holds, µs.
fn since(ids: &[i64], names: &[&str], since_us: &[i64]) -> arrow::array::RecordBatch {
    let since = arrow::array::TimestampMicrosecondArray::from(since_us.to_vec());
    let since: ArrayRef = Arc::new(since.with_timezone("UTC"));
    batch(vec![("id", ints(ids)), ("name", texts(names)), ("_since", since)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_history_is_what_run_after_run_had_made() {
    const SECOND: i64 = 1_000_000;
    let step = TestLake::new();
    step.write(history(1, SECOND), people(&[1, 2], &["a", "b"])).await.unwrap();
    step.write(history(2, 2 * SECOND), people(&[1, 3], &["A", "c"])).await.unwrap();
    step.write(history(3, 3 * SECOND), people(&[1, 2], &["A", "B"])).await.unwrap();
    let expected = step.rows("silver.h").await;
    assert_eq!(expected.len(), 5);

    let lake = TestLake::new();
    lake.write(history(1, 9 * SECOND), people(&[7, 1], &["old", "old"])).await.unwrap();
    let rebuild = |run| TableWrite { rebuild: true, ..history(run, 9 * SECOND) };
    // In any order of arrival.
    let times = [3, 1, 2, 1, 3, 2].map(|second| second * SECOND);
    let rows = since(&[1, 1, 1, 2, 2, 3], &["A", "a", "A", "b", "B", "c"], &times);
    lake.write(rebuild(2), rows).await.unwrap();
    assert_eq!(lake.rows("silver.h").await, expected);
    // One key twice at one instant is refused, as in one run.
    let twice = since(&[1, 1], &["a", "b"], &[SECOND, SECOND]);
    let problem = lake.write(rebuild(3), twice).await.unwrap_err();
    assert!(problem.is(&codes::MERGE_KEY_REPEATED), "{problem}");
    assert_eq!(lake.rows("silver.h").await, expected);
}
