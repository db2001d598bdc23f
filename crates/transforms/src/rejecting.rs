//! Queries of modules that can reject rows: the columns `_errors` and `_record`.

use contracts::rejects::{ERRORS, RECORD};
use contracts::sql::{Expr, Fragment, Ident, List, Sql, Text};
use contracts::{NamedInput, expr, piece, sql};
use model::Result;

/// A reason to reject a row.
pub(crate) struct Fault {
    /// When the row is rejected; a condition that is null does not reject.
    pub failed: Expr,
    /// The column that is to blame.
    pub column: String,
    /// Its value.
    pub value: Expr,
    /// A lowercase fact.
    pub reason: String,
}

/// The expression of `_errors`.
pub(crate) fn errors(faults: &[Fault]) -> Result<Expr> {
    let mut arguments = Vec::with_capacity(faults.len());
    for fault in faults {
        let value = expr!("CAST({} AS VARCHAR)", fault.value)?;
        let (column, reason) = (Text(&fault.column), Text(&fault.reason));
        arguments.push(piece!("{}, {}, {}, {}", fault.failed, column, value, reason));
    }
    expr!("row_errors({})", List(arguments))
}

/// `inner` with `_record`: the row as it came, where `inner` has something in `_errors`.
/// `received` are the columns of the row, with the names they have in `inner`.
pub(crate) fn with_record(inner: &Sql, received: &[(&str, &str)]) -> Result<Sql> {
    let pair = |(name, inside): &(&str, &str)| piece!("{}, {}", Text(name), Ident(inside));
    let pairs: Vec<Fragment> = received.iter().map(pair).collect();
    sql!(
        "SELECT *, row_record({}, {}) AS {} FROM {} AS t",
        Ident(ERRORS),
        List(pairs),
        Ident(RECORD),
        inner
    )
}

/// The columns of `input` under their own names, for [`with_record`].
pub(crate) fn as_received(input: &NamedInput) -> Vec<(&str, &str)> {
    input.columns().map(|name| (name, name)).collect()
}
