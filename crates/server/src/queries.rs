//! Queries that people have asked: at work, or with their rows kept for a while.
//!
//! They live as long as the server. Rows are in files that only desks read and write.

use crate::app::App;
use crate::desk::{QueryQuestion, Question};
use crate::identity::token::random;
use crate::refusal;
use api::query::{Query, QueryResult, QueryStatus};
use model::{Name, Problem, Result, codes};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::{UserId, WorkspaceId};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Rows of a result at most.
const ROWS_MAX: u64 = 1_000_000;
/// Bytes of a result at most.
const BYTES_MAX: u64 = 256 << 20;
/// The time a query may take, in ms.
const TIME_MAX_MS: u64 = 60_000;
/// Rows are kept for so long after the query has ended.
const KEPT_US: i64 = 15 * 60 * 1_000_000;
/// Queries of a workspace that are known at the same time.
const KNOWN_MAX: usize = 100;
/// Bytes of all results of a workspace that are kept at the same time.
const KEPT_BYTES_MAX: u64 = 1 << 30;

/// Whose query it is: nobody else knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The workspace.
    pub(crate) workspace: WorkspaceId,
    /// The person, also when one of their keys asks.
    pub(crate) user: UserId,
}

/// All queries of the server.
#[derive(Debug)]
pub(crate) struct Queries {
    folder: PathBuf,
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    asker: Asker,
    sql: String,
    created_at_us: i64,
    state: watch::Sender<State>,
    task: Option<AbortHandle>,
}

/// Where a query is.
#[derive(Debug, Clone)]
enum State {
    Running,
    Ended { at_us: i64, outcome: Outcome },
}

#[derive(Debug, Clone)]
enum Outcome {
    Rows(QueryResult),
    Problem(Problem),
    Cancelled,
}

impl Entry {
    fn ended_at_us(&self) -> Option<i64> {
        match *self.state.borrow() {
            State::Running => None,
            State::Ended { at_us, .. } => Some(at_us),
        }
    }

    fn bytes(&self) -> u64 {
        match &*self.state.borrow() {
            State::Ended { outcome: Outcome::Rows(result), .. } => result.bytes,
            _ => 0,
        }
    }

    fn shown(&self, id: &str) -> Query {
        let mut query = Query {
            id: id.to_owned(),
            sql: self.sql.clone(),
            status: QueryStatus::Running,
            created_at_us: self.created_at_us,
            ended_at_us: None,
            kept_until_us: None,
            result: None,
            problem: None,
        };
        if let State::Ended { at_us, outcome } = self.state.borrow().clone() {
            query.ended_at_us = Some(at_us);
            query.kept_until_us = Some(at_us + KEPT_US);
            match outcome {
                Outcome::Rows(result) => {
                    query.status = QueryStatus::Succeeded;
                    query.result = Some(result);
                }
                Outcome::Problem(problem) => {
                    query.status = QueryStatus::Failed;
                    query.problem = Some(refusal::body(&problem));
                }
                Outcome::Cancelled => query.status = QueryStatus::Cancelled,
            }
        }
        query
    }
}

