//! Texts with expressions in them: `{{ outputs.load.rows }} rows on {{ params.day }}`.
//!
//! An expression cannot loop, call or multiply, and everything else is limited: the server
//! evaluates what strangers write.

mod filters;
mod syntax;
mod words;

pub(crate) use syntax::{Part, parts};
pub(crate) use words::Words;

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use model::{Problem, Result, codes};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Steps that one expression may take.
const FUEL: u64 = 1_000;
/// An expression may be so long, in bytes.
const EXPRESSION_BYTES_MAX: usize = 16 * 1024;
/// A text may be so long when it is filled in, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Settings are nested no deeper than this.
const DEPTH_MAX: usize = 64;

/// The value of an expression.
pub(crate) fn evaluate(expression: &str, words: &Words) -> Result<Value> {
    syntax::check(expression)?;
    let failed = |error: Error| problem(expression, &error);
    let compiled = environment().compile_expression_owned(expression.to_owned()).map_err(failed)?;
    let value = compiled.eval(words.as_value().clone()).map_err(failed)?;
    if value.is_undefined() {
        return Err(problem(expression, &Error::from(ErrorKind::UndefinedError)));
    }
    serde_json::to_value(&value).map_err(|error| {
        let fact = format!("`{}` has a value that cannot be passed on", shown(expression));
        invalid(fact).detail(error).hint("use numbers, texts, lists and maps of them")
    })
}

/// Whether an expression holds. Only true and false will do: a text or a number is a mistake.
pub(crate) fn holds(expression: &str, words: &Words) -> Result<bool> {
    match evaluate(expression, words)? {
        Value::Bool(holds) => Ok(holds),
        other => {
            let fact = format!("`{}` is {}, not true or false", shown(expression), kind(&other));
            Err(invalid(fact).hint("compare it with something: `outputs.load.rows > 0`"))
        }
    }
}

/// A text with its expressions filled in. One that is an expression and nothing else keeps the
/// type of its value.
pub(crate) fn fill_text(text: &str, words: &Words) -> Result<Value> {
    let parts = parts(text)?;
    if let [Part::Expression { text, .. }] = parts.as_slice() {
        return evaluate(text, words);
    }
    let mut filled = String::new();
    for part in parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Expression { text, .. } => match evaluate(text, words)? {
                Value::String(value) => filled.push_str(&value),
                Value::Null => return Err(null(text)),
                value => filled.push_str(&value.to_string()),
            },
        }
        if filled.len() > TEXT_BYTES_MAX {
            let fact = format!("a text is longer than {} MiB", TEXT_BYTES_MAX >> 20);
            return Err(invalid(fact).hint("pass on less; large data belongs into tables"));
        }
    }
    Ok(Value::String(filled))
}

/// A value with all texts in it filled in. A problem comes with the path of its text.
pub(crate) fn fill(value: &Value, words: &Words) -> Result<Value, (String, Problem)> {
    let mut fill = |text: &str| fill_text(text, words);
    walk(value, 0, &mut fill)
}

/// The settings of an action with all texts filled in, but those named in `unfilled`.
pub(crate) fn fill_settings(
    with: &Map<String, Value>,
    unfilled: &[&str],
    words: &Words,
) -> Result<Map<String, Value>, (String, Problem)> {
    let mut filled = Map::with_capacity(with.len());
    for (name, value) in with {
        let value = match unfilled.contains(&name.as_str()) {
            true => value.clone(),
            false => {
                fill(value, words).map_err(|(path, problem)| (format!("/{name}{path}"), problem))?
            }
        };
        filled.insert(name.clone(), value);
    }
    Ok(filled)
}

/// What the templates in a value read, such as `outputs.load.rows`. What cannot be understood is
/// a problem, with the path of its text.
pub(crate) fn references(value: &Value) -> Result<BTreeSet<(String, String)>, (String, Problem)> {
    let mut found = BTreeSet::new();
    let mut at_path = |text: &str| {
        let mut read = BTreeSet::new();
        for part in parts(text)? {
            if let Part::Expression { text, line } = part {
                let expression = references_of(text);
                read.extend(expression.map_err(|problem| problem.arg("line_of_text", line))?);
            }
        }
        Ok(Value::from(read.into_iter().collect::<Vec<_>>()))
    };
    let read = walk(value, 0, &mut at_path)?;
    collect(&read, String::new(), value, &mut found);
    Ok(found)
}

