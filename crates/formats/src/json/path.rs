//! The path to the rows in a document: `$.data.items[*]`, or just `data.items`.

use super::parse::{Kind, Tape};
use model::{Problem, Result, codes};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The value of a key.
    Key(String),
    /// Every element of a list.
    Each,
}

/// Reads a path; the empty one and `$` are the document itself.
pub(crate) fn parse(path: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path.trim().strip_prefix('$').unwrap_or(path.trim());
    while !rest.is_empty() {
        rest = step(rest, &mut steps).ok_or_else(|| {
            Problem::new(&codes::SETTING_INVALID, format!("`{path}` is not a path to rows"))
                .arg("path", path)
                .hint("write `$.data.items[*]`: keys after points, `[*]` for every element")
        })?;
    }
    Ok(steps)
}

fn step<'a>(rest: &'a str, steps: &mut Vec<Step>) -> Option<&'a str> {
    if let Some(rest) = rest.strip_prefix("[*]") {
        steps.push(Step::Each);
        return Some(rest);
    }
    if let Some(quoted) = rest.strip_prefix("['") {
        let (key, rest) = quoted.split_once("']")?;
        steps.push(Step::Key(key.to_owned()));
        return Some(rest);
    }
    let name = rest.strip_prefix('.').unwrap_or(rest);
    let end = name.find(['.', '[']).unwrap_or(name.len());
    if end == 0 {
        return None;
    }
    match &name[..end] {
        "*" => steps.push(Step::Each),
        key => steps.push(Step::Key(key.to_owned())),
    }
    Some(&name[end..])
}

/// The path as people write it.
pub(crate) fn display(steps: &[Step]) -> String {
    steps.iter().fold("$".to_owned(), |text, step| match step {
        Step::Key(key) => format!("{text}.{key}"),
        Step::Each => format!("{text}[*]"),
    })
}

/// The nodes that the steps lead to from `root`. A missing key or null leads nowhere, which is
/// fine; a value of the wrong kind is an error.
pub(crate) fn resolve(tape: Tape<'_>, root: u32, steps: &[Step]) -> Result<Vec<u32>, String> {
    let mut nodes = vec![root];
    for (at, step) in steps.iter().enumerate() {
        let mut next = Vec::new();
        for node in nodes {
            match (step, tape.node(node).kind) {
                (_, Kind::Null) => {}
                (Step::Key(key), Kind::Object) => next.extend(tape.member(node, key)),
                (Step::Each, Kind::List) => next.extend(tape.items(node)),
                (Step::Key(_), _) => {
                    return Err(format!("`{}` is not an object", display(&steps[..at])));
                }
                (Step::Each, _) => {
                    return Err(format!("`{}` is not a list", display(&steps[..at])));
                }
            }
        }
        nodes = next;
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_in_both_spellings() {
        let key = |name: &str| Step::Key(name.to_owned());
        assert_eq!(parse("$").unwrap(), []);
        assert_eq!(parse("$.data.items[*]").unwrap(), [key("data"), key("items"), Step::Each]);
        assert_eq!(parse("data.items").unwrap(), [key("data"), key("items")]);
        assert_eq!(parse("$['a b'][*].c").unwrap(), [key("a b"), Step::Each, key("c")]);
        assert!(parse("$..a").is_err() && parse("a[0]").is_err());
    }
}
