//! What an error is called when a user reads it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// What fallible functions of every crate return.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

/// Who can do something about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Whoever wrote the project: fix the document, the data or the command.
    User,
    /// A system outside: a database, a disk, a network.
    External,
    /// Affluent itself: please report it.
    Us,
}

/// A kind of problem. All of them are listed in [`crate::codes::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Stable identifier, `snake_case`.
    pub id: &'static str,
    /// Who can do something about it.
    pub fault: Fault,
    /// Whether trying again unchanged can help.
    pub retry: bool,
    /// One sentence for the reference page.
    pub summary: &'static str,
}

/// Where a problem arose; parts are filled in on the way up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Pipeline name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Node id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Document or data file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in `file`, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column in `line`, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// Path of the setting inside its document, such as `/nodes/2/with/path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    code: Code,
    message: String,
    arguments: BTreeMap<String, String>,
    detail: Option<String>,
    hint: Option<String>,
    context: Context,
}

/// A problem: code, fact, arguments, detail, hint and place.
///
/// The message is a lowercase fact with names in back-ticks and no final stop; the hint says
/// what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Inner>);

impl Problem {
    /// A problem of kind `code` with the fact `message`.
    pub fn new(code: &Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code: *code,
            message: message.into(),
            arguments: BTreeMap::new(),
            detail: None,
            hint: None,
            context: Context::default(),
        }))
    }

    /// Adds a named argument, for translations and tools.
    #[must_use]
    pub fn arg(mut self, name: &str, value: impl Display) -> Self {
        self.0.arguments.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds what the failing system said.
    #[must_use]
    pub fn detail(mut self, detail: impl Display) -> Self {
        self.0.detail = Some(detail.to_string());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the pipeline, unless a deeper layer already has.
    #[must_use]
    pub fn in_pipeline(mut self, pipeline: impl Display) -> Self {
        self.0.context.pipeline.get_or_insert_with(|| pipeline.to_string());
        self
    }

    /// Names the node, unless a deeper layer already has.
    #[must_use]
    pub fn in_node(mut self, node: impl Display) -> Self {
        self.0.context.node.get_or_insert_with(|| node.to_string());
        self
    }

    /// Names the file, unless a deeper layer already has.
    #[must_use]
    pub fn in_file(mut self, file: impl Display) -> Self {
        self.0.context.file.get_or_insert_with(|| file.to_string());
        self
    }

    /// Gives the position, unless a deeper layer already has.
    #[must_use]
    pub fn at(mut self, line: u64, column: u64) -> Self {
        self.0.context.line.get_or_insert(line);
        self.0.context.column.get_or_insert(column);
        self
    }

    /// Names the setting by its path, unless a deeper layer already has.
    #[must_use]
    pub fn in_setting(mut self, setting: impl Display) -> Self {
        self.0.context.setting.get_or_insert_with(|| setting.to_string());
        self
    }

    /// The kind of problem.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Whether this problem is of kind `code`.
    pub fn is(&self, code: &Code) -> bool {
        self.0.code.id == code.id
    }

    /// The fact.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the failing system said, if it said something.
    pub fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What to do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Where it arose.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// The named arguments.
    pub fn arguments(&self) -> &BTreeMap<String, String> {
        &self.0.arguments
    }

    /// The form that travels: for `--json`, run records and the API.
    pub fn to_stored(&self) -> StoredProblem {
        StoredProblem {
            code: self.0.code.id.to_owned(),
            message: self.0.message.clone(),
            arguments: self.0.arguments.clone(),
            fault: self.0.code.fault,
            retry: self.0.code.retry,
            detail: self.0.detail.clone(),
            hint: self.0.hint.clone(),
            context: self.0.context.clone(),
        }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(detail) = &self.0.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// A problem as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProblem {
    /// Stable identifier.
    pub code: String,
    /// The fact.
    pub message: String,
    /// Named arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
    /// Who can do something about it.
    pub fault: Fault,
    /// Whether trying again can help.
    pub retry: bool,
    /// What the failing system said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where it arose.
    #[serde(default)]
    pub context: Context,
}
