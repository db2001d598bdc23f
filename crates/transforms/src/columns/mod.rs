//! Modules that change columns and keep rows.

pub mod clean_text;
pub mod derive;
pub mod fill_missing;
pub mod json_extract;
pub mod map_values;
pub mod select;
pub mod split_column;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[
    Entry::relational::<select::Select>(),
    Entry::relational::<derive::Derive>(),
    Entry::relational::<clean_text::CleanText>(),
    Entry::relational::<fill_missing::FillMissing>(),
    Entry::relational::<map_values::MapValues>(),
    Entry::relational::<split_column::SplitColumn>(),
    Entry::relational::<json_extract::JsonExtract>(),
];
