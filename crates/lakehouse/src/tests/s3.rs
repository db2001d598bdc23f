//! A lake in a bucket. Needs a server: `AFFLUENT_S3_ENDPOINT` names one whose bucket is `lake`.

use super::support::{key, merge, people, write};
use crate::{Lake, LakeConfig, Location, Runtime};
use contracts::Batches;
use contracts::table::{Maintenance, TableStore, WriteMode};
use model::{Name, TableName, codes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinSet;

fn settings(endpoint: &str) -> BTreeMap<String, String> {
    let settings = [
        ("endpoint", endpoint),
        ("region", "us-east-1"),
        ("access_key_id", "test"),
        ("secret_access_key", "test"),
        ("allow_http", "true"),
    ];
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn open(endpoint: &str, prefix: &str) -> Lake {
    let spill = std::env::temp_dir().join("affluent-s3-spill");
    Lake::open(LakeConfig {
        location: Location::parse(&format!("s3://lake/{prefix}"), &settings(endpoint)).unwrap(),
        workspace: Name::new("main").unwrap(),
        threads: 2,
        runtime: Arc::new(Runtime::new(64 << 20, &spill, 1 << 30).unwrap()),
    })
    .unwrap()
}

#[test]
fn settings_that_lose_commits_are_refused() {
    for setting in ["AWS_S3_LOCKING_PROVIDER", "aws_s3_allow_unsafe_rename"] {
        let settings = BTreeMap::from([(setting.to_owned(), "dynamodb".to_owned())]);
        let location = Location::parse("s3://lake/x", &settings).unwrap();
        let workspace = Name::new("main").unwrap();
        let problem = crate::location::Root::open(&location, &workspace).unwrap_err();
        assert!(problem.is(&codes::SETTING_INVALID));
        assert!(problem.message().contains(setting), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l_02_concurrent_appends_to_a_bucket_lose_nothing() {
    let Ok(endpoint) = std::env::var("AFFLUENT_S3_ENDPOINT") else {
        return super::support::skipped("AFFLUENT_S3_ENDPOINT is not set");
    };
    let prefix = uuid::Uuid::new_v4().to_string();
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let own = open(&endpoint, &prefix);
        tasks.spawn(async move {
            for append in 0..25 {
                let run = writer * 25 + append;
                let rows = people(&[run as i64], &["x"]);
                let rows = Batches::from_memory(rows.schema(), vec![rows]);
                let write = write("bronze.t", WriteMode::Append, run);
                own.prepare(write, rows).await.unwrap().commit().await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let lake = open(&endpoint, &prefix);
    let name = TableName::parse("bronze.t").unwrap();
    let versions: BTreeSet<u64> =
        lake.history(&name).await.unwrap().iter().map(|commit| commit.version).collect();
    assert_eq!(versions, (0..100).collect());
    assert_eq!(lake.describe(&name, None).await.unwrap().unwrap().rows, Some(100));
    assert!(lake.committed(&name, &key(17)).await.unwrap().is_some());
    let rows = people(&[17, 200], &["y", "z"]);
    let rows = Batches::from_memory(rows.schema(), vec![rows]);
    let merged = lake.prepare(merge("bronze.t", 500), rows).await.unwrap().commit().await.unwrap();
    assert_eq!((merged.detail["inserted"], merged.detail["updated"]), (1, 1));
    let what = Maintenance { optimize: true, vacuum: true, ..Maintenance::default() };
    lake.maintain(&name, what).await.unwrap();
    assert_eq!(lake.files(&name, None).await.unwrap().len(), 1);
    assert_eq!(lake.describe(&name, None).await.unwrap().unwrap().rows, Some(101));
    assert_eq!(lake.list().await.unwrap(), [name]);
}
