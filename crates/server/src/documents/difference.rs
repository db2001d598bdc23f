//! What differs between two texts, for people.

use api::definitions::TextDifference;
use similar::{ChangeTag, TextDiff};

/// Lines around each change.
const CONTEXT_LINES: usize = 3;

/// What differs between an older and a newer text; each with the name it is shown under.
pub fn difference(older: (&str, &str), newer: (&str, &str)) -> TextDifference {
    let compared = TextDiff::from_lines(older.1, newer.1);
    let count =
        |tag: ChangeTag| compared.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    let unified = match added + removed {
        0 => String::new(),
        _ => compared
            .unified_diff()
            .context_radius(CONTEXT_LINES)
            .header(older.0, newer.0)
            .to_string(),
    };
    TextDifference { unified, lines_added: added as u64, lines_removed: removed as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_is_around_it() {
        let found = difference(("v1", "a\nb\nc\n"), ("v2", "a\nB\nc\nd\n"));
        assert_eq!((found.lines_added, found.lines_removed), (2, 1));
        assert_eq!(found.unified, "--- v1\n+++ v2\n@@ -1,3 +1,4 @@\n a\n-b\n+B\n c\n+d\n");
        assert_eq!(difference(("v1", "a\n"), ("v2", "a\n")).unified, "");
    }
}
