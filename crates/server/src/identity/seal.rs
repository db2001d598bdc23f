//! Sealed texts: what the database keeps of a secret, bound to the row it stands in.
//!
//! Each text is encrypted (AES-256-GCM) with a data key of its own, and the data key with one that
//! is made from the master key. Both are bound to the row: moved to another row, workspace or kind,
//! a sealed text does not open. A new master key only needs the data keys to be wrapped anew.

use super::master_key::MasterKey;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::{Problem, Result, Secret, codes};
use sha2::{Digest, Sha256};
use std::sync::{PoisonError, RwLock};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// The layout of what follows it: the nonce and bytes of the wrapped key, then the text.
const LAYOUT: u8 = 1;
const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;
const TEXT_FROM: usize = 1 + NONCE_BYTES + WRAPPED_BYTES;
/// Bytes of a key's hash that name it.
const ID_BYTES: usize = 8;
const PURPOSE: &str = "sealed rows";

/// The row that a sealed text stands in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// Id of the workspace.
    pub(crate) workspace: &'a str,
    /// What kind of row it is, such as `connection`.
    pub(crate) kind: &'a str,
    /// Which one; several parts are separated by `/`.
    pub(crate) name: &'a str,
}

impl Row<'_> {
    /// What encryption is bound to. Lengths keep `a/b` + `c` apart from `a` + `b/c`.
    fn binding(&self, use_of_key: &str) -> Vec<u8> {
        let mut binding = Vec::new();
        for part in [use_of_key, self.workspace, self.kind, self.name] {
            binding.extend_from_slice(&(part.len() as u64).to_be_bytes());
            binding.extend_from_slice(part.as_bytes());
        }
        binding
    }
}

/// A sealed text, in the columns that it is stored in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Names the key that the data key is wrapped with.
    pub(crate) key_id: String,
    /// Used once with the data key.
    pub(crate) nonce: Vec<u8>,
    /// Layout, wrapped data key, encrypted text.
    pub(crate) ciphertext: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Sealed {
    /// One text, for places that have one column: `key.nonce.ciphertext`.
    pub(crate) fn to_text(&self) -> String {
        let [nonce, rest] = [&self.nonce, &self.ciphertext].map(|it| STANDARD_NO_PAD.encode(it));
        format!("{}.{nonce}.{rest}", self.key_id)
    }

    /// Reads what [`Self::to_text`] gave.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(damaged);
        let (key_id, nonce, rest) = (next()?.to_owned(), next()?, next()?);
        let bytes = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| damaged());
        Ok(Self { key_id, nonce: bytes(nonce)?, ciphertext: bytes(rest)? })
    }
}

/// A key that wraps data keys.
struct WrapKey {
    id: String,
    bytes: [u8; KEY_BYTES],
}

impl WrapKey {
    fn of(bytes: [u8; KEY_BYTES]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"affluent key id");
        hash.update(bytes);
        let digest = hash.finalize();
        let id = digest[..ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, bytes }
    }
}

/// Seals texts and opens them. The first key seals; the others are those of former master keys.
pub(crate) struct Seals {
    keys: RwLock<Vec<WrapKey>>,
    master_key: MasterKey,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seals(***)")
    }
}

impl Seals {
    /// With keys that are made from the master key and its predecessors.
    pub(crate) fn new(master_key: &MasterKey) -> Self {
        Self { keys: RwLock::new(wrap_keys(master_key)), master_key: master_key.clone() }
    }

    /// The id of the key that new texts are sealed with.
    pub(crate) fn key_id(&self) -> String {
        self.with_keys(|keys| keys[0].id.clone())
    }

