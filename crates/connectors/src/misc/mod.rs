//! Rows that come from no file or server: written in the pipeline, or made up.

pub mod generate;
pub mod inline;
pub(crate) mod sample;

use contracts::Entry;

/// The modules of this family.
pub const ALL: &[Entry] =
    &[Entry::source::<generate::Generate>(), Entry::source::<inline::Inline>()];
