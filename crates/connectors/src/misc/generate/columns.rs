//! How the values of each kind of column are made.

use super::words;
use super::{Column, ColumnKind};
use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
    StringViewBuilder, TimestampMicrosecondBuilder,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use contracts::arrow_types::UTC;
use model::{DataType, Problem, Result, codes};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use stdx::hash::Random;

const PRECISION: u8 = 18;
const MICROS: i64 = 1_000_000;
const WORDS_MAX: i64 = 10_000;

/// Makes the values of one column.
#[derive(Debug)]
pub(super) enum Maker {
    Integer(i64, i64),
    Decimal(i64, i64, u8),
    Float(f64, f64),
    Boolean,
    Date(i64, i64),
    /// In seconds.
    Timestamp(i64, i64),
    Sequence(i64, i64),
    Choice(Choice),
    Uuid,
    Words(WordKind),
    Text(i64, i64),
}

/// Texts that are put together from lists.
#[derive(Debug, Clone, Copy)]
pub(super) enum WordKind {
    FirstName,
    LastName,
    FullName,
    Email,
    Phone,
    Company,
    Street,
    City,
    PostalCode,
    Country,
    CountryCode,
    Product,
}

/// Values to choose from, all of one type, with the sums of their weights.
#[derive(Debug)]
pub(super) struct Choice {
    values: Values,
    sums: Vec<f64>,
}

#[derive(Debug)]
enum Values {
    Booleans(Vec<Option<bool>>),
    Integers(Vec<Option<i64>>),
    Floats(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

impl Maker {
    /// The maker that a column's settings ask for.
    pub(super) fn new(name: &str, column: &Column) -> Result<Self> {
        check(name, column)?;
        let (min, max) = (column.min.as_ref(), column.max.as_ref());
        let whole = |value: Option<&Value>, default: i64| match value {
            None => Ok(default),
            Some(value) => value.as_i64().ok_or_else(|| bad_limit(name, value, "a whole number")),
        };
        let maker = match column.kind {
            ColumnKind::Integer => Self::Integer(whole(min, 0)?, whole(max, 1000)?),
            ColumnKind::Sequence => Self::Sequence(whole(min, 1)?, column.step.unwrap_or(1)),
            ColumnKind::Text => Self::Text(whole(min, 3)?, whole(max, 12)?),
            ColumnKind::Decimal => {
                let scale = column.scale.unwrap_or(2);
                let limit = |value: Option<&Value>, default: i64| match value {
                    None => scaled(&default.to_string(), scale).ok_or(Value::from(default)),
                    Some(value) => scaled(&plain(value), scale).ok_or(value.clone()),
                };
                let what = format!(
                    "a number of at most {PRECISION} digits, {scale} of them after the point"
                );
                let bad = |value: Value| bad_limit(name, &value, &what);
                Self::Decimal(limit(min, 0).map_err(bad)?, limit(max, 1000).map_err(bad)?, scale)
            }
            ColumnKind::Float => {
                let limit = |value: Option<&Value>, default: f64| match value {
                    None => Ok(default),
                    Some(value) => value.as_f64().ok_or_else(|| bad_limit(name, value, "a number")),
                };
                Self::Float(limit(min, 0.0)?, limit(max, 1.0)?)
            }
            ColumnKind::Date => {
                let limit = |value: Option<&Value>, default: &str| {
                    let text = value.map_or(default.to_owned(), plain);
                    day(&text).ok_or_else(|| {
                        bad_limit(name, &Value::from(text), "a date such as 2026-01-31")
                    })
                };
                Self::Date(limit(min, "2020-01-01")?, limit(max, "2025-12-31")?)
            }
            ColumnKind::Timestamp => {
                let limit = |value: Option<&Value>, default: &str| {
                    let text = value.map_or(default.to_owned(), plain);
                    second(&text).ok_or_else(|| {
                        bad_limit(
                            name,
                            &Value::from(text),
                            "an instant such as 2026-01-31T08:00:00",
                        )
                    })
                };
                Self::Timestamp(limit(min, "2020-01-01")?, limit(max, "2025-12-31T23:59:59")?)
            }
            ColumnKind::Boolean => Self::Boolean,
            ColumnKind::Uuid => Self::Uuid,
            ColumnKind::Choice => Self::Choice(Choice::new(name, &column.values, &column.weights)?),
            ColumnKind::FirstName => Self::Words(WordKind::FirstName),
            ColumnKind::LastName => Self::Words(WordKind::LastName),
            ColumnKind::FullName => Self::Words(WordKind::FullName),
            ColumnKind::Email => Self::Words(WordKind::Email),
            ColumnKind::Phone => Self::Words(WordKind::Phone),
            ColumnKind::Company => Self::Words(WordKind::Company),
            ColumnKind::Street => Self::Words(WordKind::Street),
            ColumnKind::City => Self::Words(WordKind::City),
            ColumnKind::PostalCode => Self::Words(WordKind::PostalCode),
            ColumnKind::Country => Self::Words(WordKind::Country),
            ColumnKind::CountryCode => Self::Words(WordKind::CountryCode),
            ColumnKind::Product => Self::Words(WordKind::Product),
        };
        let is_empty = match &maker {
            Self::Integer(min, max)
            | Self::Decimal(min, max, _)
            | Self::Date(min, max)
            | Self::Timestamp(min, max) => min > max,
            Self::Text(min, max) => min > max || *min < 0 || *max > WORDS_MAX,
            Self::Float(min, max) => !(min <= max && (max - min).is_finite()),
            _ => false,
        };
        if is_empty {
            return Err(invalid(format!("nothing lies between `min` and `max` of `{name}`"))
                .hint("make `min` the smaller one"));
        }
        Ok(maker)
    }

    /// The type of the values.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Integer(..) | Self::Sequence(..) => DataType::Integer,
            Self::Decimal(_, _, scale) => DataType::Decimal(PRECISION, *scale as i8),
            Self::Float(..) => DataType::Float,
            Self::Boolean => DataType::Boolean,
            Self::Date(..) => DataType::Date,
            Self::Timestamp(..) => DataType::Timestamp,
            Self::Uuid => DataType::Uuid,
            Self::Words(_) | Self::Text(..) => DataType::String,
            Self::Choice(choice) => match choice.values {
                Values::Booleans(_) => DataType::Boolean,
                Values::Integers(_) => DataType::Integer,
                Values::Floats(_) => DataType::Float,
                Values::Texts(_) => DataType::String,
            },
        }
    }

