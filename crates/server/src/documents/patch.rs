//! Changes of one part of a YAML text, in which every other byte stays as its author wrote it.
//!
//! Each change is made twice: in the text, by cutting out one span and putting another into its
//! place, and in the value that the text stands for. A text that does not say what the changed
//! value says is refused, so a mistake of the first can do no harm.

use api::definitions::{Patch, PatchKind};
use model::yaml::Document;
use model::{Problem, Result, codes};
use serde_json::Value;
use std::ops::Range;
use yamlpath::{Component, FeatureKind, Route};

/// The text with all changes made, in order.
pub(crate) fn patched(file: &str, text: &str, patches: &[Patch]) -> Result<String> {
    let mut text = text.to_owned();
    for patch in patches {
        text = apply(file, &text, patch)?;
    }
    Ok(text)
}

fn apply(file: &str, text: &str, patch: &Patch) -> Result<String> {
    let before = Document::parse(file, text)?;
    let tokens = tokens(&patch.path)?;
    let mut expected = before.value().clone();
    change(&mut expected, &tokens, patch)?;
    let says = |changed: &String| {
        Document::parse(file, changed).is_ok_and(|after| *after.value() == expected)
    };
    let changed = edits(before.value(), text, &tokens, patch)?.into_iter().map(|edit| {
        let Edit { span, replacement } = edit;
        format!("{}{replacement}{}", &text[..span.start], &text[span.end..])
    });
    changed.into_iter().find(says).ok_or_else(|| refused(patch))
}

fn refused(patch: &Patch) -> Problem {
    let fact = format!("the text at `{}` cannot be changed by itself", patch.path);
    Problem::new(&codes::REQUEST_INVALID, fact)
        .arg("path", &patch.path)
        .hint("save the whole text: anchors, aliases or an unusual layout are in the way")
}

/// The parts of a JSON pointer.
fn tokens(path: &str) -> Result<Vec<String>> {
    match path.strip_prefix('/') {
        Some(parts) => {
            Ok(parts.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
        }
        None => {
            let fact = format!("`{path}` is not a path inside of a document");
            Err(Problem::new(&codes::REQUEST_INVALID, fact)
                .hint("write it as a JSON pointer, as in `/nodes/2/with/path`"))
        }
    }
}

fn missing(patch: &Patch) -> Problem {
    let fact = format!("there is nothing at `{}` in the document", patch.path);
    Problem::new(&codes::NAME_UNKNOWN, fact)
        .arg("path", &patch.path)
        .hint("read the newest version: items of lists are counted from 0")
}

/// The change, made in the value.
fn change(value: &mut Value, tokens: &[String], patch: &Patch) -> Result<()> {
    let (last, above) = tokens.split_last().ok_or_else(|| missing(patch))?;
    let parent = above
        .iter()
        .try_fold(value, |value, token| child(value, token))
        .ok_or_else(|| missing(patch))?;
    match (patch.op, parent) {
        (PatchKind::Replace, parent) => {
            *child(parent, last).ok_or_else(|| missing(patch))? = patch.value.clone();
        }
        (PatchKind::Add, Value::Object(map)) if !map.contains_key(last) => {
            map.insert(last.clone(), patch.value.clone());
        }
        (PatchKind::Add, Value::Array(items)) if last == "-" => items.push(patch.value.clone()),
        (PatchKind::Add, Value::Object(_)) => {
            let fact = format!("there is a value at `{}` already", patch.path);
            return Err(Problem::new(&codes::CONFLICT, fact).hint("use `replace`"));
        }
        (PatchKind::Remove, Value::Object(map)) => {
            map.shift_remove(last).ok_or_else(|| missing(patch))?;
        }
        (PatchKind::Remove, Value::Array(items)) => {
            let at = index(last).filter(|at| *at < items.len()).ok_or_else(|| missing(patch))?;
            items.remove(at);
        }
        _ => return Err(missing(patch)),
    }
    Ok(())
}

fn child<'a>(value: &'a mut Value, token: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(map) => map.get_mut(token),
        Value::Array(items) => items.get_mut(index(token)?),
        _ => None,
    }
}

fn index(token: &str) -> Option<usize> {
    let is_number = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| token.parse().ok()).flatten()
}

/// A span of the text and what takes its place.
struct Edit {
    span: Range<usize>,
    replacement: String,
}

/// The same change in the text, in the ways it can be written, the nicest first.
fn edits(value: &Value, text: &str, tokens: &[String], patch: &Patch) -> Result<Vec<Edit>> {
    let tree = yamlpath::Document::new(text).map_err(|_| refused(patch))?;
    let (last, above) = tokens.split_last().ok_or_else(|| missing(patch))?;
    match patch.op {
        PatchKind::Replace => {
            let found = tree.query_exact(&route(value, tokens)).map_err(|_| refused(patch))?;
            let feature = found.ok_or_else(|| refused(patch))?;
            let span = trimmed(&tree, feature.location.byte_span);
            let block = block(&text[span.clone()], &patch.value);
            let written = block.into_iter().chain([inline(&patch.value)]);
            Ok(written.map(|replacement| Edit { span: span.clone(), replacement }).collect())
        }
        PatchKind::Remove => {
            let route = route(value, tokens);
            let is_item = matches!(value.pointer(&above_of(patch)), Some(Value::Array(_)));
            let found = tree.query_exact(&route).map_err(|_| refused(patch))?;
            let value = found.ok_or_else(|| refused(patch))?.location.byte_span;
            let mut span = trimmed(&tree, value);
            if !is_item {
                let key = tree.query_key_only(&route).map_err(|_| refused(patch))?;
                span.start = key.location.byte_span.0;
            }
            let span = removal(text, span, is_item);
            Ok(vec![Edit { span, replacement: String::new() }])
        }
        PatchKind::Add => {
            let feature = match above {
                [] => tree.top_feature().ok(),
                above => tree.query_exact(&route(value, above)).map_err(|_| refused(patch))?,
            };
            let feature = feature.ok_or_else(|| refused(patch))?;
            let span = trimmed(&tree, feature.location.byte_span);
            Ok(vec![insertion(text, span, feature.kind(), last, &patch.value)])
        }
    }
}

