//! Modules whose setting is a program.

pub mod sql;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[Entry::relational::<sql::SqlQuery>()];