    /// The values of `rows` rows, the first of which is row number `first`, from 0.
    pub(super) fn make(
        &self,
        first: u64,
        rows: u64,
        null_rate: f64,
        random: &mut Random,
    ) -> Result<ArrayRef> {
        /// Fills a builder with the values of an expression, nulls strewn in.
        macro_rules! fill {
            ($builder:expr, $value:expr) => {{
                let mut builder = $builder;
                for row in 0..rows {
                    let is_null = null_rate > 0.0 && random.unit() < null_rate;
                    if is_null { builder.append_null() } else { builder.append_option($value(row)) }
                }
                let array: ArrayRef = Arc::new(builder.finish());
                Ok(array)
            }};
        }
        let mut text = String::new();
        match self {
            Self::Integer(min, max) => {
                fill!(Int64Builder::new(), |_| Some(within(*min, *max, random)))
            }
            Self::Sequence(start, step) => fill!(Int64Builder::new(), |row| {
                let row = i64::try_from(first + row).unwrap_or(i64::MAX);
                Some(start.wrapping_add(step.wrapping_mul(row)))
            }),
            Self::Decimal(min, max, scale) => {
                let builder =
                    Decimal128Builder::new().with_precision_and_scale(PRECISION, *scale as i8);
                let builder = builder.map_err(|error| {
                    Problem::new(&codes::INTERNAL, "a decimal type is not valid").detail(error)
                })?;
                fill!(builder, |_| Some(i128::from(within(*min, *max, random))))
            }
            Self::Float(min, max) => {
                fill!(Float64Builder::new(), |_| Some(min + (max - min) * random.unit()))
            }
            Self::Boolean => fill!(BooleanBuilder::new(), |_| Some(random.below(2) == 1)),
            Self::Date(min, max) => {
                fill!(Date32Builder::new(), |_| i32::try_from(within(*min, *max, random)).ok())
            }
            Self::Timestamp(min, max) => fill!(
                TimestampMicrosecondBuilder::new().with_timezone(UTC),
                |_| Some(within(*min, *max, random) * MICROS)
            ),
            Self::Uuid => fill!(StringViewBuilder::new(), |_| Some(uuid(random))),
            Self::Choice(choice) => match &choice.values {
                Values::Booleans(values) => {
                    fill!(BooleanBuilder::new(), |_| values[choice.at(random)])
                }
                Values::Integers(values) => {
                    fill!(Int64Builder::new(), |_| values[choice.at(random)])
                }
                Values::Floats(values) => {
                    fill!(Float64Builder::new(), |_| values[choice.at(random)])
                }
                Values::Texts(values) => {
                    fill!(StringViewBuilder::new(), |_| values[choice.at(random)].as_deref())
                }
            },
            Self::Text(min, max) => fill!(StringViewBuilder::new(), |_| {
                text.clear();
                sentence(&mut text, within(*min, *max, random), random);
                Some(text.clone())
            }),
            Self::Words(kind) => fill!(StringViewBuilder::new(), |_| {
                text.clear();
                kind.write(&mut text, random);
                Some(text.clone())
            }),
        }
    }
}

