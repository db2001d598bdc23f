//! Statements with parameters in them, `$name`, as a database takes them.

use model::{Problem, Result, codes};
use serde_json::{Map, Value};

/// What begins a statement that would end or begin a transaction.
const TRANSACTION_WORDS: &[&str] =
    &["abort", "begin", "commit", "end", "prepare", "release", "rollback", "savepoint", "start"];

/// A statement with numbered parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    /// The statement, `$1` or `?1` where `$name` stood.
    pub sql: String,
    /// The values, in the order of their numbers.
    pub values: Vec<Value>,
}

/// Puts numbers, each after `mark`, in the place of names.
pub(super) fn bind(sql: &str, mark: char, params: &Map<String, Value>) -> Result<Bound> {
    let mut bound = Bound { sql: String::with_capacity(sql.len()), values: Vec::new() };
    let mut names: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < sql.len() {
        let rest = &sql[at..];
        let literal = literal_length(sql, at);
        if literal > 0 {
            bound.sql.push_str(&rest[..literal]);
            at += literal;
            continue;
        }
        let Some(name) = name_after_dollar(sql, at)? else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            bound.sql.push_str(&rest[..length]);
            at += length;
            continue;
        };
        let number = match names.iter().position(|known| *known == name) {
            Some(number) => number,
            None => {
                bound.values.push(params.get(name).cloned().ok_or_else(|| no_param(name, params))?);
                names.push(name);
                names.len() - 1
            }
        };
        bound.sql.push_str(&format!("{mark}{}", number + 1));
        at += name.len() + 1;
    }
    Ok(bound)
}

/// Refuses what would end the transaction that statements run in.
pub(super) fn check(sql: &str) -> Result<()> {
    let mut at = 0;
    while at < sql.len() {
        let rest = &sql[at..];
        let is_comment = rest.starts_with("--") || rest.starts_with("/*");
        let length = match rest.chars().next() {
            Some(c) if c.is_whitespace() => c.len_utf8(),
            _ if is_comment => literal_length(sql, at),
            _ => break,
        };
        at += length;
    }
    let word: String = sql[at..].chars().take_while(char::is_ascii_alphabetic).collect();
    if word.is_empty() {
        return Err(Problem::new(&codes::SETTING_INVALID, "a statement says nothing")
            .hint("write one SQL statement in each text"));
    }
    if TRANSACTION_WORDS.contains(&word.to_ascii_lowercase().as_str()) {
        let fact = format!("a statement begins with `{word}`");
        return Err(Problem::new(&codes::SQL_REFUSED, fact).hint(
            "all statements run in one transaction, which begins and ends by itself; those that \
             cannot run in one need `transaction: false`",
        ));
    }
    Ok(())
}

fn no_param(name: &str, params: &Map<String, Value>) -> Problem {
    let known = params.keys().map(String::as_str);
    let hint = match stdx::text::nearest(name, known) {
        Some(near) => format!("did you mean `${near}`?"),
        None => format!("give it: `params: {{{name}: …}}`"),
    };
    Problem::new(&codes::NAME_UNKNOWN, format!("there is no parameter `{name}`"))
        .arg("parameter", name)
        .hint(hint)
}

/// How long the quoted text or comment is that begins at `at`; 0 when none does.
fn literal_length(sql: &str, at: usize) -> usize {
    let rest = &sql[at..];
    let until = |end: &str, skip: usize| {
        rest[skip..].find(end).map_or(rest.len(), |found| skip + found + end.len())
    };
    match rest.as_bytes() {
        [b'\'', ..] if is_escape_string(sql, at) => escaped_length(rest),
        [b'\'', ..] => until("'", 1),
        [b'"', ..] => until("\"", 1),
        [b'-', b'-', ..] => until("\n", 2),
        [b'/', b'*', ..] => comment_length(rest),
        [b'$', ..] if !follows_word(sql, at) => match dollar_tag(rest) {
            Some(tag) => until(tag, tag.len()),
            None => 0,
        },
        _ => 0,
    }
}

/// Whether the quote at `at` begins a text with backslashes, `E'…'`.
fn is_escape_string(sql: &str, at: usize) -> bool {
    let before = &sql[..at];
    before.ends_with(['e', 'E']) && !follows_word(sql, at - 1)
}

fn escaped_length(rest: &str) -> usize {
    let mut bytes = rest.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'\'' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Comments of PostgreSQL contain comments.
fn comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// `$$` or `$tag$`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let length = rest[1..].find('$')?;
    let tag = &rest[1..=length];
    let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !tag.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| &rest[..length + 2])
}

fn follows_word(sql: &str, at: usize) -> bool {
    sql[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

/// The name of the parameter that stands at `at`.
fn name_after_dollar(sql: &str, at: usize) -> Result<Option<&str>> {
    if !sql[at..].starts_with('$') || follows_word(sql, at) {
        return Ok(None);
    }
    let rest = &sql[at + 1..];
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let name = &rest[..length];
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        let fact = format!("the parameter `${name}` has no name");
        return Err(Problem::new(&codes::SETTING_INVALID, fact)
            .hint("parameters have names: `$day`, and `params: {day: …}`"));
    }
    Ok((!name.is_empty()).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn params() -> Map<String, Value> {
        json!({"a": 1, "b": "x"}).as_object().cloned().unwrap()
    }

    fn bound(sql: &str) -> String {
        bind(sql, '$', &params()).unwrap().sql
    }

    #[test]
    fn names_become_numbers() {
        let found = bind("select $a, $b, $a + $b", '?', &params()).unwrap();
        assert_eq!(found.sql, "select ?1, ?2, ?1 + ?2");
        assert_eq!(found.values, [json!(1), json!("x")]);
    }

    #[test]
    fn texts_and_comments_stay_as_they_are() {
        let unchanged = [
            "select '$a', 'it''s $a'",
            r"select E'\'$a', e'x\\'",
            "select \"$a\"",
            "select 1 -- $a\n, 2",
            "select 1 /* $a /* $b */ $c */",
            "do $$ begin perform $a; end $$",
            "do $x$ $$ $a $x$",
            "select a$b, é$a",
            "select 1 $ 2",
            "select '$a",
        ];
        for sql in unchanged {
            assert_eq!(bound(sql), sql);
        }
        assert_eq!(bound("select '' || $a || $$ $b $$"), "select '' || $1 || $$ $b $$");
        assert_eq!(bound("select range'$a' = $b"), "select range'$a' = $1");
    }

    #[test]
    fn what_is_not_given_is_told() {
        for sql in ["select $c", "select $1"] {
            assert!(bind(sql, '$', &params()).unwrap_err().hint_text().is_some(), "{sql}");
        }
    }

    #[test]
    fn transactions_are_not_for_statements() {
        for sql in ["COMMIT", " -- x\n/* y */ rollback", "begin; select 1", "", "  -- only this"] {
            assert!(check(sql).unwrap_err().hint_text().is_some(), "{sql}");
        }
        for sql in ["update a set b = 1", "/* c */ with x as (select 1) delete from y"] {
            check(sql).unwrap();
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_without_parameters(sql in "[-a-z'\"/*$ \n\\\\é0-9]{0,40}") {
            let everything: Map<String, Value> = Map::new();
            if let Ok(found) = bind(&sql, '$', &everything) {
                prop_assert_eq!(found.sql, sql.clone());
            }
            let _ = check(&sql);
        }
    }
}
