//! Names of months and days of the week, in English and French, with or without accents.

/// Month number and its names; a longer name comes before its beginning.
const MONTHS: &[(u32, &[&str])] = &[
    (1, &["january", "janvier", "janv", "jan"]),
    (2, &["february", "fevrier", "fevr", "fev", "feb"]),
    (3, &["march", "mars", "mar"]),
    (4, &["april", "avril", "avr", "apr"]),
    (5, &["may", "mai"]),
    (6, &["june", "juin", "jun"]),
    (7, &["july", "juillet", "juil", "jul"]),
    (8, &["august", "aout", "aou", "aug"]),
    (9, &["september", "septembre", "sept", "sep"]),
    (10, &["october", "octobre", "oct"]),
    (11, &["november", "novembre", "nov"]),
    (12, &["december", "decembre", "dec"]),
];

const WEEKDAYS: &[&str] = &[
    "monday",
    "mon",
    "tuesday",
    "tues",
    "tue",
    "wednesday",
    "wed",
    "thursday",
    "thurs",
    "thu",
    "friday",
    "fri",
    "saturday",
    "sat",
    "sunday",
    "sun",
    "lundi",
    "lun",
    "mardi",
    "mar",
    "mercredi",
    "mer",
    "jeudi",
    "jeu",
    "vendredi",
    "ven",
    "samedi",
    "sam",
    "dimanche",
    "dim",
];

/// The month whose name the text begins with, and the bytes of that name and its full stop.
pub(crate) fn month_at_start(text: &[u8]) -> Option<(u32, usize)> {
    let (month, length) = MONTHS
        .iter()
        .flat_map(|(month, names)| names.iter().map(move |name| (*month, name)))
        .filter_map(|(month, name)| Some((month, length_at_start(text, name)?)))
        .max_by_key(|(_, length)| *length)?;
    Some((month, length + full_stop(&text[length..])))
}

/// The bytes of the weekday that the text begins with.
pub(crate) fn weekday_at_start(text: &[u8]) -> Option<usize> {
    let length = WEEKDAYS.iter().filter_map(|name| length_at_start(text, name)).max()?;
    Some(length + full_stop(&text[length..]))
}

fn full_stop(text: &[u8]) -> usize {
    usize::from(text.first() == Some(&b'.'))
}

fn length_at_start(text: &[u8], name: &str) -> Option<usize> {
    let mut at = 0;
    for wanted in name.bytes() {
        let (letter, bytes) = letter_at_start(&text[at..])?;
        if letter != wanted {
            return None;
        }
        at += bytes;
    }
    Some(at)
}

/// The first letter, in lower case and without its accent, and its bytes.
fn letter_at_start(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [0xC3, 0x89 | 0xA9, ..] => Some((b'e', 2)),
        [0xC3, 0x9B | 0xBB, ..] => Some((b'u', 2)),
        [letter, ..] if letter.is_ascii_alphabetic() => Some((letter.to_ascii_lowercase(), 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_in_two_languages() {
        let month = |text: &str| month_at_start(text.as_bytes());
        assert_eq!(month("Février 2024"), Some((2, 8)));
        assert_eq!(month("fevr. 2024"), Some((2, 5)));
        assert_eq!(month("AOÛT"), Some((8, 5)));
        assert_eq!(month("Déc."), Some((12, 5)));
        assert_eq!(month("juin"), Some((6, 4)));
        assert_eq!(month("juil."), Some((7, 5)));
        assert_eq!(month("Mars"), Some((3, 4)));
        assert_eq!(month("Mar-2024"), Some((3, 3)));
        assert_eq!(month("xyz"), None);
        assert_eq!(month(""), None);
    }

    #[test]
    fn weekdays_in_two_languages() {
        assert_eq!(weekday_at_start(b"Mardi 3"), Some(5));
        assert_eq!(weekday_at_start(b"Mon, 3"), Some(3));
        assert_eq!(weekday_at_start(b"3"), None);
    }
}
