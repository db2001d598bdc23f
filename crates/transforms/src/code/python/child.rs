//! The child process: tables in, result out, limits, and what it said when it failed.

use super::environment::{SAID_BYTES_MAX, tail};
use super::wire::{Encoder, with_schema};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use contracts::Batches;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::{Problem, Result, codes};
use serde::Serialize;
use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

const RUNNER: &str = include_str!("runner.py");
/// Exit codes of the runner.
const NO_PYARROW: i32 = 10;
const NO_PANDAS: i32 = 11;
const CODE: i32 = 12;
const MEMORY: i32 = 13;
const RESULT: i32 = 14;
/// After its end, what a child has said is waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 256 * 1024;
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the runner is told.
#[derive(Debug, Serialize)]
pub(super) struct Job {
    pub(super) code: String,
    /// The name of the code in messages.
    pub(super) file: String,
    pub(super) inputs: Vec<String>,
    pub(super) pandas: bool,
    pub(super) batches: bool,
    pub(super) memory_bytes: u64,
    pub(super) threads: usize,
}

/// Where the child runs.
pub(super) struct Place {
    pub(super) python: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) home: PathBuf,
    pub(super) timeout: Duration,
}

/// Starts the child; rows come as it gives them.
pub(super) fn start(
    place: Place,
    job: Job,
    schema: SchemaRef,
    inputs: Vec<(String, Batches)>,
) -> Result<Batches> {
    let mut child = Command::new(&place.python)
        .args(["-I", "-c", RUNNER])
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", &place.home)
        .env("LANG", "C.UTF-8")
        .env("OMP_NUM_THREADS", job.threads.to_string())
        .current_dir(&place.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let python = place.python.display();
            Problem::new(&codes::CHILD_FAILED, format!("`{python}` does not start")).detail(error)
        })?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Problem::new(&codes::INTERNAL, "a child process has no pipes"));
    };
    let memory_bytes = job.memory_bytes;
    let said = Said::default();
    let reading = Reading {
        child,
        stdout,
        writing: Task(tokio::spawn(write(stdin, job, SchemaRef::clone(&schema), inputs))),
        listening: Task(tokio::spawn(listen(stderr, Arc::clone(&said)))),
        said,
        decoder: StreamDecoder::new(),
        pending: Buffer::from(Vec::<u8>::new()),
        schema: SchemaRef::clone(&schema),
        deadline: Instant::now() + place.timeout,
        timeout: place.timeout,
        python: place.python,
        memory_bytes,
    };
    let batches = stream::try_unfold(reading, |mut reading| async move {
        Ok(reading.next().await?.map(|batch| (batch, reading)))
    });
    Ok(Batches::new(schema, vec![batches.boxed()]))
}

/// What the child has said on stderr so far.
type Said = Arc<Mutex<VecDeque<u8>>>;

