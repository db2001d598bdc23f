//! The server's side: desks at hand, places before them, and who waits.

use super::wire::{Asked, Reply, next_frame, untalkable};
use crate::metadata;
use crate::workbench::Settings;
use crate::workspace::checkouts;
use async_trait::async_trait;
use model::{Name, Problem, Result, codes};
use rustix::process::{Pid, Signal, kill_process_group};
use server::{Answer, Desk, Question, problem_of};
use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// This very program, also when its file has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// What only the server itself may know.
const WITHHELD: &[&str] = metadata::WITHHELD;
/// The first line of an answer is no longer than this.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// Questions that wait, of all workspaces together.
const WAITING_MAX: usize = 256;
/// Questions of one workspace that are before a desk or in line for one; its others wait behind
/// them, so that no workspace can fill the line.
const PER_WORKSPACE: usize = 2;
/// A desk is replaced after so many answers, or when it has kept so much memory.
const ANSWERS_MAX: usize = 500;
const MEMORY_MIB_KEPT_MAX: u64 = 512;
/// Frames that are on their way to a client.
const FRAMES_WAITING: usize = 8;
/// A client that takes nothing for so long has gone.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// The desks of a server.
pub(crate) struct Desks {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    idle: Mutex<Vec<Running>>,
    /// One permit per desk.
    places: Arc<Semaphore>,
    /// One permit less: a question that is answered soon never waits for long ones alone.
    long_places: Arc<Semaphore>,
    /// By workspace, and whether the questions are long ones.
    lines: Mutex<HashMap<(Name, bool), Arc<Semaphore>>>,
    waiting: AtomicUsize,
}

/// The right to a desk, as long as it is held.
struct Turn {
    _of_workspace: OwnedSemaphorePermit,
    _long: Option<OwnedSemaphorePermit>,
    _place: OwnedSemaphorePermit,
}

