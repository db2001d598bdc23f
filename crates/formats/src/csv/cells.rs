//! A first glance at a value: enough to tell a header from a row.

/// What a cell looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    Empty,
    /// A number, an amount, a percentage, in any country's notation.
    Number,
    /// A date or a time of day.
    Moment,
    Text,
}

/// What `text` looks like.
pub(crate) fn cell_of(text: &str) -> Cell {
    let text = text.trim();
    if text.is_empty() {
        return Cell::Empty;
    }
    if text.len() > 64 || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Cell::Text;
    }
    if is_number(text) {
        Cell::Number
    } else if is_moment(text) {
        Cell::Moment
    } else {
        Cell::Text
    }
}

/// Whether `text` is a year, which may as well be the name of a column.
pub(crate) fn is_year(text: &str) -> bool {
    text.trim().parse::<u32>().is_ok_and(|year| (1800..=2200).contains(&year))
}

fn is_number(text: &str) -> bool {
    let amount = text
        .trim_start_matches(['+', '-', '$', '€', '£', '¥'])
        .trim_end_matches(['%', '€', '$', '£'])
        .trim();
    let mut digits = 0;
    let mut exponents = 0;
    let mut before = ' ';
    for character in amount.chars() {
        match character {
            '0'..='9' => digits += 1,
            '.' | ',' | '\'' | ' ' | '\u{a0}' | '\u{202f}' | '_' => {
                if before.is_ascii_punctuation() {
                    return false;
                }
            }
            'e' | 'E' if digits > 0 => exponents += 1,
            '+' | '-' if before.eq_ignore_ascii_case(&'e') => {}
            _ => return false,
        }
        before = character;
    }
    digits > 0 && exponents <= 1
}

fn is_moment(text: &str) -> bool {
    let mut separators = 0;
    let mut digits = 0;
    for character in text.chars() {
        match character {
            '0'..='9' => digits += 1,
            '-' | '/' | ':' | '.' => separators += 1,
            ' ' | 'T' | 'Z' | '+' => {}
            _ => return false,
        }
    }
    let starts = text.starts_with(|first: char| first.is_ascii_digit());
    starts && digits >= 3 && separators >= 1
}
