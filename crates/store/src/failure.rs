//! What goes wrong inside of a transaction, and the problem it becomes.

use model::{Code, Problem, codes};
use sea_orm::sqlx::Error as SqlxError;
use sea_orm::{DbErr, RuntimeErr};

/// Why a closure over the database ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An answer to the caller.
    Problem(Problem),
    /// The database refused or was away.
    Database(DbErr),
}

/// What closures over the database return.
pub(crate) type Attempt<T> = Result<T, Failure>;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Problem(problem) => problem,
            Failure::Database(error) => Trouble::of(&error).problem(&error),
        }
    }
}

impl Failure {
    /// How often the same transaction is worth beginning, the first time included.
    pub(crate) fn attempts_max(&self) -> u32 {
        let Self::Database(error) = self else { return 1 };
        match Trouble::of(error) {
            Trouble::RaceLost | Trouble::LineCut => u32::MAX,
            // Every write looks whether a key is free. PostgreSQL can tell it that it is, and
            // then that it was not, when another transaction has taken it in between.
            Trouble::KeyTaken => 4,
            _ => 1,
        }
    }

    /// Whether another process holds the lock that was asked for.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Database(error) if Trouble::of(error) == Trouble::RaceLost)
    }

    /// Whether the connection was lost, so that nobody knows what the server did last.
    pub(crate) fn is_line_cut(&self) -> bool {
        matches!(self, Self::Database(error) if Trouble::of(error) == Trouble::LineCut)
    }

    /// Whether the library could not read the address.
    pub(crate) fn is_about_settings(&self) -> bool {
        let Self::Database(error) = self else { return false };
        match sqlx_error(error) {
            Some(error) => matches!(error, SqlxError::Configuration(_)),
            None => matches!(error, DbErr::Conn(RuntimeErr::Internal(_))),
        }
    }
}

/// What kind of trouble a database reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// A serialization failure, a deadlock or a lock that was not given in time.
    RaceLost,
    /// An open connection was lost.
    LineCut,
    /// No connection can be had.
    Away,
    /// A statement took longer than it may.
    TooSlow,
    Refused,
    Full,
    Disk,
    Corrupt,
    Denied,
    /// Two rows would have one key.
    KeyTaken,
    TextRefused,
    Other,
}

impl Trouble {
    fn of(error: &DbErr) -> Self {
        if matches!(error, DbErr::ConnectionAcquire(_)) {
            return Self::Away;
        }
        let Some(error) = sqlx_error(error) else { return Self::Other };
        match error {
            SqlxError::Io(_) | SqlxError::Protocol(_) | SqlxError::WorkerCrashed => Self::LineCut,
            SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::Tls(_) => Self::Away,
            SqlxError::Database(said) => said.code().map_or(Self::Other, |code| {
                // SQLSTATE has five characters, SQLite's numbers have at most four.
                match code.len() {
                    5 => Self::of_sqlstate(&code),
                    _ => Self::of_sqlite(code.parse().unwrap_or(0)),
                }
            }),
            _ => Self::Other,
        }
    }

    fn of_sqlstate(state: &str) -> Self {
        match state {
            "40001" | "40P01" | "55P03" => Self::RaceLost,
            // The transaction was silent for longer than it may: it is undone, as after a race.
            "25P03" => Self::RaceLost,
            // The server is going down or coming up.
            "57P01" | "57P02" | "57P03" => Self::LineCut,
            "57014" => Self::TooSlow,
            "53100" => Self::Full,
            "53300" => Self::Away,
            "42501" => Self::Denied,
            "23505" => Self::KeyTaken,
            "22021" | "22P05" => Self::TextRefused,
            "3D000" => Self::Refused,
            _ if state.starts_with("08") => Self::LineCut,
            _ if state.starts_with("28") => Self::Refused,
            _ if state.starts_with("58") => Self::Disk,
            _ if state.starts_with("XX") => Self::Corrupt,
            _ => Self::Other,
        }
    }

    fn of_sqlite(number: i32) -> Self {
        // The low byte is the kind, the rest says more about it.
        match number & 0xff {
            _ if number == 1555 || number == 2067 => Self::KeyTaken,
            5 | 6 => Self::RaceLost,
            10 => Self::Disk,
            11 | 26 => Self::Corrupt,
            13 => Self::Full,
            3 | 8 | 14 | 23 => Self::Denied,
            _ => Self::Other,
        }
    }

    fn problem(self, error: &DbErr) -> Problem {
        let (code, message, hint) = self.words();
        let problem = Problem::new(code, message).hint(hint);
        match sqlx_error(error) {
            Some(SqlxError::Database(said)) => problem.detail(said.message()),
            Some(said) => problem.detail(said),
            None => problem.detail(error),
        }
    }

    fn words(self) -> (&'static Code, &'static str, &'static str) {
        match self {
            Self::RaceLost | Self::TooSlow => (
                &codes::STORE_FAILED,
                "the metadata database is too busy",
                "try again; if it stays so, look for another process that holds it",
            ),
            Self::LineCut | Self::Away => (
                &codes::STORE_FAILED,
                "the metadata database cannot be reached",
                "look whether its server runs; this works again as soon as it does",
            ),
            Self::Refused => (
                &codes::STORE_FAILED,
                "the metadata database refuses the credentials",
                "check user, password and database name of its address",
            ),
            Self::Full => (
                &codes::STORAGE_FULL,
                "the disk of the metadata database is full",
                "free space; nothing that was answered is lost",
            ),
            Self::Disk => (
                &codes::STORE_FAILED,
                "the disk of the metadata database reports an error",
                "check the disk and its file system",
            ),
            Self::Corrupt => (
                &codes::FILE_CORRUPT,
                "the metadata database is damaged or is not one",
                "restore it from a backup",
            ),
            Self::Denied => (
                &codes::PERMISSION_DENIED,
                "the metadata database may not be read or written",
                "give the server's user the right to the file, its folder or the schema",
            ),
            Self::KeyTaken => (
                &codes::CONFLICT,
                "something with the same key is there already",
                "look whether it has been done already",
            ),
            Self::TextRefused => (
                &codes::SETTING_INVALID,
                "a text holds a character that cannot be stored",
                "remove the character with the number 0",
            ),
            Self::Other => (
                &codes::INTERNAL,
                "the metadata database refuses a statement",
                "please report this with the log",
            ),
        }
    }
}

fn sqlx_error(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}
