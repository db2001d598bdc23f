//! Actions: what a pipeline does besides moving rows — decide, wait, ask, call, tell.

use crate::context::Context;
use crate::module::Example;
use async_trait::async_trait;
use model::plan::DATA;
use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use model::{Name, Problem, Result, Role, codes};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What an action gives to later ones may not be larger than this, in bytes of JSON.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// An action module: one file.
pub trait ActionModule: 'static {
    /// The settings under `with:`. Texts may hold templates; whatever is not a text or a free
    /// value is taken as it is written.
    type Config: DeserializeOwned + JsonSchema;
    /// Unique `snake_case` name; a verb or a word of control.
    const NAME: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;
    /// Examples: `inputs` are parts of the [`Scope`] by name (`params`, `outputs`) as JSON,
    /// `outputs` are `output` and `branch`.
    const EXAMPLES: &'static [Example];
    /// Settings that reach the action as they are written, templates not filled in.
    const UNFILLED: &'static [(&'static str, Unfilled)] = &[];

    /// An action with these settings. A problem names the setting it is about, such as
    /// `/condition`.
    fn build(config: Self::Config) -> Result<Box<dyn Action>>;
}

/// Why the templates of a setting are not filled in before the action is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfilled {
    /// It is one expression, such as `outputs.count.rows > 0`.
    Expression,
    /// Its templates are filled in again and again, and know `item` and `index`.
    EachItem,
    /// Templates may not stand there.
    Verbatim,
}

/// A configured action.
#[async_trait]
pub trait Action: Send + Sync {
    /// The branches of which it takes some; none when everything after it goes on.
    fn branches(&self) -> Vec<Name> {
        Vec::new()
    }

    /// The pipelines that it may start.
    fn pipelines(&self) -> Vec<Name> {
        Vec::new()
    }

    /// Whether a runner does it ([`Action::perform`]), because it touches the world outside, and
    /// not the server ([`Action::decide`]).
    fn outside(&self) -> bool {
        false
    }

    /// Says what comes next. It is asked by the server, possibly many times, and keeps nothing
    /// itself: everything that it has done is in `services`.
    async fn decide(&self, _scope: &Scope, _services: &dyn Services) -> Result<Step> {
        Err(misplaced("a runner"))
    }

    /// Does the work, in a runner. It may be done again after a crash.
    async fn perform(&self, _scope: &Scope, _outside: &Outside<'_>) -> Result<Step> {
        Err(misplaced("the server"))
    }
}

fn misplaced(who: &str) -> Problem {
    Problem::new(&codes::INTERNAL, format!("this action is done by {who}"))
}

/// What comes next, as an action says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// It has succeeded.
    Done {
        /// What later actions read as `outputs.<node>`.
        output: Value,
        /// The branches it takes, of an action that has some.
        taken: Option<Vec<Name>>,
    },
    /// Not yet: ask again. Meanwhile it holds no slot.
    Again {
        /// How long from now, in µs.
        after_us: i64,
    },
    /// It waits for a person; ask again when there is an answer.
    Ask {
        /// What the person sees and fills in.
        form: Form,
        /// How long from now at the latest to ask again all the same, in µs.
        after_us: Option<i64>,
    },
    /// It waits for the runs that it has started; ask again when one of them ends.
    Runs,
}

impl Step {
    /// The end of an action without branches.
    pub fn done(output: Value) -> Self {
        Self::Done { output, taken: None }
    }
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Form {
    /// What it is about, in a line.
    pub title: String,
    /// What the person should know, in Markdown.
    #[serde(default)]
    pub text: String,
    /// What the person fills in.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// The least role of those who may answer; none means all who may start the pipeline.
    #[serde(default)]
    pub role: Option<Role>,
}

/// Something that a person fills in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name in the output.
    pub name: Name,
    /// What the person reads beside it; the name when none is given.
    #[serde(default)]
    pub label: String,
    /// What can be filled in.
    #[serde(default, rename = "type")]
    pub kind: FieldKind,
    /// Whether it must be filled in to approve.
    #[serde(default)]
    pub required: bool,
    /// What is filled in already.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub default: Value,
    /// The choices, for `type: choice`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// What can be filled in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// A text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// A day, as `2026-01-31`.
    Date,
    /// One of some texts.
    Choice,
}

/// What a person has answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Yes or no.
    pub approved: bool,
    /// Who it was.
    pub by: String,
    /// What was filled in.
    #[serde(default)]
    pub fields: Map<String, Value>,
}

/// Where an action is: its run, and what it may read of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// The workspace.
    pub workspace: Name,
    /// The pipeline.
    pub pipeline: Name,
    /// The run.
    pub run: RunId,
    /// The task: the node's name.
    pub task: String,
    /// Which attempt at the task it is, from 1. To be asked again is not a new attempt.
    pub attempt: u32,
    /// When the attempt began, and began to wait, in µs since the epoch.
    pub started_us: i64,
    /// The instant that the run calls now, in µs since the epoch.
    pub run_time_us: i64,
    /// The interval that the run is for, in µs since the epoch, its end exclusive.
    pub interval_us: Option<(i64, i64)>,
    /// The run's parameters, defaults filled in.
    pub params: Map<String, Value>,
    /// What tasks that have ended have given, by task.
    pub outputs: Map<String, Value>,
    /// Why tasks that have failed so far have failed, in the order of the plan.
    #[serde(default)]
    pub problems: Vec<TaskProblem>,
}

