//! Modules that make keys of values, or hide them.

pub mod hash;
pub mod mask;
pub mod surrogate_key;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[
    Entry::relational::<hash::Hash>(),
    Entry::relational::<mask::Mask>(),
    Entry::relational::<surrogate_key::SurrogateKey>(),
];
