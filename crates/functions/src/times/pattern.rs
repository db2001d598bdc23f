//! Formats such as `%d/%m/%Y %H:%M`: compiled once, then read from bytes.

use super::calendar::{DAY_SECONDS, MICROS, day_number, is_leap};
use super::names::{month_at_start, weekday_at_start};
use super::quick::{DateShape, Order, local_seconds, micros_of_fraction};
use super::zone::{Zone, find};
use crate::kernel::space_at_start;
use model::{Problem, Result, codes};

/// A part of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Byte(u8),
    Space,
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    DayOfYear,
    Weekday,
    Hour,
    Hour12,
    Minute,
    Second,
    /// `.123456` or nothing.
    PointFraction,
    /// `123456`
    Fraction,
    HalfDay,
    Offset,
    ZoneName,
    Epoch,
}

/// A compiled format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    items: Vec<Item>,
}

/// The parts that were found in a text; all in their ranges, except that the day may be one that
/// the month does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: u32,
    hour12: Option<u32>,
    afternoon: bool,
    minute: u32,
    second: u32,
    micros: i64,
    offset_seconds: Option<i64>,
    zone: Option<Zone>,
    epoch: Option<i64>,
}

impl Pattern {
    /// Compiles a format; what it does not know is a problem.
    pub(crate) fn new(format: &str) -> Result<Self> {
        let mut items = Vec::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            if first == '%' {
                let (specifier, length) =
                    specifier(&rest[1..]).ok_or_else(|| unknown(format, rest))?;
                items.extend_from_slice(specifier);
                rest = &rest[1 + length..];
                continue;
            }
            let space = space_at_start(rest.as_bytes());
            let length = space.unwrap_or(first.len_utf8());
            match space {
                Some(_) if items.last() == Some(&Item::Space) => {}
                Some(_) => items.push(Item::Space),
                None => items.extend(rest[..length].bytes().map(Item::Byte)),
            }
            rest = &rest[length..];
        }
        if items.is_empty() {
            return Err(unknown(format, format));
        }
        Ok(Self { items })
    }

    /// The format of a date, which must have its year.
    pub(crate) fn with_date(format: &str) -> Result<Self> {
        let pattern = Self::new(format)?;
        let dated = [Item::Year, Item::ShortYear, Item::Epoch];
        if pattern.items.iter().any(|item| dated.contains(item)) {
            return Ok(pattern);
        }
        Err(Problem::new(&codes::SETTING_INVALID, format!("the format `{format}` has no year"))
            .arg("format", format)
            .hint("add `%Y`, or `%y` for a year of two digits"))
    }

    /// The format of a time of day, which must have its hour.
    pub(crate) fn with_time(format: &str) -> Result<Self> {
        let pattern = Self::new(format)?;
        if pattern.items.iter().any(|item| matches!(item, Item::Hour | Item::Hour12)) {
            return Ok(pattern);
        }
        Err(Problem::new(&codes::SETTING_INVALID, format!("the format `{format}` has no hour"))
            .arg("format", format)
            .hint("add `%H`, or `%I` and `%p`"))
    }

    /// The shape of the date at the start, when it is one of the usual ones, and the parts after.
    fn date_shape(&self) -> Option<(DateShape, &[Item])> {
        let [first, Item::Byte(separator), second, Item::Byte(again), third, rest @ ..] =
            self.items.as_slice()
        else {
            return None;
        };
        let order = match (first, second, third) {
            (Item::Year, Item::Month, Item::Day) => Order::YearMonthDay,
            (Item::Day, Item::Month, Item::Year) => Order::DayMonthYear,
            (Item::Month, Item::Day, Item::Year) => Order::MonthDayYear,
            _ => return None,
        };
        (separator == again).then_some((DateShape { order, separator: *separator }, rest))
    }

    /// The shape, where the format is a date alone.
    pub(crate) fn quick_date(&self) -> Option<DateShape> {
        self.date_shape().and_then(|(shape, rest)| rest.is_empty().then_some(shape))
    }

    /// The shape, where the format is a date, a space or letter, and `%H:%M` or `%H:%M:%S`; with
    /// that letter and the length of the whole.
    pub(crate) fn quick_timestamp(&self) -> Option<(DateShape, u8, usize)> {
        let (shape, rest) = self.date_shape()?;
        let [middle, Item::Hour, Item::Byte(b':'), Item::Minute, rest @ ..] = rest else {
            return None;
        };
        let middle = match middle {
            Item::Space => b' ',
            Item::Byte(byte) => *byte,
            _ => return None,
        };
        match rest {
            [] => Some((shape, middle, 16)),
            [Item::Byte(b':'), Item::Second] => Some((shape, middle, 19)),
            _ => None,
        }
    }

    /// Reads a trimmed text from its start to its end.
    pub(crate) fn read(&self, text: &[u8]) -> Option<Parsed> {
        let mut parsed = Parsed::default();
        let mut rest = text;
        for item in &self.items {
            let length = parsed.take(*item, rest)?;
            rest = &rest[length..];
        }
        rest.is_empty().then_some(parsed)
    }
}

