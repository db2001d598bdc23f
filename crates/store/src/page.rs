//! Lists in pages.

use model::{Problem, Result, codes};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// What to give to get the next page; none after the last.
    pub next: Option<String>,
}

/// No page is longer.
pub(crate) const PAGE_MAX: u64 = 500;

impl<T> Page<T> {
    /// A page of `limit` out of `items`, of which one more than `limit` were asked for.
    pub(crate) fn cut(mut items: Vec<T>, limit: u64, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = if items.len() > limit {
            items.truncate(limit);
            items.last().map(cursor)
        } else {
            None
        };
        Self { items, next }
    }
}

/// What is asked for and what is given: at least one, at most [`PAGE_MAX`].
pub(crate) fn limit(asked: u64) -> u64 {
    asked.clamp(1, PAGE_MAX)
}

/// Reads a cursor that is a number.
pub(crate) fn number(cursor: &str) -> Result<i64> {
    cursor.parse().map_err(|_| unreadable(cursor))
}

/// The problem that a cursor is none.
pub(crate) fn unreadable(cursor: &str) -> Problem {
    Problem::new(&codes::REQUEST_INVALID, format!("`{cursor}` is not the cursor of a page"))
        .hint("give what the page before named as `next`")
}
