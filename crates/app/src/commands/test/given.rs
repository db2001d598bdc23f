//! Rows that a test brings along, put where sources and lake tables would give theirs.

use crate::ad_hoc;
use crate::workbench::Workbench;
use contracts::table::{SchemaPolicy, TableStore, TableWrite, WriteMode};
use contracts::{Batches, Kind};
use engine::graph::{Graph, Module};
use model::pipeline::{OUT, Pipeline, PortRef, REJECTS};
use model::run::{CommitKey, RunId};
use model::test::{Given, Row, Test};
use model::{Name, Problem, Result, codes};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The row that gives types, as in examples of modules.
const TYPES: &str = "#types";
/// Sources that read files: a test's file takes the place of their path.
const FILE_SOURCES: &[&str] = &["csv", "excel", "json", "parquet", "xml"];
/// Sources that need nothing from outside.
const SELF_CONTAINED: &[&str] = &["generate", "inline", "table"];

/// A problem and the part of the test it is about.
type At = (Problem, String);

/// Refuses names that the pipeline does not have.
pub(super) fn check(pipeline: &Pipeline, test: &Test) -> Result<(), At> {
    for name in test.given.keys() {
        let known = pipeline.nodes.iter().map(|node| node.id.as_str());
        if known.clone().any(|known| known == name.as_str()) {
            continue;
        }
        let hint = match stdx::text::nearest(name.as_str(), known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("nodes are {}", known.collect::<Vec<_>>().join(", ")),
        };
        let fact = format!("pipeline `{}` has no node `{name}`", pipeline.name);
        let problem = Problem::new(&codes::NAME_UNKNOWN, fact).hint(hint);
        return Err((problem, format!("/given/{name}")));
    }
    Ok(())
}

/// Refuses ports that the node does not have.
pub(super) fn check_port(graph: &Graph, at: usize, port: &PortRef) -> Result<()> {
    let node = &graph.nodes[at];
    let mut ports = match &node.module {
        Module::Relational(module) => module.ports(),
        _ => Vec::new(),
    };
    if ports.is_empty() {
        ports.push(OUT.to_owned());
    }
    if node.entry.rejects {
        ports.push(REJECTS.to_owned());
    }
    if ports.iter().any(|known| known == port.port.as_str()) {
        return Ok(());
    }
    let fact = format!("`{}` has no port `{}`", port.node, port.port);
    let hint = format!("its ports are {}", ports.join(", "));
    Err(Problem::new(&codes::NAME_UNKNOWN, fact).hint(hint))
}

/// Lets sources of files read the file of the test, with all of their other settings.
pub(super) fn put_files_in_place(pipeline: &mut Pipeline, test: &Test) {
    for node in &mut pipeline.nodes {
        if let Some(Given::File(path)) = test.given.get(&node.id)
            && FILE_SOURCES.contains(&node.module.as_str())
        {
            node.with.insert("path".to_owned(), json!(path));
        }
    }
}

/// Rows for the sources that `targets` need.
pub(super) async fn rows(
    workbench: &Workbench,
    graph: &Graph,
    test: &Test,
    targets: &[usize],
) -> Result<BTreeMap<Name, Batches>, At> {
    let mut rows = BTreeMap::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        let is_needed = targets.iter().any(|target| graph.reaches(at, *target));
        if node.entry.kind() != Kind::Source || !is_needed {
            continue;
        }
        let pointer = format!("/given/{}", node.id);
        match test.given.get(&node.id) {
            Some(Given::File(_)) if FILE_SOURCES.contains(&node.entry.name) => {}
            Some(given) => {
                let as_texts = matches!(node.entry.name, "csv" | "excel") && !has_types(graph, at);
                let read = read(workbench, given, as_texts).await;
                rows.insert(node.id.clone(), read.map_err(|problem| (problem, pointer))?);
            }
            None if SELF_CONTAINED.contains(&node.entry.name) => {}
            None => {
                let fact = format!("the test gives no rows for the source `{}`", node.id);
                let problem = Problem::new(&codes::DOCUMENT_INVALID, fact);
                let hint =
                    format!("add `{}:` with a list of rows, or a file, to `given:`", node.id);
                return Err((problem.hint(hint), "/given".to_owned()));
            }
        }
    }
    Ok(rows)
}

/// Whether a source of texts finds types itself.
fn has_types(graph: &Graph, at: usize) -> bool {
    let id = &graph.nodes[at].id;
    let document = graph.pipeline.nodes.iter().find(|node| node.id == *id);
    document.is_some_and(|node| node.with.get("types").is_some_and(|types| types != "text"))
}

