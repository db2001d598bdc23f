//! The child's side: reads files and tells the parent what is in them.

use super::super::source::FileFormat;
use super::super::{excel, parquet, xml};
use super::compact::in_pieces;
use super::wire::{self, Kind, RejectForm};
use super::{Job, JobFile};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use contracts::source::Sample;
use contracts::{BatchStream, Batches, Reject, RejectSink, SourceModule};
use formats::file::{InputFile, ReadOptions};
use futures::TryStreamExt;
use model::{Problem, Result, codes};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};

/// Longer jobs are refused.
const JOB_BYTES_MAX: u64 = 256 << 20;
/// The parent learns at least so often how far a reader is.
const PULSE: Duration = Duration::from_secs(1);
const THREAD_STACK_BYTES: usize = 8 << 20;
/// Exit codes: the parent went away, or did not say what is wanted.
const ORPHANED: i32 = 3;
const NO_JOB: i32 = 4;

/// Reads what the parent asks for on standard input, and answers on standard output. Gives the
/// exit code; only what the parent cannot be told in words has another one than 0.
pub fn serve() -> i32 {
    let mut line = String::new();
    let mut input = io::stdin().lock().take(JOB_BYTES_MAX);
    let job = input.read_line(&mut line).ok().and_then(|_| serde_json::from_str(&line).ok());
    drop(input);
    let (Some(job), Ok(output)) = (job, io::stdout().as_fd().try_clone_to_owned()) else {
        return NO_JOB;
    };
    let output = Arc::new(Output { pipe: Mutex::new(File::from(output)) });
    match run(job, &output) {
        Ok(()) => output.end(),
        Err(problem) => output.problem(&problem),
    }
    0
}

fn run(job: Job, output: &Arc<Output>) -> Result<()> {
    confine(job.memory_bytes)?;
    thread("parent", end_with_parent)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(job.partitions + 2)
        .thread_stack_size(THREAD_STACK_BYTES)
        .build()
        .map_err(|error| internal("no threads can be started", error))?;
    let bytes: Arc<AtomicU64> = Arc::default();
    let read = ReadOptions {
        partitions: job.partitions,
        sample: job.sample.map(|(rows, bytes)| Sample { rows, bytes }),
        rejects: Arc::clone(output) as Arc<dyn RejectSink>,
        bytes: Arc::clone(&bytes),
    };
    let files = job.files.into_iter().map(|JobFile { path, name }| InputFile { path, name });
    let batches = open(&job.module, job.options, files.collect(), read)?;
    let schema = Arc::clone(&batches.schema);
    output.send(Kind::Schema, &Encoder::new(&schema)?.take())?;
    let (pulse, read) = (Arc::clone(output), Arc::clone(&bytes));
    thread("pulse", move || {
        loop {
            thread::sleep(PULSE);
            pulse.progress(&read);
        }
    })?;
    let (ended, results) = mpsc::sync_channel(batches.partitions.len());
    for partition in batches.partitions {
        let (ended, output, schema) = (ended.clone(), Arc::clone(output), Arc::clone(&schema));
        let runtime = runtime.handle().clone();
        thread("partition", move || {
            let _ = ended.send(pump(&runtime, partition, &schema, &output));
        })?;
    }
    drop(ended);
    results.into_iter().collect::<Result<()>>()?;
    output.progress(&bytes);
    Ok(())
}

/// Opens files as the module of this name does.
fn open(module: &str, options: Value, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches> {
    let failed = |error| internal("the options of a format cannot be read", error);
    let options: Box<dyn FileFormat> = match module {
        excel::Excel::NAME => {
            Box::new(serde_json::from_value::<excel::Options>(options).map_err(failed)?)
        }
        parquet::Parquet::NAME => {
            Box::new(serde_json::from_value::<parquet::Options>(options).map_err(failed)?)
        }
        xml::Xml::NAME => {
            Box::new(serde_json::from_value::<xml::Options>(options).map_err(failed)?)
        }
        other => return Err(internal("no such format is read in a child", other)),
    };
    options.open(files, read)
}

fn pump(
    runtime: &Handle,
    mut partition: BatchStream,
    schema: &Schema,
    output: &Output,
) -> Result<()> {
    let mut encoder = Encoder::new(schema)?;
    while let Some(batch) = runtime.block_on(partition.try_next())? {
        // A message without a body would not be noticed.
        if batch.num_rows() > 0 {
            in_pieces(&batch, &mut |piece| output.send(Kind::Batch, encoder.batch(piece)?))?;
        }
    }
    Ok(())
}

/// Takes the right to much memory, to files that grow and to dumps.
fn confine(memory_bytes: u64) -> Result<()> {
    let limits = [(Resource::Data, memory_bytes), (Resource::Core, 0), (Resource::Fsize, 0)];
    for (resource, maximum) in limits {
        let limit = Rlimit { current: Some(maximum), maximum: Some(maximum) };
        setrlimit(resource, limit)
            .map_err(|error| internal("a reader cannot be given its limits", error))?;
    }
    Ok(())
}

/// Ends this process when the parent has gone, and standard input with it.
fn end_with_parent() {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    process::exit(ORPHANED);
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(THREAD_STACK_BYTES);
    let started = thread.spawn(work).map(drop);
    started.map_err(|error| internal("no threads can be started", error))
}

fn internal(fact: &str, detail: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, fact).detail(detail)
}

/// Batches as messages of an Arrow stream.
struct Encoder {
    writer: StreamWriter<Vec<u8>>,
}

impl Encoder {
    fn new(schema: &Schema) -> Result<Self> {
        let writer = StreamWriter::try_new(Vec::new(), schema).map_err(not_encoded)?;
        Ok(Self { writer })
    }

    /// What the writer has written so far.
    fn take(mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<&[u8]> {
        // Buffers are used again: what is still in there is sent already.
        self.writer.get_mut().clear();
        self.writer.write(batch).map_err(not_encoded)?;
        Ok(self.writer.get_ref())
    }
}

fn not_encoded(error: ArrowError) -> Problem {
    internal("rows cannot be sent", error)
}

/// Standard output: whole frames, one at a time.
struct Output {
    pipe: Mutex<File>,
}

impl Output {
    fn send(&self, kind: Kind, body: &[u8]) -> Result<()> {
        let head = wire::head(kind, body.len())?;
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if pipe.write_all(&head).and_then(|()| pipe.write_all(body)).is_err() {
            // Nobody listens any more.
            process::exit(ORPHANED);
        }
        Ok(())
    }

    fn json(&self, kind: Kind, body: &impl serde::Serialize) -> Result<()> {
        let body = serde_json::to_vec(body).map_err(|error| internal("no JSON", error))?;
        self.send(kind, &body)
    }

    fn progress(&self, bytes: &AtomicU64) {
        let read = bytes.swap(0, Ordering::Relaxed);
        if read > 0 {
            let _ = self.send(Kind::Bytes, &read.to_le_bytes());
        }
    }

    fn problem(&self, problem: &Problem) {
        let _ = self.json(Kind::Problem, &problem.to_stored());
    }

    fn end(&self) {
        let _ = self.send(Kind::End, &[]);
    }
}

impl RejectSink for Output {
    fn reject(&self, reject: Reject) -> Result<()> {
        self.json(Kind::Reject, &RejectForm::from(reject))
    }
}
