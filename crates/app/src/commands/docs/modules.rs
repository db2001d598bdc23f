//! The pages of modules: what each does, its settings, and examples that are run as tests.

use super::settings;
use crate::workbench::registry;
use contracts::module::{Entry, Example, InputPorts, Kind};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One page per module, and the list of them.
pub(super) fn pages() -> BTreeMap<String, String> {
    let registry = registry();
    let mut pages = BTreeMap::new();
    let mut index = String::from(
        "# Modules\n\nPipelines are made of these. `affluent modules show NAME` prints the same.\n",
    );
    let kinds = [
        (Kind::Source, "Sources", "Rows enter."),
        (Kind::Relational, "Transforms", "Each compiles to one SQL query."),
        (Kind::Operator, "Operators", "Rows in, rows out, by a program."),
        (Kind::Sink, "Sinks", "Rows leave, in one commit per run."),
        (
            Kind::Action,
            "Actions",
            "Something else is done, on a server, before or after rows move.",
        ),
    ];
    for (kind, title, what) in kinds {
        let entries: Vec<&Entry> = registry.iter().filter(|entry| entry.kind() == kind).collect();
        if entries.is_empty() {
            continue;
        }
        let _ = write!(index, "\n## {title}\n\n{what}\n\n| Module | |\n| --- | --- |\n");
        for entry in entries {
            let path = format!("modules/{}.md", entry.name);
            let summary = settings::cell(entry.summary);
            let _ = writeln!(index, "| [`{}`]({path}) | {summary} |", entry.name);
            pages.insert(path, page(entry));
        }
    }
    pages.insert("modules.md".to_owned(), index);
    pages
}

fn page(entry: &Entry) -> String {
    let mut text = format!("# {}\n\n{}\n\n", entry.name, entry.summary);
    let inputs = match entry.inputs {
        InputPorts::None if entry.kind() == Kind::Action => {
            "It takes no rows; it begins after the nodes in its `after`.".to_owned()
        }
        InputPorts::None => "It takes no input.".to_owned(),
        InputPorts::One => "It takes one input.".to_owned(),
        InputPorts::Many { min } => format!("It takes {min} inputs or more."),
        InputPorts::Named(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("It takes the inputs {}.", names.join(" and "))
        }
    };
    text.push_str(&inputs);
    if entry.rejects {
        text.push_str(" Rows that cannot be accepted leave by its port `rejects`.");
    }
    text.push_str("\n\n## Settings\n\n");
    text.push_str(&settings::tables(&(entry.schema)().to_value(), 3));
    if !entry.examples.is_empty() {
        text.push_str("\n## Examples\n");
    }
    for example in entry.examples {
        describe(&mut text, entry, example);
    }
    text
}

fn describe(text: &mut String, entry: &Entry, example: &Example) {
    let mut letters = example.title.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let _ = write!(text, "\n### {first}{}\n\n", letters.as_str());
    let config: Value = serde_json::from_str(example.config).unwrap_or_default();
    let _ = write!(text, "```yaml\nuse: {}\nwith:\n{}```\n", entry.name, yaml(&config, 2));
    for (side, parts) in [("In", example.inputs), ("Out", example.outputs)] {
        for (name, rows) in parts {
            let rows: Vec<&str> = rows.lines().map(str::trim_end).collect();
            let _ = write!(text, "\n{side}, `{name}`:\n\n```text\n{}\n```\n", rows.join("\n"));
        }
    }
}

/// Settings as a person writes them: the first level in lines, what is below in braces.
fn yaml(value: &Value, indent: usize) -> String {
    let gap = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .map(|(key, value)| format!("{gap}{}: {}\n", plain(key), flow(value)))
            .collect(),
        Value::Object(_) => format!("{gap}{{}}\n"),
        other => format!("{gap}{}\n", flow(other)),
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let items: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", plain(key), flow(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// A text without quotes, where YAML takes it for a text all the same.
fn plain(text: &str) -> String {
    let is_word = text.chars().next().is_some_and(char::is_alphabetic)
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '-'))
        && !matches!(
            text.to_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off"
        );
    if is_word { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}
