//! Values of cells: what a number means under its format, and how a person reads it.

use chrono::{DateTime, Timelike};

const DAY_MICROS: i64 = 86_400_000_000;
/// Days from 1899-12-30 and from 1904-01-01 to 1970-01-01.
const EPOCH_1900_DAYS: i64 = 25_569;
const EPOCH_1904_DAYS: i64 = 24_107;
/// 9999-12-31, the last day that a sheet knows.
const LAST_DAY: f64 = 2_958_466.0;

/// The value of a cell that is not empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01, in a zone that the sheet does not tell.
    Instant(i64),
    /// `#N/A` and its like.
    Error(String),
}

/// What the format of a number says about its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Meaning {
    #[default]
    Number,
    Date,
    Time,
    Instant,
    /// Hours, minutes and seconds that may go beyond a day.
    Duration,
}

/// The meaning of a format that every workbook knows by its number.
pub(crate) fn builtin(number: u32) -> Meaning {
    match number {
        14..=17 | 27..=31 | 36 | 50..=54 | 57 | 58 => Meaning::Date,
        18..=21 | 32..=35 | 45 | 47 | 55 | 56 => Meaning::Time,
        22 => Meaning::Instant,
        46 => Meaning::Duration,
        _ => Meaning::Number,
    }
}

/// The meaning of a format code such as `dd/mm/yyyy` or `[h]:mm`.
pub(crate) fn meaning(code: &str) -> Meaning {
    let (mut has_day, mut has_clock, mut has_month, mut has_duration) =
        (false, false, false, false);
    let mut characters = code.chars();
    while let Some(character) = characters.next() {
        match character.to_ascii_lowercase() {
            // Only the format of positive numbers counts.
            ';' => break,
            '"' => drop(characters.by_ref().find(|c| *c == '"')),
            '\\' | '_' | '*' => drop(characters.next()),
            '[' => {
                let inner: String = characters.by_ref().take_while(|c| *c != ']').collect();
                let inner = inner.to_ascii_lowercase();
                has_duration |= ["h", "hh", "m", "mm", "s", "ss"].contains(&inner.as_str());
            }
            'd' | 'y' => has_day = true,
            'h' | 's' => has_clock = true,
            'm' => has_month = true,
            // `General` has letters too.
            'g' if code[..].to_ascii_lowercase().contains("general") => return Meaning::Number,
            _ => {}
        }
    }
    match (has_duration, has_day, has_clock, has_month) {
        (true, ..) => Meaning::Duration,
        (_, true, true, _) => Meaning::Instant,
        (_, true, false, _) => Meaning::Date,
        (_, false, true, _) => Meaning::Time,
        (_, false, false, true) => Meaning::Date,
        _ => Meaning::Number,
    }
}

/// The value of a number under a format; numbers that no calendar has stay numbers.
pub(crate) fn number(value: f64, meaning: Meaning, is_1904: bool) -> Value {
    let epoch = if is_1904 { EPOCH_1904_DAYS } else { EPOCH_1900_DAYS };
    if meaning == Meaning::Number || !(0.0..LAST_DAY).contains(&value) {
        return Value::Number(value);
    }
    // Milliseconds are what a sheet can tell apart.
    let millis = (value * 86_400_000.0).round() as i64;
    let (mut day, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000) * 1000);
    if meaning == Meaning::Duration {
        return Value::Text(duration(millis));
    }
    if day == 0 && (meaning == Meaning::Time || !is_1904 && meaning == Meaning::Instant) {
        return Value::Time(of_day);
    }
    // The year 1900 of a sheet has a 29th of February.
    if !is_1904 && day < 60 {
        day += 1;
    }
    let day = day - epoch;
    match i32::try_from(day) {
        Ok(day) if of_day == 0 && meaning == Meaning::Date => Value::Date(day),
        _ => Value::Instant(day * DAY_MICROS + of_day),
    }
}

fn duration(millis: i64) -> String {
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match rest {
        0 => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        rest => format!("{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"),
    }
}

/// A number as a sheet shows it: 15 digits, no needless zeros.
pub(crate) fn number_text(value: f64) -> String {
    let rounded = format!("{value:.14e}").parse().unwrap_or(value);
    // -0 is 0 to a person.
    let rounded: f64 = if rounded == 0.0 { 0.0 } else { rounded };
    if rounded.abs() < 1e21 && (rounded == 0.0 || rounded.abs() >= 1e-9) {
        format!("{rounded}")
    } else {
        format!("{rounded:e}")
    }
}

impl Value {
    /// The value as a person reads it; dates and times in ISO form.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Error(text) => text.clone(),
            Self::Number(value) => number_text(*value),
            Self::Boolean(value) => value.to_string(),
            Self::Date(days) => match DateTime::from_timestamp(i64::from(*days) * 86_400, 0) {
                Some(day) => day.format("%Y-%m-%d").to_string(),
                None => days.to_string(),
            },
            Self::Time(micros) => clock(*micros),
            Self::Instant(micros) => match DateTime::from_timestamp_micros(*micros) {
                Some(instant) => {
                    let day = instant.format("%Y-%m-%d");
                    format!("{day}T{}", clock(micros.rem_euclid(DAY_MICROS)))
                }
                None => micros.to_string(),
            },
        }
    }

    /// Whether there is nothing to see.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self, Self::Text(text) if text.trim().is_empty())
    }
}

fn clock(micros: i64) -> String {
    let Some(time) = DateTime::from_timestamp_micros(micros) else { return micros.to_string() };
    let format = if time.nanosecond() == 0 { "%H:%M:%S" } else { "%H:%M:%S%.3f" };
    time.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_understood() {
        for (code, expected) in [
            ("General", Meaning::Number),
            ("0.00", Meaning::Number),
            ("#,##0 \"days\"", Meaning::Number),
            ("dd/mm/yyyy", Meaning::Date),
            ("mmm", Meaning::Date),
            ("[$-40C]d mmmm yyyy;@", Meaning::Date),
            ("yyyy-mm-dd hh:mm", Meaning::Instant),
            ("h:mm AM/PM", Meaning::Time),
            ("[h]:mm:ss", Meaning::Duration),
            ("[Red]0;[Blue]yyyy", Meaning::Number),
            ("\\d0", Meaning::Number),
        ] {
            assert_eq!(meaning(code), expected, "{code}");
        }
    }

    #[test]
    fn serial_numbers_become_dates() {
        let text = |value, meaning| number(value, meaning, false).text();
        assert_eq!(text(45_000.0, Meaning::Date), "2023-03-15");
        assert_eq!(text(45_000.5, Meaning::Date), "2023-03-15T12:00:00");
        assert_eq!(text(45_000.25, Meaning::Instant), "2023-03-15T06:00:00");
        assert_eq!(text(0.75, Meaning::Time), "18:00:00");
        assert_eq!(text(1.5, Meaning::Duration), "36:00:00");
        assert_eq!(text(1.0, Meaning::Date), "1900-01-01");
        assert_eq!(text(61.0, Meaning::Date), "1900-03-01");
        assert_eq!(text(-1.0, Meaning::Date), "-1");
        assert_eq!(text(1e12, Meaning::Date), "1000000000000");
        assert_eq!(number(0.0, Meaning::Date, true).text(), "1904-01-01");
    }

    #[test]
    fn numbers_look_as_in_a_sheet() {
        assert_eq!(number_text(42.0), "42");
        assert_eq!(number_text(0.1 + 0.2), "0.3");
        assert_eq!(number_text(-1234.5), "-1234.5");
        assert_eq!(number_text(1e-12), "1e-12");
        assert_eq!(number_text(1e300), "1e300");
    }
}
