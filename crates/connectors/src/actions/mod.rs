//! Actions that talk to databases and services, or wait for them.

mod http_call;
#[cfg(test)]
mod tests;
mod wait_for;

use crate::databases::sql_execute::SqlExecute;
use contracts::Entry;

/// Actions that need connections.
pub const ALL: &[Entry] = &[
    Entry::action::<http_call::HttpCall>(),
    Entry::action::<SqlExecute>(),
    Entry::action::<wait_for::WaitFor>(),
];
