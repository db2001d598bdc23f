//! What tests of actions share: a scope, and a server that is not one.

use async_trait::async_trait;
use contracts::action::{Answer, ChildEnd, ChildRun, Message, Scope, Services, Step};
use contracts::table::{Maintenance, MaintenanceReport, TableCommit, TableFile};
use contracts::{Batches, Context, Prepared, TableInfo, TableStore, TableWrite};
use model::run::{CommitKey, Committed, RunId};
use model::{Name, Problem, Result, TableName, codes};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A scope with nothing in it.
pub(crate) fn scope() -> Scope {
    let name = |text: &str| Name::new(text).unwrap();
    Scope {
        workspace: name("shop"),
        pipeline: name("control"),
        run: RunId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
        task: "task".to_owned(),
        attempt: 1,
        started_us: 1_000_000_000,
        run_time_us: 0,
        interval_us: None,
        params: Map::new(),
        outputs: Map::new(),
        problems: Vec::new(),
    }
}

/// A server that keeps what it is told.
#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now_us: Option<i64>,
    runs: Vec<(ChildRun, Name, Map<String, Value>)>,
    answer: Option<Answer>,
    messages: Vec<Message>,
}

impl Fake {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Sets the time, in µs.
    pub(crate) fn set_now(&self, now_us: i64) {
        self.state().now_us = Some(now_us);
    }

    /// Lets a person answer.
    pub(crate) fn say(&self, answer: Answer) {
        self.state().answer = Some(answer);
    }

    /// Lets a run end.
    pub(crate) fn end(&self, run: usize, end: ChildEnd, output: Value) {
        let child = &mut self.state().runs[run].0;
        child.end = Some(end);
        child.output = output.as_object().cloned().unwrap();
    }

    /// Runs that have been started: pipeline and parameters.
    pub(crate) fn started(&self) -> Vec<(String, Value)> {
        let state = self.state();
        let runs = state.runs.iter();
        runs.map(|(_, name, params)| (name.to_string(), Value::Object(params.clone()))).collect()
    }

    /// Runs that go on.
    pub(crate) fn running(&self) -> Vec<usize> {
        let state = self.state();
        let runs = state.runs.iter().enumerate();
        runs.filter(|(_, (run, ..))| run.end.is_none()).map(|(at, _)| at).collect()
    }

    /// Parameters of runs that have succeeded.
    pub(crate) fn succeeded(&self) -> Vec<Value> {
        let state = self.state();
        let good = state.runs.iter().filter(|(run, ..)| run.end == Some(ChildEnd::Succeeded));
        good.map(|(_, _, params)| Value::Object(params.clone())).collect()
    }

    /// What people have been told.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.state().messages.clone()
    }
}

#[async_trait]
impl Services for Fake {
    fn now_us(&self) -> i64 {
        self.state().now_us.unwrap_or(1_000_000_000)
    }

    async fn start_run(
        &self,
        pipeline: &Name,
        params: Map<String, Value>,
        key: &str,
    ) -> Result<RunId> {
        let mut state = self.state();
        if let Some((run, ..)) = state.runs.iter().find(|(run, ..)| run.key == key) {
            return Ok(run.run.clone());
        }
        let run = RunId::generate(0);
        let child =
            ChildRun { key: key.to_owned(), run: run.clone(), end: None, output: Map::new() };
        state.runs.push((child, pipeline.clone(), params));
        Ok(run)
    }

    async fn runs(&self) -> Result<Vec<ChildRun>> {
        Ok(self.state().runs.iter().map(|(run, ..)| run.clone()).collect())
    }

    async fn answer(&self) -> Result<Option<Answer>> {
        Ok(self.state().answer.clone())
    }

    async fn notify(&self, message: Message) -> Result<()> {
        self.state().messages.push(message);
        Ok(())
    }
}

/// Asks an action of this crate.
pub(crate) async fn decide(
    module: &str,
    config: Value,
    scope: &Scope,
    services: &Fake,
) -> Result<Step> {
    let entry = crate::ALL.iter().find(|entry| entry.name == module).unwrap();
    crate::decide(entry, config.as_object().unwrap(), scope, services).await
}

/// A lake without tables.
struct NoTables;

fn none<T>() -> Result<T> {
    Err(Problem::new(&codes::TABLE_NOT_FOUND, "there are no tables"))
}

#[async_trait]
impl TableStore for NoTables {
    async fn list(&self) -> Result<Vec<TableName>> {
        Ok(Vec::new())
    }

    async fn describe(&self, _: &TableName, _: Option<u64>) -> Result<Option<TableInfo>> {
        Ok(None)
    }

    async fn read(&self, _: &TableName, _: u64, _: usize) -> Result<Batches> {
        none()
    }

    async fn committed(&self, _: &TableName, _: &CommitKey) -> Result<Option<Committed>> {
        Ok(None)
    }

    async fn check_replaceable(&self, _: &TableName, _: &CommitKey) -> Result<()> {
        none()
    }

    async fn prepare(&self, _: TableWrite, _: Batches) -> Result<Box<dyn Prepared>> {
        none()
    }

    async fn history(&self, _: &TableName) -> Result<Vec<TableCommit>> {
        none()
    }

    async fn files(&self, _: &TableName, _: Option<u64>) -> Result<Vec<TableFile>> {
        none()
    }

    async fn maintain(&self, _: &TableName, _: Maintenance) -> Result<MaintenanceReport> {
        none()
    }
}

/// The surroundings of an action, in a folder.
pub(crate) fn context(folder: &Path) -> Context {
    let project = folder.canonicalize().unwrap();
    Context {
        state: project.join(".affluent"),
        landing: project.join(".affluent/landing"),
        project,
        allowed_paths: Vec::new(),
        confined: true,
        workspace: Name::new("shop").unwrap(),
        time_zone: "UTC".to_owned(),
        threads: 2,
        memory_bytes: 1 << 30,
        connections: Arc::default(),
        tables: Arc::new(NoTables),
    }
}
