//! Every example of every module, run on the real engine.

use crate::program::Project;
use app::workbench::{Settings, Workbench};
use arrow::array::RecordBatch;
use contracts::module::{Entry, Example, InputPorts, Kind};
use contracts::rows;
use contracts::source::Sample;
use engine::graph::Graph;
use engine::trial::Trial;
use model::Name;
use model::yaml::Document;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Rows of an example, sorted unless the module promises an order.
fn lines(batches: &[RecordBatch], in_order: bool) -> Vec<String> {
    let mut lines: Vec<String> = rows::write(batches).unwrap().lines().map(str::to_owned).collect();
    if !in_order {
        lines.sort();
    }
    lines
}

/// Runs one example: its inputs as made-up sources before the module.
async fn check(entry: &Entry, example: &Example, bench: &Workbench) -> Result<(), String> {
    let mut nodes = Vec::new();
    let mut given = BTreeMap::new();
    let mut from = Map::new();
    for (name, text) in example.inputs {
        nodes.push(json!({"id": name, "use": "inline", "with": {"rows": [{"x": 1}]}}));
        given.insert(
            Name::new(*name).unwrap(),
            rows::read_batches(text).map_err(|p| p.to_string())?,
        );
        from.insert((*name).to_owned(), json!(name));
    }
    let config: Value = serde_json::from_str(example.config).map_err(|e| e.to_string())?;
    let from = match entry.inputs {
        InputPorts::Named(_) => Value::Object(from),
        _ => json!(example.inputs.iter().map(|(name, _)| name).collect::<Vec<_>>()),
    };
    nodes.push(json!({"id": "tested", "use": entry.name, "from": from, "with": config}));
    let document = json!({"affluent": 1, "kind": "pipeline", "name": "example", "nodes": nodes});
    let document = Document::parse("example", &document.to_string()).map_err(|p| p.to_string())?;
    let pipeline = document.read("").map_err(|problem| problem.to_string())?;
    let graph = Graph::build(pipeline, &document, &bench.registry).map_err(|problems| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    })?;
    let at = graph.find(&Name::new("tested").unwrap()).map_err(|problem| problem.to_string())?;
    let trial = Trial {
        graph: &graph,
        context: &bench.context,
        query: &bench.query,
        given,
        number_given: false,
        sample: Sample { rows: 1000, bytes: 1 << 20 },
        params: BTreeMap::new(),
        now_us: 1_800_000_000_000_000,
    };
    let outcome = trial.run(&[at]).await.map_err(|problem| problem.to_string())?;
    for (port, expected) in example.outputs {
        let got = &outcome.port(at, port).batches;
        let expected = rows::read(expected).map_err(|problem| problem.to_string())?;
        let in_order = matches!(entry.name, "sort" | "limit");
        let (got, expected) = (lines(got, in_order), lines(&[expected], in_order));
        if !same(&got, &expected, *port == "rejects") {
            let sql = outcome.sql.get(&at).cloned().unwrap_or_default();
            return Err(format!(
                "port {port}\n  got      {got:?}\n  expected {expected:?}\n  {sql}"
            ));
        }
    }
    Ok(())
}

/// Equal as JSON; the order of keys does not matter. Of rejects an example shows some columns.
fn same(got: &[String], expected: &[String], some_columns: bool) -> bool {
    let parse = |line: &String| serde_json::from_str::<Map<String, Value>>(line).unwrap();
    got.len() == expected.len()
        && got.iter().zip(expected).all(|(got, expected)| {
            let (got, expected) = (parse(got), parse(expected));
            (some_columns || got.len() == expected.len())
                && expected.iter().all(|(key, value)| got.get(key) == Some(value))
        })
}

#[tokio::test]
async fn every_relational_example_gives_its_rows() {
    let project = Project::new(&[]);
    let settings = Settings { project: project.path().to_owned(), ..Settings::default() };
    let bench = Workbench::open(&settings).unwrap();
    let mut failures = Vec::new();
    let mut run = 0;
    for entry in transforms::all().iter().filter(|entry| entry.kind() == Kind::Relational) {
        for example in entry.examples {
            run += 1;
            if let Err(failure) = check(entry, example, &bench).await {
                failures.push(format!("{}, {}: {failure}", entry.name, example.title));
            }
        }
    }
    println!("{run} examples");
    assert!(
        failures.is_empty(),
        "{} of {run} examples fail:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}
