//! Files in and files out.

use contracts::Entry;

/// The modules of this family.
pub const ALL: &[Entry] = &[];
