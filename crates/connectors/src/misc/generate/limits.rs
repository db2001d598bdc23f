//! `min` and `max` of a made-up column, as documents write them.

use super::columns::{PRECISION, invalid};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use model::{Problem, Result};
use serde_json::Value;

/// A limit of the column `name`, if its settings give one.
#[derive(Clone, Copy)]
pub(super) struct Limit<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a Option<Value>,
}

impl Limit<'_> {
    pub(super) fn whole(self, default: i64) -> Result<i64> {
        let Some(value) = self.value else { return Ok(default) };
        value.as_i64().ok_or_else(|| self.bad("a whole number"))
    }

    pub(super) fn decimal(self, default: i64, scale: u8) -> Result<i64> {
        let text = self.value.as_ref().map_or_else(|| default.to_string(), plain);
        scaled(&text, scale).ok_or_else(|| {
            self.bad(&format!("a number of {PRECISION} digits, {scale} after the point, at most"))
        })
    }

    pub(super) fn float(self, default: f64) -> Result<f64> {
        let Some(value) = self.value else { return Ok(default) };
        value.as_f64().ok_or_else(|| self.bad("a number"))
    }

    pub(super) fn day(self, default: &str) -> Result<i64> {
        let text = self.value.as_ref().map_or_else(|| default.to_owned(), plain);
        day(&text).ok_or_else(|| self.bad("a date such as 2026-01-31"))
    }

    pub(super) fn second(self, default: &str) -> Result<i64> {
        let text = self.value.as_ref().map_or_else(|| default.to_owned(), plain);
        second(&text).ok_or_else(|| self.bad("an instant such as 2026-01-31T08:00:00"))
    }

    fn bad(self, what: &str) -> Problem {
        let value = self.value.as_ref().map(plain).unwrap_or_default();
        invalid(format!("`{value}` is not a limit for `{}`", self.name))
            .hint(format!("write {what}"))
    }
}

/// A scalar as the text that a person would write.
pub(super) fn plain(value: &Value) -> String {
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
