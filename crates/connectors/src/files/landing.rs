//! The landing folder: copies of received files, by the hash of their content.
//!
//! A copy lies at `files/<2 digits>/<sha256>/<name>`; a small file in `index` says which arrival it
//! is, so that a later call finds it without fetching anything. Both are durable, the copy first.

use crate::storage::local::is_rubbish;
use crate::storage::{Download, FileStore, StoredFile, blocking, io_problem};
use model::run::Arrival;
use model::{Problem, Result, codes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use stdx::clock::{Clock, SystemClock};
use stdx::durable::{self, Publish};

const NAME_BYTES_MAX: usize = 120;

/// The landing folder of a project.
#[derive(Debug, Clone)]
pub(crate) struct Landing {
    root: PathBuf,
}

/// An arrival that was landed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Landed {
    /// What was landed.
    pub(crate) arrival: Arrival,
    /// When, µs since the epoch.
    pub(crate) time_us: i64,
}

impl Landing {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The copy of an arrival on this machine.
    pub(crate) fn locate(&self, landed: &str) -> PathBuf {
        self.root.join(landed)
    }

    /// The copy of a file as it is now, if it was landed before.
    pub(crate) async fn find(&self, file: &StoredFile) -> Result<Option<Arrival>> {
        let (Some(size), Some(version)) = (file.size, file.version.clone()) else {
            return Ok(None);
        };
        let index = self.index_path(&file.path, size, &version);
        let root = self.root.clone();
        blocking(move || {
            let Some(landed) = read_index(&index)? else { return Ok(None) };
            let copy = landed.arrival.landed.as_ref().map(|copy| root.join(copy));
            let is_whole = copy.and_then(|copy| fs::metadata(copy).ok()).map(|m| m.len());
            Ok((is_whole == Some(landed.arrival.size)).then_some(landed.arrival))
        })
        .await
    }

    /// Copies a file here.
    pub(crate) async fn land(
        &self,
        store: &dyn FileStore,
        file: &StoredFile,
        bytes_max: u64,
    ) -> Result<Arrival> {
        let name = safe_name(&file.path);
        let incoming = self.root.join("incoming");
        let temporary = durable::temporary_path(&incoming.join(&name));
        let folder = incoming.clone();
        blocking(move || {
            durable::create_dir_all(&folder).map_err(|e| io_problem(folder.display(), &e))?;
            sweep(&folder);
            Ok(())
        })
        .await?;
        let download =
            store.download(&file.path, &temporary, file.version.as_deref(), bytes_max).await?;
        let landing = self.clone();
        let path = file.path.clone();
        blocking(move || {
            let result = landing.keep(&path, &name, &temporary, &download);
            let _ = fs::remove_file(&temporary);
            result
        })
        .await
    }

    /// Gives a finished copy its name, and notes whose copy it is.
    fn keep(
        &self,
        path: &str,
        name: &str,
        temporary: &Path,
        download: &Download,
    ) -> Result<Arrival> {
        let sha256 = &download.sha256;
        let landed = format!("files/{}/{sha256}/{name}", &sha256[..2]);
        let target = self.root.join(&landed);
        let shown = target.display();
        let folder = target.parent().unwrap_or(&self.root);
        durable::create_dir_all(folder).map_err(|e| io_problem(&shown, &e))?;
        match durable::publish_file(temporary, &target, Publish::Create) {
            // The name is the hash of the content: what is there is the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            published => published.map_err(|e| io_problem(&shown, &e))?,
        }
        let version = download.version.clone().unwrap_or_else(|| format!("sha256:{sha256}"));
        let arrival = Arrival {
            path: path.to_owned(),
            size: download.size,
            version: version.clone(),
            sha256: Some(sha256.clone()),
            landed: Some(landed),
        };
        let entry = Landed { arrival, time_us: SystemClock.now_us() };
        let index = self.index_path(path, download.size, &version);
        let text = serde_json::to_vec_pretty(&entry).map_err(|error| {
            Problem::new(&codes::INTERNAL, "an arrival cannot be written down").detail(error)
        })?;
        durable::write(&index, &text, Publish::Replace)
            .map_err(|e| io_problem(index.display(), &e))?;
        Ok(entry.arrival)
    }

    /// Everything that was landed, oldest first.
    pub(crate) async fn all(&self) -> Result<Vec<Landed>> {
        let index = self.root.join("index");
        blocking(move || {
            let mut all = Vec::new();
            let entries = match fs::read_dir(&index) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
                entries => entries.map_err(|e| io_problem(index.display(), &e))?,
            };
            for entry in entries {
                let path = entry.map_err(|e| io_problem(index.display(), &e))?.path();
                if path.extension().is_some_and(|extension| extension == "json") {
                    all.extend(read_index(&path)?);
                }
            }
            all.sort_by_key(|landed: &Landed| landed.time_us);
            Ok(all)
        })
        .await
    }

    fn index_path(&self, path: &str, size: u64, version: &str) -> PathBuf {
        let key = format!("{path}\0{size}\0{version}");
        self.root.join("index").join(format!("{:x}.json", Sha256::digest(key)))
    }
}

/// Removes what downloads of dead processes left.
fn sweep(incoming: &Path) {
    let entries = fs::read_dir(incoming).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_rubbish(&entry.file_name().to_string_lossy())) {
        let _ = fs::remove_file(entry.path());
    }
}

fn read_index(path: &Path) -> Result<Option<Landed>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|e| io_problem(path.display(), &e))?,
    };
    // A damaged note costs a second copy, nothing more.
    Ok(serde_json::from_slice(&bytes).ok())
}

/// The last part of a path or URL, as a file name that no file system minds. Endings stay: they
/// say what the format is.
fn safe_name(path: &str) -> String {
    let is_url = path.contains("://");
    let path = if is_url { path.split(['?', '#']).next().unwrap_or(path) } else { path };
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let safe: String = last.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    let safe = safe.trim_start_matches('.');
    match safe.len() {
        0 => "file".to_owned(),
        length => safe[length.saturating_sub(NAME_BYTES_MAX)..].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_copies_are_harmless_and_keep_their_endings() {
        assert_eq!(safe_name("data/été 1.csv.gz"), "_t__1.csv.gz");
        assert_eq!(safe_name("https://example.org/a/b.json?key=../../x"), "b.json");
        assert_eq!(safe_name("s3://bucket/.."), "file");
        assert_eq!(safe_name(&format!("{}.csv", "a".repeat(300))).len(), NAME_BYTES_MAX);
    }
}
