//! Relational modules and operators: one file each, in families.

mod conditions;
mod expressions;
mod order;
mod projection;
mod rejecting;
mod settings;
#[cfg(test)]
mod testing;
mod values;

pub mod code;
pub mod columns;
pub mod groups;
pub mod privacy;
pub mod quality;
pub mod rows;
pub mod sets;

use contracts::Entry;

/// All modules of this crate.
pub fn all() -> Vec<Entry> {
    [columns::ALL, rows::ALL, sets::ALL, groups::ALL, privacy::ALL, quality::ALL, code::ALL]
        .concat()
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_modules_hold_to_the_contract() {
        contracts::testing::check(&super::all());
    }
}
