//! What stands after SELECT: the columns of the input, some of them replaced, new ones added.

use crate::settings::invalid;
use contracts::NamedInput;
use contracts::arrow_types::{FILE, ROW};
use contracts::rejects::{ERRORS, NOTES, PORT, RECORD};
use contracts::sql::{Aliased, Expr, Fragment, Ident, List, ToFragment};
use model::{Problem, Result};
use std::collections::HashSet;

/// Names that the engine gives to columns of its own.
const RESERVED: [&str; 4] = [ERRORS, RECORD, NOTES, PORT];

/// The columns of `input` that are not named in `without`.
pub(crate) fn all_but<'a>(input: &'a NamedInput, without: &[&str]) -> List<Ident<'a>> {
    List(input.columns().filter(|name| !without.contains(name)).map(Ident).collect())
}

/// All columns of `input`. A column with the name of a new one is replaced where it stands; the
/// other new ones come at the end.
pub(crate) fn with_columns(input: &NamedInput, new: &[(String, Expr)]) -> List<Fragment> {
    let old: Vec<&str> = input.columns().collect();
    with_columns_of(&old, new)
}

/// Like [`with_columns`], over columns by name.
pub(crate) fn with_columns_of(old: &[&str], new: &[(String, Expr)]) -> List<Fragment> {
    let find = |name: &str| new.iter().find(|(other, _)| other == name);
    let kept = old.iter().map(|name| match find(name) {
        Some((_, expr)) => Aliased(expr.clone(), name).to_fragment(),
        None => Ident(name).to_fragment(),
    });
    let added = new.iter().filter(|(name, _)| !old.contains(&name.as_str()));
    let added = added.map(|(name, expr)| Aliased(expr.clone(), name).to_fragment());
    List(kept.chain(added).collect())
}

/// `_file` and `_row`, as far as `input` has them.
pub(crate) fn origin(input: &NamedInput) -> impl Iterator<Item = &str> {
    input.columns().filter(|name| is_origin(name))
}

/// Whether a column says where its row came from.
pub(crate) fn is_origin(name: &str) -> bool {
    name == FILE || name == ROW
}

/// Refuses names that no output column can have.
pub(crate) fn check_name(name: &str, setting: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(invalid(setting, "a column needs a name"));
    }
    if RESERVED.contains(&name) {
        return Err(invalid(setting, format!("`{name}` is a column of the engine"))
            .arg("column", name)
            .hint("choose another name"));
    }
    Ok(())
}

/// Refuses a result with two columns of the same name.
pub(crate) fn check_distinct<'a>(
    names: impl IntoIterator<Item = &'a str>,
    setting: &str,
) -> Result<()> {
    let mut seen = HashSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(repeated(name, setting)),
        None => Ok(()),
    }
}

/// The problem of two columns with the same name.
pub(crate) fn repeated(name: &str, setting: &str) -> Problem {
    invalid(setting, format!("two columns of the result are called `{name}`"))
        .arg("column", name)
        .hint("rename or drop one of them")
}
