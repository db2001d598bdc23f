//! Looking behind connections: a process per look, which is given one connection and its secrets
//! and knows nothing else of the server.

use crate::commands::Session;
use crate::metadata;
use crate::panics::caught;
use crate::workbench::{Settings, Workbench};
use crate::workspace::Documents;
use api::connections::{Browsed, ConnectionType, Found};
use async_trait::async_trait;
use connectors::look::{self, Place};
use model::connection::Connection;
use model::problem::StoredProblem;
use model::{Name, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use server::{Connector, Look, LookOrder, Looked, problem_of};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// This very program, also when its file has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// Looks at the same time; more wait.
const LOOKS_AT_ONCE: usize = 4;
/// A look that takes longer is given up. It is less than what a request may take.
const TIME_MAX: Duration = Duration::from_secs(25);
/// An order or an answer is no longer than this.
const BYTES_MAX: u64 = 4 << 20;
/// A process that looks needs little; this is the last resort.
const MEMORY_MIB: u64 = 64;

/// What a process that looks is told.
#[derive(Serialize, Deserialize)]
struct Order {
    workspace: Name,
    connection: Connection,
    look: Look,
}

type Answer = std::result::Result<Looked, StoredProblem>;

/// The server's side.
pub(crate) struct Looker {
    settings: Settings,
    places: Semaphore,
}

impl Looker {
    /// For the project that the server was started in.
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, places: Semaphore::new(LOOKS_AT_ONCE) }
    }

    async fn exchange(&self, order: &[u8]) -> Result<Answer> {
        let mut command = Command::new(THIS_PROGRAM);
        command.arg("-C").arg(&self.settings.project);
        command.args(["--memory", &MEMORY_MIB.to_string(), "look"]);
        if let Some(environment) = &self.settings.environment {
            command.args(["--env", environment.as_str()]);
        }
        for name in metadata::WITHHELD {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.kill_on_drop(true).spawn().map_err(lost)?;
        if let Some(mut input) = process.stdin.take() {
            input.write_all(order).await.map_err(lost)?;
        }
        let mut text = Vec::new();
        if let Some(out) = process.stdout.take() {
            out.take(BYTES_MAX).read_to_end(&mut text).await.map_err(lost)?;
        }
        serde_json::from_slice(&text).map_err(lost)
    }
}

fn lost(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::RUNNER_LOST, "the process that looks behind connections was lost")
        .detail(error)
}

#[async_trait]
impl Connector for Looker {
    fn types(&self) -> Vec<ConnectionType> {
        let types = look::types().into_iter();
        types
            .map(|(name, schema)| ConnectionType {
                name: name.to_owned(),
                schema: schema.to_value(),
            })
            .collect()
    }

    async fn look(&self, order: LookOrder) -> Result<Looked> {
        let LookOrder { workspace, connection, look } = order;
        let order = serde_json::to_vec(&Order { workspace, connection, look }).map_err(lost)?;
        let looking = async {
            let _place = self.places.acquire().await.map_err(lost)?;
            self.exchange(&order).await
        };
        match timeout(TIME_MAX, looking).await {
            Ok(answer) => answer?.map_err(problem_of),
            Err(_) => {
                let seconds = TIME_MAX.as_secs();
                let fact = format!("nobody has answered within {seconds} s");
                Err(Problem::new(&codes::CONNECTION_TIMEOUT, fact)
                    .hint("check host and port, and that a firewall lets the server through"))
            }
        }
    }
}

/// The other side: reads the order, looks, answers.
pub(crate) async fn serve(session: &Session) -> Result<()> {
    let mut text = Vec::new();
    let unreadable = |error: &dyn std::fmt::Display| {
        Problem::new(&codes::COMMAND_INVALID, "standard input holds nothing to look behind")
            .detail(error)
            .hint("processes that look are started by `affluent up`")
    };
    let input = io::stdin().lock().take(BYTES_MAX).read_to_end(&mut text);
    input.map_err(|error| unreadable(&error))?;
    // What the order says is not repeated: it holds secrets.
    let order: Order = serde_json::from_slice(&text).map_err(|_| unreadable(&"no order"))?;
    let answer: Answer =
        caught(async { behind(session, order).await }).await.map_err(|problem| problem.to_stored());
    let text = serde_json::to_vec(&answer).map_err(lost)?;
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).map_err(lost)
}

async fn behind(session: &Session, order: Order) -> Result<Looked> {
    let Order { workspace, connection, look } = order;
    check_no_variables(&connection)?;
    let workbench = Workbench::open_for(&session.settings, &workspace, &Documents::None);
    let mut context = workbench
        .map_err(|problems| problems.into_iter().next().unwrap_or_else(|| lost("no problem")))?
        .context;
    let name = connection.name.clone();
    context.connections = Arc::new(BTreeMap::from([(name.clone(), connection)]));
    match look {
        Look::Test => Ok(Looked::Works(look::test(&context, &name).await?)),
        Look::Browse { path, prefix, limit } => {
            let place = Place { path, prefix, limit };
            let (found, more) = look::browse(&context, &name, &place).await?;
            let items = found.into_iter().map(|found| Found {
                name: found.name,
                kind: found.kind.to_owned(),
                detail: found.detail,
            });
            Ok(Looked::There(Browsed { items: items.collect(), more }))
        }
    }
}

/// Variables of the server are not for whoever edits a connection.
fn check_no_variables(connection: &Connection) -> Result<()> {
    let text = serde_json::to_string(&connection.settings).unwrap_or_default();
    if !text.contains("${env:") {
        return Ok(());
    }
    Err(Problem::new(&codes::SETTING_INVALID, "the connection reads variables of the server")
        .hint("write the value itself, or a secret of the connection, to look behind it here"))
}