/// Why a task has failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskProblem {
    /// The task.
    pub task: String,
    /// The problem of its last attempt.
    #[serde(flatten)]
    pub problem: StoredProblem,
}

impl Scope {
    /// What later actions read of the data nodes, as the output of the task [`DATA`]: for each
    /// node `rows` (what it gave on, or for a sink wrote), `rows_in` and `rejects`.
    pub fn data_output<'a>(nodes: impl IntoIterator<Item = &'a (Name, NodeReport)>) -> Value {
        let counts = |report: &NodeReport| {
            let rows = if report.rows_out == 0 { report.rows_in } else { report.rows_out };
            json!({"rows": rows, "rows_in": report.rows_in, "rejects": report.rejects})
        };
        nodes.into_iter().map(|(node, report)| (node.to_string(), counts(report))).collect()
    }

    /// The outputs by node: those of the data nodes stand beside those of the actions.
    pub fn outputs_by_node(&self) -> Map<String, Value> {
        let mut outputs = self.outputs.clone();
        if let Some(Value::Object(data)) = outputs.remove(DATA) {
            outputs.extend(data);
        }
        outputs
    }
}

/// What the server does for actions. What it has done once for a task is not done again.
#[async_trait]
pub trait Services: Send + Sync {
    /// The time, in µs since the epoch.
    fn now_us(&self) -> i64;

    /// Starts a run of `pipeline`, or gives the one that this task of this run has started under
    /// `key` before. A run that may not begin is a problem.
    async fn start_run(
        &self,
        pipeline: &Name,
        params: Map<String, Value>,
        key: &str,
    ) -> Result<RunId>;

    /// The runs that this task has started, in the order in which they were started.
    async fn runs(&self) -> Result<Vec<ChildRun>>;

    /// What a person has answered to this attempt's [`Step::Ask`]; none while nobody has.
    async fn answer(&self) -> Result<Option<Answer>>;

    /// Tells people something, once for this attempt, whatever happens to the server.
    async fn notify(&self, message: Message) -> Result<()>;
}

/// A run that an action has started.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildRun {
    /// What it was started under.
    pub key: String,
    /// The run.
    pub run: RunId,
    /// How it ended; none while it goes on.
    pub end: Option<ChildEnd>,
    /// What its `set_output` actions gave, put together.
    pub output: Map<String, Value>,
}

/// How a run that an action has started ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildEnd {
    /// All went well.
    Succeeded,
    /// A task failed, and nothing made up for it.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// It never began, because another run of the pipeline was going on.
    Skipped,
}

/// Something that people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Where to; none means the workspace's usual channel.
    pub channel: Option<Name>,
    /// What it is about, in a line.
    pub title: String,
    /// What happened, in Markdown.
    pub text: String,
    /// How much it matters.
    pub level: Level,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    #[default]
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody has to act.
    Error,
}

/// The world outside, as far as an action may touch it.
pub struct Outside<'a> {
    /// Folders, connections, tables.
    pub context: &'a Context,
    /// What whoever runs the program allows.
    pub allowed: &'a Allowed,
}

/// What actions may do in the world outside, besides what anybody may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    /// Programs may be started.
    pub shell: bool,
    /// Hosts that may be called though their address is of this machine or of a private network:
    /// a name or address, with a port where only that one is meant; `*` means any.
    pub private_hosts: Vec<String>,
}

impl Allowed {
    /// Whether `host` may be called on `port` though its address is a private one.
    pub fn is_host(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let with_port = format!("{host}:{port}");
        let matches = |allowed: &String| {
            let allowed = allowed.to_ascii_lowercase();
            allowed == "*" || allowed == host || allowed == with_port
        };
        self.private_hosts.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_allowed_by_name_and_port() {
        let hosts = vec!["erp.internal".to_owned(), "127.0.0.1:8080".to_owned()];
        let allowed = Allowed { shell: false, private_hosts: hosts };
        assert!(allowed.is_host("ERP.internal", 443));
        assert!(allowed.is_host("127.0.0.1", 8080));
        assert!(!allowed.is_host("127.0.0.1", 5432));
        assert!(!allowed.is_host("other.internal", 443));
        assert!(!Allowed::default().is_host("localhost", 80));
    }

    #[test]
    fn counts_of_data_nodes_stand_beside_outputs_of_actions() {
        let report = |rows_in, rows_out| NodeReport { rows_in, rows_out, ..NodeReport::default() };
        let name = |text: &str| Name::new(text).unwrap();
        let nodes = [(name("load"), report(7, 5)), (name("write"), report(5, 0))];
        let scope = Scope {
            workspace: name("shop"),
            pipeline: name("sales"),
            run: RunId::generate(0),
            task: "tell".to_owned(),
            attempt: 1,
            started_us: 0,
            run_time_us: 0,
            interval_us: None,
            params: Map::new(),
            outputs: [
                (DATA.to_owned(), Scope::data_output(&nodes)),
                ("ask".to_owned(), json!({"by": "Ada"})),
            ]
            .into_iter()
            .collect(),
            problems: Vec::new(),
        };
        let outputs = Value::Object(scope.outputs_by_node());
        assert_eq!(outputs["load"]["rows"], 5);
        assert_eq!(outputs["write"]["rows"], 5);
        assert_eq!(outputs["ask"]["by"], "Ada");
        assert!(outputs.get(DATA).is_none());
    }
}
