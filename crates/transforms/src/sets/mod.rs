//! Modules that bring several inputs together.

mod keys;

pub mod join;
pub mod union;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[Entry::relational::<join::Join>(), Entry::relational::<union::Union>()];
