//! Sources, sinks and actions: files, lake tables, databases, services, and rows made on the spot.

pub mod actions;
pub mod databases;
pub mod files;
pub mod http;
pub mod lake;
pub mod look;
pub mod misc;
pub mod settings;
pub mod storage;
#[cfg(test)]
mod testing;

use contracts::Entry;

/// Every source, sink and action, family after family.
pub fn all() -> Vec<Entry> {
    let families: &[&[Entry]] =
        &[files::ALL, lake::ALL, misc::ALL, databases::ALL, http::ALL, actions::ALL];
    families.concat()
}

#[cfg(test)]
mod tests {
    #[test]
    fn modules_hold_to_the_rules() {
        contracts::testing::check(&super::all());
    }
}
