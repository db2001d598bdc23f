//! Actions that the server does: each that waits for its answer has a driver, which asks it again
//! and again what comes next.

use super::book::Book;
use super::draft::TaskExtras;
use super::wishes::{StartWish, Wish};
use super::{Body, Letter};
use crate::app::App;
use async_trait::async_trait;
use contracts::action::{Answer, ChildRun, Message, Scope, Services, Step};
use model::plan::Work;
use model::run::RunId;
use model::{Fault, Name, Problem, Result, codes};
use scheduler::{Failure, NodeKey};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use store::{AttemptEnd, NewNotification, NotificationKind, RunTrigger};
use tokio::sync::Notify;

/// What the server does for one task.
struct TaskServices {
    app: App,
    book: Arc<Book>,
    node: NodeKey,
    scope: Scope,
}

#[async_trait]
impl Services for TaskServices {
    fn now_us(&self) -> i64 {
        self.app.now_us()
    }

    async fn start_run(
        &self,
        pipeline: &Name,
        params: Map<String, Value>,
        key: &str,
    ) -> Result<RunId> {
        if let Some(run) = self.book.child(self.node, key) {
            return Ok(run);
        }
        let workspace = {
            let runs = self.book.open();
            let entry = runs.get(&self.node.run).ok_or_else(over)?;
            entry.workspace.clone()
        };
        let wish = StartWish {
            run: RunId::generate(self.app.now_us()),
            workspace,
            pipeline: pipeline.clone(),
            params: Value::Object(params),
            started_by: RunTrigger::Run,
            triggered_by: None,
            interval_us: self.scope.interval_us,
            priority: 0,
            key: None,
            parent: Some((self.scope.run.clone(), self.node.node, key.to_owned())),
        };
        self.app.wish(Wish::Start(wish)).await?.ok_or_else(over)
    }

    async fn runs(&self) -> Result<Vec<ChildRun>> {
        Ok(self.book.children(self.node))
    }

    async fn answer(&self) -> Result<Option<Answer>> {
        Ok(self.book.answer(self.node))
    }

    async fn notify(&self, message: Message) -> Result<()> {
        let workspace = {
            let runs = self.book.open();
            runs.get(&self.node.run).ok_or_else(over)?.workspace.clone()
        };
        let workspace = self.app.store.workspace(&workspace);
        let people: Vec<_> =
            workspace.members().list().await?.into_iter().map(|member| member.user.id).collect();
        let new = NewNotification {
            kind: NotificationKind::Info,
            title: message.title,
            message: message.text,
            resource: Some(format!("run/{}", self.scope.run)),
        };
        workspace.notifications().send(&people, new, self.app.now_us()).await
    }
}

fn over() -> Problem {
    Problem::new(&codes::RUN_NOT_FOUND, "the run that this action belongs to is over")
}

/// Asks an action until it is done, and gives what the scheduler is told then.
pub(super) async fn drive(
    app: App,
    book: Arc<Book>,
    node: NodeKey,
    wake: Arc<Notify>,
) -> Option<Body> {
    let Some(Work::Action { module, with, .. }) = book.work(node) else { return None };
    loop {
        let scope = book.scope(node)?;
        let services =
            TaskServices { app: app.clone(), book: Arc::clone(&book), node, scope: scope.clone() };
        // What happens while the action is asked is not missed.
        let woken = wake.notified();
        let entry = actions::ALL.iter().find(|entry| entry.name == module);
        let step = match entry {
            Some(entry) => actions::decide(entry, &with, &scope, &services).await,
            None => Err(unknown(&module)),
        };
        let after_us = match step {
            Ok(Step::Done { output, taken }) => {
                let not_taken = {
                    let runs = book.open();
                    runs.get(&node.run)?.not_taken(node.node, taken.as_deref())
                };
                return Some(succeeded(node, output, not_taken));
            }
            Err(problem) => return Some(failed(&book, node, problem)),
            Ok(Step::Again { after_us }) => Some(after_us),
            Ok(Step::Runs) => None,
            Ok(Step::Ask { form, after_us }) => {
                let question = serde_json::to_value(&form).unwrap_or(Value::Null);
                let (letter, _) = Letter::new(Body::Question { node, question });
                app.letters.send(letter).await.ok()?;
                after_us
            }
        };
        match after_us {
            None => woken.await,
            Some(after_us) => {
                let wait = Duration::from_micros(u64::try_from(after_us).unwrap_or(0));
                let _ = tokio::time::timeout(wait, woken).await;
            }
        }
    }
}

fn unknown(module: &str) -> Problem {
    Problem::new(&codes::NAME_UNKNOWN, format!("there is no action `{module}` in the server"))
        .hint("the run was planned by another version of the program")
}

fn succeeded(node: NodeKey, output: Value, not_taken: Vec<u32>) -> Body {
    let about = TaskExtras {
        node,
        end: AttemptEnd::Succeeded,
        problem: None,
        output: Some(output),
        report: None,
    };
    Body::Answer { node, answer: scheduler::Answer::Succeeded { not_taken }, about }
}

fn failed(book: &Book, node: NodeKey, problem: Problem) -> Body {
    let failure = failure(&problem);
    let about = TaskExtras {
        node,
        end: AttemptEnd::Failed,
        problem: Some(super::load::placed(problem, book, node)),
        output: None,
        report: None,
    };
    Body::Answer { node, answer: scheduler::Answer::Failed(failure), about }
}

/// Whether trying again can help.
pub(super) fn failure(problem: &Problem) -> Failure {
    Failure { fault: problem.code().fault, retry: problem.code().retry }
}

/// The same of a problem that comes from another process.
pub(super) fn stored_failure(problem: &model::problem::StoredProblem) -> Failure {
    let code = codes::ALL.iter().find(|code| code.id == problem.code);
    Failure { fault: code.map_or(Fault::Us, |code| code.fault), retry: problem.retry }
}
