//! Modules, for whoever edits pipelines.

use crate::workbench::registry;
use api::modules::{ExampleRows, Module, ModuleExample, ModuleHead, ModuleInputs, ModuleKind};
use contracts::Entry;
use contracts::module::{Example, InputPorts, Kind};
use serde_json::Value;

pub(super) fn all() -> Vec<Module> {
    let mut modules: Vec<Module> = registry().iter().map(module).collect();
    modules.sort_by(|a, b| a.head.name.cmp(&b.head.name));
    modules
}

fn module(entry: &Entry) -> Module {
    Module {
        head: ModuleHead {
            name: entry.name.to_owned(),
            kind: match entry.kind() {
                Kind::Source => ModuleKind::Source,
                Kind::Relational => ModuleKind::Relational,
                Kind::Operator => ModuleKind::Operator,
                Kind::Sink => ModuleKind::Sink,
                Kind::Action => ModuleKind::Action,
            },
            summary: entry.summary.to_owned(),
            inputs: inputs(entry.inputs),
            rejects: entry.rejects,
            icon: icon(entry).to_owned(),
        },
        schema: (entry.schema)().to_value(),
        examples: entry.examples.iter().map(example).collect(),
    }
}

fn inputs(ports: InputPorts) -> ModuleInputs {
    let (min, max, names): (u64, Option<u64>, &[&str]) = match ports {
        InputPorts::None => (0, Some(0), &[]),
        InputPorts::One => (1, Some(1), &[]),
        InputPorts::Many { min } => (min as u64, None, &[]),
        InputPorts::Named(names) => (names.len() as u64, Some(names.len() as u64), names),
    };
    ModuleInputs { min, max, names: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn example(example: &Example) -> ModuleExample {
    let rows = |sides: &[(&str, &str)]| {
        let rows = |(name, rows): &(&str, &str)| ExampleRows {
            name: (*name).to_owned(),
            rows: (*rows).to_owned(),
        };
        sides.iter().map(rows).collect()
    };
    ModuleExample {
        title: example.title.to_owned(),
        settings: serde_json::from_str(example.config).unwrap_or(Value::Null),
        inputs: rows(example.inputs),
        outputs: rows(example.outputs),
    }
}

/// The name of a picture: by what people look for, or else by what the module is.
fn icon(entry: &Entry) -> &'static str {
    match entry.name {
        "csv" | "json" | "xml" | "parquet" | "inline" | "write_file" => "file",
        "excel" => "sheet",
        "postgres" | "sqlite" | "write_postgres" | "write_sqlite" => "database",
        "http" | "write_http" => "globe",
        "table" | "write_table" => "table",
        "join" | "lookup" | "union" => "merge",
        "filter" | "limit" | "sample" => "funnel",
        "validate" | "compare" => "check",
        "aggregate" | "pivot" | "unpivot" => "sum",
        "sql" | "derive" => "code",
        "mask" | "hash" => "shield",
        _ => match entry.kind() {
            Kind::Source => "source",
            Kind::Relational => "columns",
            Kind::Operator => "gear",
            Kind::Sink => "target",
            Kind::Action => "bolt",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_has_a_schema_and_examples_that_are_settings() {
        let all = all();
        assert!(all.len() > 30, "{}", all.len());
        for module in &all {
            assert!(module.schema.is_object(), "{}", module.head.name);
            for example in &module.examples {
                assert!(example.settings.is_object(), "{}: {}", module.head.name, example.title);
            }
        }
        assert!(all.is_sorted_by_key(|module| &module.head.name));
    }
}
