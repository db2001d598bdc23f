//! Modules whose setting is a program.

pub mod python;
pub mod sql;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] =
    &[Entry::relational::<sql::SqlQuery>(), Entry::operator::<python::Python>()];
