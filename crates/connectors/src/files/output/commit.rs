//! The commit of `write_file`: files get their names, the manifest comes last.

use super::manifest::Manifest;
use super::place::{Place, Shape};
use super::staging::Staged;
use crate::storage::FileStore;
use async_trait::async_trait;
use contracts::Prepared;
use model::Result;
use model::run::Committed;
use std::collections::HashSet;
use std::sync::Arc;

/// Files that are complete and unseen.
pub(crate) struct FilesPrepared {
    /// Where the files go.
    pub(crate) store: Arc<dyn FileStore>,
    /// Where the manifest goes.
    pub(crate) manifests: Arc<dyn FileStore>,
    /// Their names.
    pub(crate) place: Place,
    /// What will be the manifest.
    pub(crate) manifest: Manifest,
    /// The files.
    pub(crate) staged: Vec<Staged>,
}

impl FilesPrepared {
    /// Removes what an attempt of this run published before it died: its rows may have been
    /// divided in another way.
    async fn remove_strays(&self) -> Result<()> {
        if self.place.shape != Shape::Folder {
            return Ok(());
        }
        let wanted: HashSet<&str> =
            self.staged.iter().map(|staged| staged.file.path.as_str()).collect();
        for file in self.store.list(&self.place.path).await? {
            if self.place.is_of_this_run(&file.path) && !wanted.contains(file.path.as_str()) {
                self.store.delete(&file.path).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Prepared for FilesPrepared {
    async fn commit(self: Box<Self>) -> Result<Committed> {
        let manifests = self.manifests.as_ref();
        if let Some(earlier) = Manifest::find(manifests, &self.place).await? {
            earlier.clean_up(self.store.as_ref(), manifests, &self.place).await?;
            return Ok(earlier.committed(true));
        }
        self.remove_strays().await?;
        for staged in &self.staged {
            self.store.publish(&staged.local, &staged.file.path).await?;
        }
        let is_ours = self.manifest.write(manifests, &self.place).await?;
        self.manifest.clean_up(self.store.as_ref(), manifests, &self.place).await?;
        Ok(self.manifest.committed(!is_ours))
    }

    async fn discard(self: Box<Self>) {}
}