    /// Seals a text for its row, with the newest key that there is by now.
    pub(crate) fn seal(&self, row: &Row<'_>, text: &Secret) -> Result<Sealed> {
        self.look_for_keys()?;
        let mut data_key = [0; KEY_BYTES];
        fill(&mut data_key)?;
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce)?;
        let binding = row.binding("text");
        let body = encrypt(&data_key, &nonce, &binding, text.reveal().as_bytes())?;
        let (key_id, mut ciphertext) = self.wrap(row, &data_key)?;
        ciphertext.extend_from_slice(&body);
        Ok(Sealed { key_id, nonce: nonce.to_vec(), ciphertext })
    }

    /// Opens a sealed text that stands in `row`.
    ///
    /// # Errors
    ///
    /// `key_invalid` when the master key is another one, `file_corrupt` when the text has been
    /// changed or was sealed for another row.
    pub(crate) fn open(&self, row: &Row<'_>, sealed: &Sealed) -> Result<Secret> {
        let data_key = self.data_key(row, sealed)?;
        let nonce = sealed.nonce.as_slice().try_into().map_err(|_| damaged())?;
        let body = &sealed.ciphertext[TEXT_FROM..];
        let text = decrypt(&data_key, &nonce, &row.binding("text"), body)?;
        String::from_utf8(text).map(Secret::new).map_err(|_| damaged())
    }

    /// The same text with its data key wrapped by the newest key; none when it is already.
    pub(crate) fn rewrap(&self, row: &Row<'_>, sealed: &Sealed) -> Result<Option<Sealed>> {
        if sealed.key_id == self.key_id() {
            return Ok(None);
        }
        let data_key = self.data_key(row, sealed)?;
        let (key_id, mut ciphertext) = self.wrap(row, &data_key)?;
        ciphertext.extend_from_slice(&sealed.ciphertext[TEXT_FROM..]);
        Ok(Some(Sealed { key_id, nonce: sealed.nonce.clone(), ciphertext }))
    }

    fn data_key(&self, row: &Row<'_>, sealed: &Sealed) -> Result<[u8; KEY_BYTES]> {
        if !self.knows(&sealed.key_id) {
            self.look_for_keys()?;
        }
        let (layout, rest) = sealed.ciphertext.split_first().ok_or_else(damaged)?;
        if *layout != LAYOUT || sealed.ciphertext.len() < TEXT_FROM + TAG_BYTES {
            return Err(damaged());
        }
        let (nonce, rest) = rest.split_at(NONCE_BYTES);
        let nonce = nonce.try_into().map_err(|_| damaged())?;
        let binding = row.binding("key");
        let key = self.with_keys(|keys| {
            let key = keys.iter().find(|key| key.id == sealed.key_id);
            key.map(|key| decrypt(&key.bytes, &nonce, &binding, &rest[..WRAPPED_BYTES]))
        });
        key.ok_or_else(other_key)??.try_into().map_err(|_| damaged())
    }

    /// The id of the newest key, and a data key wrapped with it behind layout and nonce.
    fn wrap(&self, row: &Row<'_>, data_key: &[u8; KEY_BYTES]) -> Result<(String, Vec<u8>)> {
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce)?;
        let binding = row.binding("key");
        let (id, wrapped) = self.with_keys(|keys| {
            let newest = &keys[0];
            (newest.id.clone(), encrypt(&newest.bytes, &nonce, &binding, data_key))
        });
        Ok((id, [&[LAYOUT][..], &nonce, &wrapped?].concat()))
    }

    /// The key may have been exchanged while the server was at work.
    fn look_for_keys(&self) -> Result<()> {
        let newest = self.master_key.read_again()?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = wrap_keys(&newest);
        Ok(())
    }

    fn knows(&self, id: &str) -> bool {
        self.with_keys(|keys| keys.iter().any(|key| key.id == id))
    }

    fn with_keys<T>(&self, look: impl FnOnce(&[WrapKey]) -> T) -> T {
        look(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn wrap_keys(master_key: &MasterKey) -> Vec<WrapKey> {
    master_key.derive_all(PURPOSE).into_iter().map(WrapKey::of).collect()
}

fn encrypt(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    msg: &[u8],
) -> Result<Vec<u8>> {
    let cipher = Aes256Gcm::new(key.into());
    cipher.encrypt(&Nonce::from(*nonce), Payload { msg, aad }).map_err(|_| {
        // The only thing that can go wrong is a length of 64 GiB.
        Problem::new(&codes::REQUEST_TOO_LARGE, "the text is too long to be sealed")
            .hint("store no files as secrets")
    })
}

fn decrypt(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    msg: &[u8],
) -> Result<Vec<u8>> {
    let cipher = Aes256Gcm::new(key.into());
    cipher.decrypt(&Nonce::from(*nonce), Payload { msg, aad }).map_err(|_| damaged())
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Problem::new(&codes::INTERNAL, "the system gives no random bytes").detail(error)
    })
}

