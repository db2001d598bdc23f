//! The database as a whole: opening it, reading and writing.

use crate::address::{self, Address};
use crate::alerts::AllAlerts;
use crate::api_keys::AllApiKeys;
use crate::audit::{self, Audit};
use crate::failure::{Attempt, Failure};
use crate::installation::Installation;
use crate::invitations::Guest;
use crate::migrations;
use crate::orchestration::Orchestration;
use crate::password_resets::PasswordResets;
use crate::sessions::Sessions;
use crate::sign_ins::SignIns;
use crate::transactions::{Transactions, Work};
use crate::triggers::AllTriggers;
use crate::users::Users;
use crate::workspaces::{InWorkspace, Workspaces};
use crate::writer::Writer;
use crate::{TokenHash, WorkspaceId};
use model::Result;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Tries and pause while another process opens the same file.
const OPEN_ATTEMPTS_MAX: u32 = 50;
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// The metadata database. Cheap to clone; must be used inside of a tokio runtime.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<Backend>,
}

#[derive(Debug)]
enum Backend {
    Sqlite { readers: DatabaseConnection, writer: Writer, commits: Arc<AtomicU64> },
    Postgres(Transactions),
}

impl Store {
    /// Opens the database, makes it when it is not there, and brings it up to date.
    ///
    /// Several processes may do so at once. A database that a newer program has written is a
    /// problem of code `store_newer`.
    pub async fn open(address: &Address) -> Result<Self> {
        let backend = match address {
            Address::Sqlite(path) => open_sqlite(path).await?,
            Address::Postgres(url) => {
                let connections = address::connect_postgres(url).await?;
                migrations::run(&connections).await?;
                Backend::Postgres(Transactions::new(connections))
            }
        };
        Ok(Self { backend: Arc::new(backend) })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        let asked = self.read().execute_unprepared("SELECT 1").await;
        asked.map(drop).map_err(|error| Failure::from(error).into())
    }

    /// Transactions committed since the start, for measurements.
    pub fn commits(&self) -> u64 {
        match self.backend.as_ref() {
            Backend::Sqlite { commits, .. } => commits.load(Ordering::Relaxed),
            Backend::Postgres(transactions) => transactions.commits(),
        }
    }

    /// The installation as a whole, and its first set-up.
    pub fn installation(&self) -> Installation {
        Installation::new(self.clone())
    }

    /// The people.
    pub fn users(&self) -> Users {
        Users::new(self.clone())
    }

    /// Who is signed in.
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.clone())
    }

    /// Who has tried to sign in.
    pub fn sign_ins(&self) -> SignIns {
        SignIns::new(self.clone())
    }

    /// Forgotten passwords.
    pub fn password_resets(&self) -> PasswordResets {
        PasswordResets::new(self.clone())
    }

    /// The workspaces, as a list.
    pub fn workspaces(&self) -> Workspaces {
        Workspaces::new(self.clone())
    }

    /// What one workspace owns: the only way to it.
    pub fn workspace(&self, id: &WorkspaceId) -> InWorkspace {
        InWorkspace::new(self.clone(), id.clone())
    }

    /// The invitation that belongs to a token, seen by the person who holds it.
    pub fn guest(&self, token: &TokenHash) -> Guest {
        Guest::new(self.clone(), token.clone())
    }

    /// The news of all workspaces, as whoever sends them sees them.
    pub fn alerts(&self) -> AllAlerts {
        AllAlerts::new(self.clone())
    }

    /// API keys as they come with a request, before their workspace is known.
    pub fn api_keys(&self) -> AllApiKeys {
        AllApiKeys::new(self.clone())
    }

    /// What the scheduler's leader works with.
    pub fn orchestration(&self) -> Orchestration {
        Orchestration::new(self.clone())
    }

    /// The triggers of all workspaces, as requests and events find them.
    pub fn triggers(&self) -> AllTriggers {
        AllTriggers::new(self.clone())
    }

    /// What was done that concerns no workspace.
    pub fn audit(&self) -> Audit {
        Audit::new(self.clone(), audit::INSTALLATION.to_owned())
    }

    /// What reading goes through.
    pub(crate) fn read(&self) -> &DatabaseConnection {
        match self.backend.as_ref() {
            Backend::Sqlite { readers, .. } => readers,
            Backend::Postgres(transactions) => transactions.connections(),
        }
    }

    /// Does `work` in a transaction of its own and answers when it is durable. It may be done
    /// several times, of which one counts.
    pub(crate) async fn write<I, T>(&self, input: I, work: Work<I, T>) -> Result<T>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        match self.backend.as_ref() {
            Backend::Sqlite { writer, .. } => writer.write(input, work).await,
            Backend::Postgres(transactions) => transactions.write(&input, work).await,
        }
    }
}

async fn open_sqlite(path: &Path) -> Result<Backend> {
    address::create_sqlite_file(path)?;
    let connection = open_sqlite_writer(path).await?;
    let readers = address::connect_sqlite_readers(path).await?;
    let commits = Arc::new(AtomicU64::new(0));
    let writer = Writer::start(path.to_owned(), connection, Arc::clone(&commits));
    Ok(Backend::Sqlite { readers, writer, commits })
}

/// Turning the write-ahead log on needs the file for itself, and SQLite does not wait for that.
async fn open_sqlite_writer(path: &Path) -> Attempt<DatabaseConnection> {
    let mut attempt = 1;
    loop {
        let opened = async {
            let connection = address::connect_sqlite_writer(path).await?;
            migrations::run(&connection).await?;
            Ok(connection)
        };
        match opened.await {
            Err(Failure::Database(error))
                if Failure::Database(error.clone()).is_busy() && attempt < OPEN_ATTEMPTS_MAX => {}
            opened => return opened,
        }
        tokio::time::sleep(OPEN_PAUSE).await;
        attempt += 1;
    }
}
