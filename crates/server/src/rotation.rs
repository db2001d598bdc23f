//! A new master key: everything that is sealed or signed goes over to it, while the server works.

use crate::auditing::{note, sign_again};
use crate::connections;
use crate::identity::master_key::MasterKey;
use crate::identity::seal::{Row, Sealed, Seals};
use model::Result;
use serde::Serialize;
use serde_json::json;
use store::Store;

/// What has gone over to the newest key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// Secrets of connections.
    pub secrets: u64,
    /// Channels of alerts.
    pub channels: u64,
    /// Checkpoints of the audit trail.
    pub checkpoints: u64,
}

/// Lets everything go over to the newest of the keys. Done twice, the second time changes nothing
/// but signatures. A server with the file of the key finds the new one there by itself.
///
/// # Errors
///
/// `key_invalid` when something was sealed with a key that is none of those, `audit_broken` when
/// the audit trail is not whole. What has gone over stays.
pub async fn rotate(store: &Store, master_key: &MasterKey, now_us: i64) -> Result<Rotated> {
    let seals = Seals::new(master_key);
    let mut rotated = Rotated::default();
    for workspace in store.workspaces().list().await? {
        let secrets = store.workspace(&workspace.id).secrets();
        for stored in secrets.sealed().await? {
            let Some(sealed) = connections::rewrap(&seals, &stored)? else { continue };
            let done = secrets.reseal(stored, sealed.key_id, sealed.ciphertext).await?;
            rotated.secrets += u64::from(done);
        }
    }
    for channel in store.alerts().channels().await? {
        let row = Row {
            workspace: channel.workspace_id.as_str(),
            kind: crate::alerts::channels::KIND,
            name: channel.id.as_str(),
        };
        let Some(sealed) = seals.rewrap(&row, &Sealed::parse(&channel.sealed)?)? else { continue };
        store.alerts().reseal(&channel, sealed.to_text()).await?;
        rotated.channels += 1;
    }
    rotated.checkpoints = sign_again(store, master_key, now_us).await?;
    note(store, master_key, "master_key.rotate", None, json!(rotated), now_us).await?;
    Ok(rotated)
}
