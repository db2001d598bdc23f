//! Modules that hold rows to what they should be: types and checks.

pub mod cast;
mod conversion;
mod duration;
mod findings;
mod record;
pub mod validate;
mod validate_examples;

use contracts::Entry;

/// Modules of this family.
pub const ALL: &[Entry] =
    &[Entry::relational::<cast::Cast>(), Entry::relational::<validate::Validate>()];

#[cfg(test)]
mod tests {
    #[test]
    fn quality_modules_hold_to_the_contract() {
        contracts::testing::check(super::ALL);
    }
}
