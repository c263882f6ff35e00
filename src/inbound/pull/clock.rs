//! By how much a remote's clock is ahead of the database's, from what its answers say (their `Date` header). Pure.
//!
//! A header has whole seconds, and an answer takes its time: one measurement is right within about half a second and half
//! the round trip. So measurements are smoothed, and a difference within what the remote can express is none.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::limits;

/// A header's second is over half of the time.
const HALF_A_SECOND_MS: i64 = 500;

/// What a measurement counts beside what was known: a quarter.
const WEIGHT: i64 = 4;

/// By how many milliseconds the remote's clock was ahead when it answered; `None` where the answer tells nothing: it took too
/// long, or the remote's clock is not to be believed.
#[must_use]
pub fn measured(
    requested_on: Timestamp,
    took: Duration,
    server_time: Option<Timestamp>,
) -> Option<i64> {
    let took_ms = i64::try_from(took.as_millis()).ok()?;
    if took > limits::CLOCK_ROUND_TRIP_MAX {
        return None;
    }
    let middle = requested_on.as_millisecond() + took_ms / 2;
    let ahead = server_time?.as_millisecond() + HALF_A_SECOND_MS - middle;
    (ahead.unsigned_abs() <= millis(limits::CLOCK_AHEAD_MAX)).then_some(ahead)
}

/// What is known after a measurement. A clock that was set anew is believed at once.
#[must_use]
pub fn smoothed(known: Option<i64>, measured: Option<i64>, precision: Duration) -> Option<i64> {
    let (known, measured) = match (known, measured) {
        (known, None) => return known,
        (None, measured) => return measured,
        (Some(known), Some(measured)) => (known, measured),
    };
    let was_set = known.abs_diff(measured) > 2 * millis(precision.max(Duration::from_secs(1)));
    Some(if was_set { measured } else { known + (measured - known) / WEIGHT })
}

/// A time of the remote's clock by the database's. A difference that is less than the remote's precision is none.
#[must_use]
pub fn corrected(on: Timestamp, ahead_ms: Option<i64>, precision: Duration) -> Timestamp {
    let least = millis(precision.max(Duration::from_secs(1)));
    let ahead = ahead_ms.filter(|ahead| ahead.unsigned_abs() >= least).unwrap_or(0);
    on.checked_sub(SignedDuration::from_millis(ahead)).unwrap_or(on)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    /// What the remote's header says: its clock, cut to seconds.
    fn header(true_ms: i64, ahead_ms: i64) -> Option<Timestamp> {
        Some(at((true_ms + ahead_ms).div_euclid(1_000) * 1_000))
    }

    proptest! {
        #[test]
        fn a_difference_is_measured_within_half_a_second_and_half_the_round_trip(
            began in 1_000_000_000_000_i64..2_000_000_000_000,
            ahead in -3_600_000_i64..3_600_000,
            took in 0_i64..9_000,
            part in 0_i64..=100,
        ) {
            let took_for = Duration::from_millis(took.unsigned_abs());
            let answered = header(began + took * part / 100, ahead);
            let measured = measured(at(began), took_for, answered).unwrap();
            prop_assert!((measured - ahead).abs() <= 501 + took / 2, "{measured} {ahead}");
        }

        #[test]
        fn what_is_known_follows_a_clock_that_was_set_and_is_calm_otherwise(
            ahead in -3_600_000_i64..3_600_000, jitter in prop::collection::vec(-500_i64..500, 1..20),
        ) {
            let mut known = Some(7_000_000);
            for jitter in jitter {
                known = smoothed(known, Some(ahead + jitter), SECOND);
                prop_assert!(known.unwrap().abs_diff(ahead) <= 1_000, "{known:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_took_long_or_a_clock_that_is_days_off_tells_nothing() {
        let server = Some(at(0));
        assert_eq!(measured(at(0), Duration::from_secs(11), server), None);
        assert_eq!(measured(at(2 * 86_400_000), SECOND, server), None);
        assert_eq!(measured(at(0), SECOND, None), None);
        assert_eq!(smoothed(Some(9_000), None, SECOND), Some(9_000));
    }

    #[test]
    fn a_difference_within_the_precision_corrects_nothing() {
        assert_eq!(corrected(at(50_000), Some(999), SECOND), at(50_000));
        assert_eq!(corrected(at(50_000), Some(-999), SECOND), at(50_000));
        assert_eq!(corrected(at(50_000), None, SECOND), at(50_000));
        assert_eq!(corrected(at(50_000), Some(40_000), SECOND), at(10_000));
        assert_eq!(corrected(at(50_000), Some(-40_000), SECOND), at(90_000));
        assert_eq!(corrected(at(50_000), Some(40_000), SECOND * 60), at(50_000));
    }
}
