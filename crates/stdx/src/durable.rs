//! Durable steps: bytes that survive a power cut, and a place to fail before each of them.
//!
//! The recipe is always the same: write under a temporary name, sync the file, link or rename it
//! to its final name, sync the folder. Every step that changes what a restart will find passes
//! [`step`], so that a debug build can be told to fail before the N-th of them.

mod fault;

pub use fault::{EXIT_CODE, Fault, FaultKind, inject};

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

static STEPS_PASSED: AtomicU64 = AtomicU64::new(0);
static TEMPORARY_FILES: AtomicU64 = AtomicU64::new(0);
/// Folders that were there already and that this process has synced into the ones above.
static KEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

const KEPT_MAX: usize = 4096;
/// Systems write names to the disk by themselves within half a minute.
const YOUNG: Duration = Duration::from_secs(600);

/// What temporary names end with; whatever carries it after a crash is rubbish.
pub const TEMPORARY_SUFFIX: &str = ".tmp~";

/// How many durable steps this process has begun.
pub fn steps_passed() -> u64 {
    STEPS_PASSED.load(Ordering::SeqCst)
}

/// Marks a durable step: the instant before the outside world changes for good.
///
/// `name` says what is about to become durable. An error means that it must not become so: it is
/// handled as if the step itself had failed.
pub fn step(name: &str) -> io::Result<()> {
    let number = STEPS_PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    fault::strike(name, number)
}

/// Syncs a folder, so that names created or removed in it survive.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a folder and its missing parents, each synced into the one above.
pub fn create_dir_all(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return keep_young(dir);
    }
    if let Some(parent) = parent_of(dir) {
        create_dir_all(&parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match parent_of(dir) {
        Some(parent) => sync_dir(&parent),
        None => Ok(()),
    }
}

/// Makes the name of a folder that is already there survive: whoever made it a moment ago may have
/// died before syncing it.
fn keep_young(dir: &Path) -> io::Result<()> {
    let is_known = || KEPT.lock().unwrap_or_else(PoisonError::into_inner).contains(dir);
    let Some(parent) = parent_of(dir).filter(|parent| parent != dir) else { return Ok(()) };
    if is_known() || !is_young(dir) {
        return Ok(());
    }
    keep_young(&parent)?;
    match sync_dir(&parent) {
        // Somebody with other rights made it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        synced => synced?,
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(dir.to_owned());
    Ok(())
}

/// Whether the system may not have written a folder's name to the disk by itself yet.
fn is_young(dir: &Path) -> bool {
    let created = fs::metadata(dir).and_then(|metadata| metadata.created());
    let age = created.ok().and_then(|created| created.elapsed().ok());
    age.is_none_or(|age| age < YOUNG)
}

fn parent_of(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    if parent.as_os_str().is_empty() { Some(PathBuf::from(".")) } else { Some(parent.to_owned()) }
}

/// A temporary name beside `path`, unique in this process.
pub fn temporary_path(path: &Path) -> PathBuf {
    let number = TEMPORARY_FILES.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{number}{TEMPORARY_SUFFIX}", std::process::id()))
}

/// How a finished temporary file takes its final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Fails with `AlreadyExists` when the name is taken.
    Create,
    /// Takes the place of what was there.
    Replace,
}

/// Writes `bytes` to `path`, durable when this returns. Missing folders are created.
pub fn write(path: &Path, bytes: &[u8], publish: Publish) -> io::Result<()> {
    write_with(path, bytes, publish, OpenOptions::new().write(true).create_new(true))
}

/// Like [`write`], readable by its owner alone from the first byte on.
pub fn write_private(path: &Path, bytes: &[u8], publish: Publish) -> io::Result<()> {
    write_with(path, bytes, publish, OpenOptions::new().write(true).create_new(true).mode(0o600))
}

fn write_with(
    path: &Path,
    bytes: &[u8],
    publish: Publish,
    options: &OpenOptions,
) -> io::Result<()> {
    if let Some(parent) = parent_of(path) {
        create_dir_all(&parent)?;
    }
    let temporary = temporary_path(path);
    let result = write_temporary(&temporary, bytes, options)
        .and_then(|()| publish_file(&temporary, path, publish));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_temporary(temporary: &Path, bytes: &[u8], options: &OpenOptions) -> io::Result<()> {
    let mut file = options.open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a written and synced temporary file its final name, and syncs the folder.
pub fn publish_file(temporary: &Path, path: &Path, publish: Publish) -> io::Result<()> {
    step(&path.to_string_lossy())?;
    match publish {
        Publish::Create => {
            if let Err(error) = fs::hard_link(temporary, path) {
                // The caller is going to rely on what is there, so that it must be there to stay.
                if let (io::ErrorKind::AlreadyExists, Some(parent)) =
                    (error.kind(), parent_of(path))
                {
                    sync_dir(&parent)?;
                }
                return Err(error);
            }
            let _ = fs::remove_file(temporary);
        }
        Publish::Replace => fs::rename(temporary, path)?,
    }
    match parent_of(path) {
        Some(parent) => sync_dir(&parent),
        None => Ok(()),
    }
}

/// A file that only grows, one durable line at a time.
#[derive(Debug)]
pub struct AppendLog {
    file: File,
    path: PathBuf,
}

impl AppendLog {
    /// Opens the log, creating it durably; a torn last line is cut off.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            write(path, b"", Publish::Replace)?;
        }
        let file = OpenOptions::new().append(true).read(true).open(path)?;
        let bytes = fs::read(path)?;
        if let (true, Some(parent)) = (bytes.is_empty(), parent_of(path)) {
            // Nobody has relied on its name yet; the first line does.
            sync_dir(&parent)?;
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
            file.sync_all()?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends one line (without its line feed), durable when this returns.
    pub fn append(&mut self, line: &str) -> io::Result<()> {
        assert!(!line.contains('\n'), "a log line is one line");
        step(&self.path.to_string_lossy())?;
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_refuses_a_taken_name_and_leaves_no_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/commit.json");
        write(&path, b"one", Publish::Create).unwrap();
        let error = write(&path, b"two", Publish::Create).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_torn_last_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        AppendLog::open(&path).unwrap().append("first").unwrap();
        fs::write(&path, b"first\nsec").unwrap();
        AppendLog::open(&path).unwrap().append("third").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nthird\n");
    }
}
