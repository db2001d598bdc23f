//! Durable steps: bytes that survive a power cut, and a place to die before each of them.
//!
//! The recipe is always the same: write under a temporary name, sync the file, link or rename it
//! to its final name, sync the folder. Every step that changes what a restart will find passes
//! [`step`], so that a debug build can be told to die before the N-th of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static STEPS_PASSED: AtomicU64 = AtomicU64::new(0);
static DIE_AT: AtomicU64 = AtomicU64::new(0);
static TEMPORARY_FILES: AtomicU64 = AtomicU64::new(0);

/// What temporary names end with; whatever carries it after a crash is rubbish.
pub const TEMPORARY_SUFFIX: &str = ".tmp~";

/// Makes the process die before durable step `number` (1 is the first). 0 disarms.
///
/// Only debug builds obey.
pub fn die_at(number: u64) {
    DIE_AT.store(number, Ordering::SeqCst);
}

/// How many durable steps this process has begun.
pub fn steps_passed() -> u64 {
    STEPS_PASSED.load(Ordering::SeqCst)
}

/// Marks a durable step: the instant before the outside world changes for good.
///
/// `name` says what is about to become durable, for traces of the crash harness.
pub fn step(name: &str) {
    let number = STEPS_PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if cfg!(debug_assertions) && number == DIE_AT.load(Ordering::SeqCst) {
        die(name, number);
    }
}

#[allow(clippy::print_stderr, reason = "the last words of a process that is about to be killed")]
fn die(name: &str, number: u64) -> ! {
    eprintln!("died before durable step {number}: {name}");
    let own_process = rustix::process::getpid();
    // SIGKILL rather than abort: no handler, no clean-up, as when the power goes.
    let _ = rustix::process::kill_process(own_process, rustix::process::Signal::KILL);
    std::process::abort()
}

/// Syncs a folder, so that names created or removed in it survive.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a folder and its missing parents, each synced into the one above.
pub fn create_dir_all(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
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
    if let Some(parent) = parent_of(path) {
        create_dir_all(&parent)?;
    }
    let temporary = temporary_path(path);
    let result =
        write_temporary(&temporary, bytes).and_then(|()| publish_file(&temporary, path, publish));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_temporary(temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a written and synced temporary file its final name, and syncs the folder.
pub fn publish_file(temporary: &Path, path: &Path, publish: Publish) -> io::Result<()> {
    step(&path.to_string_lossy());
    match publish {
        Publish::Create => {
            fs::hard_link(temporary, path)?;
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
        step(&self.path.to_string_lossy());
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
