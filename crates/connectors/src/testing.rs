//! What the tests of several families share: a project in a temporary folder, a lake that only
//! remembers, and a runner for examples.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use contracts::rejects::rejects_batch;
use contracts::table::{Maintenance, MaintenanceReport, TableCommit, TableFile};
use contracts::{
    Batches, Build, Context, Discovery, Entry, Kind, Past, Prepared, ReadRequest, Reject,
    RejectSink, Source, TableInfo, TableStore, TableWrite, rows,
};
use model::connection::Connection;
use model::run::{Arrival, CommitKey, Committed, Input, RunId};
use model::{Name, Result, TableName};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// A project in a temporary folder.
pub(crate) struct Project {
    pub(crate) context: Context,
    pub(crate) tables: Arc<FakeTables>,
    pub(crate) rejects: Arc<Rejected>,
    folder: TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let tables = Arc::new(FakeTables::default());
        let context = Context {
            state: root.join(".affluent"),
            landing: root.join(".affluent/landing"),
            project: root,
            allowed_paths: Vec::new(),
            confined: false,
            workspace: Name::new("test").unwrap(),
            time_zone: "Europe/Paris".to_owned(),
            threads: 2,
            memory_bytes: 1 << 30,
            connections: Arc::new(BTreeMap::new()),
            tables: Arc::clone(&tables) as Arc<dyn TableStore>,
        };
        Self { context, tables, rejects: Arc::new(Rejected::default()), folder }
    }

    /// Adds a connection, given as its document.
    pub(crate) fn connect(&mut self, document: serde_json::Value) {
        let connection: Connection = serde_json::from_value(document).unwrap();
        let mut connections = (*self.context.connections).clone();
        connections.insert(connection.name.clone(), connection);
        self.context.connections = Arc::new(connections);
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn append(&self, path: &str, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(path)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn request(&self, inputs: &[Input]) -> ReadRequest {
        ReadRequest {
            inputs: inputs.to_vec(),
            partitions: 2,
            sample: None,
            rejects: Arc::clone(&self.rejects) as Arc<dyn RejectSink>,
            bytes: Arc::default(),
        }
    }

    pub(crate) async fn read(
        &self,
        source: &dyn Source,
        inputs: &[Input],
    ) -> Result<Vec<RecordBatch>> {
        source.read(&self.context, self.request(inputs)).await?.collect().await
    }

    pub(crate) async fn rows(&self, source: &dyn Source, inputs: &[Input]) -> Vec<String> {
        rows::sorted(&self.read(source, inputs).await.unwrap()).unwrap()
    }
}

/// The key of a commit of a run that began on 2026-01-31 at 23:30 UTC, in Paris the next day.
pub(crate) fn commit_key() -> CommitKey {
    CommitKey {
        workspace: Name::new("test").unwrap(),
        pipeline: Name::new("sales").unwrap(),
        node: Name::new("export").unwrap(),
        run: RunId::parse("01KGB68N600000000000000001").unwrap(),
    }
}

/// Rejected rows.
#[derive(Debug, Default)]
pub(crate) struct Rejected(pub(crate) Mutex<Vec<Reject>>);

impl RejectSink for Rejected {
    fn reject(&self, reject: Reject) -> Result<()> {
        self.0.lock().unwrap().push(reject);
        Ok(())
    }
}

/// Arrivals of a discovery.
pub(crate) fn arrivals(discovery: &Discovery) -> Vec<Arrival> {
    let arrival = |input: &Input| match input {
        Input::File(arrival) => Some(arrival.clone()),
        _ => None,
    };
    discovery.inputs.iter().filter_map(arrival).collect()
}

/// The past after runs that took these discoveries.
pub(crate) fn past_of(discoveries: &[&Discovery]) -> Past {
    let all = discoveries.iter().flat_map(|discovery| arrivals(discovery));
    Past {
        arrivals: all.map(|a| (a.path, a.size, a.version)).collect(),
        latest: discoveries.last().map(|last| last.inputs.clone()).unwrap_or_default(),
        ..Past::default()
    }
}

/// Runs every example of the sources among `entries` that says what comes out.
pub(crate) async fn run_source_examples(entries: &[Entry]) {
    for entry in entries.iter().filter(|entry| entry.kind() == Kind::Source) {
        for example in entry.examples.iter().filter(|example| !example.outputs.is_empty()) {
            let label = format!("{}: {}", entry.name, example.title);
            let project = Project::new();
            for (name, content) in example.inputs {
                project.write(name, content);
            }
            let Build::Source(build) = entry.build else { unreachable!() };
            let config = serde_json::from_str(example.config).unwrap();
            let source = build(&config).map_err(|(_, problem)| problem).unwrap();
            let discovery = source.discover(&project.context, &Past::default()).await;
            let inputs = discovery.unwrap_or_else(|problem| panic!("{label}: {problem}")).inputs;
            let batches = project.read(source.as_ref(), &inputs).await;
            let batches = batches.unwrap_or_else(|problem| panic!("{label}: {problem}"));
            for (port, expected) in example.outputs {
                let found = match *port {
                    "out" => rows::sorted(&batches).unwrap(),
                    "rejects" => {
                        let rejects = project.rejects.0.lock().unwrap();
                        rows::sorted(&[rejects_batch(entry.name, &rejects).unwrap()]).unwrap()
                    }
                    other => panic!("{label}: there is no port `{other}`"),
                };
                assert_eq!(values(&found), expected_values(expected), "{label}, port {port}");
            }
        }
    }
}

fn values(lines: &[String]) -> Vec<serde_json::Value> {
    let mut values: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    values.sort_by_key(sort_key);
    values
}

fn expected_values(text: &str) -> Vec<serde_json::Value> {
    let batch = rows::read(text).unwrap();
    values(&rows::sorted(&[batch]).unwrap())
}

/// A text that does not depend on the order of columns.
fn sort_key(value: &serde_json::Value) -> String {
    let entries = value.as_object().unwrap().iter();
    format!("{:?}", entries.map(|(k, v)| (k, v.to_string())).collect::<BTreeMap<_, _>>())
}

/// A lake of tables in memory that remembers how it was written to.
#[derive(Default)]
pub(crate) struct FakeTables {
    pub(crate) tables: Mutex<BTreeMap<TableName, Vec<RecordBatch>>>,
    pub(crate) writes: Mutex<Vec<TableWrite>>,
    /// Columns of the last write.
    pub(crate) columns: Mutex<Vec<String>>,
}

impl FakeTables {
    pub(crate) fn put(&self, table: &str, batch: RecordBatch) {
        let table = TableName::parse(table).unwrap();
        self.tables.lock().unwrap().entry(table).or_default().push(batch);
    }
}

struct FakePrepared {
    target: String,
    rows: u64,
}

#[async_trait]
impl Prepared for FakePrepared {
    async fn commit(self: Box<Self>) -> Result<Committed> {
        Ok(Committed { target: self.target, rows: self.rows, ..Committed::default() })
    }

    async fn discard(self: Box<Self>) {}
}

#[async_trait]
impl TableStore for FakeTables {
    async fn list(&self) -> Result<Vec<TableName>> {
        Ok(self.tables.lock().unwrap().keys().cloned().collect())
    }

    async fn describe(&self, table: &TableName, version: Option<u64>) -> Result<Option<TableInfo>> {
        let tables = self.tables.lock().unwrap();
        let Some(versions) = tables.get(table) else { return Ok(None) };
        let newest = versions.len() as u64 - 1;
        Ok(Some(TableInfo {
            name: table.clone(),
            version: version.unwrap_or(newest),
            schema: versions[0].schema(),
            partition_by: Vec::new(),
            rows: None,
            bytes: 0,
            files: 1,
            constraints: BTreeMap::new(),
        }))
    }

    async fn read(&self, table: &TableName, version: u64, _: usize) -> Result<Batches> {
        let tables = self.tables.lock().unwrap();
        let batch = tables[table][version as usize].clone();
        Ok(Batches::from_memory(batch.schema(), vec![batch]))
    }

    async fn committed(&self, _: &TableName, _: &CommitKey) -> Result<Option<Committed>> {
        Ok(None)
    }

    async fn check_replaceable(&self, _: &TableName, _: &CommitKey) -> Result<()> {
        Ok(())
    }

    async fn prepare(&self, write: TableWrite, input: Batches) -> Result<Box<dyn Prepared>> {
        let target = write.table.to_string();
        self.writes.lock().unwrap().push(write);
        let names = input.schema.fields().iter().map(|field| field.name().clone());
        *self.columns.lock().unwrap() = names.collect();
        let rows = rows::count(&input.collect().await?) as u64;
        Ok(Box::new(FakePrepared { target, rows }))
    }

    async fn history(&self, _: &TableName) -> Result<Vec<TableCommit>> {
        Ok(Vec::new())
    }

    async fn files(&self, _: &TableName, _: Option<u64>) -> Result<Vec<TableFile>> {
        Ok(Vec::new())
    }

    async fn maintain(&self, _: &TableName, _: Maintenance) -> Result<MaintenanceReport> {
        Ok(MaintenanceReport::default())
    }
}

/// An S3 server in its own process, killed when dropped.
pub(crate) struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    /// Starts a server with one bucket called `bucket`; none when the program is missing.
    pub(crate) async fn start() -> Option<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let usual = home.join(".cache/affluent/venv/bin/moto_server");
        let program = std::env::var_os("AFFLUENT_MOTO").map_or(usual, PathBuf::from);
        if !program.is_file() {
            testkit::skip("moto_server");
            return None;
        }
        let port = testkit::free_port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { child, port };
        let client = reqwest::Client::new();
        for _ in 0..600 {
            let answer = client.put(format!("{}/bucket", moto.url())).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Some(moto);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("moto_server does not answer");
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The document of a connection to an S3 server at `url`.
pub(crate) fn s3_connection(url: &str) -> serde_json::Value {
    serde_json::json!({
        "affluent": 1, "kind": "connection", "name": "lake", "type": "s3", "endpoint": url,
        "access_key_id": "key", "secret_access_key": "secret", "allow_http": true,
    })
}
