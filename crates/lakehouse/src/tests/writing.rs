//! append, overwrite, replace_partitions; schemas and constraints.

use super::support::{TestLake, batch, ints, names, people, texts, write};
use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, ListArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use contracts::table::{SchemaPolicy, TableStore, WriteMode};
use model::{TableName, codes};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn append_then_overwrite_and_the_old_version_stays() {
    let lake = TestLake::new();
    let append = |run| write("bronze.t", WriteMode::Append, run);
    let first = lake.write(append(1), people(&[1, 2], &["a", "b"])).await.unwrap();
    assert_eq!((first.version, first.rows, first.already), (Some(0), 2, false));
    let second = lake.write(append(2), people(&[3], &["c"])).await.unwrap();
    assert_eq!(second.version, Some(1));
    assert_eq!(lake.rows("bronze.t").await, ["1|a", "2|b", "3|c"]);
    let overwrite = write("bronze.t", WriteMode::Overwrite, 3);
    let third = lake.write(overwrite, people(&[9], &["z"])).await.unwrap();
    assert_eq!(third.detail["removed"], 3);
    assert_eq!(lake.rows("bronze.t").await, ["9|z"]);
    assert_eq!(lake.rows_at("bronze.t", 1).await.len(), 3);
    assert_eq!(lake.lake.list().await.unwrap(), [TableName::parse("bronze.t").unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_knows_the_exact_size_of_each_file() {
    let lake = TestLake::new();
    lake.write(write("bronze.t", WriteMode::Append, 1), people(&[1], &["a"])).await.unwrap();
    let name = TableName::parse("bronze.t").unwrap();
    let files = lake.lake.files(&name, None).await.unwrap();
    let on_disk = std::fs::metadata(lake.folder("bronze.t").join(&files[0].path)).unwrap();
    assert_eq!(files[0].bytes, on_disk.len());
    let stats = files[0].stats.as_ref().unwrap();
    let expected = serde_json::json!({
        "numRecords": 1,
        "minValues": {"id": 1, "name": "a"},
        "maxValues": {"id": 1, "name": "a"},
        "nullCount": {"id": 0, "name": 0},
    });
    assert_eq!(stats, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_partitions_replaces_only_those_it_brings() {
    let lake = TestLake::new();
    let replace = |run| {
        let mut write = write("gold.t", WriteMode::ReplacePartitions, run);
        write.partition_by = names(&["day"]);
        write
    };
    let rows = |days: &[i32], values: &[i64]| {
        let days: ArrayRef = Arc::new(Date32Array::from(days.to_vec()));
        batch(vec![("day", days), ("value", ints(values))])
    };
    lake.write(replace(1), rows(&[0, 0, 1, 2], &[1, 2, 3, 4])).await.unwrap();
    let committed = lake.write(replace(2), rows(&[1, 3], &[30, 50])).await.unwrap();
    assert_eq!(committed.detail["removed"], 1);
    assert_eq!(
        lake.rows("gold.t").await,
        ["1970-01-01|1", "1970-01-01|2", "1970-01-02|30", "1970-01-03|4", "1970-01-04|50"]
    );
    let none = lake.write(replace(3), rows(&[], &[])).await.unwrap();
    assert_eq!(none.rows, 0);
    assert_eq!(lake.rows("gold.t").await.len(), 5);
    assert!(lake.files_on_disk("gold.t").iter().all(|path| path.starts_with("day=")));
    let mut other = write("gold.t", WriteMode::Append, 4);
    other.partition_by = names(&["value"]);
    let problem = lake.write(other, rows(&[1], &[1])).await.unwrap_err();
    assert!(problem.is(&codes::SETTING_INVALID), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn evolve_adds_columns_and_fills_missing_ones() {
    let lake = TestLake::new();
    let append = |run| write("silver.t", WriteMode::Append, run);
    lake.write(append(1), people(&[1], &["a"])).await.unwrap();
    let rows = batch(vec![("more", ints(&[7])), ("id", ints(&[2]))]);
    lake.write(append(2), rows).await.unwrap();
    assert_eq!(lake.rows("silver.t").await, ["1|a|", "2||7"]);
    let text_id = batch(vec![("id", texts(&["x"]))]);
    let problem = lake.write(append(3), text_id.clone()).await.unwrap_err();
    assert!(problem.is(&codes::SCHEMA_CHANGED));
    assert!(problem.message().contains("`id` is string and was integer"), "{problem}");
    lake.write(write("silver.t", WriteMode::Overwrite, 4), text_id).await.unwrap();
    assert_eq!(lake.rows("silver.t").await, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn freeze_refuses_and_discard_drops() {
    let lake = TestLake::new();
    let append = |run, policy| {
        let mut write = write("silver.t", WriteMode::Append, run);
        write.schema_policy = policy;
        write
    };
    lake.write(append(1, SchemaPolicy::Freeze), people(&[1], &["a"])).await.unwrap();
    let other = batch(vec![("id", ints(&[2])), ("more", ints(&[7]))]);
    let problem = lake.write(append(2, SchemaPolicy::Freeze), other.clone()).await.unwrap_err();
    assert!(problem.is(&codes::SCHEMA_CHANGED));
    let message = problem.message();
    assert!(message.contains("`more` is new, `name` is missing"), "{message}");
    lake.write(append(3, SchemaPolicy::Discard), other).await.unwrap();
    assert_eq!(lake.rows("silver.t").await, ["1|a", "2|"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn constraints_hold_for_new_and_old_rows() {
    let lake = TestLake::new();
    let append = |run, text: Option<&str>| {
        let mut write = write("silver.t", WriteMode::Append, run);
        if let Some(text) = text {
            write.constraints.insert("small".to_owned(), text.to_owned());
        }
        write
    };
    lake.write(append(1, Some("id < 100")), people(&[1], &["a"])).await.unwrap();
    // The constraint belongs to the table now, whether or not the sink repeats it.
    let problem = lake.write(append(2, None), people(&[5, 100], &["b", "c"])).await.unwrap_err();
    assert!(problem.is(&codes::CONSTRAINT_VIOLATED));
    assert!(problem.message().contains("`small`"));
    assert!(problem.detail_text().unwrap().contains("(id=100, name=c)"), "{problem}");
    assert_eq!(lake.rows("silver.t").await, ["1|a"]);
    assert_eq!(lake.files_on_disk("silver.t").len(), 1, "files of the refused write are left");
    let info = lake.lake.describe(&TableName::parse("silver.t").unwrap(), None).await.unwrap();
    assert_eq!(info.unwrap().constraints["small"], "id < 100");
    let stricter = lake.write(append(3, Some("id > 1")), people(&[7], &["d"])).await;
    assert!(stricter.unwrap_err().is(&codes::CONSTRAINT_VIOLATED), "row 1 breaks it");
    let wrong = lake.write(append(4, Some("nothing > 1")), people(&[7], &["d"])).await;
    assert!(wrong.unwrap_err().is(&codes::SQL_INVALID));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_delta_refuses_are_refused_with_a_hint() {
    let lake = TestLake::new();
    let rows = batch(vec![("sum(amount)", ints(&[1]))]);
    let problem = lake.write(write("gold.t", WriteMode::Append, 1), rows).await.unwrap_err();
    assert!(problem.is(&codes::NAME_INVALID), "{problem}");
    let rows = batch(vec![("a", ints(&[1])), ("A", ints(&[1]))]);
    let problem = lake.write(write("gold.t", WriteMode::Append, 2), rows).await.unwrap_err();
    assert!(problem.is(&codes::NAME_TAKEN), "{problem}");
    let mut clustered = write("gold.t", WriteMode::Append, 3);
    clustered.cluster_by = names(&["nam"]);
    let problem = lake.write(clustered, people(&[1], &["a"])).await.unwrap_err();
    assert!(problem.is(&codes::COLUMN_UNKNOWN));
    assert_eq!(problem.hint_text(), Some("did you mean `name`?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_by_sorts_inside_of_files() {
    let lake = TestLake::new();
    let mut clustered = write("gold.t", WriteMode::Append, 1);
    clustered.cluster_by = names(&["name", "id"]);
    lake.write(clustered, people(&[3, 1, 2], &["b", "b", "a"])).await.unwrap();
    let name = TableName::parse("gold.t").unwrap();
    let batches = lake.lake.read(&name, 0, 1).await.unwrap().collect().await.unwrap();
    let ids = batches[0].column_by_name("id").unwrap();
    assert_eq!(ids.as_ref(), ints(&[2, 1, 3]).as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_was() {
    let lake = TestLake::new();
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let element = Arc::new(Field::new("v", DataType::Utf8View, true));
    let structs = StructArray::from(vec![(element, texts(&["x", "y"]))]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("f", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN)]))),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![Some(12345), None])
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
        ("day", Arc::new(Date32Array::from(vec![Some(1), None]))),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_000_001), None]).with_timezone("UTC"),
            ),
        ),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![Some(3_600_000_001), None]))),
        ("bin", Arc::new(BinaryViewArray::from(vec![Some(b"\x00\xff".as_ref()), None]))),
        ("list", Arc::new(list)),
        ("struct", Arc::new(structs)),
        ("text", texts(&["é", ""])),
    ];
    let rows = batch(columns);
    lake.write(write("silver.t", WriteMode::Append, 1), rows.clone()).await.unwrap();
    let name = TableName::parse("silver.t").unwrap();
    let read = lake.lake.read(&name, 0, 1).await.unwrap();
    let types = |schema: &arrow::datatypes::Schema| -> Vec<DataType> {
        schema.fields().iter().map(|field| field.data_type().clone()).collect()
    };
    assert_eq!(types(&read.schema), types(&rows.schema()));
    let read = read.collect().await.unwrap();
    assert_eq!(format!("{:?}", read[0].columns()), format!("{:?}", rows.columns()));
}

#[tokio::test(flavor = "multi_thread")]
async fn field_metadata_is_kept() {
    let lake = TestLake::new();
    let rows = people(&[1], &["a"]);
    let metadata = [
        ("affluent.header".to_owned(), "Nom de l'élève".to_owned()),
        ("affluent.type".to_owned(), "json".to_owned()),
    ];
    let field =
        Field::new("name", DataType::Utf8View, true).with_metadata(metadata.into_iter().collect());
    let schema = arrow::datatypes::Schema::new(vec![rows.schema().field(0).clone(), field]);
    let rows = rows.with_schema(Arc::new(schema.clone())).unwrap();
    lake.write(write("silver.t", WriteMode::Append, 1), rows).await.unwrap();
    let name = TableName::parse("silver.t").unwrap();
    let info = lake.lake.describe(&name, None).await.unwrap().unwrap();
    assert_eq!(info.schema.as_ref(), &schema);
}