fn specifier(text: &str) -> Option<(&'static [Item], usize)> {
    use Item as I;
    const COLON: Item = Item::Byte(b':');
    const DASH: Item = Item::Byte(b'-');
    const SLASH: Item = Item::Byte(b'/');
    let items: &'static [Item] = match text.as_bytes() {
        [b'.', b'f', ..] => return Some((&[I::PointFraction], 2)),
        [b'.', b'3' | b'6' | b'9', b'f', ..] => return Some((&[I::PointFraction], 3)),
        [b':', b'z', ..] => return Some((&[I::Offset], 2)),
        [b'-', b'd', ..] => return Some((&[I::Day], 2)),
        [b'-', b'm', ..] => return Some((&[I::Month], 2)),
        [b'Y', ..] => &[I::Year],
        [b'y', ..] => &[I::ShortYear],
        [b'm', ..] => &[I::Month],
        [b'b' | b'B' | b'h', ..] => &[I::MonthName],
        [b'd' | b'e', ..] => &[I::Day],
        [b'j', ..] => &[I::DayOfYear],
        [b'a' | b'A', ..] => &[I::Weekday],
        [b'H' | b'k', ..] => &[I::Hour],
        [b'I' | b'l', ..] => &[I::Hour12],
        [b'M', ..] => &[I::Minute],
        [b'S', ..] => &[I::Second],
        [b'f', ..] => &[I::Fraction],
        [b'p' | b'P', ..] => &[I::HalfDay],
        [b'z', ..] => &[I::Offset],
        [b'Z', ..] => &[I::ZoneName],
        [b's', ..] => &[I::Epoch],
        [b'%', ..] => &[I::Byte(b'%')],
        [b'F', ..] => &[I::Year, DASH, I::Month, DASH, I::Day],
        [b'T', ..] => &[I::Hour, COLON, I::Minute, COLON, I::Second],
        [b'R', ..] => &[I::Hour, COLON, I::Minute],
        [b'D', ..] => &[I::Month, SLASH, I::Day, SLASH, I::ShortYear],
        _ => return None,
    };
    Some((items, 1))
}

fn unknown(format: &str, at: &str) -> Problem {
    let end = at.char_indices().nth(2).map_or(at.len(), |(end, _)| end);
    let message = match at {
        "" => "a format is empty".to_owned(),
        _ => format!("the format `{format}` has `{}`, which is not known", &at[..end]),
    };
    let hint = match format.contains('%') {
        true => "known are %d %m %Y %y %H %M %S %.f %b %B %j %p %I %z %Z %s",
        false => "write a format such as `%d/%m/%Y %H:%M`",
    };
    Problem::new(&codes::SETTING_INVALID, message).arg("format", format).hint(hint)
}

/// A number of at most so many digits, and how many it has.
fn number(text: &[u8], digits_max: usize) -> Option<(u32, usize)> {
    let mut value = 0;
    let mut length = 0;
    while let Some(digit) = text.get(length).filter(|b| b.is_ascii_digit() && length < digits_max) {
        value = value * 10 + u32::from(digit - b'0');
        length += 1;
    }
    (length > 0).then_some((value, length))
}

fn number_in(
    text: &[u8],
    digits_max: usize,
    range: std::ops::RangeInclusive<u32>,
) -> Option<(u32, usize)> {
    number(text, digits_max).filter(|(value, _)| range.contains(value))
}

impl Parsed {
    /// Takes one part from the start of `text`, and says how many bytes it has.
    fn take(&mut self, item: Item, text: &[u8]) -> Option<usize> {
        let (value, length) = match item {
            Item::Byte(byte) => return (text.first() == Some(&byte)).then_some(1),
            Item::Space => return spaces(text),
            Item::Weekday => return weekday_at_start(text),
            Item::PointFraction if !matches!(text, [b'.' | b',', ..]) => return Some(0),
            Item::PointFraction => return Some(1 + self.take(Item::Fraction, &text[1..])?),
            Item::Fraction => return self.take_fraction(text),
            Item::HalfDay => return self.take_half_day(text),
            Item::Offset => return self.take_offset(text),
            Item::ZoneName => return self.take_zone(text),
            Item::Epoch => return self.take_epoch(text),
            Item::Year => number(text, 4).filter(|(_, length)| *length == 4)?,
            Item::ShortYear => number(text, 2).filter(|(_, length)| *length == 2)?,
            Item::Month => number_in(text, 2, 1..=12)?,
            Item::MonthName => month_at_start(text)?,
            Item::Day => {
                let padding = usize::from(text.first() == Some(&b' '));
                let (day, length) = number_in(&text[padding..], 2, 1..=31)?;
                (day, padding + length)
            }
            Item::DayOfYear => number_in(text, 3, 1..=366)?,
            Item::Hour => number_in(text, 2, 0..=23)?,
            Item::Hour12 => number_in(text, 2, 1..=12)?,
            Item::Minute | Item::Second => number_in(text, 2, 0..=59)?,
        };
        match item {
            Item::Year => self.year = Some(value),
            Item::ShortYear => self.year = Some(value + if value < 69 { 2000 } else { 1900 }),
            Item::Month | Item::MonthName => self.month = Some(value),
            Item::Day => self.day = Some(value),
            Item::DayOfYear => self.day_of_year = Some(value),
            Item::Hour => self.hour = value,
            Item::Hour12 => self.hour12 = Some(value),
            Item::Minute => self.minute = value,
            Item::Second => self.second = value,
            _ => {}
        }
        Some(length)
    }

