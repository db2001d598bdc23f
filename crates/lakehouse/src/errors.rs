//! What libraries and the operating system report, as problems that a user can act on.

use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;
use model::{Problem, codes};
use std::error::Error;
use std::io;
use tokio::task::JoinError;

/// A problem for whatever a query over the lake reports: problems from below come back unchanged.
pub fn from_datafusion(error: &DataFusionError) -> Problem {
    if let Some(problem) = known(error) {
        return problem;
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(detail) => Problem::new(
            &codes::MEMORY_EXCEEDED,
            "an operation on a lake table needs more memory than the limit",
        )
        .detail(detail)
        .hint("raise `memory` or free space for spilled rows"),
        root => Problem::new(&codes::INTERNAL, "an operation on a lake table failed").detail(root),
    }
}

/// A problem for what Delta Lake reports.
pub(crate) fn from_delta(error: &DeltaTableError) -> Problem {
    known(error).unwrap_or_else(|| match error {
        DeltaTableError::ObjectStore { .. } | DeltaTableError::Io { .. } => storage(error),
        _ => Problem::new(&codes::TABLE_CORRUPT, "the log of a lake table cannot be used")
            .detail(error),
    })
}

/// A problem for what an object store reports.
pub(crate) fn from_store(error: &object_store::Error) -> Problem {
    known(error).unwrap_or_else(|| storage(error))
}

/// A problem for what the operating system reports.
pub(crate) fn from_io(error: &io::Error) -> Problem {
    known_io(error).unwrap_or_else(|| storage(error))
}

/// A problem for a Parquet file that cannot be written or read.
pub(crate) fn from_parquet(error: &parquet::errors::ParquetError) -> Problem {
    known(error).unwrap_or_else(|| {
        Problem::new(&codes::STORAGE_FAILED, "a Parquet file cannot be written").detail(error)
    })
}

/// A problem for rows that do not have the shape they should.
pub(crate) fn from_arrow(error: &arrow::error::ArrowError) -> Problem {
    known(error).unwrap_or_else(|| {
        Problem::new(&codes::INTERNAL, "rows do not fit their schema").detail(error)
    })
}

/// A task of ours ended without an answer.
pub(crate) fn from_join(error: &JoinError) -> Problem {
    Problem::new(&codes::INTERNAL, "a task that wrote a lake table ended badly").detail(error)
}

/// Wraps a problem so that it passes through `DataFusion`.
pub(crate) fn into_datafusion(problem: Problem) -> DataFusionError {
    DataFusionError::External(Box::new(problem))
}

fn storage(error: &dyn Error) -> Problem {
    Problem::new(&codes::STORAGE_FAILED, "the lake's storage reports an error").detail(error)
}

/// What the innermost causes say, when they say something that has a code of its own.
fn known(error: &(dyn Error + 'static)) -> Option<Problem> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(problem) = current.downcast_ref::<Problem>() {
            return Some(problem.clone());
        }
        if let Some(join) = current.downcast_ref::<JoinError>().filter(|error| error.is_panic()) {
            return Some(from_join(join));
        }
        if let Some(problem) = current.downcast_ref::<io::Error>().and_then(known_io) {
            return Some(problem);
        }
        if let Some(problem) = current.downcast_ref::<object_store::Error>().and_then(known_store) {
            return Some(problem);
        }
        cause = current.source();
    }
    None
}

fn known_io(error: &io::Error) -> Option<Problem> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            Problem::new(&codes::STORAGE_FULL, "there is no space left for the lake")
                .detail(error)
                .hint("free space, then run again: what was committed stays"),
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(
            Problem::new(&codes::PERMISSION_DENIED, "the lake's folder may not be written or read")
                .detail(error)
                .hint("give this user the right to read and write the lake's folder"),
        ),
        _ => {
            let inner: &(dyn Error + 'static) = error.get_ref()?;
            known(inner)
        }
    }
}

fn known_store(error: &object_store::Error) -> Option<Problem> {
    match error {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => Some(
            Problem::new(&codes::PERMISSION_DENIED, "the lake's storage denies access")
                .detail(error)
                .hint("check the lake's access key and what it is allowed to do"),
        ),
        object_store::Error::NotFound { path, .. } => Some(
            Problem::new(&codes::TABLE_CORRUPT, format!("the file `{path}` is missing"))
                .arg("file", path)
                .in_file(path)
                .hint("restore the file, or restore the table from an older version"),
        ),
        _ => None,
    }
}
