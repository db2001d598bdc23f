//! A JSON Schema as tables of settings.

use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Definitions that are written as a word and need no section of their own.
const PLAIN: &[(&str, &str)] = &[
    ("DataType", "type"),
    ("Name", "name"),
    ("TableName", "table, as `zone.table`"),
    ("Secret", "secret"),
    ("PortRef", "node, or `node.port`"),
    ("Span", "length of time, as `1h30m`"),
    ("Version", "`1`"),
];

/// The table of the schema's settings, then a section for every kind of setting in it. `level` is
/// that of the sections' headings.
pub(super) fn tables(schema: &Value, level: usize) -> String {
    let mut text = String::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut wanted = Vec::new();
    table(&mut text, schema, &definitions, &mut wanted);
    let mut written = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let Some(definition) = definitions.get(&name) else { continue };
        if !written.insert(name.clone()) {
            continue;
        }
        let _ = write!(text, "\n{} {name}\n\n", "#".repeat(level));
        if let Some(description) = definition.get("description").and_then(Value::as_str) {
            let _ = write!(text, "{}\n\n", one_line(description));
        }
        let mut below = Vec::new();
        table(&mut text, definition, &definitions, &mut below);
        below.reverse();
        wanted.extend(below);
    }
    text
}

/// Text in a cell of a table.
pub(super) fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

/// Code in a cell of a table.
pub(super) fn code(text: &str) -> String {
    let shown = text.replace('\n', "\\n").replace('|', "\\|");
    if shown.trim().is_empty() {
        return format!("{shown:?}");
    }
    let fence = if shown.contains('`') { "``" } else { "`" };
    let gap = if shown.contains('`') { " " } else { "" };
    format!("{fence}{gap}{shown}{gap}{fence}")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn table(
    text: &mut String,
    schema: &Value,
    definitions: &Map<String, Value>,
    wanted: &mut Vec<String>,
) {
    if let Some(choices) = schema.get("oneOf").or(schema.get("anyOf")).and_then(Value::as_array) {
        for choice in choices {
            let description = choice.get("description").and_then(Value::as_str).unwrap_or_default();
            let kind = kind(choice, definitions, wanted);
            let _ = writeln!(text, "- {kind}: {}", one_line(description));
            if choice
                .get("properties")
                .is_some_and(|p| p.as_object().is_some_and(|p| !p.is_empty()))
            {
                text.push('\n');
                properties(text, choice, definitions, wanted);
                text.push('\n');
            }
        }
    }
    if schema.get("properties").is_some() {
        properties(text, schema, definitions, wanted);
    }
}

fn properties(
    text: &mut String,
    schema: &Value,
    definitions: &Map<String, Value>,
    wanted: &mut Vec<String>,
) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if properties.is_empty() {
        text.push_str("It has no settings.\n");
        return;
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    text.push_str("| Setting | Value | Default | Meaning |\n| --- | --- | --- | --- |\n");
    for (name, property) in properties {
        let default = match property.get("default") {
            _ if required.contains(&name.as_str()) => "*required*".to_owned(),
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) if text.is_empty() => String::new(),
            Some(Value::Array(items)) if items.is_empty() => String::new(),
            Some(Value::Object(map)) if map.is_empty() => String::new(),
            Some(Value::String(text)) => code(text),
            Some(other) => code(&other.to_string()),
        };
        let kind = kind(property, definitions, wanted).replace('|', "\\|");
        let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(text, "| `{name}` | {kind} | {default} | {} |", cell(meaning));
    }
}

/// What a value looks like, in words.
fn kind(schema: &Value, definitions: &Map<String, Value>, wanted: &mut Vec<String>) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return named(name, definitions, wanted);
    }
    if let Some(value) = schema.get("const") {
        return literal(value);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(literal).collect::<Vec<_>>().join(", ");
    }
    if let Some(choices) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
        let is_null = |choice: &&Value| choice.get("type").is_some_and(|t| t == "null");
        let choices = choices.iter().filter(|choice| !is_null(choice));
        let kinds: Vec<String> = choices.map(|choice| kind(choice, definitions, wanted)).collect();
        return kinds.join(" or ");
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let words: Vec<String> = types
        .iter()
        .filter(|one| **one != "null")
        .map(|one| match *one {
            "array" => {
                let items = schema.get("items").map(|items| kind(items, definitions, wanted));
                format!("list of {}", items.unwrap_or_else(|| "values".to_owned()))
            }
            "object" => map(schema, definitions, wanted),
            "boolean" => "`true` or `false`".to_owned(),
            "integer" => "whole number".to_owned(),
            "number" => "number".to_owned(),
            "string" => "text".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    if words.is_empty() { "any value".to_owned() } else { words.join(" or ") }
}

fn map(schema: &Value, definitions: &Map<String, Value>, wanted: &mut Vec<String>) -> String {
    if schema.get("properties").is_some() {
        let names: Vec<String> = schema["properties"]
            .as_object()
            .map(|map| map.keys().map(|name| format!("`{name}`")).collect())
            .unwrap_or_default();
        return format!("{{{}}}", names.join(", "));
    }
    let values =
        schema.get("additionalProperties").filter(|values| values.is_object()).or_else(|| {
            schema
                .get("patternProperties")
                .and_then(Value::as_object)
                .and_then(|map| map.values().next())
        });
    match values {
        Some(values) => format!("map of names to {}", kind(values, definitions, wanted)),
        None => "map".to_owned(),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// A definition: its choices where it is a list of words, else a link to its section.
fn named(name: &str, definitions: &Map<String, Value>, wanted: &mut Vec<String>) -> String {
    if let Some((_, word)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
        return (*word).to_owned();
    }
    let Some(definition) = definitions.get(name) else { return name.to_owned() };
    if let Some(choices) = definition.get("oneOf").and_then(Value::as_array)
        && choices.iter().all(|choice| choice.get("const").is_some())
        && choices.iter().all(|choice| choice.get("description").is_none())
    {
        return kind(definition, definitions, wanted);
    }
    let has_more =
        ["properties", "oneOf", "anyOf"].iter().any(|key| definition.get(*key).is_some());
    if !has_more {
        return kind(definition, definitions, wanted);
    }
    if !wanted.contains(&name.to_owned()) {
        wanted.push(name.to_owned());
    }
    format!("[{name}](#{})", name.to_lowercase())
}
