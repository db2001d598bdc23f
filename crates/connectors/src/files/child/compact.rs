//! Batches made fit to travel: not too large, and without bytes that no value needs.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::array::{GenericByteViewArray, RecordBatchOptions};
use arrow::datatypes::{ByteViewType, DataType};
use std::sync::Arc;

/// Larger batches travel in pieces.
const PIECE_BYTES_MAX: usize = 16 << 20;
/// Unneeded bytes up to this are not worth a copy.
const SLACK_BYTES: usize = 16 << 10;

/// Hands the batch to `send`, in pieces where it is large. Texts from a page of a file share the
/// bytes of that page, which would otherwise be sent with every batch.
pub(super) fn in_pieces<E>(
    batch: &RecordBatch,
    send: &mut impl FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let columns: Vec<ArrayRef> = batch.columns().iter().map(compact).collect();
    let rows = batch.num_rows();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(batch.schema(), columns, &options)
        .expect("columns keep their types and lengths");
    if batch.get_array_memory_size() <= PIECE_BYTES_MAX || rows < 2 {
        return send(&batch);
    }
    let half = rows / 2;
    in_pieces(&batch.slice(0, half), send)?;
    in_pieces(&batch.slice(half, rows - half), send)
}

fn compact(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => views(array.as_string_view()).unwrap_or_else(|| Arc::clone(array)),
        DataType::BinaryView => views(array.as_binary_view()).unwrap_or_else(|| Arc::clone(array)),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let (first, last) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            let offsets = list.value_offsets().iter().map(|at| at - first).collect::<Vec<_>>();
            let values = list.values().slice(first as usize, (last - first) as usize);
            Arc::new(ListArray::new(
                Arc::clone(item),
                arrow::buffer::OffsetBuffer::new(offsets.into()),
                compact(&values),
                list.nulls().cloned(),
            ))
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let whole = array.as_struct();
            let columns = whole.columns().iter().map(compact).collect();
            Arc::new(StructArray::new(fields.clone(), columns, whole.nulls().cloned()))
        }
        _ => Arc::clone(array),
    }
}

/// The same values without what they do not need, if that is much.
fn views<T: ByteViewType + ?Sized>(array: &GenericByteViewArray<T>) -> Option<ArrayRef> {
    let held: usize = array.data_buffers().iter().map(arrow::buffer::Buffer::len).sum();
    let is_wasteful = held > SLACK_BYTES && held / 2 > array.total_buffer_bytes_used();
    is_wasteful.then(|| Arc::new(array.gc()) as ArrayRef)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ListBuilder, StringViewArray, StringViewBuilder};
    use arrow::datatypes::{Field, Schema};
    use std::convert::Infallible;

    fn pieces(batch: &RecordBatch) -> Vec<RecordBatch> {
        let mut pieces = Vec::new();
        let sent: Result<(), Infallible> = in_pieces(batch, &mut |piece| {
            pieces.push(piece.clone());
            Ok(())
        });
        sent.unwrap();
        pieces
    }

    fn held(array: &StringViewArray) -> usize {
        array.data_buffers().iter().map(arrow::buffer::Buffer::len).sum()
    }

    #[test]
    fn unneeded_bytes_stay_at_home() {
        let long: Vec<String> =
            (0..1000).map(|n| format!("a text that is long {n:>100}")).collect();
        let array = StringViewArray::from_iter_values(&long);
        assert!(held(&array) > 100_000);
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        long.iter().for_each(|text| lists.append_value([Some(text)]));
        let list = lists.finish();
        let schema = Schema::new(vec![
            Field::new("t", DataType::Utf8View, true),
            Field::new("l", list.data_type().clone(), true),
        ]);
        let batch =
            RecordBatch::try_new(Arc::new(schema), vec![Arc::new(array), Arc::new(list)]).unwrap();
        let part = batch.slice(10, 3);
        let sent = pieces(&part);
        assert_eq!(sent, [part]);
        assert!(held(sent[0].column(0).as_string_view()) < 1000);
        assert!(held(sent[0].column(1).as_list::<i32>().values().as_string_view()) < 1000);
    }

    #[test]
    fn large_batches_are_cut() {
        let text = "x".repeat(1 << 20);
        let array = StringViewArray::from_iter_values((0..40).map(|_| &text));
        let schema = Schema::new(vec![Field::new("t", DataType::Utf8View, true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(array)]).unwrap();
        let sent = pieces(&batch);
        assert!(sent.len() > 2, "{}", sent.len());
        let rows: usize = sent.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 40);
        assert!(sent.iter().all(|piece| piece.get_array_memory_size() <= 32 << 20));
    }
}