/// A task that ends with its handle.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The reading end.
struct Reading {
    child: Child,
    stdout: ChildStdout,
    writing: Task<Result<()>>,
    listening: Task<()>,
    said: Said,
    decoder: StreamDecoder,
    pending: Buffer,
    schema: SchemaRef,
    deadline: Instant,
    timeout: Duration,
    python: PathBuf,
    memory_bytes: u64,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if !self.pending.is_empty() {
                match self.decoder.decode(&mut self.pending) {
                    Ok(Some(batch)) => return with_schema(&batch, &self.schema).map(Some),
                    Ok(None) => continue,
                    Err(error) => {
                        return Err(self.end().await.err().unwrap_or_else(|| garbled(error)));
                    }
                }
            }
            let mut bytes = Vec::with_capacity(READ_BYTES);
            match timeout_at(self.deadline, self.stdout.read_buf(&mut bytes)).await {
                Err(_) => return Err(self.too_slow()),
                Ok(Err(error)) => return Err(garbled(error)),
                Ok(Ok(0)) => {
                    self.end().await?;
                    self.decoder.finish().map_err(garbled)?;
                    return Ok(None);
                }
                Ok(Ok(_)) => self.pending = Buffer::from(bytes),
            }
        }
    }

    /// Waits for the end of the child; a problem with its input comes before its own.
    async fn end(&mut self) -> Result<()> {
        let Ok(status) = timeout_at(self.deadline, self.child.wait()).await else {
            return Err(self.too_slow());
        };
        let status = status.map_err(garbled)?;
        if !status.success() && !self.writing.0.is_finished() {
            // Nobody reads any more: what is still to be written does not matter.
            self.writing.0.abort();
        }
        if let Ok(Err(problem)) = (&mut self.writing.0).await {
            return Err(problem);
        }
        if status.success() {
            return Ok(());
        }
        // A process that the code has left behind may hold stderr open.
        let _ = timeout(LAST_WORDS, &mut self.listening.0).await;
        let said: Vec<u8> =
            self.said.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let said = String::from_utf8_lossy(&said).into_owned();
        Err(self.failed(status, tail(said.trim())))
    }

    fn too_slow(&self) -> Problem {
        let seconds = self.timeout.as_secs();
        Problem::new(
            &codes::CHILD_FAILED,
            format!("the Python process did not end within {seconds} seconds"),
        )
        .arg("seconds", seconds)
        .hint("make the function faster, or raise `timeout_seconds`")
    }

    fn failed(&self, status: ExitStatus, said: &str) -> Problem {
        let last = said.lines().last().unwrap_or_default();
        let python = self.python.display();
        let problem = |fact: String| Problem::new(&codes::CHILD_FAILED, fact);
        match (status.code(), status.signal()) {
            (Some(NO_PYARROW), _) => problem(format!("`{python}` has no package `pyarrow`"))
                .detail(said)
                .hint("add `requirements: [pyarrow]`, or install it for this Python"),
            (Some(NO_PANDAS), _) => problem(format!("`{python}` has no package `pandas`"))
                .detail(said)
                .hint("add `requirements: [pandas]`, or install it for this Python"),
            (Some(CODE), _) => problem(format!("the Python function failed: {last}"))
                .detail(said)
                .hint("the detail says where; what the code prints to stderr is there too"),
            (Some(MEMORY), _) => self.out_of_memory(),
            (Some(RESULT), _) => {
                problem(format!("the result of the Python function is wrong: {last}"))
                    .hint("return a table with the columns that `columns` lists")
            }
            (Some(code), _) => {
                problem(format!("the Python process ended with code {code}")).detail(said)
            }
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                let ended = problem(format!("the Python process was ended by signal {signal}"));
                let ended = if said.is_empty() { ended } else { ended.detail(said) };
                // Packages give up with SIGABRT or SIGSEGV, the system with SIGKILL.
                ended.hint(
                    "often this is a lack of memory: raise `memory_mib`, or write `calls: batches`",
                )
            }
        }
    }

    fn out_of_memory(&self) -> Problem {
        let mebibytes = self.memory_bytes / (1024 * 1024);
        Problem::new(
            &codes::CHILD_FAILED,
            format!("the Python process needs more memory than {mebibytes} MiB"),
        )
        .arg("mebibytes", mebibytes)
        .hint("raise `memory_mib`, or write `calls: batches`")
    }
}

fn garbled(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::CHILD_FAILED, "the answer of the Python process is not readable")
        .detail(error)
}

/// The job, the schema of the result, and the inputs one after the other.
async fn write(
    mut stdin: ChildStdin,
    job: Job,
    result: SchemaRef,
    inputs: Vec<(String, Batches)>,
) -> Result<()> {
    let text = serde_json::to_vec(&job)
        .map_err(|error| Problem::new(&codes::INTERNAL, "a job is not JSON").detail(error))?;
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    bytes.extend(Encoder::new(&result)?.end()?);
    if stdin.write_all(&bytes).await.is_err() {
        return Ok(()); // The child is gone; its exit code says why.
    }
    for (_, batches) in inputs {
        let mut encoder = Encoder::new(&batches.schema)?;
        let mut rows = stream::select_all(batches.partitions);
        while let Some(batch) = rows.try_next().await? {
            if stdin.write_all(&encoder.batch(&batch)?).await.is_err() {
                return Ok(());
            }
        }
        if stdin.write_all(&encoder.end()?).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Keeps the end of what the child says on stderr.
async fn listen(mut stderr: ChildStderr, said: Said) {
    let mut bytes = vec![0; SAID_BYTES_MAX];
    while let Ok(count @ 1..) = stderr.read(&mut bytes).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(&bytes[..count]);
        let surplus = said.len().saturating_sub(SAID_BYTES_MAX);
        said.drain(..surplus);
    }
}
