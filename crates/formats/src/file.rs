//! Local files that are to be read, and how.

use contracts::RejectSink;
use contracts::source::Sample;
use model::{Problem, codes};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A local file, and what it is called in `_file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// What rows and messages call it.
    pub name: String,
}

impl InputFile {
    /// A file that is called `name`.
    pub fn new(path: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self { path: path.into(), name: name.into() }
    }

    /// What a failure of the operating system means for this file.
    pub fn problem(&self, error: &io::Error) -> Problem {
        let name = &self.name;
        let (code, fact, hint) = match error.kind() {
            io::ErrorKind::NotFound => (
                &codes::FILE_NOT_FOUND,
                format!("there is no file `{name}`"),
                "check the path; it starts at the project folder",
            ),
            io::ErrorKind::PermissionDenied => (
                &codes::PERMISSION_DENIED,
                format!("`{name}` may not be read"),
                "give the user that runs this the right to read the file",
            ),
            _ => (
                &codes::FILE_UNREADABLE,
                format!("`{name}` cannot be read"),
                "see what the operating system says about the file and its disk",
            ),
        };
        Problem::new(code, fact).arg("file", name).detail(error).hint(hint).in_file(name)
    }
}

/// How files are read, whatever their format.
#[derive(Clone)]
pub struct ReadOptions {
    /// Partitions to give back, if the files can be split.
    pub partitions: usize,
    /// Only a sample is wanted: stop after so many rows or bytes, whichever is first.
    pub sample: Option<Sample>,
    /// Takes records that cannot be read.
    pub rejects: Arc<dyn RejectSink>,
    /// Bytes read so far, for progress.
    pub bytes: Arc<AtomicU64>,
}

impl fmt::Debug for ReadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOptions")
            .field("partitions", &self.partitions)
            .field("sample", &self.sample)
            .finish_non_exhaustive()
    }
}
