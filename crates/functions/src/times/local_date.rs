//! `local_date`: the calendar day of an instant in a time zone.

use super::calendar::{DAY_SECONDS, MICROS};
use super::zone::Zone;
use crate::arguments::{Want, broken, coerce, column, constant_text, literal_text, result};
use arrow::array::{ArrayRef, AsArray, Date32Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use contracts::arrow_types::timestamp;
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

const NAME: &str = "local_date";

pub(crate) const LOCAL_DATE: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The day that it is in a time zone at an instant.",
    syntax: "local_date(timestamp, zone)",
    examples: &[
        ("local_date(try_timestamp('2026-07-31T22:30:00Z'), 'Europe/Paris')", "2026-08-01"),
        ("local_date(try_timestamp('2026-07-31T22:30:00Z'), 'UTC')", "2026-07-31"),
        ("local_date(NULL, 'Europe/Paris')", "NULL"),
    ],
    coerce: |types| coerce(NAME, types, &[Want::Timestamp, Want::Text], &[]),
    returns: |info| {
        Zone::new(literal_text(info, 1))?;
        result(NAME, DataType::Date32)
    },
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let zone = Zone::new(constant_text(NAME, arguments, 1)?.as_deref())?;
    let instants = cast(&column(&arguments[0], rows)?, &timestamp()).map_err(broken)?;
    let instants: &PrimitiveArray<TimestampMicrosecondType> = instants.as_primitive();
    let days: Date32Array = instants.unary::<_, Date32Type>(|micros| {
        let seconds = micros.div_euclid(MICROS);
        let day = (seconds + zone.offset_at(seconds)).div_euclid(DAY_SECONDS);
        i32::try_from(day).unwrap_or(i32::MAX)
    });
    Ok(Arc::new(days))
}
