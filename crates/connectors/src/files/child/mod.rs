//! Untrusted files read in a process of their own: the same program, started as
//! `affluent parse`. A failed allocation aborts the process that makes it, so a file that makes
//! its reader ask for too much costs that process, and the run gets a problem that names the file.
//!
//! The job goes in as one line of JSON, then standard input stays open until the parent has done
//! or dies. What comes out are the frames of [`wire`].

mod compact;
mod parent;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

use formats::file::InputFile;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(super) use parent::open;
pub use serve::serve;

/// The argument that makes the program a reader.
pub const COMMAND: &str = "parse";

/// Less memory than this is no use to a reader.
const MEMORY_BYTES_MIN: u64 = 512 << 20;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Has untrusted files read by children of this process from now on. `program` must call [`serve`]
/// when its argument is [`COMMAND`].
pub fn read_in_children(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// The program that reads untrusted files, if they are not read in this process.
pub(super) fn program() -> Option<&'static Path> {
    PROGRAM.get().map(PathBuf::as_path)
}

/// What a child is to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    /// The module whose options these are.
    module: String,
    options: Value,
    files: Vec<JobFile>,
    partitions: usize,
    /// Rows and bytes at most.
    sample: Option<(u64, u64)>,
    memory_bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct JobFile {
    path: PathBuf,
    name: String,
}

impl Job {
    /// Files of `module` with its options; a reader may use as much memory as the run.
    pub(super) fn new(
        module: &str,
        options: Value,
        files: &[InputFile],
        run_memory_bytes: usize,
    ) -> Self {
        let files = files.iter();
        Self {
            module: module.to_owned(),
            options,
            files: files
                .map(|file| JobFile { path: file.path.clone(), name: file.name.clone() })
                .collect(),
            partitions: 1,
            sample: None,
            memory_bytes: (run_memory_bytes as u64).max(MEMORY_BYTES_MIN),
        }
    }
}