impl Choice {
    fn new(name: &str, values: &[Value], weights: &[f64]) -> Result<Self> {
        if values.is_empty() {
            return Err(invalid(format!("the choice `{name}` has no `values`"))
                .hint("write `values: [paid, open]`"));
        }
        if !weights.is_empty() && weights.len() != values.len() {
            return Err(invalid(format!(
                "`{name}` has {} values and {} weights",
                values.len(),
                weights.len()
            ))
            .hint("give each value its weight, or leave `weights` out"));
        }
        if weights.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0))
            || (!weights.is_empty() && weights.iter().sum::<f64>() <= 0.0)
        {
            return Err(invalid(format!("the weights of `{name}` are not positive numbers"))
                .hint("write numbers such as `weights: [3, 1]`"));
        }
        let mut sum = 0.0;
        let weight = |at: usize| weights.get(at).copied().unwrap_or(1.0);
        let sums = (0..values.len())
            .map(|at| {
                sum += weight(at);
                sum
            })
            .collect();
        let are = |is: fn(&Value) -> bool| values.iter().all(|value| value.is_null() || is(value));
        let values = if are(Value::is_boolean) {
            Values::Booleans(values.iter().map(Value::as_bool).collect())
        } else if are(Value::is_i64) {
            Values::Integers(values.iter().map(Value::as_i64).collect())
        } else if are(Value::is_number) {
            Values::Floats(values.iter().map(Value::as_f64).collect())
        } else {
            let text = |value: &Value| (!value.is_null()).then(|| plain(value));
            Values::Texts(values.iter().map(text).collect())
        };
        Ok(Self { values, sums })
    }

    fn at(&self, random: &mut Random) -> usize {
        let total = self.sums.last().copied().unwrap_or(1.0);
        let wanted = random.unit() * total;
        self.sums.partition_point(|sum| *sum <= wanted).min(self.sums.len() - 1)
    }
}

