//! What both sides were when they were last the same, remembered in a file.

use super::compare::{Hashes, Key};
use model::{Problem, Result, codes};
use std::io;
use std::path::Path;
use stdx::durable::{self, Publish};

/// The remembered hashes. Without any, whoever has a document has changed it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) hashes: Hashes,
}

impl Base {
    /// What the file says; nothing when there is none.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            let fact = format!("`{}` cannot be read", path.display());
            Problem::new(&codes::STORAGE_FAILED, fact)
                .detail(error)
                .hint("remove the file: then each difference is a conflict that you decide")
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(&error)),
        };
        let entries: Vec<(Key, String)> =
            serde_json::from_str(&text).map_err(|error| failed(&error))?;
        Ok(Self { hashes: entries.into_iter().collect() })
    }

    /// Remembers it.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let entries: Vec<(&Key, &String)> = self.hashes.iter().collect();
        let text = serde_json::to_vec_pretty(&entries).unwrap_or_default();
        if std::fs::read(path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        durable::write_private(path, &text, Publish::Replace).map_err(|error| {
            let fact = format!("`{}` cannot be written", path.display());
            Problem::new(&codes::STORAGE_FAILED, fact)
                .detail(error)
                .hint("the state folder of the project must be writable")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::definitions::Kind;

    #[test]
    fn what_is_remembered_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mirror.json");
        assert_eq!(Base::read(&path).unwrap(), Base::default());
        let mut base = Base::default();
        base.hashes.insert(Key::new(Kind::Model, "daily"), "5".to_owned());
        base.write(&path).unwrap();
        assert_eq!(Base::read(&path).unwrap(), base);
        std::fs::write(&path, "{").unwrap();
        assert!(Base::read(&path).unwrap_err().hint_text().is_some());
    }
}
