//! A lake in a temporary folder, and rows for it.

use crate::{Lake, LakeConfig, Location, Runtime};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow::util::pretty::pretty_format_batches;
use contracts::Batches;
use contracts::sink::Prepared;
use contracts::table::{SchemaPolicy, TableStore, TableWrite, WriteMode};
use model::run::{CommitKey, Committed, RunId};
use model::{Name, Result, TableName};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) struct TestLake {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) lake: Lake,
}

pub(crate) fn config(dir: &Path, memory_bytes: usize) -> LakeConfig {
    let runtime = Runtime::new(memory_bytes, &dir.join("spill"), 4 << 30).unwrap();
    LakeConfig {
        location: Location::Local(dir.join("my lake é")),
        workspace: Name::new("main").unwrap(),
        threads: 2,
        runtime: Arc::new(runtime),
    }
}

pub(crate) fn open(dir: &Path) -> Lake {
    Lake::open(config(dir, 256 << 20)).unwrap()
}

pub(crate) fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(crate) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from(values.to_vec()))
}

pub(crate) fn flags(values: &[bool]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

/// Rows of the columns `id` and `name`.
pub(crate) fn people(ids: &[i64], names: &[&str]) -> RecordBatch {
    batch(vec![("id", ints(ids)), ("name", texts(names))])
}

pub(crate) fn merge(table: &str, run: u64) -> TableWrite {
    write(table, WriteMode::Merge { key: vec!["id".to_owned()], delete_flag: None }, run)
}

pub(crate) fn names(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| (*column).to_owned()).collect()
}

impl TestLake {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = open(dir.path());
        Self { dir, lake }
    }

    /// A lake that has so much memory.
    pub(crate) fn with_memory(memory_bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(config(dir.path(), memory_bytes)).unwrap();
        Self { dir, lake }
    }

    /// The folder of a table.
    pub(crate) fn folder(&self, table: &str) -> std::path::PathBuf {
        self.dir.path().join("my lake é/main").join(table.replace('.', "/"))
    }

    pub(crate) async fn prepare(
        &self,
        write: TableWrite,
        rows: RecordBatch,
    ) -> Result<Box<dyn Prepared>> {
        self.lake.prepare(write, Batches::from_memory(rows.schema(), vec![rows])).await
    }

    pub(crate) async fn write(&self, write: TableWrite, rows: RecordBatch) -> Result<Committed> {
        self.prepare(write, rows).await?.commit().await
    }

    /// All rows as sorted lines `a|b|c`.
    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        let name = TableName::parse(table).unwrap();
        let info = self.lake.describe(&name, None).await.unwrap().unwrap();
        self.rows_at(table, info.version).await
    }

    pub(crate) async fn rows_at(&self, table: &str, version: u64) -> Vec<String> {
        let name = TableName::parse(table).unwrap();
        let batches = self.lake.read(&name, version, 2).await.unwrap().collect().await.unwrap();
        lines(&batches)
    }

    /// Paths below a table's folder, without the log.
    pub(crate) fn files_on_disk(&self, table: &str) -> Vec<String> {
        let folder = self.folder(table);
        let mut found = Vec::new();
        let mut folders = vec![folder.clone()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(&folder).unwrap();
                    found.push(path.to_string_lossy().into_owned());
                }
            }
        }
        found.retain(|path| !path.starts_with("_delta_log"));
        found.sort();
        found
    }
}

pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let table = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> = table
        .lines()
        .skip(3)
        .filter(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|').map(str::trim);
            cells.collect::<Vec<_>>().join("|")
        })
        .collect();
    lines.sort();
    lines
}

pub(crate) fn key(run: u64) -> CommitKey {
    CommitKey {
        workspace: Name::new("main").unwrap(),
        pipeline: Name::new("sales").unwrap(),
        node: Name::new("sink").unwrap(),
        run: RunId::parse(&format!("01J{run:023}")).unwrap(),
    }
}

pub(crate) fn write(table: &str, mode: WriteMode, run: u64) -> TableWrite {
    TableWrite {
        table: TableName::parse(table).unwrap(),
        mode,
        partition_by: Vec::new(),
        cluster_by: Vec::new(),
        schema_policy: SchemaPolicy::Evolve,
        constraints: BTreeMap::new(),
        rebuild: false,
        replaces: Vec::new(),
        key: key(run),
        metadata: serde_json::Map::new(),
    }
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

/// Says that a test did not run.
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
}
