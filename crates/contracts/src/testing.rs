//! What every module must hold to, whatever it does. Each module crate calls [`check`] in a test.

use crate::module::{Build, Entry, Kind};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Checks names, documentation, examples and answers to bad settings.
///
/// # Panics
///
/// Names the module and what is wrong with it.
#[allow(clippy::panic, reason = "a test helper fails by panicking")]
pub fn check(entries: &[Entry]) {
    let mut names = HashSet::new();
    for entry in entries {
        let name = entry.name;
        assert!(names.insert(name), "two modules are called `{name}`");
        assert!(model::Name::new(name).is_ok(), "`{name}` is not a valid name");
        assert!(entry.summary.ends_with('.'), "the summary of `{name}` is not a sentence");
        assert!(!entry.examples.is_empty(), "`{name}` has no example");
        let is_sink = entry.kind() == Kind::Sink;
        assert_eq!(is_sink, name.starts_with("write_"), "only sinks are called write_…: `{name}`");
        let schema = (entry.schema)().to_value();
        check_described(name, &schema, "");
        check_unfilled(entry, &schema);
        check_settings(entry);
    }
}

fn check_described(name: &str, schema: &Value, path: &str) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (setting, property) in properties.into_iter().flatten() {
        let described = property.get("description").is_some() || property.get("const").is_some();
        assert!(described, "the setting `{path}{setting}` of `{name}` has no doc comment");
        check_described(name, property, &format!("{path}{setting}."));
    }
    let definitions = schema.get("$defs").and_then(Value::as_object);
    for (definition, schema) in definitions.into_iter().flatten() {
        check_described(name, schema, &format!("{definition}."));
    }
}

fn check_unfilled(entry: &Entry, schema: &Value) {
    let Build::Action(_, unfilled) = entry.build else { return };
    for (setting, _) in unfilled {
        let known = schema.pointer(&format!("/properties/{setting}")).is_some();
        assert!(known, "`{}` leaves a setting `{setting}` unfilled that it has not", entry.name);
    }
}

#[allow(clippy::panic, reason = "a test helper fails by panicking")]
fn check_settings(entry: &Entry) {
    let name = entry.name;
    for example in entry.examples {
        let config: Value = serde_json::from_str(example.config)
            .unwrap_or_else(|error| panic!("`{name}`, `{}`: {error}", example.title));
        if let Err((path, problem)) = build(entry, &config) {
            panic!("`{name}`, `{}`: {problem} at `{path}`", example.title);
        }
    }
    let unknown = json!({"there_is_no_such_setting": 1});
    assert!(build(entry, &unknown).is_err(), "`{name}` takes settings that it does not know");
}

fn build(entry: &Entry, config: &Value) -> crate::module::ConfigResult<()> {
    match entry.build {
        Build::Source(build) => build(config).map(drop),
        Build::Relational(build) => build(config).map(drop),
        Build::Operator(build) => build(config).map(drop),
        Build::Sink(build) => build(config).map(drop),
        Build::Action(build, _) => build(config).map(drop),
    }
}
