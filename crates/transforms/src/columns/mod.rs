//! Modules that change columns and keep rows.

pub mod derive;
pub mod select;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] =
    &[Entry::relational::<select::Select>(), Entry::relational::<derive::Derive>()];
