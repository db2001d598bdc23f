//! One thread reads, the partitions parse: whichever partition is polled takes the next chunk.
//!
//! Chunks are handed out in the order of the files, so each partition's rows are in order; and a
//! consumer that reads the partitions one after another gets everything from the first, instead
//! of waiting for ever for a chunk that belongs to a partition nobody reads.

use crate::compression;
use crate::csv::chunk::{Buffers, Chunk, Chunker};
use crate::csv::counts::Counts;
use crate::csv::parse::{Parser, Progress};
use crate::csv::source::{CsvFile, Plan};
use arrow::array::RecordBatch;
use contracts::source::Sample;
use contracts::{BatchStream, RejectSink};
use futures::stream::{self, StreamExt};
use model::{Problem, Result, codes};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Chunks that wait for a partition.
const WAITING_CHUNKS_MAX: usize = 2;

/// How a reading is to be done.
pub(crate) struct Work {
    pub(crate) plan: Arc<Plan>,
    pub(crate) rejects: Arc<dyn RejectSink>,
    pub(crate) bytes: Arc<AtomicU64>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) sample: Option<Sample>,
    pub(crate) chunk_bytes: usize,
    pub(crate) batch_rows: usize,
}

/// The partitions' common end of the reader thread.
struct Feed {
    work: Work,
    chunks: tokio::sync::Mutex<mpsc::Receiver<Result<Chunk>>>,
    /// What starts the reader; taken by the first partition that is polled.
    sender: Mutex<Option<mpsc::Sender<Result<Chunk>>>>,
    is_complete: Arc<AtomicBool>,
    buffers: Arc<Buffers>,
    rows_left: AtomicU64,
}

/// The streams of a reading.
pub(crate) fn partitions(work: Work, count: usize) -> Vec<BatchStream> {
    let (sender, chunks) = mpsc::channel(WAITING_CHUNKS_MAX);
    let rows_left = AtomicU64::new(work.sample.map_or(u64::MAX, |sample| sample.rows));
    // The first rows of a sample are well defined only where one partition reads them.
    let readers = if work.sample.is_some() { 1 } else { count.max(1) };
    let feed = Arc::new(Feed {
        work,
        chunks: tokio::sync::Mutex::new(chunks),
        sender: Mutex::new(Some(sender)),
        is_complete: Arc::default(),
        buffers: Arc::default(),
        rows_left,
    });
    let mut partitions: Vec<BatchStream> = (0..readers).map(|_| partition(&feed)).collect();
    partitions.resize_with(count.max(1), || stream::empty().boxed());
    partitions
}

fn partition(feed: &Arc<Feed>) -> BatchStream {
    let work = &feed.work;
    let parser = Parser::new(&work.plan, Arc::clone(&work.rejects), work.batch_rows);
    let reading = Reading { feed: Arc::clone(feed), parser, progress: None, is_over: false };
    stream::unfold(reading, |mut reading| async move {
        let item = reading.next().await.transpose()?;
        Some((item, reading))
    })
    .boxed()
}