fn damaged() -> Problem {
    Problem::new(&codes::FILE_CORRUPT, "a stored secret was changed or moved from another row")
        .hint("set it once more")
}

fn other_key() -> Problem {
    Problem::new(&codes::KEY_INVALID, "a stored secret was sealed with another master key")
        .hint("start the server with the key that belongs to its database, or set the secret anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "the river rises at night";
    const ROW: Row<'_> = Row { workspace: "w1", kind: "connection", name: "erp/password" };

    fn master_key() -> MasterKey {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).unwrap();
        bytes[0] |= 0x80;
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        MasterKey::parse(&Secret::new(text)).unwrap()
    }

    fn sealed() -> (Seals, Sealed) {
        let seals = Seals::new(&master_key());
        let sealed = seals.seal(&ROW, &Secret::new(TEXT)).unwrap();
        (seals, sealed)
    }

    #[test]
    fn a_sealed_text_opens_in_its_row_and_nowhere_else() {
        let (seals, sealed) = sealed();
        assert_eq!(seals.open(&ROW, &sealed).unwrap().reveal(), TEXT);
        let elsewhere = [
            Row { workspace: "w2", ..ROW },
            Row { kind: "channel", ..ROW },
            Row { name: "erp/token", ..ROW },
            // The same letters, cut at another place.
            Row { kind: "connectione", name: "rp/password", ..ROW },
        ];
        for row in elsewhere {
            let problem = seals.open(&row, &sealed).unwrap_err();
            assert!(problem.is(&codes::FILE_CORRUPT), "{row:?}: {problem}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (seals, sealed) = sealed();
        for index in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[index] ^= 1;
            assert!(seals.open(&ROW, &changed).is_err(), "byte {index}");
        }
        for index in 0..NONCE_BYTES {
            let mut changed = sealed.clone();
            changed.nonce[index] ^= 1;
            assert!(seals.open(&ROW, &changed).is_err(), "byte {index} of the nonce");
        }
        for length in 0..sealed.ciphertext.len() {
            let mut cut = sealed.clone();
            cut.ciphertext.truncate(length);
            assert!(seals.open(&ROW, &cut).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn the_same_text_never_looks_the_same() {
        let (seals, sealed) = sealed();
        let again = seals.seal(&ROW, &Secret::new(TEXT)).unwrap();
        assert_ne!(sealed.ciphertext, again.ciphertext);
        assert_ne!(sealed.nonce, again.nonce);
    }

    #[test]
    fn a_new_master_key_wraps_anew_and_then_the_old_one_is_not_needed() {
        let (old, new) = (master_key(), master_key());
        let before = Seals::new(&old).seal(&ROW, &Secret::new(TEXT)).unwrap();
        let problem = Seals::new(&new).open(&ROW, &before).unwrap_err();
        assert!(problem.is(&codes::KEY_INVALID), "{problem}");
        let both = Seals::new(&new.clone().after(&old));
        assert_eq!(both.open(&ROW, &before).unwrap().reveal(), TEXT);
        let after = both.rewrap(&ROW, &before).unwrap().unwrap();
        assert_eq!(after.nonce, before.nonce);
        assert_eq!(after.ciphertext[TEXT_FROM..], before.ciphertext[TEXT_FROM..]);
        assert_eq!(Seals::new(&new).open(&ROW, &after).unwrap().reveal(), TEXT);
        assert!(Seals::new(&old).open(&ROW, &after).is_err());
        assert_eq!(both.rewrap(&ROW, &after).unwrap(), None);
    }

    #[test]
    fn nothing_is_printed_and_one_column_is_enough() {
        let (seals, sealed) = sealed();
        let printed = format!("{seals:?} {sealed:?}");
        assert!(!printed.contains(TEXT), "{printed}");
        let text = sealed.to_text();
        assert!(!text.contains(TEXT));
        assert_eq!(Sealed::parse(&text).unwrap(), sealed);
        for broken in ["", "a.b", "a.!.!", "..."] {
            assert!(Sealed::parse(broken).and_then(|it| seals.open(&ROW, &it)).is_err());
        }
    }
}
