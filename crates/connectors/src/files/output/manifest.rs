//! The manifest of `write_file`: what one commit consists of, written last.

use super::place::{Place, Shape};
use crate::storage::FileStore;
use model::run::Committed;
use model::{Problem, Result, codes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};

/// Manifests of earlier runs that are kept beside a file that each run replaces.
const KEPT_MAX: usize = 50;

/// What one commit consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Version of this format.
    pub(crate) affluent: u32,
    /// The commit's key.
    pub(crate) key: String,
    /// The path in the user's words.
    pub(crate) target: String,
    /// The files, by their paths.
    pub(crate) files: Vec<ManifestFile>,
    /// Rows in all files.
    pub(crate) rows: u64,
    /// Whether files of earlier commits are to go.
    pub(crate) replaces: bool,
    /// What goes with the commit, for a lost journal.
    pub(crate) metadata: Map<String, Value>,
}

/// One file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    /// Its path.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Rows.
    pub(crate) rows: u64,
}

impl Manifest {
    /// The manifest of a commit, when it has happened.
    pub(crate) async fn find(store: &dyn FileStore, place: &Place) -> Result<Option<Self>> {
        let path = place.manifest();
        store.get(&path).await?.map(|bytes| read(&path, &bytes)).transpose()
    }

    /// Writes the manifest, which makes the commit. False when there is one already.
    pub(crate) async fn write(&self, store: &dyn FileStore, place: &Place) -> Result<bool> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a manifest cannot be written down").detail(error)
        })?;
        store.create(&place.manifest(), &bytes).await
    }

    /// Removes what earlier commits left that this one replaces; may be repeated. `store` has the
    /// files, `manifests` the manifests.
    pub(crate) async fn clean_up(
        &self,
        store: &dyn FileStore,
        manifests: &dyn FileStore,
        place: &Place,
    ) -> Result<()> {
        let is_fixed = place.shape == Shape::Fixed;
        if !self.replaces && !is_fixed {
            return Ok(());
        }
        let own = place.manifest();
        let own = file_name(&own);
        let listed = manifests.list(&place.manifests()).await?;
        let mut others: Vec<String> = listed.into_iter().map(|file| file.path).collect();
        others.retain(|path| place.is_manifest(path) && file_name(path) < own);
        others.sort();
        let kept = if is_fixed { KEPT_MAX } else { 0 };
        others.truncate(others.len().saturating_sub(kept));
        let files: HashSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        for other in others {
            let old = match is_fixed {
                true => None,
                false => manifests.get(&other).await?,
            };
            if let Some(bytes) = old {
                for file in read(&other, &bytes)?.files {
                    if !files.contains(file.path.as_str()) {
                        store.delete(&file.path).await?;
                    }
                }
            }
            manifests.delete(&other).await?;
        }
        Ok(())
    }

    /// What the commit did.
    pub(crate) fn committed(&self, already: bool) -> Committed {
        let bytes = self.files.iter().map(|file| file.bytes).sum();
        let files = self.files.len() as u64;
        Committed {
            target: self.target.clone(),
            version: None,
            rows: self.rows,
            detail: BTreeMap::from([("bytes".to_owned(), bytes), ("files".to_owned(), files)]),
            already,
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn read(path: &str, bytes: &[u8]) -> Result<Manifest> {
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(&codes::FILE_CORRUPT, format!("the manifest `{path}` is damaged"))
            .arg("path", path)
            .detail(error)
            .hint("restore it from a backup; it says which files belong to a run")
    })
}
