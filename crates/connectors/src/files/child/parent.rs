//! The parent's side: starts a reader, takes its batches, and says what went wrong when it ends
//! badly.

use super::wire::{self, HEAD_BYTES, Kind, RejectForm};
use super::{COMMAND, Job};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::{StreamDecoder, StreamReader};
use contracts::{BatchStream, Batches, Reject, RejectSink};
use formats::file::ReadOptions;
use futures::{StreamExt, stream};
use model::problem::StoredProblem;
use model::{Problem, Result, codes};
use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A reader that says nothing for so long has hung up.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Before its first word it may look at the beginning of every file, at least so fast.
const SAMPLE_BYTES_PER_SECOND: u64 = 1 << 20;
const SAMPLE_BYTES_MAX: u64 = 256 << 20;
/// So long a reader may take to end when it has closed its output.
const END_MAX: Duration = Duration::from_secs(10);
/// The end of what a reader says on standard error is kept.
const SAID_BYTES_MAX: usize = 16 << 10;
/// The allocator must not take memory in advance, or the limit would count it.
const ALLOCATOR: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");
/// What a Rust program says when it gets no memory.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// Has a child of `program` read files; the columns are known when this returns.
pub(in super::super) async fn open(program: &Path, job: Job, read: ReadOptions) -> Result<Batches> {
    open_within(program, job, read, SILENCE_MAX).await
}

