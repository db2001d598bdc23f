//! What tests of readers share: files in a temporary folder, rejects in a list, test data.

use crate::file::{InputFile, ReadOptions};
use contracts::rejects::Reject;
use contracts::{Batches, RejectSink, rows};
use model::Result;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Keeps rejected rows.
#[derive(Default)]
pub(crate) struct Rejected(Mutex<Vec<Reject>>);

impl RejectSink for Rejected {
    fn reject(&self, reject: Reject) -> Result<()> {
        self.0.lock().unwrap().push(reject);
        Ok(())
    }
}

impl Rejected {
    pub(crate) fn all(&self) -> Vec<Reject> {
        let mut rejects = self.0.lock().unwrap().clone();
        rejects.sort_by_key(|reject| (reject.file.clone(), reject.row));
        rejects
    }

    /// `row: reason` of each.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let text = |reject: &Reject| {
            let error = &reject.errors[0];
            let column = if error.column.is_empty() { "" } else { " " };
            format!("{}{column}{}: {}", reject.row.unwrap(), error.column, error.reason)
        };
        self.all().iter().map(text).collect()
    }
}

pub(crate) fn read_options(rejected: &Arc<Rejected>) -> ReadOptions {
    ReadOptions {
        partitions: 2,
        sample: None,
        rejects: Arc::clone(rejected) as Arc<dyn RejectSink>,
        bytes: Arc::default(),
    }
}

/// A folder with one file in it.
pub(crate) struct OneFile {
    _dir: tempfile::TempDir,
    pub(crate) file: InputFile,
}

pub(crate) fn one_file(name: &str, content: impl AsRef<[u8]>) -> OneFile {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    OneFile { _dir: dir, file: InputFile { path, name: name.to_owned() } }
}

/// Reads everything on a small runtime.
pub(crate) fn collect(batches: Batches) -> Result<Vec<arrow::array::RecordBatch>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(batches.collect())
}

/// Rows as sorted NDJSON, without `_file`.
pub(crate) fn lines(batches: Batches) -> Result<Vec<String>> {
    let batches = collect(batches)?;
    let without_file: Vec<_> = batches
        .iter()
        .map(|batch| {
            let file = batch.schema().index_of("_file").unwrap();
            let kept: Vec<usize> = (0..batch.num_columns()).filter(|at| *at != file).collect();
            batch.project(&kept).unwrap()
        })
        .collect();
    rows::sorted(&without_file)
}

/// `name type` of each column but the origin.
pub(crate) fn columns(batches: &Batches) -> Vec<String> {
    let fields = batches.schema.fields();
    fields[..fields.len() - 2]
        .iter()
        .map(|field| format!("{} {}", field.name(), contracts::arrow_types::from_field(field)))
        .collect()
}

/// The folder of test data, or none, which is said once.
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("AFFLUENT_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var_os("AFFLUENT_REQUIRE_DATA").is_some_and(|value| value == "1");
    assert!(!required, "there is no test data at {}", path.display());
    println!("skipped: there is no test data at {}", path.display());
    None
}

/// The files of a folder, sorted by name.
pub(crate) fn files_of(folder: &Path) -> Vec<InputFile> {
    let mut files: Vec<InputFile> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| InputFile {
            path: entry.path(),
            name: entry.file_name().to_string_lossy().into_owned(),
        })
        .collect();
    files.sort_by(|left, right| left.name.cmp(&right.name));
    files
}
