//! Queries of modules that can reject rows: the columns `_errors` and `_record`.

use contracts::rejects::{ERRORS, RECORD};
use contracts::sql::{Expr, Fragment, Ident, List, Text, ToFragment};
use contracts::{NamedInput, Relation, piece, sql};
use model::Result;

/// A reason to reject a row.
pub(crate) struct Fault {
    /// When the row is rejected; a condition that is null does not reject.
    pub(crate) failed: Expr,
    /// The column that is to blame.
    pub(crate) column: String,
    /// Its value.
    pub(crate) value: Expr,
    /// A lowercase fact.
    pub(crate) reason: String,
}

/// A query that gives `items` and rejects rows with faults. Items and faults are over the columns
/// of `from`, which has all columns of `input`: these make the record of a rejected row.
pub(crate) fn rejecting(
    items: Vec<Fragment>,
    faults: &[Fault],
    from: &impl ToFragment,
    input: &NamedInput,
) -> Result<Relation> {
    let fault = |fault: &Fault| {
        let (column, reason) = (Text(&fault.column), Text(&fault.reason));
        piece!("{}, {}, {}, {}", fault.failed, column, fault.value, reason)
    };
    let faults: Vec<Fragment> = faults.iter().map(fault).collect();
    let pair = |name| piece!("{}, {}", Text(name), Ident(name));
    let record: Vec<Fragment> = input.columns().map(pair).collect();
    let sql = sql!(
        "SELECT {}, {}, row_record({}, {}) AS {} FROM \
         (SELECT *, row_errors({}) AS {} FROM {} AS t) AS t",
        List(items),
        Ident(ERRORS),
        Ident(ERRORS),
        List(record),
        Ident(RECORD),
        List(faults),
        Ident(ERRORS),
        from
    )?;
    Ok(Relation::with_rejects(sql))
}
