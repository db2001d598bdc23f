//! Why a value could not be parsed: a second, slower look at the few that could not.

use crate::kernel::{Parser, trim};
use crate::numbers::decimal::Decimals;
use crate::numbers::notation::{Group, Notation};
use crate::times::pattern::Pattern;
use crate::times::timestamp::Timestamps;
use model::{DataType, Result};

/// What a value was to become.
pub(super) struct Target {
    data_type: DataType,
    notation: Notation,
    format: Option<String>,
    zone: Option<String>,
    /// With a format: what it means; none for numbers and texts.
    pattern: Option<Pattern>,
}

impl Target {
    pub(super) fn new(data_type: &str, format: Option<&str>, zone: Option<&str>) -> Result<Self> {
        let data_type = DataType::parse(data_type)?;
        let is_time = matches!(data_type, DataType::Date | DataType::Time | DataType::Timestamp);
        let is_number = matches!(data_type, DataType::Decimal(_, _) | DataType::Float);
        let default = match data_type {
            DataType::Date => "%Y-%m-%d",
            DataType::Time => "%H:%M:%S%.f",
            _ => "%Y-%m-%dT%H:%M:%S%.f%z",
        };
        let notation = match format {
            Some(characters) if is_number => {
                let end = characters.chars().next().map_or(0, char::len_utf8);
                let (decimal, group) = characters.split_at(end);
                Notation::new(Some(decimal).filter(|text| !text.is_empty()), Some(group))?
            }
            Some(group) if data_type == DataType::Integer => Notation::new(None, Some(group))?,
            _ => Notation::PLAIN,
        };
        let pattern = is_time.then(|| Pattern::new(format.unwrap_or(default))).transpose()?;
        Ok(Self {
            data_type,
            notation,
            format: format.map(str::to_owned),
            zone: zone.map(str::to_owned),
            pattern,
        })
    }

    /// A lowercase fact about a value that could not be parsed.
    pub(super) fn reason(&self, value: &str) -> String {
        match &self.data_type {
            DataType::Integer => match self.count_digits(value) {
                Some(_) if !value.contains('.') => "is too large for a 64-bit integer".to_owned(),
                Some((_, 0)) | None => "is not an integer".to_owned(),
                Some(_) => "has decimals".to_owned(),
            },
            DataType::Decimal(precision, scale) => self.decimal(value, *precision, *scale),
            DataType::Float => "is not a number".to_owned(),
            DataType::Boolean => "is neither true nor false".to_owned(),
            DataType::Date | DataType::Time | DataType::Timestamp => self.time(value),
            DataType::Uuid => "is not a UUID".to_owned(),
            DataType::Json => "is not valid JSON".to_owned(),
            DataType::Binary => match self.format.as_deref() {
                Some(format) => format!("is not {format}"),
                None => "is neither hexadecimal nor base64".to_owned(),
            },
            other => format!("does not fit the type `{other}`"),
        }
    }

    /// Digits before and after the decimal character that say something, when it is a number.
    fn count_digits(&self, value: &str) -> Option<(usize, usize)> {
        let parts = self.notation.split(trim(value.as_bytes()))?;
        let mut whole = 0;
        self.notation.whole_digits(parts.whole, |digit| {
            whole += usize::from(whole > 0 || digit > 0);
            Some(())
        })?;
        if !parts.decimals.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = parts.decimals.iter().rev().take_while(|byte| **byte == b'0').count();
        Some((whole, parts.decimals.len() - zeros))
    }

    fn decimal(&self, value: &str, precision: u8, scale: i8) -> String {
        let scale = usize::from(scale.unsigned_abs());
        let whole_max = usize::from(precision).saturating_sub(scale);
        match self.count_digits(value) {
            Some((whole, _)) if whole > whole_max => match whole_max {
                0 => "is not less than 1".to_owned(),
                1 => "has more than 1 digit before the decimals".to_owned(),
                _ => format!("has more than {whole_max} digits before the decimals"),
            },
            Some((_, decimals)) if decimals > scale => match scale {
                0 => "has decimals".to_owned(),
                1 => "has more than 1 decimal".to_owned(),
                _ => format!("has more than {scale} decimals"),
            },
            _ if self.is_number_elsewhere(value) => {
                let decimal = char::from(self.notation.decimal);
                format!("is not a number with the decimal character `{decimal}`")
            }
            _ => "is not a number".to_owned(),
        }
    }

