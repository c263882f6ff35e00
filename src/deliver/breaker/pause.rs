//! How long a target is left alone: pure.

use std::time::Duration;

use jiff::Timestamp;

use super::rule::later;
use crate::limits;

/// The pause of an opened breaker after `before` others in a row: it doubles, and is spread upwards by up to a tenth, so
/// that at its longest there is at most one probe in [`limits::BREAKER_PAUSE_MAX`]. `random` is in 0 to 1.
#[must_use]
pub fn of_breaker(before: u32, random: f64) -> Duration {
    let doubled = limits::BREAKER_PAUSE_MIN.saturating_mul(2_u32.saturating_pow(before.min(16)));
    let pause = doubled.min(limits::BREAKER_PAUSE_MAX);
    pause + pause.mul_f64(0.1 * random.clamp(0.0, 1.0))
}

/// Until when a target that asked for a pause is left alone, and the learnt pause after it.
///
/// A pause that is asked for is kept, up to a bound. Who says nothing gets one that doubles each time that the last was
/// too short, and is halved for each minute that was none; answers to what was under way when the pause began teach
/// nothing.
#[must_use]
pub fn of_throttle(
    asked: Option<Duration>,
    until: Option<Timestamp>,
    learnt: Duration,
    now: Timestamp,
) -> (Timestamp, Duration) {
    if let Some(asked) = asked {
        let pause = asked.clamp(limits::THROTTLE_MIN, limits::THROTTLE_MAX);
        return (until.unwrap_or(now).max(later(now, pause)), learnt);
    }
    if let Some(until) = until.filter(|until| *until > now) {
        return (until, learnt);
    }
    let minutes = until.map_or(0, |until| now.duration_since(until).as_mins());
    let faded = learnt / 2_u32.pow(u32::try_from(minutes.clamp(0, 31)).unwrap_or(31));
    let next = faded.saturating_mul(2).clamp(limits::LEARNT_PAUSE_MIN, limits::THROTTLE_MAX);
    (later(now, next), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_pause_of_a_breaker_doubles_up_to_its_bound_and_is_never_shorter_than_that() {
        let seconds = |random| (0..6).map(|n| of_breaker(n, random).as_secs_f64()).collect();
        let least: Vec<f64> = seconds(0.0);
        let most: Vec<f64> = seconds(1.0);
        assert_eq!(least, [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(most, [2.2, 4.4, 8.8, 17.6, 33.0, 33.0]);
        assert_eq!(of_breaker(u32::MAX, 0.0), limits::BREAKER_PAUSE_MAX);
        assert_eq!(of_breaker(0, f64::NAN.max(0.0)), limits::BREAKER_PAUSE_MIN);
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_up_to_a_quarter_of_an_hour() {
        let asked = |seconds| {
            of_throttle(Some(Duration::from_secs(seconds)), None, Duration::ZERO, at(0)).0
        };
        assert_eq!(asked(5), at(5));
        assert_eq!(asked(0), at(1));
        assert_eq!(asked(u64::MAX), at(15 * 60));
        // A shorter one does not cut a longer one.
        let kept = of_throttle(Some(Duration::from_secs(5)), Some(at(60)), Duration::ZERO, at(0));
        assert_eq!(kept.0, at(60));
    }

    #[test]
    fn an_unsaid_pause_doubles_with_each_throttle_and_fades_with_each_minute_without() {
        let (mut now, mut until, mut learnt) = (at(0), None, Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let (next, next_learnt) = of_throttle(None, until, learnt, now);
            // Others that were under way teach nothing, and do not lengthen it.
            assert_eq!(of_throttle(None, Some(next), next_learnt, now), (next, next_learnt));
            pauses.push(next_learnt.as_secs());
            (now, until, learnt) = (next, Some(next), next_learnt);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        let after = |seconds| {
            of_throttle(None, Some(at(0)), Duration::from_secs(64), at(seconds)).1.as_secs()
        };
        assert_eq!([after(1), after(61), after(121), after(181)], [128, 64, 32, 16]);
        assert_eq!(after(1_000_000), 2);
    }
}
