//! What the tests of this crate share: every one runs on both databases.

use crate::store::Store;
use crate::{Address, NewUser, NewWorkspace, TokenHash, User, WorkspaceId};
use model::{Name, Secret};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;
use testkit::Postgres;

/// An instant from which tests count.
pub(crate) const NOW: i64 = 1_800_000_000_000_000;
pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const DAY: i64 = 24 * 60 * MINUTE;

/// A database of a test; it goes away with this.
pub(crate) struct Database {
    pub(crate) address: Address,
    _folder: Option<TempDir>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Sqlite(folder.path().join("affluent.db"));
        Self { address, _folder: Some(folder) }
    }

    /// None when there is no PostgreSQL here.
    pub(crate) fn postgres() -> Option<Self> {
        static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
        let server = SERVER.get_or_init(Postgres::start).as_ref()?;
        Some(Self::on(server))
    }

    /// A new database on a server.
    pub(crate) fn on(server: &Postgres) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("store_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.psql(&format!("create database {name}"));
        let url = server.url();
        let (server, _) = url.rsplit_once('/').unwrap();
        Self { address: Address::Postgres(Secret::new(format!("{server}/{name}"))), _folder: None }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.address).await.unwrap()
    }
}

/// Runs a test on SQLite and on PostgreSQL, each with an empty database.
pub(crate) async fn on_both(test: impl AsyncFn(Store)) {
    let database = Database::sqlite();
    test(database.open().await).await;
    let Some(database) = Database::postgres() else { return };
    test(database.open().await).await;
}

/// A hash that differs with `seed`.
pub(crate) fn hash(seed: u64) -> TokenHash {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&seed.to_be_bytes());
    TokenHash::new(digest)
}

pub(crate) fn new_user(email: &str) -> NewUser {
    NewUser {
        email: email.to_owned(),
        name: "Somebody".to_owned(),
        password_hash: Some(Secret::new("argon2")),
    }
}

pub(crate) fn new_workspace(slug: &str) -> NewWorkspace {
    NewWorkspace { slug: Name::new(slug).unwrap(), title: slug.to_uppercase() }
}

pub(crate) async fn user(store: &Store, email: &str) -> User {
    store.users().create(new_user(email), NOW).await.unwrap()
}

/// A workspace and its owner.
pub(crate) async fn workspace(store: &Store, slug: &str) -> (WorkspaceId, User) {
    let owner = user(store, &format!("owner@{slug}.example")).await;
    let new = new_workspace(slug);
    let workspace = store.workspaces().create(new, &owner.id, NOW).await.unwrap();
    (workspace.id, owner)
}

/// The code of the problem that an operation ended with.
pub(crate) fn code<T: std::fmt::Debug>(outcome: model::Result<T>) -> &'static str {
    outcome.unwrap_err().code().id
}
