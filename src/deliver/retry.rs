//! What follows from a failure: one table from class to action, total, without a default arm
//! (`docs/design.md` section 6, "Failure classes").

use std::time::Duration;

use crate::limits;
use crate::remote::FailureClass;

/// How often and how soon a failed attempt is tried again within a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries of a cycle after its first attempt.
    pub max_retries: u32,
    /// Delay before the first retry; it doubles.
    pub base_delay: Duration,
}

impl RetryPolicy {
    /// The attempts of a whole cycle.
    #[must_use]
    pub const fn attempts(self) -> u32 {
        self.max_retries.saturating_add(1)
    }
}

/// What happens to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Another attempt of the same cycle, after this.
    Retry(Duration),
    /// The cycle is over; the next sweep begins another one.
    DeadLetter,
    /// The cycle is over, and nothing but a change of the entity begins another one.
    Reject,
    /// The remote id is forgotten and the entity looked up at once.
    Forget,
    /// The whole target pauses, for as long as it asked if it said so; the record stays owed and no attempt is burnt.
    PauseTarget(Option<Duration>),
    /// The target is disabled; the record stays owed and no attempt is burnt.
    DisableTarget,
    /// Tried again after hours; no attempt is burnt.
    Postpone(Duration),
    /// The target was on trial and has failed it: the record makes way for this long, and no attempt is burnt.
    Spare(Duration),
}

/// How long a postponed entity waits, each time longer (contract of `MailChimp`, section 9: 5 minutes, 1, 2 and 7 days).
const POSTPONED: [Duration; 4] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(24 * 60 * 60),
    Duration::from_secs(2 * 24 * 60 * 60),
    Duration::from_secs(7 * 24 * 60 * 60),
];

/// The action for an entity that is postponed when it has failed so often in a row before.
#[must_use]
pub fn postponed(failures: u32) -> Action {
    let step = usize::try_from(failures).unwrap_or(usize::MAX);
    POSTPONED.get(step).map_or(Action::Reject, |delay| Action::Postpone(*delay))
}

/// The action after a failure of `class`, when `attempts` of the cycle were made, this one included.
#[must_use]
pub fn after_failure(
    class: FailureClass,
    attempts: u32,
    retry_after: Option<Duration>,
    policy: RetryPolicy,
) -> Action {
    let again = || next_try(attempts, policy);
    match class {
        FailureClass::Transient | FailureClass::Ambiguous | FailureClass::MissingParent => again(),
        FailureClass::Throttled => Action::PauseTarget(retry_after),
        FailureClass::Postponed => Action::Postpone(retry_after.unwrap_or(POSTPONED[0])),
        FailureClass::Authentication | FailureClass::Configuration => Action::DisableTarget,
        FailureClass::Rejected => Action::Reject,
        FailureClass::StaleMapping if attempts <= policy.max_retries => Action::Forget,
        FailureClass::StaleMapping | FailureClass::OurFault => Action::DeadLetter,
    }
}

/// The action after a failure of `class` while the target is on trial: what the target can't serve is no attempt of the
/// entity's. Everything else is as usual.
#[must_use]
pub fn after_failure_on_trial(class: FailureClass, as_usual: Action) -> Action {
    if counts_for_breaker(class) { Action::Spare(limits::TRIAL_SPARES) } else { as_usual }
}

/// The next try of the cycle: after 1, 2, 4 … base delays, then none.
fn next_try(attempts: u32, policy: RetryPolicy) -> Action {
    if attempts > policy.max_retries {
        return Action::DeadLetter;
    }
    let doublings = attempts.saturating_sub(1).min(10);
    Action::Retry(policy.base_delay * 2_u32.pow(doublings))
}

/// Whether the class counts against the breaker: the target could not be reached or could not serve anybody.
#[must_use]
pub const fn counts_for_breaker(class: FailureClass) -> bool {
    match class {
        FailureClass::Transient | FailureClass::Ambiguous => true,
        FailureClass::Throttled
        | FailureClass::Postponed
        | FailureClass::Authentication
        | FailureClass::Configuration
        | FailureClass::Rejected
        | FailureClass::StaleMapping
        | FailureClass::MissingParent
        | FailureClass::OurFault => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { max_retries: 3, base_delay: Duration::from_secs(1) };

    fn after(class: FailureClass, attempts: u32) -> Action {
        after_failure(class, attempts, None, POLICY)
    }

    #[test]
    fn one_try_and_three_retries_after_1_2_and_4_seconds_then_a_dead_letter() {
        for class in [FailureClass::Transient, FailureClass::Ambiguous, FailureClass::MissingParent]
        {
            let actions: Vec<_> = (1..=4).map(|attempts| after(class, attempts)).collect();
            let retry = |seconds| Action::Retry(Duration::from_secs(seconds));
            assert_eq!(actions, [retry(1), retry(2), retry(4), Action::DeadLetter]);
        }
    }

    #[test]
    fn failures_of_the_whole_target_burn_no_attempt() {
        assert_eq!(after(FailureClass::Authentication, 1), Action::DisableTarget);
        assert_eq!(after(FailureClass::Configuration, 1), Action::DisableTarget);
        assert_eq!(after(FailureClass::Throttled, 9), Action::PauseTarget(None));
        let asked = Some(Duration::from_secs(30));
        let action = after_failure(FailureClass::Throttled, 1, asked, POLICY);
        assert_eq!(action, Action::PauseTarget(asked));
    }

    #[test]
    fn a_failed_trial_burns_no_attempt_whatever_the_entity_has_behind_it() {
        for class in FailureClass::ALL {
            for attempts in [1, 4, 9] {
                let as_usual = after(class, attempts);
                let action = after_failure_on_trial(class, as_usual);
                if counts_for_breaker(class) {
                    assert_eq!(action, Action::Spare(limits::TRIAL_SPARES), "{class} {attempts}");
                } else {
                    assert_eq!(action, as_usual, "{class} {attempts}");
                }
            }
        }
    }

    #[test]
    fn what_is_nobodys_data_is_tried_again_by_the_next_sweep_but_not_sooner() {
        assert_eq!(after(FailureClass::OurFault, 1), Action::DeadLetter);
        assert_eq!(after(FailureClass::Rejected, 1), Action::Reject);
    }

    #[test]
    fn a_stale_mapping_is_forgotten_but_not_for_ever() {
        assert_eq!(after(FailureClass::StaleMapping, 1), Action::Forget);
        assert_eq!(after(FailureClass::StaleMapping, 4), Action::DeadLetter);
    }

    #[test]
    fn every_class_has_an_action_at_every_attempt_and_delays_are_bounded() {
        for class in FailureClass::ALL {
            for attempts in [1, 2, 3, 4, 100, u32::MAX] {
                if let Action::Retry(delay) = after(class, attempts) {
                    assert!(delay <= Duration::from_secs(4));
                }
            }
        }
    }
}