/// The path of what a part belongs to.
fn above_of(patch: &Patch) -> String {
    patch.path.rsplit_once('/').map_or("", |(above, _)| above).to_owned()
}

fn route<'a>(mut value: &Value, tokens: &'a [String]) -> Route<'a> {
    let mut components = Vec::with_capacity(tokens.len());
    for token in tokens {
        match value {
            Value::Array(items) => {
                let at = index(token).unwrap_or(usize::MAX);
                components.push(Component::Index(at));
                value = items.get(at).unwrap_or(&Value::Null);
            }
            other => {
                components.push(Component::Key(token.as_str().into()));
                value = other.get(token).unwrap_or(&Value::Null);
            }
        }
    }
    Route::default().with_keys(components)
}

/// A span without the white space and comments at its end, which are not a part of the value.
fn trimmed(tree: &yamlpath::Document, (start, end): (usize, usize)) -> Range<usize> {
    let text = tree.source();
    let mut end = start + text[start..end].trim_end().len();
    while end > start && tree.offset_inside_comment(end - 1) {
        while end > start && tree.offset_inside_comment(end - 1) {
            end -= 1;
        }
        end = start + text[start..end].trim_end().len();
    }
    start..end
}

/// A text of several lines stays one where one was before.
fn block(old: &str, value: &Value) -> Option<String> {
    let new = value.as_str()?;
    let mut lines = old.lines();
    if !matches!(lines.next(), Some("|" | "|-")) {
        return None;
    }
    let first = lines.find(|line| !line.trim().is_empty())?;
    let indent = &first[..first.len() - first.trim_start().len()];
    let header = if new.ends_with('\n') { "|" } else { "|-" };
    let lines = new.trim_end_matches('\n').split('\n').map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("\n{indent}{line}"),
    });
    Some(format!("{header}{}", lines.collect::<String>()))
}

/// A place for one more setting or item, and what is written there.
fn insertion(text: &str, span: Range<usize>, kind: FeatureKind, name: &str, value: &Value) -> Edit {
    let entry = match name {
        "-" => inline(value),
        name => format!("{}: {}", inline(&Value::from(name)), inline(value)),
    };
    if matches!(kind, FeatureKind::FlowMapping | FeatureKind::FlowSequence) {
        let inside = text[span.start + 1..span.end - 1].trim_end();
        let at = span.start + 1 + inside.len();
        let comma = match inside.trim_start() {
            "" => "",
            inside if inside.ends_with(',') => " ",
            _ => ", ",
        };
        return Edit { span: at..at, replacement: format!("{comma}{entry}") };
    }
    // A comment behind the last value stays behind it.
    let line_end = text[span.end..].find('\n').map_or(text.len(), |length| span.end + length);
    let line_start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let indent = " ".repeat(text[line_start..span.start].chars().count());
    let dash = if matches!(kind, FeatureKind::BlockSequence) { "- " } else { "" };
    Edit { span: line_end..line_end, replacement: format!("\n{indent}{dash}{entry}") }
}

/// A setting or item with what belongs to it: its comma, or its line.
fn removal(text: &str, span: Range<usize>, is_item: bool) -> Range<usize> {
    let line_start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[span.end..].find('\n').map_or(text.len(), |length| span.end + length + 1);
    let before = text[line_start..span.start].trim();
    if before.is_empty() || (before == "-" && is_item) {
        return line_start..line_end;
    }
    if before == "-" {
        // The first setting of an item: the next one moves up to the dash.
        let rest = &text[line_end..];
        return span.start..line_end + rest.len() - rest.trim_start().len();
    }
    let after = &text[span.end..];
    let spaces = after.len() - after.trim_start().len();
    if after[spaces..].starts_with(',') {
        let rest = &after[spaces + 1..];
        let space = rest.len() - rest.trim_start_matches(' ').len();
        return span.start..span.end + spaces + 1 + space;
    }
    let before = text[..span.start].trim_end();
    let start = if before.ends_with(',') { before.len() - 1 } else { span.start };
    start..span.end
}

/// A value on one line, as a person would write it where that is safe.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let entry = |(name, value): (&String, &Value)| {
                format!("{}: {}", inline(&Value::from(name.as_str())), inline(value))
            };
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether a text means itself without quotes, wherever it stands.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"];
    begins && text.chars().all(is_safe) && !words.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
