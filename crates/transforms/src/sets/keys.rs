//! The columns by which rows of two inputs belong together.

use crate::settings::{Pairs, invalid};
use crate::values::check_comparable;
use contracts::NamedInput;
use contracts::expr;
use contracts::sql::{Expr, Ident, Joined};
use model::Result;

/// Checks that the columns of `on` exist and can be compared.
pub(super) fn check(on: &Pairs, left: &NamedInput, right: &NamedInput) -> Result<()> {
    if on.is_empty() {
        return Err(invalid("/on", "there is no column to match rows by")
            .hint("write `on: [id]`, or `on: {left_id: right_id}` when the names differ"));
    }
    for (left_name, right_name) in on.iter() {
        let path = format!("/on/{left_name}");
        let left_type = left.column(left_name, &path)?.data_type();
        let right_type = right.column(right_name, &path)?.data_type();
        check_comparable((left_name, left_type), (right_name, right_type), &path)?;
    }
    Ok(())
}

/// `"left"."id" = "right"."id" AND …`, for relations with these aliases.
pub(super) fn condition(on: &Pairs, left: &str, right: &str) -> Result<Expr> {
    let mut terms = Vec::new();
    for (left_name, right_name) in on.iter() {
        let (left_ident, right_ident) = (Ident(left_name), Ident(right_name));
        terms.push(expr!("{}.{} = {}.{}", Ident(left), left_ident, Ident(right), right_ident)?);
    }
    match terms.len() {
        1 => Ok(terms.swap_remove(0)),
        _ => expr!("{}", Joined(terms, " AND ")),
    }
}