impl WordKind {
    fn write(self, out: &mut String, random: &mut Random) {
        let mut of = |list: &[&'static str]| list[random.below(list.len() as u64) as usize];
        match self {
            Self::FirstName => out.push_str(of(words::FIRST_NAMES)),
            Self::LastName => out.push_str(of(words::LAST_NAMES)),
            Self::FullName => {
                out.push_str(of(words::FIRST_NAMES));
                out.push(' ');
                out.push_str(of(words::LAST_NAMES));
            }
            Self::Country => out
                .push_str(words::COUNTRIES[random.below(words::COUNTRIES.len() as u64) as usize].1),
            Self::CountryCode => out
                .push_str(words::COUNTRIES[random.below(words::COUNTRIES.len() as u64) as usize].0),
            Self::Company => {
                out.push_str(of(words::LAST_NAMES));
                out.push(' ');
                out.push_str(of(words::COMPANY_FORMS));
            }
            Self::Product => {
                out.push_str(of(words::THINGS));
                out.push(' ');
                out.push_str(of(words::QUALITIES));
            }
            Self::Email => {
                let (first, last) = (of(words::FIRST_NAMES), of(words::LAST_NAMES));
                fold(out, first);
                out.push('.');
                fold(out, last);
                let _ = write!(out, "{}@example.org", random.below(1000));
            }
            Self::Phone => {
                let number = random.below(10_000);
                let _ = write!(out, "+33 6 39 98 {:02} {:02}", number / 100, number % 100);
            }
            Self::Street => {
                let (way, name) = (of(words::WAYS), of(words::LAST_NAMES));
                let _ = write!(out, "{} {way} {name}", 1 + random.below(150));
            }
            Self::City => out.push_str(city(random).0),
            Self::PostalCode => {
                let _ = write!(out, "{:05}", city(random).1 + random.below(9) * 10);
            }
        }
    }
}

/// A city, big ones more often, and its lowest postal code.
fn city(random: &mut Random) -> (&'static str, u64) {
    let total: u64 = words::CITIES.iter().map(|(_, _, weight)| weight).sum();
    let mut wanted = random.below(total);
    for (name, code, weight) in words::CITIES {
        if wanted < *weight {
            return (name, *code);
        }
        wanted -= weight;
    }
    ("Paris", 75_000)
}

/// Lower case, without accents.
fn fold(out: &mut String, name: &str) {
    for character in name.chars() {
        match character {
            'é' | 'è' | 'ê' | 'ë' | 'É' => out.push('e'),
            'à' | 'â' | 'ä' => out.push('a'),
            'î' | 'ï' => out.push('i'),
            'ô' | 'ö' => out.push('o'),
            'û' | 'ü' | 'ù' => out.push('u'),
            'ç' => out.push('c'),
            'ÿ' => out.push('y'),
            other if other.is_ascii_alphanumeric() => out.push(other.to_ascii_lowercase()),
            _ => {}
        }
    }
}

fn sentence(out: &mut String, count: i64, random: &mut Random) {
    for at in 0..count {
        let word = words::WORDS[random.below(words::WORDS.len() as u64) as usize];
        if at > 0 {
            out.push(' ');
        }
        out.push_str(word);
    }
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next_u64(), random.next_u64());
    let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
    let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// A number from `min` to `max`, both included.
fn within(min: i64, max: i64, random: &mut Random) -> i64 {
    let width = max.wrapping_sub(min) as u64;
    let offset = match width.checked_add(1) {
        Some(width) => random.below(width),
        None => random.next_u64(),
    };
    min.wrapping_add(offset as i64)
}

/// Refuses settings that the kind of a column has no use for.
fn check(name: &str, column: &Column) -> Result<()> {
    use ColumnKind as Kind;
    let kind = column.kind;
    let has_limits = matches!(
        kind,
        Kind::Integer | Kind::Decimal | Kind::Float | Kind::Date | Kind::Timestamp | Kind::Text
    );
    let misplaced = [
        ("min", column.min.is_some() && !has_limits && kind != Kind::Sequence),
        ("max", column.max.is_some() && !has_limits),
        ("values", !column.values.is_empty() && kind != Kind::Choice),
        ("weights", !column.weights.is_empty() && kind != Kind::Choice),
        ("scale", column.scale.is_some() && kind != Kind::Decimal),
        ("step", column.step.is_some() && kind != Kind::Sequence),
    ];
    if let Some((setting, _)) = misplaced.iter().find(|(_, is_misplaced)| *is_misplaced) {
        return Err(invalid(format!("`{setting}` has no meaning for the kind of `{name}`"))
            .hint(format!("leave `{setting}` out, or choose another `kind`")));
    }
    if !(0.0..=1.0).contains(&column.null_rate) {
        return Err(invalid(format!("the `null_rate` of `{name}` is not between 0 and 1"))
            .hint("write 0.1 for one missing value in ten"));
    }
    if column.scale.is_some_and(|scale| scale > PRECISION) {
        return Err(invalid(format!("the `scale` of `{name}` is larger than {PRECISION}"))
            .hint("write the digits after the point, such as `scale: 2`"));
    }
    Ok(())
}

/// A scalar as the text that a person would write.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `12.5` with scale 2 → 1250; none when there are more digits than fit.
fn scaled(text: &str, scale: u8) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let missing = usize::from(scale).checked_sub(part.len())?;
    let number: i64 = format!("{whole}{part}{}", "0".repeat(missing)).parse().ok()?;
    let limit = 10_i64.pow(u32::from(PRECISION));
    (number >= 0 && number < limit).then_some(sign * number)
}

fn day(text: &str) -> Option<i64> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.signed_duration_since(NaiveDate::default()).num_days())
}

fn second(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.timestamp());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let instant = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    instant.map(|instant| instant.and_utc().timestamp()).or_else(|| Some(day(text)? * 86_400))
}

fn bad_limit(name: &str, value: &Value, what: &str) -> Problem {
    invalid(format!("`{}` is not a limit for `{name}`", plain(value))).hint(format!("write {what}"))
}

fn invalid(fact: impl Into<String>) -> Problem {
    Problem::new(&codes::SETTING_INVALID, fact)
}
