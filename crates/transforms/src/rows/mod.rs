//! Modules that keep, drop or order rows.

pub mod deduplicate;
pub mod explode;
pub mod filter;
pub mod limit;
pub mod route;
pub mod sample;
pub mod sort;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[
    Entry::relational::<filter::Filter>(),
    Entry::relational::<deduplicate::Deduplicate>(),
    Entry::relational::<sort::Sort>(),
    Entry::relational::<limit::Limit>(),
    Entry::relational::<sample::Sample>(),
    Entry::relational::<route::Route>(),
    Entry::relational::<explode::Explode>(),
];
