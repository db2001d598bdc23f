//! Append and overwrite.

use super::support::{TestLake, batch, write};
use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use contracts::table::{TableStore, WriteMode};
use std::sync::Arc;

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from(values.to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn append_then_overwrite_and_the_old_version_stays() {
    let lake = TestLake::new();
    let rows = batch(vec![("id", ints(&[1, 2])), ("name", texts(&["a", "b"]))]);
    let first = lake.write(write("bronze.t", WriteMode::Append, 1), rows).await.unwrap();
    assert_eq!((first.version, first.rows, first.already), (Some(0), 2, false));
    let rows = batch(vec![("id", ints(&[3])), ("name", texts(&["c"]))]);
    let second = lake.write(write("bronze.t", WriteMode::Append, 2), rows).await.unwrap();
    assert_eq!(second.version, Some(1));
    assert_eq!(lake.rows("bronze.t").await, ["1|a", "2|b", "3|c"]);
    let rows = batch(vec![("id", ints(&[9])), ("name", texts(&["z"]))]);
    let third = lake.write(write("bronze.t", WriteMode::Overwrite, 3), rows).await.unwrap();
    assert_eq!(third.detail["removed"], 3);
    assert_eq!(lake.rows("bronze.t").await, ["9|z"]);
    assert_eq!(lake.rows_at("bronze.t", 1).await.len(), 3);
    let tables = lake.lake.list().await.unwrap();
    assert_eq!(tables.len(), 1);
}
