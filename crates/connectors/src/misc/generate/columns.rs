//! How the values of each kind of column are made.

use super::limits::{Limit, plain};
use super::words;
use super::{Column, ColumnKind};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    StringViewArray, TimestampMicrosecondArray,
};
use contracts::arrow_types::UTC;
use model::{DataType, Problem, Result, codes};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use stdx::hash::Random;

pub(super) const PRECISION: u8 = 18;
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

/// Rows whose values are made in one go.
pub(super) struct Rows<'a> {
    /// Number of the first row, from 0.
    pub(super) first: u64,
    /// How many.
    pub(super) count: u64,
    /// The part whose value is missing.
    pub(super) null_rate: f64,
    /// Where chance comes from.
    pub(super) random: &'a mut Random,
}

impl Rows<'_> {
    /// An array of what `value` gives for each row, nulls strewn in.
    fn fill<T, A: FromIterator<Option<T>> + Array + 'static>(
        &mut self,
        mut value: impl FnMut(u64, &mut Random) -> Option<T>,
    ) -> A {
        let values = (self.first..self.first + self.count).map(|row| {
            let is_null = self.null_rate > 0.0 && self.random.unit() < self.null_rate;
            if is_null { None } else { value(row, self.random) }
        });
        values.collect()
    }
}

impl Maker {
    /// The maker that a column's settings ask for.
    pub(super) fn new(name: &str, column: &Column) -> Result<Self> {
        check(name, column)?;
        let (min, max) = (Limit { name, value: &column.min }, Limit { name, value: &column.max });
        let maker = match column.kind {
            ColumnKind::Integer => Self::Integer(min.whole(0)?, max.whole(1000)?),
            ColumnKind::Sequence => Self::Sequence(min.whole(1)?, column.step.unwrap_or(1)),
            ColumnKind::Text => Self::Text(min.whole(3)?, max.whole(12)?),
            ColumnKind::Decimal => {
                let scale = column.scale.unwrap_or(2);
                Self::Decimal(min.decimal(0, scale)?, max.decimal(1000, scale)?, scale)
            }
            ColumnKind::Float => Self::Float(min.float(0.0)?, max.float(1.0)?),
            ColumnKind::Date => Self::Date(min.day("2020-01-01")?, max.day("2025-12-31")?),
            ColumnKind::Timestamp => {
                Self::Timestamp(min.second("2020-01-01")?, max.second("2025-12-31T23:59:59")?)
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
        if maker.is_empty() {
            return Err(invalid(format!("nothing lies between `min` and `max` of `{name}`"))
                .hint("make `min` the smaller one"));
        }
        Ok(maker)
    }

    /// Whether no value lies between the limits.
    fn is_empty(&self) -> bool {
        match self {
            Self::Integer(min, max)
            | Self::Decimal(min, max, _)
            | Self::Date(min, max)
            | Self::Timestamp(min, max) => min > max,
            Self::Text(min, max) => min > max || *min < 0 || *max > WORDS_MAX,
            Self::Float(min, max) => !(min <= max && (max - min).is_finite()),
            _ => false,
        }
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

    /// The values of some rows.
    pub(super) fn make(&self, mut rows: Rows<'_>) -> Result<ArrayRef> {
        let mut text = String::new();
        Ok(match self {
            Self::Integer(min, max) => {
                Arc::new(rows.fill::<_, Int64Array>(|_, random| Some(within(*min, *max, random))))
            }
            Self::Sequence(start, step) => Arc::new(rows.fill::<_, Int64Array>(|row, _| {
                let row = i64::try_from(row).unwrap_or(i64::MAX);
                Some(start.wrapping_add(step.wrapping_mul(row)))
            })),
            Self::Decimal(min, max, scale) => {
                let value = |_, random: &mut Random| Some(i128::from(within(*min, *max, random)));
                let array: Decimal128Array = rows.fill(value);
                let typed = array.with_precision_and_scale(PRECISION, *scale as i8);
                Arc::new(typed.map_err(|error| {
                    Problem::new(&codes::INTERNAL, "a decimal type is not valid").detail(error)
                })?)
            }
            Self::Float(min, max) => Arc::new(
                rows.fill::<_, Float64Array>(|_, random| Some(min + (max - min) * random.unit())),
            ),
            Self::Boolean => {
                Arc::new(rows.fill::<_, BooleanArray>(|_, random| Some(random.below(2) == 1)))
            }
            Self::Date(min, max) => Arc::new(
                rows.fill::<_, Date32Array>(|_, r| i32::try_from(within(*min, *max, r)).ok()),
            ),
            Self::Timestamp(min, max) => {
                let value = |_, random: &mut Random| Some(within(*min, *max, random) * MICROS);
                Arc::new(rows.fill::<_, TimestampMicrosecondArray>(value).with_timezone(UTC))
            }
            Self::Uuid => Arc::new(rows.fill::<_, StringViewArray>(|_, random| Some(uuid(random)))),
            Self::Choice(choice) => choice.make(rows),
            Self::Text(min, max) => Arc::new(rows.fill::<_, StringViewArray>(|_, random| {
                text.clear();
                sentence(&mut text, within(*min, *max, random), random);
                Some(text.clone())
            })),
            Self::Words(kind) => Arc::new(rows.fill::<_, StringViewArray>(|_, random| {
                text.clear();
                kind.write(&mut text, random);
                Some(text.clone())
            })),
        })
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

    fn make(&self, mut rows: Rows<'_>) -> ArrayRef {
        match &self.values {
            Values::Booleans(values) => {
                Arc::new(rows.fill::<_, BooleanArray>(|_, random| values[self.at(random)]))
            }
            Values::Integers(values) => {
                Arc::new(rows.fill::<_, Int64Array>(|_, random| values[self.at(random)]))
            }
            Values::Floats(values) => {
                Arc::new(rows.fill::<_, Float64Array>(|_, random| values[self.at(random)]))
            }
            Values::Texts(values) => Arc::new(
                rows.fill::<_, StringViewArray>(|_, random| values[self.at(random)].as_deref()),
            ),
        }
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

pub(super) fn invalid(fact: impl Into<String>) -> Problem {
    Problem::new(&codes::SETTING_INVALID, fact)
}