/// The state of one partition.
struct Reading {
    feed: Arc<Feed>,
    parser: Parser,
    progress: Option<Progress>,
    is_over: bool,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let result = self.next_batch().await;
        // After a problem nothing else may come: what follows it would look like a whole file.
        self.is_over |= !matches!(result, Ok(Some(_)));
        result
    }

    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while !self.is_over {
            let mut progress = match self.progress.take() {
                Some(progress) => progress,
                None => match self.feed.next_chunk().await? {
                    Some(chunk) => self.parser.begin(chunk)?,
                    None => return Ok(None),
                },
            };
            let counts = &self.feed.work.counts;
            let batch = self.parser.next_batch(&mut progress, counts)?;
            let Some(batch) = batch else {
                self.feed.buffers.give(progress.into_buffer());
                continue;
            };
            self.progress = Some(progress);
            if let Some(batch) = self.feed.limit(batch) {
                return Ok(Some(batch));
            }
            if self.feed.rows_left.load(Ordering::Relaxed) == 0 {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

impl Feed {
    async fn next_chunk(&self) -> Result<Option<Chunk>> {
        self.start()?;
        match self.chunks.lock().await.recv().await {
            Some(chunk) => chunk.map(Some),
            None if self.is_complete.load(Ordering::Acquire) => Ok(None),
            // Never mistake a reader that died for the end of the files.
            None => Err(Problem::new(&codes::INTERNAL, "the reader of a csv file has stopped")
                .hint("please report this")),
        }
    }

    /// Starts the reader when the first partition is polled.
    fn start(&self) -> Result<()> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(sender) = sender else { return Ok(()) };
        let mut reader = Reader {
            files: self.work.plan.files.clone(),
            bytes: Arc::clone(&self.work.bytes),
            buffers: Arc::clone(&self.buffers),
            chunk_bytes: self.work.chunk_bytes,
            bytes_left: self.work.sample.map_or(u64::MAX, |sample| sample.bytes.max(1)),
            sender,
        };
        let is_complete = Arc::clone(&self.is_complete);
        let thread = std::thread::Builder::new().name("csv-reader".to_owned());
        let started = thread.spawn(move || {
            reader.run();
            // Before the channel closes, or a partition could take the end for a failure.
            is_complete.store(true, Ordering::Release);
            drop(reader);
        });
        match started {
            Ok(_) => Ok(()),
            Err(error) => Err(Problem::new(&codes::INTERNAL, "a thread cannot be started")
                .detail(error)
                .hint("raise the limit of threads for this user")),
        }
    }

    /// Cuts a batch where the sample ends.
    fn limit(&self, batch: RecordBatch) -> Option<RecordBatch> {
        let rows = batch.num_rows() as u64;
        if self.work.sample.is_none() {
            return (rows > 0).then_some(batch);
        }
        let left = self.rows_left.load(Ordering::Relaxed);
        let taken = rows.min(left);
        self.rows_left.store(left - taken, Ordering::Relaxed);
        (taken > 0).then(|| batch.slice(0, usize::try_from(taken).unwrap_or(usize::MAX)))
    }
}

/// The reader thread: decompresses, decodes, cuts.
struct Reader {
    files: Vec<Arc<CsvFile>>,
    bytes: Arc<AtomicU64>,
    buffers: Arc<Buffers>,
    chunk_bytes: usize,
    bytes_left: u64,
    sender: mpsc::Sender<Result<Chunk>>,
}

/// Whether reading goes on.
enum Flow {
    On,
    /// Nobody listens any more, or the sample is full.
    Off,
}

impl Reader {
    fn run(&mut self) {
        for file in std::mem::take(&mut self.files) {
            match self.read(&file) {
                Ok(Flow::On) => {}
                Ok(Flow::Off) => return,
                Err(problem) => {
                    // If nobody listens any more, the problem is nobody's.
                    drop(self.sender.blocking_send(Err(problem)));
                    return;
                }
            }
        }
    }

    fn read(&mut self, file: &Arc<CsvFile>) -> Result<Flow> {
        let problem = |error: &std::io::Error| compression::read_problem(&file.member.file, error);
        compression::with_reader(&file.member, &Arc::clone(&self.bytes), |reader| {
            let mut decoded = file.encoding.decode(reader);
            let buffers = Arc::clone(&self.buffers);
            let mut chunker =
                Chunker::new(decoded.as_mut(), Arc::clone(file), &buffers, self.chunk_bytes)
                    .map_err(|error| problem(&error))?;
            while let Some(chunk) = chunker.next_chunk().map_err(|error| problem(&error))? {
                self.bytes_left = self.bytes_left.saturating_sub(chunk.bytes.len() as u64);
                if self.sender.blocking_send(Ok(chunk)).is_err() || self.bytes_left == 0 {
                    return Ok(Flow::Off);
                }
            }
            Ok(Flow::On)
        })
    }
}