    /// Whether it would be a number in the most usual other notations.
    fn is_number_elsewhere(&self, value: &str) -> bool {
        let other = if self.notation.decimal == b'.' { b',' } else { b'.' };
        [Group::None, Group::Space, Group::Byte(self.notation.decimal)].into_iter().any(|group| {
            let notation = Notation { decimal: other, group };
            Decimals::new(38, 9, notation).bytes(value.as_bytes()).is_some()
        })
    }

    fn time(&self, value: &str) -> String {
        let parsed = self.pattern.as_ref().and_then(|pattern| pattern.read(trim(value.as_bytes())));
        let noun = match self.data_type {
            DataType::Date => "a date",
            DataType::Time => "a time",
            _ => "a timestamp",
        };
        if self.data_type != DataType::Time && parsed.is_some_and(|parsed| parsed.day().is_none()) {
            return "is a day that does not exist".to_owned();
        }
        if self.data_type == DataType::Timestamp && self.exists_in_utc(value) {
            let zone = self.zone.as_deref().unwrap_or("UTC");
            return format!("is a time that does not exist in `{zone}`");
        }
        match (&self.format, &self.data_type) {
            (Some(format), _) => format!("is not {noun} of the form `{format}`"),
            (None, DataType::Date) => "is not a date of the form `%Y-%m-%d`".to_owned(),
            (None, DataType::Time) => "is not a time of the form `%H:%M:%S`".to_owned(),
            (None, _) => "is not a timestamp of the form `%Y-%m-%d %H:%M:%S`".to_owned(),
        }
    }

    fn exists_in_utc(&self, value: &str) -> bool {
        let utc = Timestamps::new(self.format.as_deref(), None);
        utc.is_ok_and(|mut utc| utc.bytes(value.as_bytes()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(data_type: &str, format: Option<&str>, value: &str) -> String {
        Target::new(data_type, format, Some("Europe/Paris")).unwrap().reason(value)
    }

    #[test]
    fn reasons() {
        for (data_type, format, value, expected) in [
            ("integer", None, "12a", "is not an integer"),
            ("integer", None, "1.0", "is not an integer"),
            ("integer", None, "1.5", "has decimals"),
            ("integer", None, "9223372036854775808", "is too large for a 64-bit integer"),
            ("decimal(5,2)", None, "1.005", "has more than 2 decimals"),
            ("decimal(5,0)", None, "1.5", "has decimals"),
            ("decimal(5,2)", None, "1000", "has more than 3 digits before the decimals"),
            ("decimal(2,2)", None, "1", "is not less than 1"),
            ("decimal(5,2)", None, "12,5", "is not a number with the decimal character `.`"),
            (
                "decimal(9,2)",
                Some(", "),
                "1 234.5",
                "is not a number with the decimal character `,`",
            ),
            ("decimal(5,2)", None, "12 €", "is not a number"),
            ("float", None, "x", "is not a number"),
            ("boolean", None, "maybe", "is neither true nor false"),
            ("date", None, "31/01/2026", "is not a date of the form `%Y-%m-%d`"),
            ("date", None, "2026-02-30", "is a day that does not exist"),
            ("date", Some("%d/%m/%Y"), "2026-02-03", "is not a date of the form `%d/%m/%Y`"),
            ("date", Some("%d/%m/%Y"), "31/04/2026", "is a day that does not exist"),
            ("time", None, "25:00", "is not a time of the form `%H:%M:%S`"),
            (
                "timestamp",
                None,
                "2024-03-31 02:30",
                "is a time that does not exist in `Europe/Paris`",
            ),
            ("timestamp", None, "soon", "is not a timestamp of the form `%Y-%m-%d %H:%M:%S`"),
            ("uuid", None, "1", "is not a UUID"),
            ("json", None, "{", "is not valid JSON"),
            ("binary", Some("hex"), "x", "is not hex"),
            ("list<integer>", None, "x", "does not fit the type `list<integer>`"),
        ] {
            assert_eq!(reason(data_type, format, value), expected, "{value} as {data_type}");
        }
    }
}
