//! `_record`: a rejected row as it was received.

use contracts::rejects::{ERRORS, RECORD};
use contracts::sql::{Fragment, Ident, List, Sql, Text};
use contracts::{piece, sql};
use model::Result;

/// `inner` and `_record`, which is made only where `inner` has something in `_errors`. `received`
/// are the columns of the row: their names, and their names in `inner`.
pub(super) fn with_record(inner: &Sql, received: &[(&str, &str)]) -> Result<Sql> {
    let pair = |(name, inside): &(&str, &str)| piece!("{}, {}", Text(name), Ident(inside));
    let mut arguments: Vec<Fragment> = vec![piece!("{}", Ident(ERRORS))];
    arguments.extend(received.iter().map(pair));
    sql!("SELECT *, row_record({}) AS {} FROM {} AS t", List(arguments), Ident(RECORD), inner)
}
