//! Desks: where questions about data and documents are answered, outside of the server.
//!
//! The server itself reads no row and plans no query. A desk is another process, warm and idle most
//! of the time, that answers one question after the other.

mod question;

pub use question::{
    Answered, CheckQuestion, DifferenceQuestion, Documents, ExplainQuestion, LineageQuestion,
    PageQuestion, PipelinePlan, PlansQuestion, PreviewQuestion, ProfileQuestion, QueryQuestion,
    Question, SampleQuestion, TableQuestion,
};

use async_trait::async_trait;
use model::problem::StoredProblem;
use model::{Name, Problem, Result, codes};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;

/// Answers questions in another process.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Asks. When what is returned is dropped before it is ready, the work ends at once.
    ///
    /// # Errors
    ///
    /// `busy` when too many questions wait, `time_exceeded` and `runner_lost` when there is no
    /// answer; all others are answers themselves.
    async fn ask(&self, workspace: &Name, question: Question) -> Result<Answer>;
}

/// An answer: a value and, for some questions, bytes that follow.
#[derive(Debug)]
pub struct Answer {
    /// The value; which, [`Question`] says.
    pub value: Value,
    /// The bytes. What ends with a problem is not whole.
    pub body: Option<mpsc::Receiver<Result<Vec<u8>>>>,
}

impl Answer {
    /// The value as the type that belongs to the question.
    pub fn read<T: DeserializeOwned>(self) -> Result<T> {
        serde_json::from_value(self.value).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a desk has answered something else").detail(error)
        })
    }
}

/// The problem that was written down as `stored`.
pub fn problem_of(stored: StoredProblem) -> Problem {
    let code = codes::ALL.iter().find(|code| code.id == stored.code).unwrap_or(&codes::INTERNAL);
    let mut problem = Problem::new(code, stored.message);
    for (name, value) in &stored.arguments {
        problem = problem.arg(name, value);
    }
    if let Some(detail) = stored.detail {
        problem = problem.detail(detail);
    }
    if let Some(hint) = stored.hint {
        problem = problem.hint(hint);
    }
    let context = stored.context;
    if let Some(pipeline) = context.pipeline {
        problem = problem.in_pipeline(pipeline);
    }
    if let Some(node) = context.node {
        problem = problem.in_node(node);
    }
    if let Some(file) = context.file {
        problem = problem.in_file(file);
    }
    if let (Some(line), Some(column)) = (context.line, context.column) {
        problem = problem.at(line, column);
    }
    match context.setting {
        Some(setting) => problem.in_setting(setting),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_being_written_down() {
        let problem = Problem::new(&codes::SQL_INVALID, "there is no column `a`")
            .arg("column", "a")
            .detail("as the engine says")
            .hint("did you mean `b`?")
            .in_pipeline("sales")
            .in_node("typed")
            .in_file("pipelines/sales.yaml")
            .at(3, 7)
            .in_setting("/nodes/0/with");
        assert_eq!(problem_of(problem.to_stored()), problem);
    }
}
