//! What desks are asked, and what they answer.

use api::query::RowFormat;
use model::plan::Plan;
use model::problem::StoredProblem;
use model::{Name, TableName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Documents of a workspace: texts by their path in a project folder.
pub type Documents = BTreeMap<String, String>;

/// A question. Each says what the value of its answer is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Runs a query and keeps its rows: [`api::query::QueryResult`].
    Query(QueryQuestion),
    /// Rows that were kept, as bytes: null; as JSON: [`api::query::RowPage`].
    Page(PageQuestion),
    /// All tables after a name: `Vec<api::tables::Table>`.
    Tables {
        /// Only tables whose names come later.
        after: Option<String>,
        /// At most so many.
        limit: u64,
    },
    /// One table: [`api::tables::Table`].
    Table(TableQuestion),
    /// All versions of a table: `Vec<api::tables::TableVersion>`.
    Versions {
        /// The table.
        table: TableName,
    },
    /// What its log knows: [`api::tables::TableStatistics`].
    Statistics(TableQuestion),
    /// Some of its rows: [`api::query::RowPage`].
    Sample(SampleQuestion),
    /// What differs between two of its versions: [`api::tables::TableDifference`].
    Difference(DifferenceQuestion),
    /// What is in its columns: [`api::tables::Profile`].
    Profile(ProfileQuestion),
    /// Where its columns come from: [`api::tables::Lineage`].
    Lineage(LineageQuestion),
    /// Are all documents right?: `Vec<StoredProblem>`.
    Check(CheckQuestion),
    /// What runs of all pipelines consist of: `Vec<PipelinePlan>`.
    Plans(PlansQuestion),
    /// What a pipeline compiles to: [`api::definitions::Explanation`].
    Explain(ExplainQuestion),
    /// Rows after a node: [`api::definitions::Preview`].
    Preview(PreviewQuestion),
    /// All modules: `Vec<api::modules::Module>`.
    Modules,
}

/// A query whose rows are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueryQuestion {
    /// One SELECT.
    pub sql: String,
    /// The file that its rows are kept in. It is new.
    pub file: PathBuf,
    /// Rows that are kept at most.
    pub rows_max: u64,
    /// Bytes that the file has at most.
    pub bytes_max: u64,
    /// The time it may take.
    pub time_max_ms: u64,
}

/// Rows of a file that a query has kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageQuestion {
    /// The file.
    pub file: PathBuf,
    /// Rows before the page.
    pub after: u64,
    /// Rows of the page at most.
    pub limit: u64,
    /// The form.
    pub format: RowFormat,
}

/// A table at a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableQuestion {
    /// The table.
    pub table: TableName,
    /// The version; the newest unless given.
    pub version: Option<u64>,
}

/// Some rows of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SampleQuestion {
    /// The table.
    pub table: TableName,
    /// The version; the newest unless given.
    pub version: Option<u64>,
    /// How many at most.
    pub limit: u64,
}

/// Two versions of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DifferenceQuestion {
    /// The table.
    pub table: TableName,
    /// The older version.
    pub from: u64,
    /// The newer version; the newest of all unless given.
    pub to: Option<u64>,
    /// How many rows to show at most.
    pub limit: u64,
}

/// The columns of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileQuestion {
    /// The table.
    pub table: TableName,
    /// The version; the newest unless given.
    pub version: Option<u64>,
    /// Only these columns; all unless given.
    pub columns: Vec<String>,
    /// Most frequent values and patterns to give.
    pub top: u64,
}

/// Where columns come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LineageQuestion {
    /// The table.
    pub table: TableName,
    /// Only this column.
    pub column: Option<String>,
    /// The documents; those of the workspace's folder unless given.
    pub documents: Option<Documents>,
}

/// Documents to be checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckQuestion {
    /// The documents; those of the workspace's folder unless given.
    pub documents: Option<Documents>,
}

/// Documents whose pipelines are to be planned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlansQuestion {
    /// The documents.
    pub documents: Documents,
}

/// What runs of a pipeline consist of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelinePlan {
    /// The plan.
    pub plan: Plan,
    /// What the pipeline is for.
    pub description: String,
    /// Words it is selected by.
    pub tags: Vec<String>,
}

/// A pipeline, or one of its nodes, to be planned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainQuestion {
    /// The pipeline.
    pub pipeline: Name,
    /// Only this node.
    pub node: Option<Name>,
    /// The documents; those of the workspace's folder unless given.
    pub documents: Option<Documents>,
}

/// A node whose rows are wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewQuestion {
    /// The pipeline.
    pub pipeline: Name,
    /// The node.
    pub node: Name,
    /// The port.
    pub port: String,
    /// How many rows at most.
    pub limit: u64,
    /// The documents; those of the workspace's folder unless given.
    pub documents: Option<Documents>,
}

/// What a desk sends back: the value, or all problems.
pub type Answered = Result<serde_json::Value, Vec<StoredProblem>>;

/// Questions that look only at what is near have to be answered within this time.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Those that read whole tables. It is less than what a request may take.
const TIME_MAX_LONG: Duration = Duration::from_secs(55);

impl Question {
    /// The time that the answer may take.
    pub fn time_max(&self) -> Duration {
        match self {
            Self::Query(query) => Duration::from_millis(query.time_max_ms),
            Self::Page(_) | Self::Difference(_) | Self::Profile(_) | Self::Preview(_) => {
                TIME_MAX_LONG
            }
            _ => TIME_MAX,
        }
    }

    /// Whether it can keep a desk busy for long. Some desks are kept free for the others.
    pub fn is_long(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Difference(_) | Self::Profile(_) | Self::Preview(_))
    }
}
