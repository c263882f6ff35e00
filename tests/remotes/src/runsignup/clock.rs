//! Dates as RunSignup writes them (contract, section 5): mostly US Eastern, without leading zeros,
//! to the minute, and otherwise in each place in another way.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The zone of everything textual that is not an event's own time.
pub(super) fn eastern() -> TimeZone {
    zone("America/New_York")
}

/// A zone by its name; an unknown one is UTC.
pub(super) fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// Unix seconds as an instant.
pub(super) fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// An instant in US Eastern: `9/7/2021 15:15`
pub(super) fn eastern_minute(instant: Timestamp) -> String {
    minute(instant.to_zoned(eastern()).datetime())
}

/// An instant in US Eastern: `2021-09-07 15:20:36`
pub(super) fn eastern_second(instant: Timestamp) -> String {
    instant.to_zoned(eastern()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A civil time: `9/7/2021 15:15`
pub(super) fn minute(time: DateTime) -> String {
    format!(
        "{}/{}/{} {:02}:{:02}",
        time.month(),
        time.day(),
        time.year(),
        time.hour(),
        time.minute()
    )
}

/// A day: `03/20/2019`
pub(super) fn day(date: Date) -> String {
    date.strftime("%m/%d/%Y").to_string()
}

/// The civil time that `text` means as an input: `2014-06-07 08:30:00`
pub(super) fn input_time(text: &str) -> Option<DateTime> {
    DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()
}

/// The day that `text` means as an input: `2014-06-07`, `today`, `tomorrow` or Unix seconds.
pub(super) fn input_day(text: &str, now: Timestamp) -> Option<Date> {
    let today = now.to_zoned(eastern()).date();
    match text {
        "today" => Some(today),
        "tomorrow" => today.tomorrow().ok(),
        text => Date::strptime("%Y-%m-%d", text).ok().or_else(|| {
            let at = Timestamp::from_second(text.parse().ok()?).ok()?;
            Some(at.to_zoned(eastern()).date())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eastern_times_follow_daylight_saving() {
        assert_eq!(eastern_second(instant(1_632_405_277)), "2021-09-23 09:54:37");
        assert_eq!(eastern_minute(instant(1_631_042_122)), "9/7/2021 15:15");
        assert_eq!(eastern_minute(instant(1_641_042_122)), "1/1/2022 08:02");
    }

    #[test]
    fn an_hour_comes_twice_in_autumn() {
        // 2026-11-01 05:30Z and 06:30Z are both 01:30 in New York.
        let first = eastern_minute("2026-11-01T05:30:00Z".parse().unwrap());
        assert_eq!(first, eastern_minute("2026-11-01T06:30:00Z".parse().unwrap()));
    }
}
