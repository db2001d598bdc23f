//! Opening SQLite files, and problems instead of error codes.

use contracts::Context;
use model::{Name, Problem, Result, codes};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The connection type of this file.
pub(crate) const TYPE: &str = "sqlite";

/// The settings of a connection of type `sqlite`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteConnection {
    /// The database file; relative paths start at the project.
    pub path: String,
    /// How long to wait while somebody else writes, in seconds.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 0, max = 3600))]
    pub timeout_s: u32,
}

fn default_timeout() -> u32 {
    30
}

/// A database file and how people call it.
#[derive(Debug, Clone)]
pub(super) struct Database {
    /// The file.
    pub file: PathBuf,
    /// The connection's name, or the path.
    pub label: String,
    timeout: Duration,
}

impl Database {
    /// The file behind a connection, or the one that a setting names.
    pub(super) fn locate(
        context: &Context,
        connection: Option<&Name>,
        path: Option<&str>,
    ) -> Result<Self> {
        let (label, settings) = match (connection, path) {
            (Some(name), None) => {
                (name.to_string(), Context::settings(context.connection(name, &[TYPE])?)?)
            }
            (None, Some(path)) => {
                let path = path.to_owned();
                (path.clone(), SqliteConnection { path, timeout_s: default_timeout() })
            }
            _ => {
                return Err(Problem::new(
                    &codes::SETTING_INVALID,
                    "one of `connection` and `path` is needed, not both",
                )
                .hint("write `path: data/shop.db`, or name a connection of type `sqlite`"));
            }
        };
        let file = context.local_path(&settings.path)?;
        Ok(Self { file, label, timeout: Duration::from_secs(settings.timeout_s.into()) })
    }

    /// Opens the file for reading.
    pub(super) fn open_to_read(&self) -> Result<Connection> {
        if !self.file.exists() {
            return Err(Problem::new(
                &codes::FILE_NOT_FOUND,
                format!("`{}` has no database file `{}`", self.label, self.file.display()),
            )
            .arg("path", self.file.display())
            .hint("check the path; it starts at the project's folder"));
        }
        self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens the file for writing, and makes it if it is not there.
    pub(super) fn open_to_write(&self) -> Result<Connection> {
        if let Some(folder) = self.file.parent() {
            stdx::durable::create_dir_all(folder).map_err(|error| {
                Problem::new(&codes::STORAGE_FAILED, "a folder cannot be made")
                    .arg("path", folder.display())
                    .detail(error)
            })?;
        }
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection> {
        // Without URIs, a path cannot carry options.
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&self.file, flags).map_err(|error| self.problem(&error))?;
        connection.busy_timeout(self.timeout).map_err(|error| self.problem(&error))?;
        Ok(connection)
    }

    /// What went wrong, in our words.
    pub(super) fn problem(&self, error: &rusqlite::Error) -> Problem {
        problem(&self.label, &self.file, error)
    }
}

fn problem(label: &str, file: &Path, error: &rusqlite::Error) -> Problem {
    let text = error.to_string();
    let fact = |what: &str| format!("database `{label}`: {what}");
    let (code, fact, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => (
            &codes::FILE_CORRUPT,
            fact("the file is damaged, or is no SQLite database"),
            Some("check that `path` names a SQLite file"),
        ),
        Some(ErrorCode::CannotOpen) => {
            (&codes::FILE_UNREADABLE, fact("the file cannot be opened"), None)
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            &codes::TABLE_CONFLICT,
            fact("somebody else is writing"),
            Some("try again, or raise `timeout_s` of the connection"),
        ),
        Some(ErrorCode::DiskFull) => (&codes::STORAGE_FULL, fact("the disk is full"), None),
        Some(ErrorCode::SystemIoFailure) => {
            (&codes::STORAGE_FAILED, fact("the disk reports an error"), None)
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (&codes::PERMISSION_DENIED, fact("the file may not be changed"), None)
        }
        Some(ErrorCode::ConstraintViolation) => {
            (&codes::CONSTRAINT_VIOLATED, fact("a row breaks a constraint of the table"), None)
        }
        _ if text.contains("no such column") => {
            (&codes::COLUMN_UNKNOWN, fact("there is no such column"), None)
        }
        _ if text.contains("no such table") => (
            &codes::QUERY_FAILED,
            fact("there is no such table"),
            Some("write the table as the database spells it"),
        ),
        _ => (&codes::QUERY_FAILED, fact("SQLite refused a statement"), None),
    };
    let problem = Problem::new(code, fact).arg("path", file.display()).detail(text);
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// Runs blocking work beside the event loop.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::new(&codes::INTERNAL, "work on SQLite broke off").detail(error))?
}
