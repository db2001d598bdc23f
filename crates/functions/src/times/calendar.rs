//! The Gregorian calendar as numbers: days since 1970-01-01.

/// Seconds of a day.
pub(crate) const DAY_SECONDS: i64 = 86_400;
/// Microseconds of a second.
pub(crate) const MICROS: i64 = 1_000_000;

const DAYS_TO_1970: i32 = 719_162;
/// Days before each month, in a common year.
const BEFORE: [i32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const LENGTH: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Whether the year has 366 days.
#[inline]
pub(crate) const fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The day number of a date of the years 1 to 9999, or none where the calendar has no such day.
#[inline]
pub(crate) fn day_number(year: u32, month: u32, day: u32) -> Option<i32> {
    if month > 15 {
        return None;
    }
    let at = year.wrapping_sub(FIRST_YEAR) as usize * 16 + month as usize;
    let Some(entry) = USUAL_MONTHS.get(at) else { return any_day_number(year, month, day) };
    let is_there = day.wrapping_sub(1) < (entry & 31) as u32;
    is_there.then_some((entry >> 5) + day as i32 - 1)
}

const FIRST_YEAR: u32 = 1900;
const USUAL_YEARS: usize = 256;

/// For each month of the usual years, 16 to a year: the day number of its first day times 32,
/// plus its length; 0 for months that do not exist.
static USUAL_MONTHS: [i32; USUAL_YEARS * 16] = {
    let mut entries = [0; USUAL_YEARS * 16];
    let mut at = 0;
    while at < entries.len() {
        let (year, month) = (FIRST_YEAR + (at / 16) as u32, (at % 16) as u32);
        if let Some(first) = any_day_number(year, month, 1) {
            let leap = is_leap(year) && month == 2;
            entries[at] = first * 32 + LENGTH[month as usize - 1] as i32 + leap as i32;
        }
        at += 1;
    }
    entries
};

/// Like [`day_number`], without the table.
const fn any_day_number(year: u32, month: u32, day: u32) -> Option<i32> {
    let at = month.wrapping_sub(1) as usize;
    if at >= LENGTH.len() {
        return None;
    }
    let leap = is_leap(year);
    let length = LENGTH[at] + (leap && month == 2) as u32;
    if day.wrapping_sub(1) >= length || year.wrapping_sub(1) >= 9999 {
        return None;
    }
    let before = year as i32 - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400;
    let months = BEFORE[at] + (leap && month > 2) as i32;
    Some(years + months + day as i32 - 1 - DAYS_TO_1970)
}

/// Year, month and day of a day number.
pub(crate) fn date_of(day_number: i32) -> (i64, u32, u32) {
    // Counted from 1 March of year 0, so that the leap day comes last.
    let days = i64::from(day_number) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn like_chrono_on_every_day_of_four_centuries() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let mut day = NaiveDate::from_ymd_opt(1799, 12, 31).unwrap();
        while day.year() < 2201 {
            let number = (day - epoch).num_days() as i32;
            assert_eq!(day_number(day.year() as u32, day.month(), day.day()), Some(number));
            assert_eq!(date_of(number), (i64::from(day.year()), day.month(), day.day()));
            day = day.succ_opt().unwrap();
        }
        assert_eq!(day_number(1, 1, 1), Some(-DAYS_TO_1970));
        assert_eq!(date_of(day_number(9999, 12, 31).unwrap()), (9999, 12, 31));
    }

    #[test]
    fn days_that_do_not_exist() {
        for (year, month, day) in [
            (2023, 2, 29),
            (1900, 2, 29),
            (2024, 4, 31),
            (2024, 0, 1),
            (2024, 13, 1),
            (2024, 1, 0),
            (0, 1, 1),
            (10_000, 1, 1),
        ] {
            assert_eq!(day_number(year, month, day), None, "{year}-{month}-{day}");
        }
        assert!(day_number(2000, 2, 29).is_some());
    }
}
