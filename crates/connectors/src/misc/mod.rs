//! Rows that come from no file or server: written in the pipeline, or made up.

pub mod inline;
pub(crate) mod sample;

use contracts::Entry;

/// The modules of this family.
pub const ALL: &[Entry] = &[Entry::source::<inline::Inline>()];