/// The same, where a reader may say nothing for as long as `silence_max`.
pub(super) async fn open_within(
    program: &Path,
    mut job: Job,
    read: ReadOptions,
    silence_max: Duration,
) -> Result<Batches> {
    job.partitions = read.partitions.max(1);
    job.sample = read.sample.map(|sample| (sample.rows, sample.bytes));
    let mut pipe = Pipe::start(program, job, &read, silence_max).await?;
    let columns = match pipe.next(silence_max + pipe.sampling_time()).await? {
        Some((Kind::Schema, body)) => Buffer::from_vec(body),
        _ => return Err(pipe.garbled("it does not begin with columns")),
    };
    let schema = match StreamReader::try_new(columns.as_slice(), None) {
        Ok(reader) => reader.schema(),
        Err(error) => return Err(pipe.garbled(error)),
    };
    // Each partition decodes the batches that it gets, so each begins with the columns.
    let decoders: Vec<StreamDecoder> = (0..read.partitions.max(1))
        .map(|_| {
            let mut decoder = StreamDecoder::new();
            decoder.decode(&mut columns.clone()).map(|_| decoder)
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| pipe.garbled(error))?;
    let pipe = Arc::new(Mutex::new(pipe));
    // Batches go to whichever partition asks next, so none waits for another.
    let partitions = decoders.into_iter().map(|decoder| partition(Arc::clone(&pipe), decoder));
    Ok(Batches::new(schema, partitions.collect()))
}

fn partition(pipe: Arc<Mutex<Pipe>>, decoder: StreamDecoder) -> BatchStream {
    let batches = stream::try_unfold((pipe, decoder), |(pipe, mut decoder)| async move {
        let next = pipe.lock().await.next_batch().await?;
        let Some((Kind::Batch, body)) = next else { return Ok(None) };
        match decode(&mut decoder, body) {
            Ok(batch) => Ok(Some((batch, (pipe, decoder)))),
            Err(error) => Err(pipe.lock().await.garbled(error)),
        }
    });
    batches.boxed()
}

/// The one batch of a frame; the decoder is as before.
fn decode(decoder: &mut StreamDecoder, body: Vec<u8>) -> std::result::Result<RecordBatch, String> {
    let mut body = Buffer::from_vec(body);
    let mut found = None;
    while !body.is_empty() {
        let batch = decoder.decode(&mut body).map_err(|error| error.to_string())?;
        if batch.is_some() && found.is_some() {
            return Err("a frame has two batches".to_owned());
        }
        found = batch.or(found);
    }
    found.ok_or_else(|| "a frame has no batch".to_owned())
}

/// A running reader.
struct Pipe {
    child: Child,
    /// Open as long as the child may live.
    _input: ChildStdin,
    output: ChildStdout,
    said: JoinHandle<String>,
    /// The frame that is coming, as far as it is there: a reader of it may be dropped half-way.
    head: Vec<u8>,
    body: Vec<u8>,
    has_ended: bool,
    silence_max: Duration,
    program: PathBuf,
    job: Job,
    read: ReadOptions,
}

impl Pipe {
    async fn start(
        program: &Path,
        job: Job,
        read: &ReadOptions,
        silence_max: Duration,
    ) -> Result<Self> {
        let mut line = serde_json::to_vec(&job)
            .map_err(|error| Problem::new(&codes::INTERNAL, "a job is not JSON").detail(error))?;
        line.push(b'\n');
        let started = Command::new(program)
            .arg(COMMAND)
            .env_clear()
            .env(ALLOCATOR.0, ALLOCATOR.1)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|error| {
            Problem::new(&codes::CHILD_FAILED, "a reader of files does not start").detail(error)
        })?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Problem::new(&codes::INTERNAL, "a child process has no pipes"));
        };
        // A child that is gone already says why when it is read from.
        let _ = timeout(silence_max, input.write_all(&line)).await;
        Ok(Self {
            child,
            _input: input,
            output,
            said: tokio::spawn(listen(errors)),
            head: Vec::with_capacity(HEAD_BYTES),
            body: Vec::new(),
            has_ended: false,
            silence_max,
            program: program.to_owned(),
            job,
            read: read.clone(),
        })
    }

    /// How long the reader may look at the beginnings of its files.
    fn sampling_time(&self) -> Duration {
        let seconds = self.job.files.iter().map(|file| {
            let size = std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
            1 + size.min(SAMPLE_BYTES_MAX) / SAMPLE_BYTES_PER_SECOND
        });
        Duration::from_secs(seconds.sum())
    }

    async fn next_batch(&mut self) -> Result<Option<(Kind, Vec<u8>)>> {
        self.next(self.silence_max).await
    }

    /// The next columns or batch; none at the end, and after a problem.
    async fn next(&mut self, silence_max: Duration) -> Result<Option<(Kind, Vec<u8>)>> {
        while !self.has_ended {
            let frame = match timeout(silence_max, self.frame()).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => None,
                Ok(Err(error)) => return Err(self.end(error)),
                Err(_) => return Err(self.hung_up(silence_max)),
            };
            let Some((kind, body)) = frame else {
                self.has_ended = true;
                return Err(self.failed().await);
            };
            match kind {
                Kind::Schema | Kind::Batch => return Ok(Some((kind, body))),
                Kind::Reject => {
                    let form: RejectForm =
                        serde_json::from_slice(&body).map_err(|error| self.end(error))?;
                    self.read.rejects.reject(Reject::from(form))?;
                }
                Kind::Bytes => {
                    let bytes = body.try_into().map_or(0, u64::from_le_bytes);
                    self.read.bytes.fetch_add(bytes, Ordering::Relaxed);
                }
                Kind::Problem => {
                    let stored: StoredProblem =
                        serde_json::from_slice(&body).map_err(|error| self.end(error))?;
                    self.has_ended = true;
                    return Err(wire::problem(stored));
                }
                Kind::End => self.has_ended = true,
            }
        }
        Ok(None)
    }

    /// The next frame; none where the output ends between frames. May be dropped at any point and
    /// called again.
    async fn frame(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        while self.head.len() < HEAD_BYTES {
            let missing = HEAD_BYTES - self.head.len();
            if (&mut self.output).take(missing as u64).read_buf(&mut self.head).await? == 0 {
                return Ok(None);
            }
        }
        let Some((kind, length)) = wire::parse_head(&self.head) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no head of a frame"));
        };
        if self.body.is_empty() {
            self.body.reserve_exact(length);
        }
        while self.body.len() < length {
            let missing = length - self.body.len();
            if (&mut self.output).take(missing as u64).read_buf(&mut self.body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.head.clear();
        Ok(Some((kind, std::mem::take(&mut self.body))))
    }

    fn end(&mut self, error: impl std::fmt::Display) -> Problem {
        self.has_ended = true;
        self.garbled(error)
    }

    fn garbled(&self, detail: impl std::fmt::Display) -> Problem {
        let files = self.files();
        Problem::new(&codes::CHILD_FAILED, format!("the reader of {files} answers nonsense"))
            .detail(detail)
            .hint("this should be impossible: please report it")
    }

    fn hung_up(&mut self, silence_max: Duration) -> Problem {
        self.has_ended = true;
        let _ = self.child.start_kill();
        let seconds = silence_max.as_secs();
        let fact = format!("the reader of {} said nothing for {seconds} seconds", self.files());
        self.in_only_file(Problem::new(&codes::CHILD_FAILED, fact)).hint(
            "the file is damaged or made to do harm: fetch it again, or leave it out of `path`",
        )
    }

    /// The output has ended without a last word.
    async fn failed(&mut self) -> Problem {
        let status = match timeout(END_MAX, self.child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return self.garbled(error),
            Err(_) => return self.hung_up(END_MAX),
        };
        let said = timeout(END_MAX, &mut self.said).await;
        let said = said.ok().and_then(std::result::Result::ok).unwrap_or_default();
        let culprit = self.culprit().await;
        let files = culprit.as_ref().map_or_else(|| self.files(), |name| format!("`{name}`"));
        let problem = self.ended_badly(&files, status, said.trim());
        match culprit {
            Some(name) => problem.arg("file", &name).in_file(name),
            None => self.in_only_file(problem),
        }
    }

    fn ended_badly(&self, files: &str, status: ExitStatus, said: &str) -> Problem {
        let mebibytes = self.job.memory_bytes >> 20;
        let last = said.lines().find(|line| line.contains(OUT_OF_MEMORY));
        let problem = match (last, status.signal(), status.code()) {
            (Some(_), ..) => Problem::new(
                &codes::MEMORY_EXCEEDED,
                format!("{files} made its reader ask for more memory than {mebibytes} MiB"),
            )
            .arg("mebibytes", mebibytes),
            (_, Some(signal), _) => Problem::new(
                &codes::CHILD_FAILED,
                format!("the reader of {files} was ended by signal {signal}"),
            )
            .arg("signal", signal),
            (_, _, code) => Problem::new(
                &codes::CHILD_FAILED,
                format!("the reader of {files} ended with code {}", code.unwrap_or_default()),
            ),
        };
        let problem = if said.is_empty() { problem } else { problem.detail(said) };
        problem.hint(
            "the file is damaged, made to do harm, or very large: fetch it again; if you trust \
             it, give its reader more with `--memory`",
        )
    }

    /// Which of several files ends a reader of it alone badly.
    async fn culprit(&self) -> Option<String> {
        if self.job.files.len() < 2 {
            return None;
        }
        for file in &self.job.files {
            let job = Job { files: vec![file.clone()], ..self.job.clone() };
            if is_bad(&self.program, job, &self.read).await {
                return Some(file.name.clone());
            }
        }
        None
    }

    fn files(&self) -> String {
        match self.job.files.as_slice() {
            [only] => format!("`{}`", only.name),
            files => format!("one of {} files", files.len()),
        }
    }

    fn in_only_file(&self, problem: Problem) -> Problem {
        match self.job.files.as_slice() {
            [only] => problem.arg("file", &only.name).in_file(&only.name),
            _ => problem,
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.said.abort();
    }
}

/// Whether a reader of these files ends badly; what it reads is forgotten.
fn is_bad<'a>(
    program: &'a Path,
    job: Job,
    read: &ReadOptions,
) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
    let read = ReadOptions {
        partitions: 1,
        rejects: Arc::new(Forget),
        bytes: Arc::default(),
        ..read.clone()
    };
    Box::pin(async move {
        let rows = match open(program, job, read).await {
            Ok(batches) => batches.partitions,
            Err(problem) => return is_of_a_child(&problem),
        };
        let mut rows = stream::iter(rows).flatten();
        while let Some(batch) = rows.next().await {
            if let Err(problem) = batch {
                return is_of_a_child(&problem);
            }
        }
        false
    })
}

fn is_of_a_child(problem: &Problem) -> bool {
    problem.is(&codes::CHILD_FAILED) || problem.is(&codes::MEMORY_EXCEEDED)
}

struct Forget;

impl RejectSink for Forget {
    fn reject(&self, _: Reject) -> Result<()> {
        Ok(())
    }
}

/// The end of what a child says.
async fn listen(mut errors: ChildStderr) -> String {
    let mut said = Vec::new();
    let mut bytes = vec![0; SAID_BYTES_MAX];
    while let Ok(count @ 1..) = errors.read(&mut bytes).await {
        said.extend(&bytes[..count]);
        let surplus = said.len().saturating_sub(SAID_BYTES_MAX);
        said.drain(..surplus);
    }
    String::from_utf8_lossy(&said).into_owned()
}
