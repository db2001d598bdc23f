//! Versions, statistics, pruning, damage.

use super::support::{TestLake, ints, names, people, write};
use contracts::table::{TableStore, WriteMode};
use datafusion::physical_plan::displayable;
use model::{TableName, codes};

async fn plan(lake: &TestLake, query: &str) -> String {
    let name = TableName::parse("silver.t").unwrap();
    let (_, provider) = lake.lake.provider(&name, None).await.unwrap().unwrap();
    let session = crate::Runtime::new(64 << 20, lake.dir.path(), 1 << 30).unwrap();
    let context = session.session(2, true);
    let config = super::support::config(lake.dir.path(), 1 << 20);
    let root = crate::location::Root::open(&config.location, &config.workspace).unwrap();
    session.env().register_object_store(&root.query_url, root.store);
    context.register_table("t", provider).unwrap();
    let plan = context.sql(query).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_version_and_a_missing_table_differ() {
    let lake = TestLake::new();
    let name = TableName::parse("silver.t").unwrap();
    assert!(lake.lake.describe(&name, None).await.unwrap().is_none());
    assert!(lake.lake.describe(&name, Some(3)).await.unwrap().is_none());
    lake.write(write("silver.t", WriteMode::Append, 1), people(&[1], &["a"])).await.unwrap();
    let problem = lake.lake.describe(&name, Some(3)).await.unwrap_err();
    assert!(problem.is(&codes::TABLE_NOT_FOUND), "{problem:?}");
    assert!(problem.message().contains("version 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_left_out_by_their_statistics() {
    let lake = TestLake::new();
    for (run, id) in [(1, 10), (2, 20), (3, 30)] {
        let rows = people(&[id, id + 1], &["a", "b"]);
        lake.write(write("silver.t", WriteMode::Append, run), rows).await.unwrap();
    }
    let all = plan(&lake, "SELECT * FROM t").await;
    assert_eq!(all.matches("part-").count(), 3, "{all}");
    let one = plan(&lake, "SELECT name FROM t WHERE id = 21").await;
    assert_eq!(one.matches("part-").count(), 1, "{one}");
    let none = plan(&lake, "SELECT name FROM t WHERE id > 99").await;
    assert!(none.contains("EmptyExec"), "{none}");
    let count = plan(&lake, "SELECT count(*), min(id) FROM t").await;
    assert!(!count.contains("part-"), "answered without reading: {count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_left_out_and_null_is_a_value_of_its_own() {
    let lake = TestLake::new();
    let mut append = write("silver.t", WriteMode::Append, 1);
    append.partition_by = names(&["name"]);
    let rows = super::support::batch(vec![
        ("id", ints(&[1, 2, 3])),
        ("name", {
            let names = vec![Some("a"), None, Some("it's / é")];
            std::sync::Arc::new(arrow::array::StringViewArray::from(names))
        }),
    ]);
    lake.write(append, rows).await.unwrap();
    assert_eq!(lake.rows("silver.t").await, ["1|a", "2|", "3|it's / é"]);
    for (filter, files) in [("name = 'a'", 1), ("name IS NULL", 1), ("name IS NOT NULL", 2)] {
        let plan = plan(&lake, &format!("SELECT id FROM t WHERE {filter}")).await;
        assert_eq!(plan.matches("part-").count(), files, "{filter}: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_names_the_file() {
    let lake = TestLake::new();
    for run in 1..=3 {
        let rows = people(&[run], &["a"]);
        lake.write(write("silver.t", WriteMode::Append, run as u64), rows).await.unwrap();
    }
    let name = TableName::parse("silver.t").unwrap();
    let commit = lake.folder("silver.t").join("_delta_log/00000000000000000001.json");
    let whole = std::fs::read(&commit).unwrap();
    for damage in [Some(&whole[..whole.len() / 2]), None] {
        match damage {
            Some(half) => std::fs::write(&commit, half).unwrap(),
            None => std::fs::remove_file(&commit).unwrap(),
        }
        let fresh = super::support::open(lake.dir.path());
        let problem = fresh.describe(&name, None).await.unwrap_err();
        assert!(problem.is(&codes::TABLE_CORRUPT), "{problem:?}");
        let file = &problem.arguments()["file"];
        assert!(file.ends_with("00000000000000000001.json"), "{problem:?}");
    }
}
