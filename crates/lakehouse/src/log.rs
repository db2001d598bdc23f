//! The log's commit files, read directly: history, commits by key, and what is wrong with them.

use crate::durable_store::LOG;
use crate::errors::{from_io, from_join, from_store};
use crate::location::Root;
use bytes::Bytes;
use futures::TryStreamExt;
use model::{Problem, Result, TableName, codes};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;

/// Key of our own entry in a commit's information.
pub(crate) const OWN: &str = "affluent";

/// The commit files of one table.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    /// The folder in the local file system, when it lies there.
    local: Option<PathBuf>,
}

/// One commit: its version and its actions.
#[derive(Debug)]
pub(crate) struct CommitFile {
    pub(crate) version: u64,
    pub(crate) actions: Vec<Value>,
}

impl CommitFile {
    /// What was noted with the commit.
    pub(crate) fn info(&self) -> Map<String, Value> {
        let info = self.actions.iter().find_map(|action| action.get("commitInfo"));
        info.and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Whether the commit carries the application id.
    fn carries(&self, app_id: &str) -> bool {
        self.actions
            .iter()
            .any(|action| action.pointer("/txn/appId").and_then(Value::as_str) == Some(app_id))
    }
}

impl Log {
    pub(crate) fn new(root: &Root, table_folder: &Path) -> Self {
        let folder = table_folder.clone().join(LOG);
        Self { store: Arc::clone(&root.store), local: root.local_path(&folder), folder }
    }

    /// Makes the names of all commits survive a power cut, whoever wrote them.
    pub(crate) async fn keep(&self) -> Result<()> {
        let Some(folder) = self.local.clone() else { return Ok(()) };
        let synced = tokio::task::spawn_blocking(move || stdx::durable::sync_dir(&folder)).await;
        synced.map_err(|error| from_join(&error))?.map_err(|error| from_io(&error))
    }

    /// Versions whose commit file is there, newest first.
    pub(crate) async fn versions(&self) -> Result<Vec<u64>> {
        let listed: Vec<_> = match self.store.list(Some(&self.folder)).try_collect().await {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(from_store(&error)),
        };
        let mut versions: Vec<u64> = listed
            .iter()
            .filter_map(|meta| {
                let name = meta.location.filename()?.strip_suffix(".json")?;
                (name.len() == 20).then(|| name.parse().ok()).flatten()
            })
            .collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        Ok(versions)
    }

    /// Whether a commit's file is there.
    pub(crate) async fn has(&self, version: u64) -> bool {
        self.store.head(&self.path(version)).await.is_ok()
    }

    /// Reads one commit.
    pub(crate) async fn read(&self, version: u64) -> Result<CommitFile> {
        let path = self.path(version);
        let got = self.store.get(&path).await.map_err(|error| from_store(&error))?;
        let bytes = got.bytes().await.map_err(|error| from_store(&error))?;
        Ok(CommitFile { version, actions: parse(&path, &bytes)? })
    }

    /// The newest commit that carries an application id, if its file is still there.
    pub(crate) async fn find(&self, app_id: &str) -> Result<Option<CommitFile>> {
        for version in self.versions().await? {
            let commit = self.read(version).await?;
            if commit.carries(app_id) {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    }

    /// Says which file of the log is missing or damaged, when a library only says that one is.
    pub(crate) async fn diagnose(&self, table: &TableName, problem: Problem) -> Problem {
        if !problem.is(&codes::TABLE_CORRUPT) {
            return problem;
        }
        let Ok(mut versions) = self.versions().await else { return problem };
        versions.reverse();
        for pair in versions.windows(2) {
            if pair[1] != pair[0] + 1 {
                return corrupt(table, &self.path(pair[0] + 1), "the file is missing");
            }
        }
        for version in versions {
            if let Err(found) = self.read(version).await {
                return found;
            }
        }
        problem.arg("table", table)
    }

    fn path(&self, version: u64) -> Path {
        self.folder.clone().join(format!("{version:020}.json"))
    }
}

fn parse(path: &Path, bytes: &Bytes) -> Result<Vec<Value>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(serde_json::from_slice).collect::<std::result::Result<_, _>>().map_err(|error| {
        Problem::new(&codes::TABLE_CORRUPT, format!("`{path}` in a table's log is damaged"))
            .arg("file", path)
            .in_file(path)
            .detail(error)
            .hint("restore the file from a copy")
    })
}

fn corrupt(table: &TableName, path: &Path, detail: &str) -> Problem {
    Problem::new(&codes::TABLE_CORRUPT, format!("the log of `{table}` lacks `{path}`"))
        .arg("table", table)
        .arg("file", path)
        .in_file(path)
        .detail(detail)
        .hint("restore the file from a copy")
}
