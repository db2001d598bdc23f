//! Local times of a time zone as instants.

use super::calendar::DAY_SECONDS;
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use model::{Problem, Result, codes};
use std::cell::RefCell;

/// How local times become instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// They are UTC.
    Utc,
    /// They are of this zone of the IANA database.
    Named(Tz),
}

impl Zone {
    /// Looks a zone up; none or empty is UTC.
    pub(crate) fn new(name: Option<&str>) -> Result<Self> {
        let name = name.unwrap_or_default().trim();
        match name {
            "" | "UTC" | "Z" | "GMT" | "Etc/UTC" => Ok(Self::Utc),
            _ => find(name).map(Self::Named).ok_or_else(|| unknown(name)),
        }
    }

    /// Seconds since the epoch of a local time: the earlier one where the clock was put back,
    /// none where it was put forward over it.
    #[inline]
    pub(crate) fn instant(self, local_seconds: i64) -> Option<i64> {
        match self {
            Self::Utc => Some(local_seconds),
            Self::Named(tz) => CALENDARS.with_borrow_mut(|calendars| {
                let calendar = calendar_of(calendars, tz);
                match calendar.offset(local_seconds.div_euclid(DAY_SECONDS)) {
                    Some(offset) => Some(local_seconds - i64::from(offset)),
                    None => resolve(tz, local_seconds),
                }
            }),
        }
    }

    /// Seconds to add to an instant for the local time.
    pub(crate) fn offset_at(self, seconds: i64) -> i64 {
        match self {
            Self::Utc => 0,
            Self::Named(tz) => i64::from(offset_at(tz, seconds).unwrap_or_default()),
        }
    }
}

/// The zone called so, by the exact name or in other capitals.
pub(crate) fn find(name: &str) -> Option<Tz> {
    let other_case =
        || chrono_tz::TZ_VARIANTS.iter().find(|tz| tz.name().eq_ignore_ascii_case(name)).copied();
    name.parse().ok().or_else(other_case)
}

fn unknown(name: &str) -> Problem {
    let known = chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name());
    let hint = match stdx::text::nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "zones have names such as `Europe/Paris` or `UTC`".to_owned(),
    };
    Problem::new(&codes::SETTING_INVALID, format!("`{name}` is not a time zone"))
        .arg("zone", name)
        .hint(hint)
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp(seconds, 0)?.naive_utc())
}

fn offset_at(tz: Tz, seconds: i64) -> Option<i32> {
    Some(tz.offset_from_utc_datetime(&naive(seconds)?).fix().local_minus_utc())
}

fn resolve(tz: Tz, local_seconds: i64) -> Option<i64> {
    match tz.from_local_datetime(&naive(local_seconds)?) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.timestamp()),
        LocalResult::None => None,
    }
}

/// Days that a calendar remembers; a power of two.
const SLOTS: usize = 4096;
/// Zones that a thread remembers.
const CALENDARS_MAX: usize = 4;
/// The offset of a day on which the clock changes, or might.
const CHANGES: i32 = i32::MIN;

thread_local! {
    static CALENDARS: RefCell<Vec<Calendar>> = const { RefCell::new(Vec::new()) };
}

/// Remembers for each local day its offset from UTC, where that is the same all day: looking it
/// up in the database takes far longer than parsing a timestamp.
struct Calendar {
    tz: Tz,
    slots: Vec<(i64, i32)>,
}

fn calendar_of(calendars: &mut Vec<Calendar>, tz: Tz) -> &mut Calendar {
    let at = match calendars.iter().position(|calendar| calendar.tz == tz) {
        Some(at) => at,
        None => {
            calendars.truncate(CALENDARS_MAX - 1);
            calendars.insert(0, Calendar { tz, slots: vec![(i64::MIN, CHANGES); SLOTS] });
            0
        }
    };
    &mut calendars[at]
}

impl Calendar {
    /// The offset of a local day, unless the clock changes around it.
    #[inline]
    fn offset(&mut self, day: i64) -> Option<i32> {
        let slot = &mut self.slots[day.rem_euclid(SLOTS as i64) as usize];
        if slot.0 != day {
            *slot = (day, constant_offset(self.tz, day).unwrap_or(CHANGES));
        }
        (slot.1 != CHANGES).then_some(slot.1)
    }
}

/// The offset from the day before to the day after, which covers the local day in every zone.
fn constant_offset(tz: Tz, day: i64) -> Option<i32> {
    let start = offset_at(tz, (day - 1) * DAY_SECONDS)?;
    let same = (0..=2).all(|ahead| offset_at(tz, (day + ahead) * DAY_SECONDS) == Some(start));
    same.then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp()
    }

    #[test]
    fn the_hours_when_the_clock_changes() {
        let paris = Zone::new(Some("Europe/Paris")).unwrap();
        let instant = |text| paris.instant(seconds(text));
        assert_eq!(instant("2024-03-31 01:59"), Some(seconds("2024-03-31 00:59")));
        assert_eq!(instant("2024-03-31 02:30"), None);
        assert_eq!(instant("2024-03-31 03:00"), Some(seconds("2024-03-31 01:00")));
        assert_eq!(instant("2024-10-27 02:30"), Some(seconds("2024-10-27 00:30")));
        assert_eq!(instant("2024-10-27 03:00"), Some(seconds("2024-10-27 02:00")));
        assert_eq!(instant("2024-07-01 12:00"), Some(seconds("2024-07-01 10:00")));
    }

    #[test]
    fn a_misspelt_zone_gets_a_hint() {
        let problem = Zone::new(Some("Europe/Pari")).unwrap_err();
        assert_eq!(problem.hint_text(), Some("did you mean `Europe/Paris`?"));
        assert_eq!(Zone::new(Some("europe/paris")).unwrap(), Zone::Named(Tz::Europe__Paris));
        assert_eq!(Zone::new(Some("")).unwrap(), Zone::Utc);
    }

    proptest! {
        #[test]
        fn remembered_days_agree_with_the_database(
            local in -3_000_000_000i64..5_000_000_000,
            name in prop::sample::select(vec![
                "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
                "Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "Asia/Manila",
            ]),
        ) {
            let tz: Tz = name.parse().unwrap();
            prop_assert_eq!(Zone::Named(tz).instant(local), resolve(tz, local));
        }
    }
}
