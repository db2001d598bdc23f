//! What the tests of this family share: surroundings without a lake, and short ways to run modules.

use crate::testing::FakeTables;
use arrow::array::RecordBatch;
use contracts::module::Build;
use contracts::source::Sample;
use contracts::{
    Context, Discovery, Entry, Past, ReadRequest, Reject, RejectSink, Sink, SinkRequest, Source,
    rows,
};
use model::connection::Connection;
use model::run::{CommitKey, Committed, Input, RunId};
use model::{Name, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Surroundings in `folder`, with connections by name.
pub(crate) fn context(folder: &Path, connections: &[(&str, Value)]) -> Context {
    let connections = connections
        .iter()
        .map(|(name, settings)| {
            let mut document = json!({"affluent": 1, "kind": "connection", "name": name});
            let settings = settings.as_object().unwrap().clone();
            document.as_object_mut().unwrap().extend(settings);
            let connection: Connection = serde_json::from_value(document).unwrap();
            (Name::new(*name).unwrap(), connection)
        })
        .collect();
    Context {
        project: folder.to_owned(),
        state: folder.join(".affluent"),
        landing: folder.join("landing"),
        allowed_paths: Vec::new(),
        confined: false,
        workspace: Name::new("tests").unwrap(),
        time_zone: "UTC".to_owned(),
        threads: 2,
        memory_bytes: 256 * 1024 * 1024,
        connections: Arc::new(connections),
        tables: Arc::new(FakeTables::default()),
    }
}

/// Keeps rejects for the test to look at.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<Reject>>);

impl RejectSink for Kept {
    fn reject(&self, reject: Reject) -> Result<()> {
        self.0.lock().unwrap().push(reject);
        Ok(())
    }
}

fn entry(all: &[Entry], name: &str) -> Entry {
    *all.iter().find(|entry| entry.name == name).unwrap()
}

/// A source with these settings.
pub(crate) fn source(all: &[Entry], name: &str, config: &Value) -> Box<dyn Source> {
    let Build::Source(build) = entry(all, name).build else { unreachable!("a source") };
    build(config).unwrap_or_else(|(path, problem)| unreachable!("{path}: {problem}"))
}

/// A sink with these settings.
pub(crate) fn sink(all: &[Entry], name: &str, config: &Value) -> Box<dyn Sink> {
    let Build::Sink(build) = entry(all, name).build else { unreachable!("a sink") };
    build(config).unwrap_or_else(|(path, problem)| unreachable!("{path}: {problem}"))
}

/// Reads inputs: batches, and what was rejected.
pub(crate) async fn read(
    source: &dyn Source,
    context: &Context,
    inputs: Vec<Input>,
    sample: Option<Sample>,
) -> Result<(Vec<RecordBatch>, Vec<Reject>)> {
    let kept = Arc::new(Kept::default());
    let request = ReadRequest {
        inputs,
        partitions: 2,
        sample,
        rejects: Arc::clone(&kept) as Arc<dyn RejectSink>,
        bytes: Arc::default(),
    };
    let batches = source.read(context, request).await?;
    let schema = Arc::clone(&batches.schema);
    let batches = batches.collect().await?;
    assert!(batches.iter().all(|batch| batch.schema() == schema), "one schema for all batches");
    let rejects = std::mem::take(&mut *kept.0.lock().unwrap());
    Ok((batches, rejects))
}

/// Discovers and reads.
pub(crate) async fn read_new(
    source: &dyn Source,
    context: &Context,
    past: &Past,
) -> Result<(Discovery, Vec<RecordBatch>, Vec<Reject>)> {
    let discovery = source.discover(context, past).await?;
    let (batches, rejects) = read(source, context, discovery.inputs.clone(), None).await?;
    Ok((discovery, batches, rejects))
}

/// What a later run knows of a run that has read these inputs.
pub(crate) fn past_of(inputs: &[Input]) -> Past {
    let mut past = Past { latest: inputs.to_vec(), ..Past::default() };
    for input in inputs {
        match input {
            Input::Range(range) => past.range = Some(range.clone()),
            Input::File(arrival) => {
                let known = (arrival.path.clone(), arrival.size, arrival.version.clone());
                past.arrivals.insert(known);
            }
            _ => {}
        }
    }
    past
}

/// A commit of a new run.
pub(crate) fn new_request() -> SinkRequest {
    let name = |text: &str| Name::new(text).unwrap();
    let run = RunId::generate(1_700_000_000_000_000);
    let key = CommitKey { workspace: name("tests"), pipeline: name("p"), node: name("n"), run };
    let metadata: Map<String, Value> =
        json!({"run": "r", "range": [1, 2]}).as_object().unwrap().clone();
    SinkRequest { key, metadata, overwrite: false, replaces: Vec::new() }
}

/// Writes rows, given as NDJSON, and commits.
pub(crate) async fn write(
    sink: &dyn Sink,
    context: &Context,
    request: SinkRequest,
    text: &str,
) -> Result<Committed> {
    let input = rows::read_batches(text)?;
    sink.prepare(context, request, input).await?.commit().await
}

/// Columns of the first row of each key, sorted, for comparing.
pub(crate) fn lines(batches: &[RecordBatch], columns: &[&str]) -> Vec<String> {
    let text = rows::write(batches).unwrap();
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let row: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
            let cells: Vec<String> = columns
                .iter()
                .map(|column| match &row[*column] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
                .collect();
            cells.join("|")
        })
        .collect();
    lines.sort();
    lines
}
