//! Why rows were rejected, counted while they pass.

use arrow::array::{Array, AsArray, RecordBatch};
use contracts::rejects::ERRORS;
use model::run::RejectReason;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Kinds of reasons that are counted at once; beyond, the rarest are forgotten.
const KINDS_MAX: usize = 1024;
/// Kinds of reasons that are told.
const TOLD_MAX: usize = 3;
/// Bytes of a reason or column that are kept.
const TEXT_BYTES_MAX: usize = 200;

/// Counts of reasons by column and text.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    counts: Mutex<HashMap<(String, String), u64>>,
}

impl Reasons {
    /// Counts the errors of a batch on the schema of rejects.
    pub(crate) fn count(&self, batch: &RecordBatch) {
        let Some(errors) = batch.column_by_name(ERRORS).and_then(|e| e.as_list_opt::<i32>()) else {
            return;
        };
        let Some(items) = errors.values().as_struct_opt() else { return };
        let texts = |name: &str| items.column_by_name(name)?.as_string_view_opt().cloned();
        let (Some(columns), Some(reasons)) = (texts("column"), texts("reason")) else { return };
        let mut found: HashMap<(&str, &str), u64> = HashMap::new();
        let offsets = errors.value_offsets();
        for row in (0..errors.len()).filter(|row| errors.is_valid(*row)) {
            for at in offsets[row] as usize..offsets[row + 1] as usize {
                *found.entry((columns.value(at), reasons.value(at))).or_default() += 1;
            }
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for ((column, reason), count) in found {
            let kept = |text| stdx::text::truncate(text, TEXT_BYTES_MAX).to_owned();
            *counts.entry((kept(column), kept(reason))).or_default() += count;
        }
        if counts.len() > KINDS_MAX {
            // Reasons that repeat values are many and rare; what is frequent stays.
            let mut all: Vec<u64> = counts.values().copied().collect();
            all.sort_unstable_by(|a, b| b.cmp(a));
            let least = all[KINDS_MAX / 2];
            counts.retain(|_, count| *count > least);
        }
    }

    /// The most frequent reasons, with equal counts in alphabetical order.
    pub(crate) fn top(&self) -> Vec<RejectReason> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut top: Vec<RejectReason> = counts
            .iter()
            .map(|((column, reason), count)| RejectReason {
                column: column.clone(),
                reason: reason.clone(),
                count: *count,
            })
            .collect();
        let key = |r: &RejectReason| (u64::MAX - r.count, r.column.clone(), r.reason.clone());
        top.sort_by_cached_key(key);
        top.truncate(TOLD_MAX);
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::rejects::rejects_batch;
    use contracts::{Reject, RejectError};

    fn reject(column: &str, reason: &str) -> Reject {
        let error =
            RejectError { column: column.to_owned(), value: None, reason: reason.to_owned() };
        Reject { file: None, row: None, offset: None, errors: vec![error], record: String::new() }
    }

    #[test]
    fn the_most_frequent_reasons_come_first() {
        let mut rows = vec![reject("a", "is not an integer"); 3];
        rows.extend(vec![reject("b", "is missing"); 5]);
        rows.extend([reject("c", "is missing"), reject("d", "is missing")]);
        let batch = rejects_batch("node", &rows).unwrap();
        let reasons = Reasons::default();
        reasons.count(&batch);
        // A part of a batch has only its own errors.
        reasons.count(&batch.slice(0, 3));
        let top: Vec<_> = reasons.top().into_iter().map(|r| (r.column, r.count)).collect();
        let expected = [("a", 6), ("b", 5), ("c", 1)].map(|(c, n)| (c.to_owned(), n));
        assert_eq!(top, expected);
    }

    #[test]
    fn memory_is_bounded_and_what_is_frequent_is_kept() {
        let reasons = Reasons::default();
        for round in 0..20 {
            let mut rows: Vec<Reject> =
                (0..500).map(|n| reject("a", &format!("is not one of: {round} {n}"))).collect();
            rows.extend(vec![reject("b", "is missing"); 10]);
            reasons.count(&rejects_batch("node", &rows).unwrap());
        }
        assert!(reasons.counts.lock().unwrap().len() <= KINDS_MAX);
        let top = reasons.top();
        assert_eq!((top[0].column.as_str(), top[0].count), ("b", 200));
    }
}
