//! The master key: a file of one's own outside of every project, from which other keys are made.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Problem, Result, Secret, codes};
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use stdx::durable::{self, Publish};

const BYTES: usize = 32;

/// 256 bits that only this installation knows, and those that it had before.
#[derive(Clone)]
pub struct MasterKey {
    current: [u8; BYTES],
    /// Former keys, the newest first: what they have sealed still opens.
    former: Vec<[u8; BYTES]>,
    /// Where the key was read, if it was a file.
    file: Option<PathBuf>,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl MasterKey {
    /// Reads the key from its file; when there is none yet, makes one (mode 600) and syncs it.
    /// Lines after the first are former keys.
    ///
    /// # Errors
    ///
    /// A file that others can read, or that holds anything else than 32 random bytes in base64.
    pub fn open(file: &Path) -> Result<Self> {
        match std::fs::read_to_string(file) {
            Ok(text) => {
                check_mode(file)?;
                let key = Self::parse(&Secret::new(text.trim()))
                    .map_err(|problem| problem.in_file(file.display()))?;
                Ok(Self { file: Some(file.to_owned()), ..key })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::create(file),
            Err(error) => Err(unusable(file, "cannot be read").detail(error)),
        }
    }

    /// Reads a key that was given as text; further words are former keys.
    pub fn parse(text: &Secret) -> Result<Self> {
        let mut keys = text.reveal().split_whitespace().map(decoded);
        let current = keys.next().unwrap_or_else(|| decoded(""))?;
        Ok(Self { current, former: keys.collect::<Result<_>>()?, file: None })
    }

    /// A new key.
    pub fn generate() -> Result<Self> {
        let mut current = [0; BYTES];
        getrandom::fill(&mut current).map_err(|error| {
            Problem::new(&codes::INTERNAL, "the system gives no random bytes").detail(error)
        })?;
        Ok(Self { current, former: Vec::new(), file: None })
    }

    /// This key, which follows upon `former` and its predecessors.
    #[must_use]
    pub fn after(self, former: &Self) -> Self {
        let mut all = vec![former.current];
        all.extend(&former.former);
        all.retain(|key| *key != self.current);
        Self { former: all, ..self }
    }

    /// This key alone.
    #[must_use]
    pub fn without_former(self) -> Self {
        Self { former: Vec::new(), ..self }
    }

    /// Writes the key and its predecessors in the place of the file that is there (mode 600).
    pub fn replace(&self, file: &Path) -> Result<()> {
        let keys = std::iter::once(&self.current).chain(&self.former);
        let text: String = keys.map(|key| STANDARD.encode(key) + "\n").collect();
        durable::write_private(file, text.as_bytes(), Publish::Replace)
            .map_err(|error| unusable(file, "cannot be written").detail(error))
    }

    /// The key as its file has it now; one without a file is as it was.
    pub(crate) fn read_again(&self) -> Result<Self> {
        match &self.file {
            Some(file) => Self::open(file),
            None => Ok(self.clone()),
        }
    }

    fn create(file: &Path) -> Result<Self> {
        let key = Self { file: Some(file.to_owned()), ..Self::generate()? };
        let failed = |error: std::io::Error| unusable(file, "cannot be written").detail(error);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
            let owner_only = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder, owner_only).map_err(failed)?;
        }
        let text = format!("{}\n", STANDARD.encode(key.current));
        match durable::write_private(file, text.as_bytes(), Publish::Create) {
            Ok(()) => Ok(key),
            // Another process was faster: its key is the key.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::open(file),
            Err(error) => Err(failed(error)),
        }
    }

    /// A key for one purpose, from which neither this one nor those of others follow.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; BYTES] {
        derived(&self.current, purpose)
    }

    /// The keys for one purpose of this key and of its predecessors, the newest first.
    pub(crate) fn derive_all(&self, purpose: &str) -> Vec<[u8; BYTES]> {
        let keys = std::iter::once(&self.current).chain(&self.former);
        keys.map(|key| derived(key, purpose)).collect()
    }
}

fn derived(key: &[u8; BYTES], purpose: &str) -> [u8; BYTES] {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(b"affluent key for ");
    hash.update(purpose.as_bytes());
    hash.finalize().into()
}

fn decoded(text: &str) -> Result<[u8; BYTES]> {
    let invalid = |why: &str| {
        Problem::new(&codes::KEY_INVALID, format!("the master key {why}"))
            .hint("make one with: openssl rand -base64 32")
    };
    let bytes = STANDARD.decode(text).map_err(|_| invalid("is not 32 random bytes in base64"))?;
    let bytes: [u8; BYTES] = bytes.try_into().map_err(|_| invalid("is not 32 bytes long"))?;
    if has_a_pattern(&bytes) {
        return Err(invalid("is not random"));
    }
    Ok(bytes)
}

/// Keys that people type or copy: few different bytes, or bytes that are all letters.
fn has_a_pattern(bytes: &[u8; BYTES]) -> bool {
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    different < BYTES / 2 || bytes.iter().all(u8::is_ascii)
}

fn check_mode(file: &Path) -> Result<()> {
    let metadata =
        std::fs::metadata(file).map_err(|error| unusable(file, "cannot be read").detail(error))?;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(unusable(file, "can be read by others").hint(format!("chmod 600 {}", file.display())))
}

fn unusable(file: &Path, why: &str) -> Problem {
    Problem::new(&codes::KEY_INVALID, format!("the master key `{}` {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_key_that_only_its_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys/master.key");
        let made = MasterKey::open(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(MasterKey::open(&file).unwrap().current, made.current);
        assert_ne!(made.derive("a"), made.derive("b"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(MasterKey::open(&file).unwrap_err().is(&codes::KEY_INVALID));
    }

    #[test]
    fn s_02_empty_short_and_known_keys_are_refused() {
        let known = [
            "",
            "c2hvcnQ=",
            "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET",
            "temporary_key",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "dGhpc19pc19hX3ZlcnlfbG9uZ19zZWNyZXRfa2V5ISE=",
        ];
        for text in known {
            let found = MasterKey::parse(&Secret::new(text));
            assert!(found.unwrap_err().is(&codes::KEY_INVALID), "{text}");
        }
    }
}
