//! News of pipelines that somebody may want to hear, as it is stored and passed on.

use crate::name::Name;
use crate::problem::StoredProblem;
use crate::run::RunId;
use serde::{Deserialize, Serialize};

/// What kind of news there is; rules name these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A run failed for good.
    RunFailed,
    /// A run succeeded, and the one before it had failed.
    RunRecovered,
    /// A run succeeded.
    RunSucceeded,
    /// A run has not ended, or not begun, when it should have.
    RunLate,
    /// A check found rows that it does not accept.
    CheckFailed,
    /// Incoming columns differ from those of the table.
    SchemaChanged,
    /// Somebody tries a channel.
    Test,
}

impl NoticeKind {
    /// All that a rule can name.
    pub const OF_RULES: [Self; 6] = [
        Self::RunFailed,
        Self::RunRecovered,
        Self::RunSucceeded,
        Self::RunLate,
        Self::CheckFailed,
        Self::SchemaChanged,
    ];

    /// Stable identifier, `snake_case`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunFailed => "run_failed",
            Self::RunRecovered => "run_recovered",
            Self::RunSucceeded => "run_succeeded",
            Self::RunLate => "run_late",
            Self::CheckFailed => "check_failed",
            Self::SchemaChanged => "schema_changed",
            Self::Test => "test",
        }
    }

    /// The kind with this identifier.
    pub fn parse(text: &str) -> Option<Self> {
        Self::OF_RULES.into_iter().chain([Self::Test]).find(|kind| kind.as_str() == text)
    }
}

/// One piece of news. Texts in it come from outside: whoever shows them has to escape them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Notice {
    /// A run failed for good.
    RunFailed {
        /// The pipeline.
        pipeline: Name,
        /// The run.
        run: RunId,
        /// Why.
        problem: StoredProblem,
    },
    /// A run succeeded, and the one before it had failed.
    RunRecovered {
        /// The pipeline.
        pipeline: Name,
        /// The run.
        run: RunId,
        /// Runs that had failed one after the other.
        failures: u64,
        /// When the first of them did, µs since the epoch.
        failing_since_us: i64,
    },
    /// A run succeeded.
    RunSucceeded {
        /// The pipeline.
        pipeline: Name,
        /// The run.
        run: RunId,
        /// Rows written by sinks.
        rows_out: u64,
        /// Rows rejected.
        rows_rejected: u64,
        /// How long it took, in ms.
        elapsed_ms: u64,
    },
    /// A run has not ended, or not begun, when it should have.
    RunLate {
        /// The pipeline.
        pipeline: Name,
        /// The run, if there is one.
        run: Option<RunId>,
        /// When it should have been over, µs since the epoch.
        due_us: i64,
    },
    /// A check found rows that it does not accept.
    CheckFailed {
        /// The pipeline.
        pipeline: Name,
        /// The run.
        run: RunId,
        /// The node that the check belongs to.
        node: Name,
        /// The check.
        check: String,
        /// Rows that it does not accept.
        offending: u64,
    },
    /// Incoming columns differ from those of the table.
    SchemaChanged {
        /// The pipeline.
        pipeline: Name,
        /// The run.
        run: RunId,
        /// The table.
        table: String,
        /// Columns that are new.
        added: Vec<String>,
        /// Columns that are no longer there.
        removed: Vec<String>,
        /// Columns of another type than before.
        changed: Vec<String>,
    },
    /// Somebody tries a channel.
    Test {
        /// Who.
        by: String,
    },
}

impl Notice {
    /// What kind of news it is.
    pub fn kind(&self) -> NoticeKind {
        match self {
            Self::RunFailed { .. } => NoticeKind::RunFailed,
            Self::RunRecovered { .. } => NoticeKind::RunRecovered,
            Self::RunSucceeded { .. } => NoticeKind::RunSucceeded,
            Self::RunLate { .. } => NoticeKind::RunLate,
            Self::CheckFailed { .. } => NoticeKind::CheckFailed,
            Self::SchemaChanged { .. } => NoticeKind::SchemaChanged,
            Self::Test { .. } => NoticeKind::Test,
        }
    }

    /// The pipeline that it is about.
    pub fn pipeline(&self) -> Option<&Name> {
        match self {
            Self::RunFailed { pipeline, .. }
            | Self::RunRecovered { pipeline, .. }
            | Self::RunSucceeded { pipeline, .. }
            | Self::RunLate { pipeline, .. }
            | Self::CheckFailed { pipeline, .. }
            | Self::SchemaChanged { pipeline, .. } => Some(pipeline),
            Self::Test { .. } => None,
        }
    }

    /// The run that it is about.
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::RunFailed { run, .. }
            | Self::RunRecovered { run, .. }
            | Self::RunSucceeded { run, .. }
            | Self::CheckFailed { run, .. }
            | Self::SchemaChanged { run, .. } => Some(run),
            Self::RunLate { run, .. } => run.as_ref(),
            Self::Test { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_by_the_words_they_are_written_with() {
        for kind in NoticeKind::OF_RULES.into_iter().chain([NoticeKind::Test]) {
            assert_eq!(NoticeKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(NoticeKind::parse("run_exploded"), None);
    }

    #[test]
    fn a_stored_notice_says_its_kind_under_event() {
        let notice = Notice::RunLate {
            pipeline: Name::new("orders").unwrap(),
            run: None,
            due_us: 1_800_000_000_000_000,
        };
        let stored = serde_json::to_value(&notice).unwrap();
        assert_eq!(stored["event"], NoticeKind::RunLate.as_str());
        assert_eq!(serde_json::from_value::<Notice>(stored).unwrap(), notice);
    }
}