    fn take_fraction(&mut self, text: &[u8]) -> Option<usize> {
        let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.micros = micros_of_fraction(&text[..length])?;
        Some(length)
    }

    fn take_half_day(&mut self, text: &[u8]) -> Option<usize> {
        let (afternoon, length) = match text {
            [b'A' | b'a', b'.', b'M' | b'm', b'.', ..] => (false, 4),
            [b'P' | b'p', b'.', b'M' | b'm', b'.', ..] => (true, 4),
            [b'A' | b'a', b'M' | b'm', ..] => (false, 2),
            [b'P' | b'p', b'M' | b'm', ..] => (true, 2),
            _ => return None,
        };
        self.afternoon = afternoon;
        Some(length)
    }

    fn take_offset(&mut self, text: &[u8]) -> Option<usize> {
        let (seconds, length) = offset_at_start(text)?;
        self.offset_seconds = Some(seconds);
        Some(length)
    }

    fn take_zone(&mut self, text: &[u8]) -> Option<usize> {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(byte);
        let length = text.iter().take_while(is_part).count();
        let name = std::str::from_utf8(&text[..length]).ok()?;
        self.zone = match name {
            "UTC" | "GMT" | "Z" => Some(Zone::Utc),
            _ => Some(Zone::Named(find(name).filter(|_| name.contains('/'))?)),
        };
        Some(length)
    }

    fn take_epoch(&mut self, text: &[u8]) -> Option<usize> {
        let sign = usize::from(text.first() == Some(&b'-'));
        let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 12 {
            return None;
        }
        self.epoch = std::str::from_utf8(&text[..sign + digits]).ok()?.parse().ok();
        Some(sign + digits)
    }

    /// The local day number; missing months and days are the first.
    pub(crate) fn day(&self) -> Option<i32> {
        if let Some(epoch) = self.epoch {
            return i32::try_from(epoch.div_euclid(DAY_SECONDS)).ok();
        }
        let year = self.year?;
        match self.day_of_year {
            Some(day) if self.month.is_none() && self.day.is_none() => {
                (day <= 365 || is_leap(year)).then_some(())?;
                Some(day_number(year, 1, 1)? + day as i32 - 1)
            }
            _ => day_number(year, self.month.unwrap_or(1), self.day.unwrap_or(1)),
        }
    }

    /// µs since midnight.
    pub(crate) fn micros_of_day(&self) -> i64 {
        let hour = match self.hour12 {
            Some(hour) => hour % 12 + if self.afternoon { 12 } else { 0 },
            None => self.hour,
        };
        i64::from(hour * 3600 + self.minute * 60 + self.second) * MICROS + self.micros
    }

    /// µs since the epoch; `zone` is for times that bring none of their own.
    pub(crate) fn instant(&self, zone: Zone) -> Option<i64> {
        if let Some(epoch) = self.epoch {
            return epoch.checked_mul(MICROS)?.checked_add(self.micros);
        }
        let micros = self.micros_of_day();
        let local = local_seconds(self.day()?, micros.div_euclid(MICROS));
        let seconds = match self.offset_seconds {
            Some(offset) => local - offset,
            None => self.zone.unwrap_or(zone).instant(local)?,
        };
        Some(seconds * MICROS + micros.rem_euclid(MICROS))
    }
}

fn spaces(text: &[u8]) -> Option<usize> {
    let mut length = 0;
    while let Some(space) = space_at_start(&text[length..]) {
        length += space;
    }
    (length > 0).then_some(length)
}

/// The offset from UTC that a text begins with: `Z`, `+02`, `+0200`, `+02:00`.
pub(crate) fn offset_at_start(text: &[u8]) -> Option<(i64, usize)> {
    let sign = match text.first()? {
        b'Z' | b'z' => return Some((0, 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, length) = number(&text[1..], 2).filter(|(_, length)| *length == 2)?;
    let rest = &text[1 + length..];
    let colon = usize::from(rest.first() == Some(&b':'));
    let minutes = number(&rest[colon..], 2).filter(|(_, length)| *length == 2);
    let (minutes, rest_length) = match minutes {
        Some((minutes, length)) => (minutes, colon + length),
        None => (0, 0),
    };
    let valid = hours <= 18 && minutes <= 59;
    let seconds = sign * i64::from(hours * 3600 + minutes * 60);
    valid.then_some((seconds, 1 + length + rest_length))
}
