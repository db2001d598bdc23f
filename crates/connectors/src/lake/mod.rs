//! The modules that read and write lake tables.

pub mod table;
pub mod write_table;

use contracts::Entry;

/// The modules of this family.
pub const ALL: &[Entry] =
    &[Entry::source::<table::Table>(), Entry::sink::<write_table::WriteTable>()];

#[cfg(test)]
mod tests;