/// A desk. Dropped, it is killed with all that it has started.
struct Running {
    process: Child,
    group: Option<Pid>,
    out: BufReader<ChildStdout>,
    answers: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Desks {
    /// No desk yet: each is started when it is needed, at most `desks` of them.
    pub(crate) fn new(settings: Settings, project: &Path, desks: usize) -> Self {
        let desks = desks.max(2);
        // What desks of an earlier server have left.
        let _ = std::fs::remove_dir_all(checkouts(project));
        Self {
            inner: Arc::new(Inner {
                settings,
                idle: Mutex::default(),
                places: Arc::new(Semaphore::new(desks)),
                long_places: Arc::new(Semaphore::new(desks - 1)),
                lines: Mutex::default(),
                waiting: AtomicUsize::new(0),
            }),
        }
    }
}

#[async_trait]
impl Desk for Desks {
    async fn ask(&self, workspace: &Name, question: Question) -> Result<Answer> {
        let turn = self.inner.turn(workspace, question.is_long()).await?;
        let time_max = question.time_max();
        let asked = Asked { workspace: workspace.clone(), question };
        let mut line = serde_json::to_vec(&asked).map_err(untalkable)?;
        line.push(b'\n');
        let exchange = self.inner.exchange(&line);
        let (desk, reply) = match timeout(time_max, exchange).await {
            Ok(exchanged) => exchanged?,
            // The desk has been dropped, and killed.
            Err(_) => return Err(too_slow(time_max)),
        };
        match reply {
            Reply::Problems(problems) => {
                self.inner.put_back(desk, 0);
                let first = problems.into_iter().next();
                Err(first.map_or_else(|| untalkable("no problem is given"), problem_of))
            }
            Reply::Answer { value, has_body: false, memory_mib } => {
                self.inner.put_back(desk, memory_mib);
                Ok(Answer { value, body: None })
            }
            Reply::Answer { value, has_body: true, memory_mib } => {
                let (sender, body) = mpsc::channel(FRAMES_WAITING);
                let inner = Arc::clone(&self.inner);
                tokio::spawn(async move {
                    if let Some(desk) = pass_on(desk, &sender).await {
                        inner.put_back(desk, memory_mib);
                    }
                    drop(turn);
                });
                Ok(Answer { value, body: Some(body) })
            }
        }
    }
}

fn too_slow(time_max: Duration) -> Problem {
    let seconds = time_max.as_secs();
    Problem::new(&codes::TIME_EXCEEDED, format!("there was no answer within {seconds} s"))
        .arg("seconds", seconds)
        .hint("ask for less: fewer rows or columns, a filter on the partitions of the table")
}

/// Counts who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Result<Self> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::SeqCst) < WAITING_MAX {
            return Ok(waiting);
        }
        Err(Problem::new(&codes::BUSY, "too many questions wait for an answer")
            .hint("try again in a few seconds"))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Inner {
    /// Waits for a place. The line is fair, and each workspace has few questions in it: so the
    /// workspaces take turns.
    async fn turn(&self, workspace: &Name, is_long: bool) -> Result<Turn> {
        let _waiting = Waiting::new(&self.waiting)?;
        let line = self.line(workspace, is_long);
        let closed = |_| untalkable("the server stops");
        let of_workspace = line.acquire_owned().await.map_err(closed)?;
        let long = match is_long {
            true => {
                let places = Arc::clone(&self.long_places);
                Some(places.acquire_owned().await.map_err(closed)?)
            }
            false => None,
        };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(closed)?;
        Ok(Turn { _of_workspace: of_workspace, _long: long, _place: place })
    }

    fn line(&self, workspace: &Name, is_long: bool) -> Arc<Semaphore> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody holds or waits for those.
        lines.retain(|_, line| Arc::strong_count(line) > 1);
        let new = || Arc::new(Semaphore::new(PER_WORKSPACE));
        Arc::clone(lines.entry((workspace.clone(), is_long)).or_insert_with(new))
    }

    /// Asks a desk that is at hand, or a new one. A desk that has died while nobody needed it is
    /// no answer: the next is asked.
    async fn exchange(&self, line: &[u8]) -> Result<(Running, Reply)> {
        while let Some(mut desk) = self.take() {
            match desk.exchange(line).await {
                Ok(reply) => return Ok((desk, reply)),
                Err(problem) => tracing::warn!(%problem, "a desk has died"),
            }
        }
        let mut desk = self.start()?;
        match desk.exchange(line).await {
            Ok(reply) => Ok((desk, reply)),
            Err(problem) => Err(desk.lost(problem).await),
        }
    }

    fn take(&self) -> Option<Running> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, mut desk: Running, memory_mib: u64) {
        desk.answers += 1;
        if desk.answers < ANSWERS_MAX && memory_mib < MEMORY_MIB_KEPT_MAX {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(desk);
        }
    }

    fn start(&self) -> Result<Running> {
        let mut command = Command::new(THIS_PROGRAM);
        let Settings { project, environment, memory_mib, threads, .. } = &self.settings;
        command.arg("-C").arg(project);
        if let Some(environment) = environment {
            command.args(["--env", environment.as_str()]);
        }
        if let Some(memory) = memory_mib {
            command.args(["--memory", &memory.to_string()]);
        }
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        command.arg("desk");
        for name in WITHHELD {
            command.env_remove(name);
        }
        // It lives long: what it logs goes where the server's log goes, so that no pipe fills.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // A group of its own: what it starts can be killed with it.
        let mut process =
            command.process_group(0).kill_on_drop(true).spawn().map_err(untalkable)?;
        let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let out = process.stdout.take().map(BufReader::new);
        let out = out.ok_or_else(|| untalkable("it has no standard output"))?;
        Ok(Running { process, group, out, answers: 0 })
    }
}

impl Running {
    async fn exchange(&mut self, line: &[u8]) -> Result<Reply> {
        if let Some(input) = self.process.stdin.as_mut() {
            input.write_all(line).await.map_err(untalkable)?;
            input.flush().await.map_err(untalkable)?;
        }
        let mut reply = Vec::new();
        let mut out = (&mut self.out).take(LINE_BYTES_MAX);
        out.read_until(b'\n', &mut reply).await.map_err(untalkable)?;
        serde_json::from_slice(&reply).map_err(untalkable)
    }

    /// Why a desk that was asked is gone.
    async fn lost(mut self, problem: Problem) -> Problem {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let ended = self.process.wait().await.ok();
        tracing::warn!(%problem, ?ended, "a desk has died of a question");
        Problem::new(&codes::RUNNER_LOST, "the process that was asked has died")
            .hint("ask for less: it may have needed more memory than it has")
    }
}

/// Passes frames on; gives the desk back when all were taken.
async fn pass_on(mut desk: Running, sender: &mpsc::Sender<Result<Vec<u8>>>) -> Option<Running> {
    loop {
        let frame = match next_frame(&mut desk.out).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Some(desk),
            Err(error) => Err(untalkable(error)),
        };
        let is_last = frame.is_err();
        // Who goes away before the end ends the work too: the desk is in the middle of an answer.
        let sent = timeout(CLIENT_PATIENCE, sender.send(frame)).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return None;
        }
    }
}
