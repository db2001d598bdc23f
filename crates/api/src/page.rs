//! Long lists come in pages.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// Items of a page unless the request says so.
pub const ITEMS_DEFAULT: u64 = 50;
/// A page has at most so many items.
pub const ITEMS_MAX: u64 = 500;

/// Which page.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items at most: 50 unless given, no more than 500.
    pub limit: Option<u64>,
    /// What the page before gave as `next`.
    pub after: Option<String>,
}

impl PageQuery {
    /// How many items the page may have.
    pub fn items_max(&self) -> u64 {
        self.limit.unwrap_or(ITEMS_DEFAULT).clamp(1, ITEMS_MAX)
    }
}
