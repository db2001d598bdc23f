//! Landed pages: each one durable before the next is asked for, and found again after a crash.
//!
//! Pages of one round lie in a folder whose name is made of what is asked for and of what earlier
//! runs have read. Beside each page lies a note that says where the next one is; a page without
//! its note is asked for again.

use super::pages::Position;
use contracts::Past;
use model::run::Arrival;
use model::{Problem, Result, codes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use stdx::clock::{Clock, Micros, SystemClock};
use stdx::durable::{self, Publish};

const MINUTE_US: Micros = 60 * 1_000_000;
/// A round that nobody has finished is continued for so long.
const UNFINISHED_US_MAX: Micros = 24 * 60 * MINUTE_US;
/// A finished round that no run has taken is offered again for so long.
const FINISHED_US_MAX: Micros = 10 * MINUTE_US;

/// A page that was landed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// What was landed.
    pub arrival: Arrival,
    /// Rows in it.
    pub rows: u64,
    /// The highest value of the cursor in it.
    pub high: Option<Value>,
    /// Where the next page is.
    pub next: Option<Position>,
    /// When, µs since the epoch.
    pub time_us: Micros,
}

/// The pages of one discovery.
#[derive(Debug)]
pub(super) struct Round {
    root: PathBuf,
    /// Below the landing folder.
    folder: String,
    extension: &'static str,
    /// The pages so far.
    pub notes: Vec<Note>,
}

impl Round {
    /// The round for what is asked for and what has been read: begun before, or new.
    pub(super) fn open(
        root: &Path,
        definition: &str,
        past: &Past,
        extension: &'static str,
    ) -> Result<Self> {
        let read = serde_json::to_string(&(past.full, &past.range, &past.latest));
        let read = read.map_err(|error| {
            Problem::new(&codes::INTERNAL, "what has been read cannot be written down")
                .detail(error)
        })?;
        let folder = format!("{}/{}", family(definition), short_hash(&read));
        let mut round = Self { root: root.to_owned(), folder, extension, notes: Vec::new() };
        while let Some(note) = round.read_note(round.notes.len() + 1)? {
            round.notes.push(note);
        }
        if round.is_stale(SystemClock.now_us()) {
            round.forget()?;
        }
        Ok(round)
    }

    fn is_stale(&self, now_us: Micros) -> bool {
        let Some(last) = self.notes.last() else { return false };
        let age_max = if last.next.is_some() { UNFINISHED_US_MAX } else { FINISHED_US_MAX };
        !(0..=age_max).contains(&(now_us - last.time_us))
    }

    /// Throws the pages away.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.notes.clear();
        let folder = self.root.join(&self.folder);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&folder, &error)),
            _ => Ok(()),
        }
    }

    /// Lands a page, durable when this returns.
    pub(super) fn land(
        &mut self,
        path: String,
        body: &[u8],
        rows: u64,
        high: Option<Value>,
        next: Option<Position>,
    ) -> Result<()> {
        let number = self.notes.len() + 1;
        let landed = format!("{}/{number:06}.{}", self.folder, self.extension);
        let sha256 = hex(&Sha256::digest(body));
        let arrival = Arrival {
            path,
            size: body.len() as u64,
            version: format!("sha256:{sha256}"),
            sha256: Some(sha256),
            landed: Some(landed.clone()),
        };
        let note = Note { arrival, rows, high, next, time_us: SystemClock.now_us() };
        let text = serde_json::to_vec(&note).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a page cannot be noted").detail(error)
        })?;
        let page = self.root.join(landed);
        durable::write(&page, body, Publish::Replace).map_err(|error| failed(&page, &error))?;
        let file = self.note_file(number);
        durable::write(&file, &text, Publish::Replace).map_err(|error| failed(&file, &error))?;
        self.notes.push(note);
        Ok(())
    }

    fn note_file(&self, number: usize) -> PathBuf {
        self.root.join(&self.folder).join(format!("{number:06}.note"))
    }

    fn read_note(&self, number: usize) -> Result<Option<Note>> {
        let file = self.note_file(number);
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|error| failed(&file, &error))?,
        };
        // A damaged note costs a second request, nothing more.
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

/// The newest page that was landed for what is asked for, whenever that was.
pub(super) fn newest_page(root: &Path, definition: &str, extension: &str) -> Option<PathBuf> {
    let rounds = fs::read_dir(root.join(family(definition))).ok()?;
    rounds
        .flatten()
        .filter_map(|round| {
            let page = round.path().join(format!("000001.{extension}"));
            let modified = page.metadata().ok()?.modified().ok()?;
            Some((modified, page))
        })
        .max()
        .map(|(_, page)| page)
}

fn family(definition: &str) -> String {
    format!("http/{}", short_hash(definition))
}

fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text)[..12])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(path: &Path, error: &io::Error) -> Problem {
    let code = match error.kind() {
        io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
        io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, "a page cannot be landed").arg("path", path.display()).detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_do_not_outlive_their_use() {
        let folder = tempfile::tempdir().unwrap();
        let mut round = Round::open(folder.path(), "d", &Past::default(), "json").unwrap();
        round.land("u".to_owned(), b"[]", 0, None, Some(Position::Number(2))).unwrap();
        let now = round.notes[0].time_us;
        assert!(!round.is_stale(now + 23 * 60 * MINUTE_US));
        assert!(round.is_stale(now + 25 * 60 * MINUTE_US));
        assert!(round.is_stale(now - 1));
        round.land("u".to_owned(), b"[]", 0, None, None).unwrap();
        assert!(round.is_stale(now + 20 * MINUTE_US));
        // Found again by the same past, not by another.
        let again = Round::open(folder.path(), "d", &Past::default(), "json").unwrap();
        assert_eq!(again.notes, round.notes);
        let full = Past { full: true, ..Past::default() };
        assert!(Round::open(folder.path(), "d", &full, "json").unwrap().notes.is_empty());
        assert!(newest_page(folder.path(), "d", "json").is_some());
        round.forget().unwrap();
        assert!(
            Round::open(folder.path(), "d", &Past::default(), "json").unwrap().notes.is_empty()
        );
    }
}
