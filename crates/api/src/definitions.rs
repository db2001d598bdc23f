//! Documents of a workspace: pipelines, connections, models, tests, the project's own.

use crate::problem::ProblemBody;
use crate::query::{Column, RowPage};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// What kind of document it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What `affluent.yaml` is in a folder; its name is always `affluent`.
    Project,
    /// Where a database or service is.
    Connection,
    /// A graph of nodes.
    Pipeline,
    /// A single query, with its settings in comments.
    Model,
    /// Rows in, rows expected.
    Test,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Project, Self::Connection, Self::Pipeline, Self::Model, Self::Test];

    /// The word that is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Connection => "connection",
            Self::Pipeline => "pipeline",
            Self::Model => "model",
            Self::Test => "test",
        }
    }
}

/// A document without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DefinitionHead {
    /// Its kind.
    pub kind: Kind,
    /// Its name among those of its kind.
    pub name: String,
    /// Its newest version. In quotes it is the document's `ETag`.
    pub version: i64,
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// When this version was saved, µs since 1970, UTC.
    pub saved_at_us: i64,
}

/// Documents by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DefinitionPage {
    /// The documents of this page.
    pub items: Vec<DefinitionHead>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Definition {
    /// Everything but its text.
    #[serde(flatten)]
    pub head: DefinitionHead,
    /// As its author wrote it.
    pub text: String,
}

/// Saves a document.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveDefinition {
    /// The whole text.
    pub text: String,
    /// What changes, in a sentence.
    #[serde(default)]
    pub message: String,
}

/// What is done at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PatchKind {
    /// The value takes the place of the one there is.
    Replace,
    /// A new setting, or, where the path ends with `/-`, one more item of a list.
    Add,
    /// The setting or item goes away.
    Remove,
}

/// A change of one part of a document.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// What is done.
    pub op: PatchKind,
    /// Where, as a JSON pointer: `/nodes/2/with/path`.
    pub path: String,
    /// The value, for `replace` and `add`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub value: Value,
}

/// Changes parts of a document; every other byte stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchDefinition {
    /// The changes, in order.
    pub patches: Vec<Patch>,
    /// What changes, in a sentence.
    #[serde(default)]
    pub message: String,
}

/// Saves an old version once more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreDefinition {
    /// The version whose text is wanted.
    pub version: i64,
}

/// A version of a document without its text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VersionHead {
    /// From 1, without a gap.
    pub version: i64,
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// Id of the user who saved it; absent when the folder did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What its author says about it.
    pub message: String,
    /// When it was saved, µs since 1970, UTC.
    pub saved_at_us: i64,
}

/// Versions of a document, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VersionPage {
    /// The versions of this page.
    pub items: Vec<VersionHead>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A difference of two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextDifference {
    /// In unified form with three lines around each change; empty when the texts are the same.
    pub unified: String,
    /// Lines that only the newer text has.
    pub lines_added: u64,
    /// Lines that only the older text has.
    pub lines_removed: u64,
}

/// A document that would be saved or, without a text, deleted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its text; none deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Documents as they would be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drafts {
    /// What would be saved or deleted.
    pub drafts: Vec<Draft>,
}

/// What is wrong with documents.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Validation {
    /// Every problem, with its file, line and column; none when all documents are right.
    pub problems: Vec<ProblemBody>,
}

/// Looks at a pipeline without running it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainPipeline {
    /// Only this node.
    pub node: Option<String>,
    /// What would be saved.
    pub drafts: Vec<Draft>,
}

/// A node, planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodePlan {
    /// Its stage, from 1.
    pub stage: u64,
    /// The node.
    pub node: String,
    /// Its module.
    pub module: String,
    /// The query it compiles to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// How the engine does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// The nodes of a pipeline, planned.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The nodes.
    pub nodes: Vec<NodePlan>,
}

/// Asks for rows after a node.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PreviewNode {
    /// The port; `out` unless given.
    pub port: Option<String>,
    /// How many rows: 100 unless given, no more than 1000.
    pub limit: Option<u64>,
    /// What would be saved.
    pub drafts: Vec<Draft>,
}

/// Rows after a node, on the first rows of its sources.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The first rows.
    pub rows: RowPage,
    /// How many rows there are in all.
    pub row_count: u64,
    /// How many rows were rejected.
    pub reject_count: u64,
    /// Whether a source has more rows than were read.
    pub is_sample: bool,
    /// What checks have found.
    pub findings: Vec<String>,
    /// The query of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

/// All documents, as one change: what is not among them is kept, or deleted with `prune`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApplyDefinitions {
    /// The documents.
    pub documents: Vec<AppliedDefinition>,
    /// Whether documents that are not among these are deleted.
    pub prune: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// What changes, in a sentence.
    pub message: String,
}

/// A document to be applied.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppliedDefinition {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is new.
    Added,
    /// Its text is another one.
    Changed,
    /// It goes away.
    Deleted,
}

/// A document that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedChange {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What differs.
    pub difference: TextDifference,
}

/// What was done, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// Documents that change; the others are as they should be.
    pub changes: Vec<AppliedChange>,
    /// What is wrong with the documents as they would be; then nothing was done.
    pub problems: Vec<ProblemBody>,
}

/// All documents of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AllDefinitions {
    /// The documents, by kind and name.
    pub items: Vec<Definition>,
}

/// A kind of documents.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct KindPath {
    /// The kind.
    #[param(inline)]
    pub kind: Kind,
}

/// A document by kind and name.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DefinitionPath {
    /// Its kind.
    #[param(inline)]
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// A version of a document.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DefinitionVersionPath {
    /// Its kind.
    #[param(inline)]
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The version.
    pub version: i64,
}

/// A node by pipeline and name.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct NodePath {
    /// Name of the pipeline.
    pub pipeline: String,
    /// The node.
    pub node: String,
}

/// Which two versions of a document.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VersionsQuery {
    /// The older version.
    pub from: i64,
    /// The newer version; the newest of all unless given.
    pub to: Option<i64>,
}

/// Both sides have changed since they were last the same: nothing is overwritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderConflict {
    /// Kind of the document.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// From the text of the server to that of the folder.
    pub difference: TextDifference,
}

/// How the folder and the server stand to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderState {
    /// Whether this workspace has a folder.
    pub has_folder: bool,
    /// Documents that both sides have changed.
    pub conflicts: Vec<FolderConflict>,
    /// What is wrong in the folder; its changes are not taken while there is something.
    pub problems: Vec<ProblemBody>,
    /// When the two sides were last the same, µs since 1970, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_step_at_us: Option<i64>,
}

/// Which side of a conflict holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The folder's text becomes a new version.
    Folder,
    /// The server's text is written into the folder.
    Server,
}

/// Ends a conflict.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveConflict {
    /// Kind of the document.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Which side holds.
    pub keep: Side,
}
