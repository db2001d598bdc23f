//! Dates, times and instants out of text, by ISO 8601 or by a format.

pub(crate) mod calendar;
pub(crate) mod date;
mod local_date;
pub(crate) mod names;
pub(crate) mod pattern;
pub(crate) mod quick;
pub(crate) mod time;
pub(crate) mod timestamp;
pub(crate) mod zone;

use contracts::function::ScalarFunction;

pub(crate) const ALL: &[ScalarFunction] =
    &[date::TRY_DATE, timestamp::TRY_TIMESTAMP, time::TRY_TIME, local_date::LOCAL_DATE];
