//! Fires of calendars, above all when clocks change.

use super::*;
use proptest::prelude::*;

fn micros(text: &str) -> Micros {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

/// The first `count` fires after `from`, as UTC times, one line.
fn fires(calendar: &Calendar, from: &str, count: usize) -> String {
    let mut at = micros(from);
    let mut texts = Vec::new();
    for _ in 0..count {
        let Some(next) = calendar.next_after(at) else { break };
        assert!(next > at, "a fire lies after the instant asked for");
        at = next;
        texts.push(DateTime::from_timestamp_micros(at).unwrap().format("%d %H:%M:%S").to_string());
    }
    texts.join(", ")
}

fn check(pattern: &str, zone: &str, from: &str, expected: &str) {
    let calendar = Calendar::cron(pattern, zone).unwrap();
    let count = expected.split(", ").count();
    assert_eq!(fires(&calendar, from, count), expected, "{pattern} in {zone} from {from}");
}

// In Berlin 2026 clocks go from 02:00 to 03:00 on 29 March (01:00 UTC) and from 03:00 back to
// 02:00 on 25 October (01:00 UTC).
const SPRING: &str = "2026-03-28T12:00:00Z";
const AUTUMN: &str = "2026-10-24T12:00:00Z";

#[test]
fn a_named_time_that_does_not_exist_fires_right_after_the_gap() {
    check("30 2 * * *", "Europe/Berlin", SPRING, "29 01:00:00, 30 00:30:00");
    check("0 3 * * *", "Europe/Berlin", SPRING, "29 01:00:00, 30 01:00:00");
}

#[test]
fn several_named_times_in_one_gap_fire_once() {
    check("*/15 2 * * *", "Europe/Berlin", SPRING, "29 01:00:00, 30 00:00:00, 30 00:15:00");
    check("0 2,3 * * *", "Europe/Berlin", SPRING, "29 01:00:00, 30 00:00:00, 30 01:00:00");
}

#[test]
fn a_named_time_that_comes_twice_fires_the_first_time() {
    check("30 2 * * *", "Europe/Berlin", AUTUMN, "25 00:30:00, 26 01:30:00");
    check("0,30 2 * * *", "Europe/Berlin", AUTUMN, "25 00:00:00, 25 00:30:00, 26 01:00:00");
    // Asked for in the middle of the second passage there is nothing left of that day.
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "26 01:30:00");
}

#[test]
fn hourly_patterns_fire_every_real_hour() {
    check("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", "29 00:00:00, 29 01:00:00");
    let hours = "25 00:00:00, 25 01:00:00, 25 02:00:00";
    check("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", hours);
    check("0 0-23 * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", hours);
}

#[test]
fn half_hour_changes_and_lost_days_are_known() {
    // Lord Howe puts its clocks forward by half an hour: 02:00 to 02:30 on 4 October 2026.
    check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "03 15:30:00, 04 15:15:00");
    // Samoa had no 30 December 2011; 31 December began at 10:00 UTC on the 30th.
    check("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "30 10:00:00");
}

#[test]
fn the_calendar_has_leap_days_and_seconds() {
    check("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "29 00:00:00, 29 00:00:00");
    check("*/20 * * * * *", "UTC", "2038-01-19T03:13:50Z", "19 03:14:00, 19 03:14:20");
}

#[test]
fn what_cannot_fire_is_refused() {
    for pattern in ["", "hello", "61 * * * *", "* * *", "0 0 30 2 *", "0 0 0 1 1 * 2030"] {
        let problem = Calendar::cron(pattern, "UTC").unwrap_err();
        assert!(problem.is(&codes::SETTING_INVALID), "{pattern}: {problem}");
        assert!(problem.hint_text().is_some());
    }
    let problem = Calendar::cron("0 0 * * *", "Europe/Pari").unwrap_err();
    assert_eq!(problem.message(), "there is no time zone `Europe/Pari`");
    assert!(Calendar::every(999_999, 0).is_err());
}

#[test]
fn intervals_lie_on_their_anchor() {
    let calendar = Calendar::every(90 * SECOND_US, 30 * SECOND_US).unwrap();
    let seconds = |after: Micros| calendar.next_after(after * SECOND_US).unwrap() / SECOND_US;
    assert_eq!([seconds(-100), seconds(29), seconds(30), seconds(119)], [-60, 30, 120, 120]);
}

#[test]
fn once_is_once() {
    let calendar = Calendar::once(5);
    assert_eq!([calendar.next_after(4), calendar.next_after(5)], [Some(5), None]);
    assert_eq!([calendar.last_in(0, 9), calendar.last_in(5, 9)], [Some(5), None]);
}

const PATTERNS: [&str; 8] = [
    "30 2 * * *",
    "*/20 1-3 * * *",
    "0 * * * *",
    "*/7 */2 * * *",
    "0 12 * * MON",
    "59 23 L * *",
    "0 0,2,4 25 10 *",
    "30 30 2 * 3,10 7",
];
const ZONES: [&str; 5] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];

/// Every instant of `[from, from + minutes)` at which the rule at the top of the file fires.
fn fires_by_rule(calendar: &Calendar, from: Micros, minutes: i64) -> Vec<Micros> {
    let Kind::Cron { cron, zone, hours_named } = &calendar.0 else { unreachable!() };
    let zone = *zone;
    let at = |us: Micros| DateTime::from_timestamp_micros(us).unwrap().with_timezone(&zone);
    let matches = |wall: NaiveDateTime| cron.is_time_matching(&wall).unwrap();
    let mut fires = Vec::new();
    for second in (0..minutes * 60).step_by(30) {
        let us = from + second * SECOND_US;
        let wall = at(us).naive_local();
        let before = at(us - 30 * SECOND_US).naive_local() + TimeDelta::seconds(30);
        let in_gap = (0..(wall - before).num_seconds() / 30)
            .any(|step| matches(before + TimeDelta::seconds(step * 30)));
        let again = zone.from_local_datetime(&wall).earliest().unwrap() < at(us);
        if (matches(wall) && !(*hours_named && again)) || (*hours_named && in_gap) {
            fires.push(us);
        }
    }
    fires
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn fires_are_those_of_the_rule(
        pattern in 0..PATTERNS.len(),
        zone in 0..ZONES.len(),
        change in 0..4_usize,
        hours_before in 1..30_i64,
    ) {
        let calendar = Calendar::cron(PATTERNS[pattern], ZONES[zone]).unwrap();
        let changes = ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z",
            "2026-03-08T07:00:00Z", "2026-10-03T15:30:00Z"];
        let from = micros(changes[change]) - hours_before * 3600 * SECOND_US;
        let minutes = 36 * 60;
        let until = from + minutes * 60 * SECOND_US;
        let mut found = Vec::new();
        let mut at = from - 1;
        while let Some(next) = calendar.next_after(at).filter(|next| *next < until) {
            found.push(next);
            at = next;
        }
        prop_assert_eq!(&found, &fires_by_rule(&calendar, from, minutes));
        prop_assert_eq!(calendar.last_in(from - 1, until - 1), found.last().copied());
    }

    #[test]
    fn jitter_stays_below_its_bound(origin: u64, fire: i64, bound in 1..i64::MAX) {
        let delay = jitter(origin, fire, bound);
        prop_assert!((0..bound).contains(&delay));
        prop_assert_eq!(delay, jitter(origin, fire, bound));
        prop_assert_eq!(jitter(origin, fire, 0), 0);
    }
}