impl Queries {
    /// None yet; what an earlier server has left in `folder` is removed.
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let failed = |error: std::io::Error| {
            let fact = format!("`{}` cannot be made anew", folder.display());
            Problem::new(&codes::STORAGE_FAILED, fact)
                .detail(error)
                .hint("results of queries are kept there: the folder must be writable")
        };
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        Ok(Self { folder, entries: Mutex::default() })
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that the rows of a query are in.
    pub(crate) fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.arrow"))
    }

    /// Asks; the query goes on by itself.
    pub(crate) fn start(app: &App, workspace: Name, asker: Asker, sql: String) -> Result<Query> {
        let queries = &app.queries;
        let now_us = app.now_us();
        queries.make_room(&asker.workspace, now_us)?;
        let id = random("")?.reveal().to_owned();
        let question = limited(sql.clone(), queries.file(&id), ROWS_MAX);
        let entry = Entry {
            asker,
            sql,
            created_at_us: now_us,
            state: watch::Sender::new(State::Running),
            task: None,
        };
        let shown = entry.shown(&id);
        queries.entries().insert(id.clone(), entry);
        let (worker, key) = (app.clone(), id.clone());
        let task = tokio::spawn(async move {
            let asked = worker.desk.ask(&workspace, question).await;
            let outcome = match asked.and_then(|answer| answer.read()) {
                Ok(result) => Outcome::Rows(result),
                Err(problem) => Outcome::Problem(problem),
            };
            worker.queries.end(&key, worker.now_us(), outcome);
        });
        if let Some(entry) = queries.entries().get_mut(&id) {
            entry.task = Some(task.abort_handle());
        }
        Ok(shown)
    }

    fn end(&self, id: &str, at_us: i64, outcome: Outcome) {
        if !matches!(outcome, Outcome::Rows(_)) {
            remove(&self.file(id));
        }
        if let Some(entry) = self.entries().get(id) {
            entry.state.send_if_modified(|state| {
                let runs = matches!(state, State::Running);
                if runs {
                    *state = State::Ended { at_us, outcome };
                }
                runs
            });
        }
    }

    /// The query, if it is theirs.
    pub(crate) fn get(&self, id: &str, asker: &Asker, now_us: i64) -> Result<Query> {
        self.forget_old(now_us);
        let entries = self.entries();
        let entry = entries.get(id).filter(|entry| entry.asker == *asker);
        entry.map(|entry| entry.shown(id)).ok_or_else(|| unknown(id))
    }

    /// All of theirs, the newest first.
    pub(crate) fn list(&self, asker: &Asker, now_us: i64) -> Vec<Query> {
        self.forget_old(now_us);
        let entries = self.entries();
        let theirs = entries.iter().filter(|(_, entry)| entry.asker == *asker);
        let mut shown: Vec<Query> = theirs.map(|(id, entry)| entry.shown(id)).collect();
        shown.sort_by(|a, b| (b.created_at_us, &b.id).cmp(&(a.created_at_us, &a.id)));
        shown
    }

    /// Waits until it has ended, but no longer than `time_max`.
    pub(crate) async fn wait(&self, id: &str, time_max: Duration) {
        let state = self.entries().get(id).map(|entry| entry.state.subscribe());
        if let Some(mut state) = state {
            let ended = state.wait_for(|state| matches!(state, State::Ended { .. }));
            let _ = tokio::time::timeout(time_max, ended).await;
        }
    }

    /// Stops it if it runs, and forgets its rows otherwise.
    pub(crate) fn cancel(&self, id: &str, asker: &Asker, now_us: i64) -> Result<Query> {
        self.get(id, asker, now_us)?;
        let task = self.entries().get_mut(id).and_then(|entry| entry.task.take());
        if let Some(task) = task {
            task.abort();
        }
        self.end(id, now_us, Outcome::Cancelled);
        let shown = self.get(id, asker, now_us)?;
        if shown.status != QueryStatus::Cancelled {
            self.entries().remove(id);
            remove(&self.file(id));
        }
        Ok(shown)
    }

    fn forget_old(&self, now_us: i64) {
        let is_old =
            |entry: &Entry| entry.ended_at_us().is_some_and(|at_us| at_us + KEPT_US <= now_us);
        self.forget(|_, entry| is_old(entry));
    }

    fn forget(&self, mut which: impl FnMut(&str, &Entry) -> bool) {
        let gone: Vec<String> = {
            let mut entries = self.entries();
            let gone = entries.extract_if(|id, entry| which(id, entry));
            gone.map(|(id, _)| id).collect()
        };
        gone.iter().for_each(|id| remove(&self.file(id)));
    }

    /// Forgets the results that ended first until there is room for one more query.
    fn make_room(&self, workspace: &WorkspaceId, now_us: i64) -> Result<()> {
        self.forget_old(now_us);
        let mut kept: Vec<(i64, String, u64)> = Vec::new();
        let mut running = 0;
        for (id, entry) in self.entries().iter().filter(|(_, e)| e.asker.workspace == *workspace) {
            match entry.ended_at_us() {
                Some(at_us) => kept.push((at_us, id.clone(), entry.bytes())),
                None => running += 1,
            }
        }
        if running >= KNOWN_MAX {
            return Err(Problem::new(
                &codes::BUSY,
                "too many queries of the workspace are at work",
            )
            .hint("wait until some have ended, or stop them"));
        }
        kept.sort();
        let mut bytes: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
        let mut count = running + kept.len();
        for (_, id, size) in kept {
            if count < KNOWN_MAX && bytes <= KEPT_BYTES_MAX {
                break;
            }
            self.forget(|other, _| other == id);
            count -= 1;
            bytes -= size;
        }
        Ok(())
    }
}

/// A query under the limits of the server, whose rows are kept in `file`.
pub(crate) fn limited(sql: String, file: PathBuf, rows_max: u64) -> Question {
    Question::Query(QueryQuestion {
        sql,
        file,
        rows_max,
        bytes_max: BYTES_MAX,
        time_max_ms: TIME_MAX_MS,
    })
}

fn remove(file: &Path) {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(file = %file.display(), %error, "rows of a query cannot be removed");
        }
        _ => {}
    }
}

fn unknown(id: &str) -> Problem {
    Problem::new(&codes::NOT_FOUND, "there is no such query")
        .arg("query", id)
        .hint("it may be someone else's, or its rows have been kept long enough: ask again")
}

/// A file for rows that only one request needs; it goes away with this value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new one among the results.
    pub(crate) fn new(queries: &Queries) -> Result<Self> {
        Ok(Self(queries.file(random("")?.reveal())))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}
