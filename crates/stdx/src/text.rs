//! Small things with text that messages need.

/// How many slips lie between two short words: a character too many, too few, another one, or two
/// neighbours swapped.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 0..left.len() {
        let mut row = vec![i + 1];
        for j in 0..right.len() {
            let replaced = rows[i][j] + usize::from(left[i] != right[j]);
            let mut slips = replaced.min(row[j] + 1).min(rows[i][j + 1] + 1);
            let is_swap = i > 0 && j > 0 && left[i] == right[j - 1] && left[i - 1] == right[j];
            if is_swap {
                slips = slips.min(rows[i - 1][j - 1] + 1);
            }
            row.push(slips);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

/// The candidate that `word` was probably meant to be, if one is near enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `1`, `1 000`, `12 345 678`: digits grouped by a thin space's plain cousin.
pub fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// At most `bytes_max` bytes of `text`, cut between characters.
pub fn truncate(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Joins names for a sentence: `` `a`, `b` and `c` ``.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_the_misspelt_word_and_not_a_stranger() {
        assert_eq!(nearest("delimeter", ["delimiter", "path"]), Some("delimiter"));
        assert_eq!(nearest("zebra", ["delimiter", "path"]), None);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(group_digits(7), "7");
        assert_eq!(group_digits(1234), "1 234");
        assert_eq!(group_digits(12_345_678), "12 345 678");
    }
}
