//! `hash_bucket` and `stable_sample`: rows shared out by what they hold, not by chance.

use super::rows::Rows;
use crate::arguments::{bad_call, constant_integer, result};
use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::DataType;
use contracts::arrow_types::canonical_type;
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;
use stdx::hash::{mix, stable_hash};

pub(crate) const HASH_BUCKET: ScalarFunction = ScalarFunction {
    name: "hash_bucket",
    summary: "The bucket, from 0, that values belong to when there are so many.",
    syntax: "hash_bucket(value1, …, buckets)",
    examples: &[
        ("hash_bucket('a', 1)", "0"),
        ("hash_bucket('a', 'b', 4) = hash_bucket('a', 'b', 4)", "true"),
    ],
    coerce: |types| values_and_number("hash_bucket", types),
    returns: |_| result("hash_bucket", DataType::Int64),
    invoke: buckets,
};

pub(crate) const STABLE_SAMPLE: ScalarFunction = ScalarFunction {
    name: "stable_sample",
    summary: "A number from 0 to below 1 that depends on the values and the seed alone.",
    syntax: "stable_sample(value1, …, seed)",
    examples: &[
        ("stable_sample('a', 7) < 1.0", "true"),
        ("stable_sample('a', 7) = stable_sample('a', 7)", "true"),
        ("stable_sample('a', 7) = stable_sample('a', 8)", "false"),
    ],
    coerce: |types| values_and_number("stable_sample", types),
    returns: |_| result("stable_sample", DataType::Float64),
    invoke: samples,
};

fn values_and_number(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [values @ .., _] = types else {
        return Err(bad_call(name, "takes values and then a number"));
    };
    if values.is_empty() {
        return Err(bad_call(name, "takes at least one value before the number"));
    }
    Ok(values.iter().map(canonical_type).chain([DataType::Int64]).collect())
}

fn hashes(arguments: &[Argument], rows: usize) -> Result<Vec<u64>> {
    let mut values = Rows::new(&arguments[..arguments.len() - 1], rows)?;
    let mut bytes = Vec::new();
    Ok((0..rows)
        .map(|row| {
            values.write(row, &mut bytes);
            stable_hash(&bytes)
        })
        .collect())
}

fn buckets(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let wrong = || bad_call("hash_bucket", "takes a positive number of buckets at its end");
    let count =
        constant_integer("hash_bucket", arguments, arguments.len() - 1)?.ok_or_else(wrong)?;
    let count = u64::try_from(count).ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    let bucket = |hash: u64| (hash % count) as i64;
    Ok(Arc::new(Int64Array::from_iter_values(hashes(arguments, rows)?.into_iter().map(bucket))))
}

fn samples(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let seed =
        constant_integer("stable_sample", arguments, arguments.len() - 1)?.unwrap_or_default();
    // The seed is mixed in after the values, so that samples of two seeds have nothing in common.
    let sample = |hash: u64| {
        let mixed = mix(hash ^ mix(seed as u64 ^ 0x9e37_79b9_7f4a_7c15));
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    };
    Ok(Arc::new(Float64Array::from_iter_values(hashes(arguments, rows)?.into_iter().map(sample))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, Int64Type};

    fn call(number: i64, invoke: fn(&[Argument], usize) -> Result<ArrayRef>) -> ArrayRef {
        let rows = 20_000;
        let values = Argument::Array(Arc::new(Int64Array::from_iter_values(0..rows as i64)));
        invoke(&[values, Argument::Scalar(Arc::new(Int64Array::from(vec![number])))], rows).unwrap()
    }

    #[test]
    fn samples_are_even_and_independent() {
        let (one, two) = (call(1, samples), call(2, samples));
        let (one, two) = (one.as_primitive::<Float64Type>(), two.as_primitive::<Float64Type>());
        let below = |limit: f64| one.values().iter().filter(|value| **value < limit).count();
        assert!((1800..2200).contains(&below(0.1)), "{}", below(0.1));
        let pairs = one.values().iter().zip(two.values());
        let both = pairs.filter(|(one, two)| **one < 0.1 && **two < 0.1).count();
        assert!((140..260).contains(&both), "{both}");
    }

    #[test]
    fn buckets_are_even() {
        let buckets = call(8, buckets);
        let mut counts = [0; 8];
        for bucket in buckets.as_primitive::<Int64Type>().values() {
            counts[*bucket as usize] += 1;
        }
        assert!(counts.iter().all(|count| (2300..2700).contains(count)), "{counts:?}");
    }
}
