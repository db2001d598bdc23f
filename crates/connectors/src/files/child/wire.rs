//! What a child tells its parent: frames of a kind, a length and a body.

use contracts::{Reject, RejectError};
use model::problem::{Problem, StoredProblem};
use model::{Result, codes};
use serde::{Deserialize, Serialize};

/// A kind (one byte) and a length (four, little end first).
pub(super) const HEAD_BYTES: usize = 5;
/// A longer body is refused on both sides.
pub(super) const BODY_BYTES_MAX: usize = 512 << 20;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The columns, as the beginning of an Arrow stream. Comes first.
    Schema,
    /// A batch, as a message of an Arrow stream.
    Batch,
    /// A row that cannot be read, as JSON.
    Reject,
    /// Bytes read from disk since the last such frame.
    Bytes,
    /// Why there will be no more, as JSON.
    Problem,
    /// Everything has been read.
    End,
}

const KINDS: [Kind; 6] =
    [Kind::Schema, Kind::Batch, Kind::Reject, Kind::Bytes, Kind::Problem, Kind::End];

/// The head of a frame.
pub(super) fn head(kind: Kind, length: usize) -> Result<[u8; HEAD_BYTES]> {
    let length = u32::try_from(length).ok().filter(|length| *length as usize <= BODY_BYTES_MAX);
    let length = length.ok_or_else(|| {
        let mebibytes = BODY_BYTES_MAX >> 20;
        Problem::new(&codes::FILE_TOO_LARGE, format!("a row has more than {mebibytes} MiB"))
            .hint("leave the column out where the source can, or split the file")
    })?;
    let [a, b, c, d] = length.to_le_bytes();
    Ok([kind as u8, a, b, c, d])
}

/// Kind and length of a frame, if such a frame can be.
pub(super) fn parse_head(head: &[u8]) -> Option<(Kind, usize)> {
    let [kind, a, b, c, d] = *head else { return None };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let kind = *KINDS.get(usize::from(kind))?;
    (length <= BODY_BYTES_MAX).then_some((kind, length))
}

/// A rejected row as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RejectForm {
    file: Option<String>,
    row: Option<i64>,
    offset: Option<i64>,
    /// Column, value and reason of each error.
    errors: Vec<(String, Option<String>, String)>,
    record: String,
}

impl From<Reject> for RejectForm {
    fn from(reject: Reject) -> Self {
        let Reject { file, row, offset, errors, record } = reject;
        let errors = errors.into_iter().map(|error| (error.column, error.value, error.reason));
        Self { file, row, offset, errors: errors.collect(), record }
    }
}

impl From<RejectForm> for Reject {
    fn from(form: RejectForm) -> Self {
        let RejectForm { file, row, offset, errors, record } = form;
        let error = |(column, value, reason)| RejectError { column, value, reason };
        Self { file, row, offset, errors: errors.into_iter().map(error).collect(), record }
    }
}

/// The problem that a child has written down.
pub(super) fn problem(stored: StoredProblem) -> Problem {
    let code = codes::ALL.iter().find(|code| code.id == stored.code).unwrap_or(&codes::INTERNAL);
    let mut problem = Problem::new(code, stored.message);
    for (name, value) in stored.arguments {
        problem = problem.arg(&name, value);
    }
    if let Some(detail) = stored.detail {
        problem = problem.detail(detail);
    }
    if let Some(hint) = stored.hint {
        problem = problem.hint(hint);
    }
    let place = stored.context;
    if let Some(file) = place.file {
        problem = problem.in_file(file);
    }
    if let Some(setting) = place.setting {
        problem = problem.in_setting(setting);
    }
    match (place.line, place.column) {
        (Some(line), Some(column)) => problem.at(line, column),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_written() {
        for kind in KINDS {
            assert_eq!(parse_head(&head(kind, 70_000).unwrap()), Some((kind, 70_000)));
        }
        assert!(head(Kind::Batch, BODY_BYTES_MAX + 1).unwrap_err().is(&codes::FILE_TOO_LARGE));
        assert_eq!(parse_head(&[9, 0, 0, 0, 0]), None);
        assert_eq!(parse_head(&[0, 255, 255, 255, 255]), None);
        assert_eq!(parse_head(&[0, 0]), None);
    }

    #[test]
    fn problems_travel_whole() {
        let problem_sent = Problem::new(&codes::FILE_CORRUPT, "`a` is damaged")
            .arg("file", "a")
            .detail("byte 3")
            .hint("fetch it again")
            .in_file("a")
            .in_setting("/sheet")
            .at(3, 4);
        assert_eq!(problem(problem_sent.to_stored()), problem_sent);
    }
}
