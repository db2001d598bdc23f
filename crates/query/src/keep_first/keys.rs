//! Keys of rows, and sets of them that stay small.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use hashbrown::HashTable;
use stdx::hash::{mix, stable_hash};

/// Tables per set: each grows by itself, so that growing never doubles the whole.
const TABLES: usize = 64;

/// Makes keys of key columns.
pub(crate) struct KeyEncoder {
    converter: RowConverter,
    packable: bool,
}

/// The keys of one batch.
pub(crate) struct Keys {
    /// For rows whose columns are all fixed numbers and not null: the numbers side by side.
    packed: Vec<u128>,
    /// For all other rows: Arrow's row format. None when there is no such row.
    rows: Option<Rows>,
    /// Rows that are in `packed`; None means all or, without any packed one, none.
    is_packed: Option<Vec<bool>>,
    /// A hash per row.
    pub(crate) hashes: Vec<u64>,
}

fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Int64 | DataType::Timestamp(_, _) => Some(8),
        DataType::Int32 | DataType::Date32 => Some(4),
        _ => None,
    }
}

impl KeyEncoder {
    pub(crate) fn new(types: &[DataType]) -> Result<Self> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        let widths: Option<usize> = types.iter().map(width).sum();
        Ok(Self {
            converter: RowConverter::new(fields)?,
            packable: widths.is_some_and(|bytes| bytes <= 16),
        })
    }

    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Keys> {
        if !self.packable {
            let converted = self.converter.convert_columns(columns)?;
            let hashes = converted.iter().map(|row| stable_hash(row.as_ref())).collect();
            return Ok(Keys { packed: Vec::new(), rows: Some(converted), is_packed: None, hashes });
        }
        let mut packed = vec![0u128; rows];
        for column in columns {
            pack(column, &mut packed);
        }
        let mut hashes: Vec<u64> = packed.iter().map(|key| hash(*key)).collect();
        if columns.iter().all(|column| column.null_count() == 0) {
            return Ok(Keys { packed, rows: None, is_packed: None, hashes });
        }
        let converted = self.converter.convert_columns(columns)?;
        let complete: Vec<bool> =
            (0..rows).map(|row| columns.iter().all(|column| column.is_valid(row))).collect();
        for (row, hash) in hashes.iter_mut().enumerate().filter(|(row, _)| !complete[*row]) {
            *hash = stable_hash(converted.row(row).as_ref());
        }
        Ok(Keys { packed, rows: Some(converted), is_packed: Some(complete), hashes })
    }
}

fn hash(key: u128) -> u64 {
    mix((key as u64) ^ mix((key >> 64) as u64))
}

fn pack(column: &ArrayRef, packed: &mut [u128]) {
    match column.data_type() {
        DataType::Int64 => push64(packed, column.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(_, _) => {
            push64(packed, column.as_primitive::<TimestampMicrosecondType>().values());
        }
        DataType::Int32 => push32(packed, column.as_primitive::<Int32Type>().values()),
        DataType::Date32 => push32(packed, column.as_primitive::<Date32Type>().values()),
        _ => unreachable!("only fixed numbers are packed"),
    }
}

fn push64(packed: &mut [u128], values: &[i64]) {
    for (key, value) in packed.iter_mut().zip(values) {
        *key = (*key << 64) | u128::from(value.cast_unsigned());
    }
}

fn push32(packed: &mut [u128], values: &[i32]) {
    for (key, value) in packed.iter_mut().zip(values) {
        *key = (*key << 32) | u128::from(value.cast_unsigned());
    }
}

/// The key of one row.
#[derive(Clone, Copy)]
pub(crate) enum Key<'a> {
    Packed(u128),
    Bytes(&'a [u8]),
}

impl Keys {
    pub(crate) fn key(&self, row: usize) -> Key<'_> {
        let packed = match &self.is_packed {
            Some(flags) => flags[row],
            None => self.rows.is_none(),
        };
        match &self.rows {
            Some(rows) if !packed => Key::Bytes(rows.row(row).data()),
            _ => Key::Packed(self.packed[row]),
        }
    }
}

/// A set or map of keys. `V` is `()` for a set.
pub(crate) struct KeyMap<V> {
    packed: Vec<HashTable<(u128, V)>>,
    bytes: Vec<HashTable<(u64, Box<[u8]>, V)>>,
    key_bytes: usize,
}

impl<V: Copy> KeyMap<V> {
    pub(crate) fn new() -> Self {
        Self {
            packed: (0..TABLES).map(|_| HashTable::new()).collect(),
            bytes: (0..TABLES).map(|_| HashTable::new()).collect(),
            key_bytes: 0,
        }
    }

    /// Puts the key in with `value`, or gives the value that is there.
    pub(crate) fn insert(&mut self, key: Key<'_>, hash: u64, value: V) -> Option<&mut V> {
        let table = (hash >> 58) as usize % TABLES;
        match key {
            Key::Packed(key) => {
                let table = &mut self.packed[table];
                let rehash = |(key, _): &(u128, V)| self::hash(*key);
                match table.entry(hash, |(known, _)| *known == key, rehash) {
                    hashbrown::hash_table::Entry::Occupied(entry) => Some(&mut entry.into_mut().1),
                    hashbrown::hash_table::Entry::Vacant(entry) => {
                        entry.insert((key, value));
                        None
                    }
                }
            }
            Key::Bytes(key) => {
                let table = &mut self.bytes[table];
                let same = |(known_hash, known, _): &(u64, Box<[u8]>, V)| {
                    *known_hash == hash && **known == *key
                };
                match table.entry(hash, same, |(hash, _, _)| *hash) {
                    hashbrown::hash_table::Entry::Occupied(entry) => Some(&mut entry.into_mut().2),
                    hashbrown::hash_table::Entry::Vacant(entry) => {
                        // 16 bytes for what the allocator keeps beside each key.
                        self.key_bytes += key.len() + 16;
                        entry.insert((hash, key.into(), value));
                        None
                    }
                }
            }
        }
    }

    pub(crate) fn contains(&self, key: Key<'_>, hash: u64) -> bool {
        let table = (hash >> 58) as usize % TABLES;
        match key {
            Key::Packed(key) => self.packed[table].find(hash, |(known, _)| *known == key).is_some(),
            Key::Bytes(key) => {
                let same = |(known_hash, known, _): &(u64, Box<[u8]>, V)| {
                    *known_hash == hash && **known == *key
                };
                self.bytes[table].find(hash, same).is_some()
            }
        }
    }

    /// Bytes that the map takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let packed: usize = self.packed.iter().map(HashTable::allocation_size).sum();
        let bytes: usize = self.bytes.iter().map(HashTable::allocation_size).sum();
        packed + bytes + self.key_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use std::sync::Arc;

    fn distinct(types: &[DataType], columns: &[ArrayRef]) -> usize {
        let rows = columns[0].len();
        let keys = KeyEncoder::new(types).unwrap().encode(columns, rows).unwrap();
        let mut set = KeyMap::new();
        (0..rows).filter(|row| set.insert(keys.key(*row), keys.hashes[*row], ()).is_none()).count()
    }

    #[test]
    fn nulls_and_numbers_are_different_keys() {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(0), None, Some(-1)]));
        let b: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(0), Some(0), None, None]));
        assert_eq!(distinct(&[DataType::Int64, DataType::Int64], &[a, b]), 4);
    }

    #[test]
    fn texts_are_keys_too() {
        let a: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("a"), Some(""), None, Some("a"), Some("")]));
        assert_eq!(distinct(&[DataType::Utf8View], &[a]), 3);
    }
}
