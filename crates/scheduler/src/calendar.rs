//! When a schedule fires: cron patterns, intervals and single instants, in a time zone.
//!
//! What happens when clocks change:
//!
//! | hours of the pattern | a time that does not exist | a time that exists twice |
//! |---|---|---|
//! | named (`2`, `1,13`, `8-18`) | fires right after the gap | fires once, the first time |
//! | every hour or `*/n` | does not fire | fires both times |
//!
//! Several named times that fall into the same gap give one fire. Intervals count elapsed time
//! and do not know of clock changes.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Year};
use model::{Problem, Result, codes};
use stdx::clock::Micros;
use stdx::hash;

const SECOND_US: Micros = 1_000_000;

/// No clock has ever been put forward by more: two days of quarters of an hour.
const GAP_STEPS_MAX: u32 = 2 * 24 * 4;

/// A wall clock time that comes twice does so within this many seconds.
const OVERLAP_SECONDS_MAX: u32 = 26 * 60 * 60;

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Cron { cron: Box<Cron>, zone: Tz, hours_named: bool },
    Every { period_us: Micros, anchor_us: Micros },
    Once { at_us: Micros },
}

impl Calendar {
    /// Reads a cron pattern of five fields, or six with seconds first, or `@daily` and the like,
    /// for the wall clock of `zone` (`Europe/Paris`).
    pub fn cron(pattern: &str, zone: &str) -> Result<Self> {
        let zone: Tz = zone.parse().map_err(|_| {
            Problem::new(&codes::SETTING_INVALID, format!("there is no time zone `{zone}`"))
                .arg("zone", zone)
                .hint("use a name of the IANA database, for example `Europe/Paris` or `UTC`")
        })?;
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let cron = parser.parse(pattern).map_err(|error| unreadable(pattern).detail(error))?;
        // Of an hour field such as `0-23` people say `every hour`, too.
        let hours = &cron.pattern.hours;
        let hours_named = !hours.from_wildcard && hours.values().len() < 24;
        if cron.find_next_occurrence(&DateTime::UNIX_EPOCH.naive_utc(), true).is_err() {
            return Err(unreadable(pattern).detail("no day of any year matches it"));
        }
        Ok(Self(Kind::Cron { cron: Box::new(cron), zone, hours_named }))
    }

    /// Fires every `period_us` µs (a second at least), before and after `anchor_us`.
    pub fn every(period_us: Micros, anchor_us: Micros) -> Result<Self> {
        if period_us < SECOND_US {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("an interval of {period_us} µs is too short for a schedule"),
            )
            .hint("use one second or more"));
        }
        Ok(Self(Kind::Every { period_us, anchor_us }))
    }

    /// Fires once, at `at_us` (µs since the epoch).
    pub fn once(at_us: Micros) -> Self {
        Self(Kind::Once { at_us })
    }

    /// The first fire after `after_us`, exclusive; none when there will be no more.
    pub fn next_after(&self, after_us: Micros) -> Option<Micros> {
        match &self.0 {
            Kind::Once { at_us } => (*at_us > after_us).then_some(*at_us),
            Kind::Every { period_us, anchor_us } => {
                let since = after_us.checked_sub(*anchor_us)?;
                after_us.checked_add(period_us - since.rem_euclid(*period_us))
            }
            Kind::Cron { cron, zone, hours_named } => {
                let after = DateTime::from_timestamp_micros(after_us)?;
                if *hours_named {
                    next_named(cron, *zone, after)
                } else {
                    let next = cron.find_next_occurrence(&after.with_timezone(zone), false);
                    next.ok().map(|next| next.timestamp_micros())
                }
            }
        }
    }

    /// The last fire in `(after_us, until_us]`; none when there is none. It looks at
    /// logarithmically many instants, however many fires there are in between.
    pub fn last_in(&self, after_us: Micros, until_us: Micros) -> Option<Micros> {
        let fires_after = |instant: Micros| self.next_after(instant).filter(|at| *at <= until_us);
        let mut last = fires_after(after_us)?;
        // Fires lie at whole seconds, or at a whole number of periods after the anchor: between
        // `last`, after which there may be another, and `none`, after which there is none.
        let mut none = until_us;
        while none - last > 1 {
            let middle = last + (none - last) / 2;
            match fires_after(middle) {
                Some(later) => last = later,
                None => none = middle,
            }
        }
        Some(last)
    }
}

fn unreadable(pattern: &str) -> Problem {
    Problem::new(&codes::SETTING_INVALID, format!("`{pattern}` is not a cron pattern"))
        .arg("pattern", pattern)
        .hint("write minute, hour, day of month, month, day of week: `30 6 * * 1-5`")
}

/// The next fire of a pattern that names its hours.
///
/// Wall clock times are taken in their order and put on the time line. That keeps the order, so
/// every time up to the one the clock shows at `after` is past, and the first time that lies
/// after it is the answer; only within a repeated hour are there more than one to look at.
fn next_named(cron: &Cron, zone: Tz, after: DateTime<Utc>) -> Option<Micros> {
    let mut wall = after.with_timezone(&zone).naive_local().with_nanosecond(0)?;
    for _ in 0..OVERLAP_SECONDS_MAX {
        wall = cron.find_next_occurrence(&wall, false).ok()?;
        let instant = instant_of(wall, zone)?;
        if instant > after {
            return Some(instant.timestamp_micros());
        }
    }
    None
}

/// The instant at which the clock shows `wall`: the first of two, or the end of the gap.
fn instant_of(wall: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(instant) => Some(instant.to_utc()),
        MappedLocalTime::Ambiguous(first, second) => Some(first.min(second).to_utc()),
        MappedLocalTime::None => gap_end(wall, zone),
    }
}

/// The first instant after the gap in which `wall` lies.
fn gap_end(wall: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    let exists = |wall: NaiveDateTime| zone.from_local_datetime(&wall).earliest();
    let quarters = |count: u32| wall.checked_add_signed(TimeDelta::minutes(15 * i64::from(count)));
    let mut outside = (1..GAP_STEPS_MAX).filter_map(quarters).find(|at| exists(*at).is_some())?;
    let mut inside = wall;
    while outside - inside > TimeDelta::seconds(1) {
        let middle = inside + TimeDelta::seconds((outside - inside).num_seconds() / 2);
        if exists(middle).is_some() {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    exists(outside).map(|instant| instant.to_utc())
}

/// How much later than `fire_us` a schedule with `jitter_us` starts its run: less than that, and
/// for the same fire always the same.
pub(crate) fn jitter(origin: u64, fire_us: Micros, jitter_us: Micros) -> Micros {
    let bound = u64::try_from(jitter_us).unwrap_or(0);
    let spread = hash::mix(hash::mix(origin) ^ fire_us.cast_unsigned());
    let delay = spread.checked_rem(bound).unwrap_or(0);
    Micros::try_from(delay).unwrap_or(0)
}

#[cfg(test)]
mod tests;
