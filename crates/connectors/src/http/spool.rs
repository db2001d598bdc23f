//! Requests of `write_http` on disk, so that whatever was begun is sent again as it was.
//!
//! Rows come in any order, so a second attempt would put others into its requests. The service
//! knows requests by their key: a key that comes again must come with the same body.

use model::run::CommitKey;
use model::{Problem, Result, codes};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use stdx::durable::{self, Publish};

/// What was sent in full.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// Rows.
    pub(super) rows: u64,
    /// Requests.
    pub(super) requests: u64,
}

/// Where requests of one sink in one run lie.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    folder: PathBuf,
    run: String,
}

impl Shelf {
    pub(super) fn new(state: &Path, key: &CommitKey) -> Self {
        let folder = state.join("spool/write_http");
        let folder = folder.join(key.pipeline.as_str()).join(key.node.as_str());
        Self { folder, run: key.run.to_string() }
    }

    /// Requests of which some may have been sent.
    fn begun(&self) -> PathBuf {
        self.folder.join(format!("{}.requests", self.run))
    }

    fn receipt_path(&self) -> PathBuf {
        self.folder.join(format!("{}.sent", self.run))
    }

    /// What an earlier attempt has sent in full.
    pub(super) fn receipt(&self) -> Result<Option<Receipt>> {
        let path = self.receipt_path();
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(&error)),
        }
    }

    /// Notes that all was sent; the requests are needed no more.
    pub(super) fn finish(&self, receipt: &Receipt) -> Result<()> {
        let path = self.receipt_path();
        let text = serde_json::to_vec(receipt).map_err(|error| damaged(&error))?;
        durable::write(&path, &text, Publish::Replace).map_err(|error| failed(&path, &error))?;
        let _ = fs::remove_file(self.begun());
        Ok(())
    }

    /// Throws away what other runs and attempts have left: runs come one after the other.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path != self.begun() && path != self.receipt_path() {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Requests that are being written: an address and a body, a line each. Dropped, they go away
/// unless some may have been sent.
pub(super) struct Spool {
    shelf: Shelf,
    file: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl Spool {
    pub(super) fn new(shelf: Shelf) -> Result<Self> {
        let file = durable::temporary_path(&shelf.begun());
        durable::create_dir_all(&shelf.folder).map_err(|error| failed(&file, &error))?;
        let opened = File::create(&file).map_err(|error| failed(&file, &error))?;
        Ok(Self { shelf, file, writer: Some(BufWriter::new(opened)) })
    }

    pub(super) fn add(&mut self, address: &str, body: &str) -> Result<()> {
        let line = serde_json::json!([address, body]).to_string();
        let writer = self.writer.as_mut().expect("nothing is added after the end");
        writeln!(writer, "{line}").map_err(|error| failed(&self.file, &error))
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        let flushed = writer.flush().and_then(|()| writer.get_ref().sync_all());
        flushed.map_err(|error| failed(&self.file, &error))
    }

    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Fixes what is sent: these requests, or those that an earlier attempt has begun with.
    pub(super) fn begin(&self) -> Result<Begun> {
        let begun = self.shelf.begun();
        let is_first = match durable::publish_file(&self.file, &begun, Publish::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            published => published.map(|()| true).map_err(|error| failed(&begun, &error))?,
        };
        let opened = File::open(&begun).map_err(|error| failed(&begun, &error))?;
        let requests = BufReader::new(opened).lines().map(move |line| {
            let line = line.map_err(|error| failed(&begun, &error))?;
            serde_json::from_str(&line).map_err(|error| damaged(&error))
        });
        Ok(Begun { is_first, requests: Box::new(requests) })
    }

    /// Takes back what nothing of was taken.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(self.shelf.begun());
    }
}

/// Requests that are being sent.
pub(super) struct Begun {
    /// Whether no earlier attempt can have sent any of them.
    pub(super) is_first: bool,
    /// Address and body of each.
    pub(super) requests: Box<dyn Iterator<Item = Result<(String, String)>> + Send>,
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn damaged(error: &serde_json::Error) -> Problem {
    Problem::new(&codes::STORAGE_FAILED, "a spooled request is damaged").detail(error)
}

fn failed(file: &Path, error: &io::Error) -> Problem {
    let code = match error.kind() {
        io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
        io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, "requests cannot be spooled").arg("path", file.display()).detail(error)
}
