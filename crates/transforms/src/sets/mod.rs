//! Modules that bring several inputs together.

mod keys;

pub mod compare;
pub mod join;
pub mod lookup;
pub mod union;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[
    Entry::relational::<join::Join>(),
    Entry::relational::<lookup::Lookup>(),
    Entry::relational::<union::Union>(),
    Entry::relational::<compare::Compare>(),
];
