//! Digests, buckets and samples: the same values give the same answer, everywhere and for ever.

mod bucket;
mod digest;
mod rows;

use contracts::function::ScalarFunction;

pub(crate) const ALL: &[ScalarFunction] =
    &[digest::HASH_TEXT, bucket::HASH_BUCKET, bucket::STABLE_SAMPLE];
