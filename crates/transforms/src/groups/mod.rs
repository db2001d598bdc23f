//! Modules that look at several rows together.

pub mod aggregate;
pub mod pivot;
pub mod unpivot;
pub mod window;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] = &[
    Entry::relational::<aggregate::Aggregate>(),
    Entry::relational::<window::Window>(),
    Entry::relational::<pivot::Pivot>(),
    Entry::relational::<unpivot::Unpivot>(),
];
