//! `affluent modules`: what pipelines are made of.

use super::{Outcome, Session};
use crate::output::{ExitCode, table};
use crate::workbench::registry;
use clap::Args;
use contracts::Entry;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent modules\n\
\x20 affluent modules list source\n\
\x20 affluent modules show csv";

/// Arguments of `affluent modules`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// `list` or `show`
    #[arg(default_value = "list")]
    pub what: String,
    /// For `list`: source, relational, operator, sink or action. For `show`: the module
    pub name: Option<String>,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let registry = registry();
    let output = session.output;
    // `affluent modules csv` means `show csv`.
    let (what, name) = match (arguments.what.as_str(), arguments.name) {
        (what @ ("list" | "show"), name) => (what.to_owned(), name),
        (module, _) => ("show".to_owned(), Some(module.to_owned())),
    };
    if let ("show", Some(name)) = (what.as_str(), &name) {
        let entry = registry.get(name).map_err(|problem| vec![problem])?;
        output.value(&as_json(entry));
        output.raw_for_people(&page(entry));
        return Ok(ExitCode::Done);
    }
    let mut rows = Vec::new();
    for entry in registry.iter() {
        let kind = format!("{:?}", entry.kind()).to_lowercase();
        if name.as_ref().is_some_and(|wanted| *wanted != kind) {
            continue;
        }
        output.value(&as_json(entry));
        rows.push(vec![entry.name.to_owned(), kind, entry.summary.to_owned()]);
    }
    rows.sort_by(|a, b| (&a[1], &a[0]).cmp(&(&b[1], &b[0])));
    output.raw_for_people(&table(&["module", "kind", "what it does"], &rows));
    Ok(ExitCode::Done)
}

fn as_json(entry: &Entry) -> Value {
    json!({
        "name": entry.name, "kind": entry.kind(), "summary": entry.summary,
        "rejects": entry.rejects, "schema": (entry.schema)().to_value(),
    })
}

/// The page of a module as text.
fn page(entry: &Entry) -> String {
    let mut text = format!("{}\n\n{}\n\nsettings:\n", entry.name, entry.summary);
    let schema = (entry.schema)().to_value();
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let star = if required.iter().any(|r| r == name) { " (required)" } else { "" };
        let help = property.get("description").and_then(Value::as_str).unwrap_or_default();
        text.push_str(&format!("  {name}{star}\n      {}\n", help.replace('\n', " ")));
    }
    for example in entry.examples {
        text.push_str(&format!("\nexample: {}\n  with: {}\n", example.title, example.config));
        let sides = [("in", example.inputs), ("out", example.outputs)];
        for (side, rows) in sides {
            for (name, rows) in rows {
                text.push_str(&format!("  {side} {name}:\n"));
                for line in rows.lines() {
                    text.push_str(&format!("    {}\n", line.trim()));
                }
            }
        }
    }
    text
}