/// Writes the rows of `tables:` into the lake of the test.
pub(super) async fn fill_tables(workbench: &Workbench, test: &Test) -> Result<(), At> {
    for (table, given) in &test.tables {
        let pointer = format!("/tables/{table}");
        let at = |problem: Problem| (problem, pointer.clone());
        let batches = read(workbench, given, false).await.map_err(at)?;
        if batches.schema.fields().is_empty() {
            let fact = format!("the columns of `{table}` are not known");
            return Err(at(Problem::new(&codes::DOCUMENT_INVALID, fact)
                .hint("give a row, or only types, as in `[{\"#types\": {id: integer}}]`")));
        }
        let node = Name::new("given").map_err(at)?;
        let run = RunId::generate(0);
        let key = CommitKey {
            workspace: workbench.context.workspace.clone(),
            pipeline: test.name.clone(),
            node,
            run,
        };
        let write = TableWrite {
            table: table.clone(),
            mode: WriteMode::Overwrite,
            partition_by: Vec::new(),
            cluster_by: Vec::new(),
            schema_policy: SchemaPolicy::Evolve,
            constraints: BTreeMap::new(),
            rebuild: false,
            replaces: Vec::new(),
            key,
            metadata: Map::new(),
        };
        let prepared = workbench.lake.prepare(write, batches).await.map_err(at)?;
        prepared.commit().await.map_err(at)?;
    }
    Ok(())
}

async fn read(workbench: &Workbench, given: &Given, as_texts: bool) -> Result<Batches> {
    match given {
        Given::Rows(rows) => {
            let rows = if as_texts { texts(rows) } else { with_types(rows) };
            let lines: Vec<String> =
                rows.into_iter().map(|r| Value::Object(r).to_string()).collect();
            contracts::rows::read_batches(&lines.join("\n"))
        }
        Given::File(path) => {
            let path = workbench.context.project.join(path);
            let name = path.to_string_lossy().replace('"', "\"\"");
            let rows = ad_hoc::run(workbench, &format!("SELECT * FROM \"{name}\"")).await?;
            Ok(rows.batches)
        }
    }
}

/// Values as a text file would have them.
fn texts(rows: &[Row]) -> Vec<Row> {
    let mut columns: BTreeSet<&String> = BTreeSet::new();
    columns.extend(rows.iter().flat_map(Map::keys).filter(|key| *key != TYPES));
    let types: Row = columns.iter().map(|column| ((*column).clone(), json!("string"))).collect();
    let text = |row: &Row| {
        let cells = row.iter().map(|(column, value)| {
            let value = match value {
                Value::Null | Value::String(_) => value.clone(),
                other => json!(other.to_string()),
            };
            (column.clone(), value)
        });
        cells.collect::<Row>()
    };
    let head = Row::from_iter([(TYPES.to_owned(), Value::Object(types))]);
    let given = rows.iter().filter(|row| !row.contains_key(TYPES)).map(text);
    std::iter::once(head).chain(given).collect()
}

/// Dates and instants have no type in YAML: texts that look like them get it, where the first
/// row does not say otherwise.
fn with_types(rows: &[Row]) -> Vec<Row> {
    let mut types: Row = rows
        .iter()
        .filter_map(|row| row.get(TYPES).and_then(Value::as_object))
        .flatten()
        .map(|(column, data_type)| (column.clone(), data_type.clone()))
        .collect();
    let values: Vec<&Row> = rows.iter().filter(|row| !row.contains_key(TYPES)).collect();
    let columns: BTreeSet<&String> = values.iter().flat_map(|row| row.keys()).collect();
    for column in columns {
        let mut texts = values.iter().filter_map(|row| row.get(column)).filter(|v| !v.is_null());
        let all = |looks: fn(&str) -> bool| {
            let mut count = 0;
            let fit = texts.clone().all(|value| {
                count += 1;
                value.as_str().is_some_and(looks)
            });
            fit && count > 0
        };
        let found = if all(is_date) {
            json!("date")
        } else if all(is_instant) {
            json!("timestamp")
        } else if texts.next().is_none() {
            json!("string")
        } else {
            continue;
        };
        types.entry(column.clone()).or_insert(found);
    }
    let head = Row::from_iter([(TYPES.to_owned(), Value::Object(types))]);
    std::iter::once(head).chain(values.into_iter().cloned()).collect()
}

fn is_date(text: &str) -> bool {
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

fn is_instant(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok()
        || chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").is_ok()
}
