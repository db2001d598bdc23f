//! Rows in no order: split by key, in memory or on disk, and the first of each key is chosen at
//! the end, part after part.

use super::exec::{Encoder, Inputs, Order, Outputs, Workshop, next};
use super::keys::KeyMap;
use super::ordered::keep;
use crate::compact::compact;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::row::Rows;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SpillFile, SpillWriter};
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use std::io::Write;
use std::sync::Arc;
use stdx::hash::mix;

/// Parts that rows are split into; each has to fit into memory by itself.
const PARTS: usize = 64;

/// What the pieces of one batch need besides their values.
const PIECES_BYTES: usize = 64 << 10;

/// Whatever comes first from any of the receivers.
fn merge(inputs: Inputs<Split>) -> impl Stream<Item = Result<Split>> {
    let streams = inputs.into_iter().map(|input| {
        stream::unfold(input, |mut input| async move {
            next(&mut input).await.transpose().map(|split| (split, input))
        })
        .boxed()
    });
    stream::select_all(streams)
}

/// Chooses the first row of each key.
pub(super) async fn choose(
    inputs: Inputs<Split>,
    outputs: &mut Outputs,
    workshop: &mut Workshop,
) -> Result<()> {
    let mut parts = Parts::in_memory();
    let mut splits = std::pin::pin!(merge(inputs));
    while let Some(split) = splits.try_next().await? {
        parts.add(split, workshop).await?;
    }
    let parts = parts.finish(workshop).await?;
    let choose = |part: Part| {
        let (spill, encoder) = (workshop.spill.clone(), Arc::clone(&workshop.encoder));
        SpawnedTask::spawn(async move {
            let batches: Vec<RecordBatch> = part.stream(&spill)?.try_collect().await?;
            first_rows(&batches, &encoder)
        })
    };
    let mut chosen = stream::iter(parts.into_iter().map(choose)).buffered(outputs.count());
    while let Some(batches) = chosen.next().await {
        for batch in batches.map_err(task_died)?? {
            if !outputs.send(batch).await {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn task_died(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Of each key the first row in the order; among equals the one that came first.
fn first_rows(batches: &[RecordBatch], encoder: &Encoder) -> Result<Vec<RecordBatch>> {
    let mut winners: KeyMap<(u32, u32)> = KeyMap::new();
    let mut marks: Vec<Vec<bool>> =
        batches.iter().map(|batch| vec![false; batch.num_rows()]).collect();
    let mut orders: Vec<Option<Rows>> = Vec::with_capacity(batches.len());
    for (at, batch) in batches.iter().enumerate() {
        let keys = encoder.keys(batch)?;
        orders.push(match encoder.order(batch)? {
            Order::Rows(rows) => Some(rows),
            Order::Sorted(..) | Order::None => None,
        });
        for row in 0..batch.num_rows() {
            let place = (at as u32, row as u32);
            let Some(winner) = winners.insert(keys.key(row), keys.hashes[row], place) else {
                marks[at][row] = true;
                continue;
            };
            let (rival_at, rival_row) = (winner.0 as usize, winner.1 as usize);
            let is_earlier = match (&orders[at], &orders[rival_at]) {
                (Some(own), Some(rival)) => own.row(row) < rival.row(rival_row),
                _ => false,
            };
            if is_earlier {
                marks[rival_at][rival_row] = false;
                marks[at][row] = true;
                *winner = place;
            }
        }
    }
    batches.iter().zip(marks).map(|(batch, marks)| keep(batch, marks)).collect()
}

/// The rows of one batch, split by the hash of their key.
pub(super) struct Split {
    /// Parts that have rows, and those rows.
    pieces: Vec<(usize, RecordBatch)>,
    bytes: usize,
}

impl Split {
    pub(super) fn new(batch: &RecordBatch, hashes: &[u64]) -> Result<Self> {
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); PARTS];
        for (row, hash) in hashes.iter().enumerate() {
            // Other bits than those that choose a table inside of a set.
            rows[mix(*hash) as usize % PARTS].push(row as u32);
        }
        let parts = rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        let pieces = parts
            .map(|(part, rows)| Ok((part, take_record_batch(batch, &UInt32Array::from(rows))?)))
            .collect::<Result<_>>()?;
        // The pieces share the texts of the batch: counted by piece they would count many times.
        Ok(Self { pieces, bytes: batch.get_array_memory_size() + PIECES_BYTES })
    }
}

/// Rows split by the hash of their key.
pub(super) struct Parts {
    parts: Vec<Part>,
    buffered_bytes: usize,
    /// Buffers are written out at this size when memory is short from the beginning.
    always_on_disk: bool,
}

/// One part: what is in memory, and what has been put on disk before it.
#[derive(Default)]
pub(super) struct Part {
    buffered: Vec<RecordBatch>,
    on_disk: Option<OnDisk>,
}

/// Rows in a temporary file, as an Arrow IPC stream.
struct OnDisk {
    file: Arc<dyn SpillFile>,
    writer: StreamWriter<Box<dyn SpillWriter>>,
}

impl OnDisk {
    fn create(spill: &SpillManager, runtime: &RuntimeEnv) -> Result<Self> {
        let file = runtime.disk_manager.create_tmp_file("KeepFirst")?;
        let options =
            IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let schema = spill.schema();
        let writer = StreamWriter::try_new_with_options(file.open_writer()?, schema, options)?;
        Ok(Self { file, writer })
    }

    fn finish(mut self) -> Result<Arc<dyn SpillFile>> {
        self.writer.finish()?;
        self.writer.get_mut().flush().map_err(DataFusionError::IoError)?;
        self.writer.get_mut().finish()?;
        Ok(self.file)
    }
}

/// Rows of the overflow are gathered up to this size before they are written.
const OVERFLOW_BUFFER_BYTES: usize = 16 << 20;

impl Parts {
    pub(super) fn in_memory() -> Self {
        let parts = (0..PARTS).map(|_| Part::default()).collect();
        Self { parts, buffered_bytes: 0, always_on_disk: false }
    }

    pub(super) fn on_disk() -> Self {
        Self { always_on_disk: true, ..Self::in_memory() }
    }

    /// Adds the rows of a batch.
    pub(super) async fn add(&mut self, split: Split, workshop: &mut Workshop) -> Result<()> {
        for (part, rows) in split.pieces {
            self.parts[part].buffered.push(rows);
        }
        self.buffered_bytes += split.bytes;
        let too_much = match self.always_on_disk {
            true => self.buffered_bytes > OVERFLOW_BUFFER_BYTES,
            false => workshop.reservation.try_resize(self.buffered_bytes).is_err(),
        };
        if too_much { self.write_out(workshop).await } else { Ok(()) }
    }

    /// Puts what is buffered on disk, several parts side by side.
    async fn write_out(&mut self, workshop: &mut Workshop) -> Result<()> {
        let mut parts = std::mem::take(&mut self.parts);
        let share = parts.len().div_ceil(workshop.hands.max(1));
        let mut tasks = Vec::with_capacity(workshop.hands);
        while !parts.is_empty() {
            let mut mine: Vec<Part> = parts.drain(..share.min(parts.len())).collect();
            let (spill, runtime) = (workshop.spill.clone(), Arc::clone(&workshop.runtime));
            tasks.push(SpawnedTask::spawn(async move {
                mine.iter_mut().try_for_each(|part| part.write_out(&spill, &runtime))?;
                Ok::<_, DataFusionError>(mine)
            }));
        }
        for task in tasks {
            self.parts.append(&mut task.await.map_err(task_died)??);
        }
        self.buffered_bytes = 0;
        workshop.reservation.free();
        Ok(())
    }

    /// The parts; nothing is added any more.
    pub(super) async fn finish(&mut self, workshop: &mut Workshop) -> Result<Vec<Part>> {
        let on_disk = self.parts.iter().any(|part| part.on_disk.is_some());
        if on_disk {
            self.write_out(workshop).await?;
        }
        Ok(std::mem::take(&mut self.parts))
    }
}

impl Part {
    fn write_out(&mut self, spill: &SpillManager, runtime: &RuntimeEnv) -> Result<()> {
        if self.buffered.is_empty() {
            return Ok(());
        }
        let schema = Arc::clone(spill.schema());
        // Without this each part would be written with the texts of all of them.
        let batch = compact(arrow::compute::concat_batches(&schema, &self.buffered)?, 0)?;
        self.buffered.clear();
        let on_disk = match &mut self.on_disk {
            Some(on_disk) => on_disk,
            none => none.insert(OnDisk::create(spill, runtime)?),
        };
        Ok(on_disk.writer.write(&batch)?)
    }

    /// The rows in the order in which they came.
    pub(super) fn stream(self, spill: &SpillManager) -> Result<SendableRecordBatchStream> {
        let schema = Arc::clone(spill.schema());
        let written = self.on_disk.map(OnDisk::finish).transpose()?;
        let in_memory = stream::iter(self.buffered.into_iter().map(Ok));
        Ok(match written {
            Some(file) => {
                let on_disk = spill.read_spill_as_stream(file, None)?;
                Box::pin(RecordBatchStreamAdapter::new(schema, on_disk.chain(in_memory)))
            }
            None => Box::pin(RecordBatchStreamAdapter::new(schema, in_memory)),
        })
    }
}
