//! `affluent schema`: JSON Schemas, for editors that complete and check YAML.

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::workbench::registry;
use clap::{Args, ValueEnum};
use schemars::schema_for;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Example:\n\
\x20 affluent schema pipeline > .vscode/affluent-pipeline.json";

/// Arguments of `affluent schema`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The kind of document
    #[arg(value_enum)]
    pub kind: Kind,
}

/// Kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `affluent.yaml`
    Project,
    /// `pipelines/*.yaml`
    Pipeline,
    /// `connections/*.yaml`
    Connection,
    /// `tests/*.yaml`
    Test,
}

/// The schema of a kind of document.
pub(crate) fn of(kind: Kind) -> Value {
    match kind {
        Kind::Project => schema_for!(model::project::Project).to_value(),
        Kind::Connection => schema_for!(model::connection::Connection).to_value(),
        Kind::Test => schema_for!(model::test::Test).to_value(),
        Kind::Pipeline => pipeline(),
    }
}

/// The schema of pipelines, with the settings of every module under its name.
fn pipeline() -> Value {
    let mut schema = schema_for!(model::pipeline::Pipeline).to_value();
    let registry = registry();
    let mut rules = Vec::new();
    let mut names = Vec::new();
    for entry in registry.iter() {
        let mut settings = (entry.schema)().to_value();
        // Definitions of a module stay inside of it: their names are not unique.
        if let Some(map) = settings.as_object_mut() {
            map.remove("$schema");
            map.insert("$id".to_owned(), json!(format!("module:{}", entry.name)));
        }
        names.push(json!({"const": entry.name, "description": entry.summary}));
        rules.push(json!({
            "if": {"properties": {"use": {"const": entry.name}}, "required": ["use"]},
            "then": {"properties": {"with": settings}},
        }));
    }
    if let Some(node) = schema.pointer_mut("/$defs/Node").and_then(Value::as_object_mut) {
        node.insert("allOf".to_owned(), Value::Array(rules));
        if let Some(module) = node.get_mut("properties").and_then(|p| p.get_mut("use")) {
            module["oneOf"] = Value::Array(names);
        }
    }
    schema
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let text = serde_json::to_string_pretty(&of(arguments.kind)).unwrap_or_default();
    session.output.raw(&format!("{text}\n"));
    Ok(ExitCode::Done)
}
