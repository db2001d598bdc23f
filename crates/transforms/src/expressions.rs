//! Expressions that people write, checked against the columns of the input.

use contracts::{Expr, NamedInput};
use model::{Problem, Result, codes};

/// Parses one expression; its columns must be among those of `input` or in `more`.
pub(crate) fn parse(text: &str, input: &NamedInput, more: &[&str], path: &str) -> Result<Expr> {
    let expr = Expr::parse(text).map_err(|problem| problem.in_setting(path))?;
    check(&expr, input, more, path)?;
    Ok(expr)
}

fn check(expr: &Expr, input: &NamedInput, more: &[&str], path: &str) -> Result<()> {
    if expr.has_own_names() {
        return Ok(());
    }
    let known = |name: &str| input.has(name) || more.contains(&name);
    for reference in expr.references() {
        let found = match reference.as_slice() {
            [] => true,
            [name] => known(name),
            [first, second, ..] => (*first == input.name && known(second)) || known(first),
        };
        if !found {
            let columns = input.columns().chain(more.iter().copied());
            return Err(unknown(&reference, &input.name, columns.collect(), path));
        }
    }
    Ok(())
}

fn unknown(reference: &[String], input: &str, columns: Vec<&str>, path: &str) -> Problem {
    let name = match reference {
        [first, second, ..] if first == input => second,
        [first, ..] => first,
        [] => return Problem::new(&codes::INTERNAL, "a reference without a name"),
    };
    let hint = match stdx::text::nearest(name, columns.iter().copied()) {
        Some(near) if near.to_lowercase() != near => {
            format!("did you mean `\"{near}\"`? A name with capitals needs double quotes")
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("columns are {}; texts need single quotes", columns.join(", ")),
    };
    Problem::new(&codes::COLUMN_UNKNOWN, format!("`{input}` has no column `{name}`"))
        .arg("column", name)
        .arg("input", input)
        .in_setting(path)
        .hint(hint)
}