/// What an expression reads.
pub(crate) fn references_of(expression: &str) -> Result<BTreeSet<String>> {
    syntax::check(expression)?;
    let compiled = environment()
        .compile_expression_owned(expression.to_owned())
        .map_err(|error| problem(expression, &error))?;
    Ok(compiled.undeclared_variables(true).into_iter().collect())
}

/// The lists that stand where texts stood, with their paths.
fn collect(read: &Value, path: String, value: &Value, found: &mut BTreeSet<(String, String)>) {
    match (read, value) {
        (Value::Array(names), Value::String(_)) => {
            let names = names.iter().filter_map(Value::as_str);
            found.extend(names.map(|name| (path.clone(), name.to_owned())));
        }
        (Value::Array(read), Value::Array(items)) => {
            for (at, (read, item)) in read.iter().zip(items).enumerate() {
                collect(read, format!("{path}/{at}"), item, found);
            }
        }
        (Value::Object(read), Value::Object(map)) => {
            for (key, item) in map {
                if let Some(read) = read.get(key) {
                    collect(read, format!("{path}/{key}"), item, found);
                }
            }
        }
        _ => {}
    }
}

/// A copy of a value with something else in the place of each text.
fn walk(
    value: &Value,
    depth: usize,
    replace: &mut dyn FnMut(&str) -> Result<Value>,
) -> Result<Value, (String, Problem)> {
    if depth > DEPTH_MAX {
        let problem = invalid("settings are nested too deeply".to_owned());
        return Err((String::new(), problem.hint(format!("use {DEPTH_MAX} levels at most"))));
    }
    let below = |path: String| move |(rest, problem)| (format!("/{path}{rest}"), problem);
    match value {
        Value::String(text) => replace(text).map_err(|problem| (String::new(), problem)),
        Value::Array(items) => {
            let mut all = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                all.push(walk(item, depth + 1, replace).map_err(below(at.to_string()))?);
            }
            Ok(Value::Array(all))
        }
        Value::Object(map) => {
            let mut all = Map::with_capacity(map.len());
            for (key, item) in map {
                let item = walk(item, depth + 1, replace).map_err(below(key.clone()))?;
                all.insert(key.clone(), item);
            }
            Ok(Value::Object(all))
        }
        other => Ok(other.clone()),
    }
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        filters::add(&mut environment);
        environment
    })
}

pub(crate) fn invalid(fact: String) -> Problem {
    Problem::new(&codes::TEMPLATE_INVALID, fact)
}

/// An expression as messages show it.
pub(crate) fn shown(expression: &str) -> String {
    stdx::text::truncate(expression.trim(), 80).to_owned()
}

fn null(expression: &str) -> Problem {
    invalid(format!("`{}` is null and stands in a text", shown(expression)))
        .hint("say what to write instead: `{{ … | default('none', true) }}`")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// What went wrong, in our words.
fn problem(expression: &str, error: &Error) -> Problem {
    let shown = shown(expression);
    let (fact, hint) = match error.kind() {
        ErrorKind::UndefinedError => (
            format!("`{shown}` reads something that is not there"),
            "check the name; for what may be missing, write `| default(…)`".to_owned(),
        ),
        ErrorKind::UnknownFilter => (
            format!("`{shown}` uses a filter that does not exist"),
            format!("filters are {}", stdx::text::list(filters::NAMES.iter().copied())),
        ),
        ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => (
            format!("`{shown}` calls a function, and there are none"),
            "use filters: `params.name | upper`".to_owned(),
        ),
        ErrorKind::OutOfFuel => (
            format!("`{shown}` takes too many steps"),
            "say it in fewer words, or compute it in a query".to_owned(),
        ),
        ErrorKind::SyntaxError => (
            format!("`{shown}` cannot be understood"),
            "write an expression such as `outputs.load.rows > 0` or `params.day`".to_owned(),
        ),
        _ => (
            format!("`{shown}` cannot be computed"),
            "check the types of what it puts together".to_owned(),
        ),
    };
    let problem = invalid(fact).arg("expression", &shown).hint(hint);
    match error.detail() {
        Some(detail) => problem.detail(detail),
        None => problem,
    }
}

#[cfg(test)]
mod tests;
