//! Rows in order: the first row of a key goes on at once, later ones are dropped.
//!
//! When the set of keys outgrows its memory it is frozen: rows with keys that are not in it are
//! put on disk, split by key, and each part is chosen from by itself at the end.

use super::exec::{Inputs, Order, Outputs, Prepared, Workshop, next};
use super::keys::KeyMap;
use super::unordered::{Parts, Split};
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::row::OwnedRow;
use datafusion::common::{DataFusionError, Result};
use futures::TryStreamExt;
use model::{Problem, codes};

/// Chooses from partitions that are each in order and whose batches do not overlap.
pub(super) async fn choose(
    inputs: Inputs<Prepared>,
    outputs: &mut Outputs,
    workshop: &mut Workshop,
) -> Result<()> {
    let mut merge = Merge::new(inputs);
    let mut seen: KeyMap<()> = KeyMap::new();
    let mut overflow: Option<Parts> = None;
    while let Some(prepared) = merge.next().await? {
        let Prepared { batch, keys, .. } = prepared;
        if let Some(parts) = &mut overflow {
            let unseen: Vec<bool> = (0..batch.num_rows())
                .map(|row| !seen.contains(keys.key(row), keys.hashes[row]))
                .collect();
            let hashes = selected(&keys.hashes, &unseen);
            parts.add(Split::new(&keep(&batch, unseen)?, &hashes)?, workshop).await?;
            continue;
        }
        let first: Vec<bool> = (0..batch.num_rows())
            .map(|row| seen.insert(keys.key(row), keys.hashes[row], ()).is_none())
            .collect();
        if workshop.reservation.try_resize(seen.memory_bytes()).is_err() {
            overflow = Some(Parts::on_disk());
        }
        if !outputs.send(keep(&batch, first)?).await {
            return Ok(());
        }
    }
    drop(seen);
    workshop.reservation.free();
    match overflow {
        Some(parts) => choose_from_parts(parts, outputs, workshop).await,
        None => Ok(()),
    }
}

async fn choose_from_parts(
    mut parts: Parts,
    outputs: &mut Outputs,
    workshop: &mut Workshop,
) -> Result<()> {
    for part in parts.finish(workshop).await? {
        let mut seen: KeyMap<()> = KeyMap::new();
        let mut rows = part.stream(&workshop.spill)?;
        while let Some(batch) = rows.try_next().await? {
            let keys = workshop.encoder.keys(&batch)?;
            let first: Vec<bool> = (0..batch.num_rows())
                .map(|row| seen.insert(keys.key(row), keys.hashes[row], ()).is_none())
                .collect();
            workshop.reservation.try_resize(seen.memory_bytes())?;
            if !outputs.send(keep(&batch, first)?).await {
                return Ok(());
            }
        }
        workshop.reservation.free();
    }
    Ok(())
}

/// The rows of `batch` that are marked; the batch itself when all are.
pub(super) fn keep(batch: &RecordBatch, marks: Vec<bool>) -> Result<RecordBatch> {
    if marks.iter().all(|mark| *mark) {
        return Ok(batch.clone());
    }
    Ok(filter_record_batch(batch, &BooleanArray::from(marks))?)
}

fn selected(hashes: &[u64], marks: &[bool]) -> Vec<u64> {
    hashes.iter().zip(marks).filter(|(_, mark)| **mark).map(|(hash, _)| *hash).collect()
}

/// Puts the batches of several partitions into one order.
struct Merge {
    inputs: Inputs<Prepared>,
    heads: Vec<Option<Prepared>>,
    ended: Vec<bool>,
    last: Option<OwnedRow>,
}

impl Merge {
    fn new(inputs: Inputs<Prepared>) -> Self {
        let count = inputs.len();
        let heads = (0..count).map(|_| None).collect();
        Self { inputs, heads, ended: vec![false; count], last: None }
    }

    async fn next(&mut self) -> Result<Option<Prepared>> {
        for at in 0..self.inputs.len() {
            if self.heads[at].is_none() && !self.ended[at] {
                match next(&mut self.inputs[at]).await? {
                    Some(prepared) => self.heads[at] = Some(prepared),
                    None => self.ended[at] = true,
                }
            }
        }
        let mut first: Option<(usize, &OwnedRow)> = None;
        for (at, head) in self.heads.iter().enumerate() {
            let Some(head) = head else { continue };
            let Order::Sorted(begin, _) = &head.order else { return Err(out_of_order()) };
            if first.is_none_or(|(_, earliest)| begin.row() < earliest.row()) {
                first = Some((at, begin));
            }
        }
        let Some((at, _)) = first else { return Ok(None) };
        let Some(chosen) = self.heads[at].take() else { return Ok(None) };
        let Order::Sorted(begin, end) = &chosen.order else { return Err(out_of_order()) };
        if self.last.as_ref().is_some_and(|last| begin.row() < last.row()) {
            return Err(out_of_order());
        }
        self.last = Some(end.clone());
        Ok(Some(chosen))
    }
}

/// A source said that its rows are in order, and they are not.
fn out_of_order() -> DataFusionError {
    let problem = Problem::new(&codes::INTERNAL, "rows are not in the order their source promised")
        .hint("give `deduplicate` an `order_by` and report this");
    DataFusionError::External(Box::new(problem))
}
