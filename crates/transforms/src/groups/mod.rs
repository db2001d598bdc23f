//! Modules that look at several rows together.

pub mod aggregate;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[Entry::relational::<aggregate::Aggregate>()];
