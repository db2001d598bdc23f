//! Modules that keep, drop or order rows.

pub mod deduplicate;
pub mod filter;
pub mod limit;
pub mod sort;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[
    Entry::relational::<filter::Filter>(),
    Entry::relational::<deduplicate::Deduplicate>(),
    Entry::relational::<sort::Sort>(),
    Entry::relational::<limit::Limit>(),
];
