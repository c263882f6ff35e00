//! From what is known of an entity at a target to exactly one state, a reason, and what happens next. Pure.

use jiff::Timestamp;

use crate::entity::EntityRef;
use crate::ops::status::state::{Obstacle, Shown};
use crate::remote::FailureClass;
use crate::store::{RecordRow, TargetState};

/// What is known.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The entity.
    pub entity: EntityRef,
    /// The shared state of the target.
    pub state: &'a TargetState,
    /// The configuration enables the target.
    pub is_enabled: bool,
    /// The version that the target's projection shows; `None` when it shows none.
    pub version: Option<Timestamp>,
    /// The sync record.
    pub record: Option<&'a RecordRow>,
    /// A change of the entity waits in the outbox.
    pub in_outbox: bool,
}

/// The one thing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: Shown,
    /// Why, in `snake_case`.
    pub reason: String,
    /// What happens next, in a sentence.
    pub next: String,
    /// What a person can do, where there is something.
    pub advice: Option<String>,
}

impl Verdict {
    fn new(state: Shown, reason: &str, next: impl Into<String>) -> Self {
        let class = FailureClass::ALL.into_iter().find(|class| class.name() == reason);
        let advice = class.map(|class| class.advice().to_owned());
        Self { state, reason: reason.to_owned(), next: next.into(), advice }
    }

    fn advising(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Judges. The order of the tests is the order in which the answers matter: what the target has nothing to do
/// with, what nobody sends to, what is owed, and last what seems to be done.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let target = evidence.state.target;
    let entity_type = evidence.entity.entity_type;
    if !target.covers(entity_type) {
        let next = format!("Nothing: a {entity_type} is not sent to {target}.");
        return Verdict::new(Shown::Skipped, "not_covered", next);
    }
    let obstacle = Obstacle::of(evidence.is_enabled, evidence.state);
    if let Some(
        obstacle @ (Obstacle::NotEnabled | Obstacle::Refused(_) | Obstacle::DisabledByPerson),
    ) = obstacle
    {
        return behind(obstacle, evidence.state);
    }
    match evidence.record {
        Some(record) if record.is_leased || record.is_owed => owed(evidence, record, obstacle),
        record => settled(evidence, record, obstacle),
    }
}

/// What keeps everything back.
fn behind(obstacle: Obstacle, state: &TargetState) -> Verdict {
    let target = state.target;
    let enable =
        format!("Nothing is sent until `ems-sync target enable {target}`; then it is caught up.");
    let next = match obstacle {
        Obstacle::NotEnabled => {
            format!("Nothing is sent until `targets.{target}.enabled = true` in the configuration.")
        }
        Obstacle::Refused(_) | Obstacle::DisabledByPerson => enable,
        Obstacle::Paused => {
            format!(
                "Nothing is sent until `ems-sync target resume {target}`; then it is caught up."
            )
        }
        Obstacle::BreakerOpen => {
            let at = when(state.breaker_until);
            format!(
                "The target does not answer; it is asked again {at}, and caught up when it does."
            )
        }
        Obstacle::Throttled => {
            format!("The target asked for a pause; it goes on {}.", when(state.throttled_until))
        }
    };
    Verdict::new(obstacle.state(), obstacle.reason(), next)
}

/// The target is behind on the entity, or a consumer works on it.
fn owed(evidence: &Evidence<'_>, record: &RecordRow, obstacle: Option<Obstacle>) -> Verdict {
    if record.is_leased {
        return Verdict::new(Shown::Leased, "in_flight", "A consumer works on it now.");
    }
    let reason = record.reason.as_deref();
    match record.state.as_str() {
        "rejected" => {
            return Verdict::new(
                Shown::Rejected,
                reason.unwrap_or("rejected"),
                "Nothing is sent until the entity changes in the EMS.",
            );
        }
        "held" => return held(reason),
        "waiting" => return waiting(evidence, record),
        "dead_letter" => {
            return Verdict::new(
                Shown::DeadLetter,
                reason.unwrap_or("tries_failed"),
                "The next sweep begins another cycle of tries.",
            );
        }
        _ => {}
    }
    if let Some(obstacle) = obstacle {
        return behind(obstacle, evidence.state);
    }
    moving(evidence, record)
}

fn held(reason: Option<&str>) -> Verdict {
    Verdict::new(
        Shown::Held,
        reason.unwrap_or("person_must_decide"),
        "Nothing is sent until a person has decided, or the entity changes in the EMS.",
    )
    .advising("Correct the entity in the EMS: the change is pushed by itself.")
}

fn waiting(evidence: &Evidence<'_>, record: &RecordRow) -> Verdict {
    let target = evidence.state.target;
    let other = record.waiting_on.as_deref().unwrap_or("another entity");
    let reason = record.reason.as_deref().unwrap_or("waiting_for_parent");
    let next = if reason == "waiting_for_child" {
        format!("It is removed from {target} as soon as {other} is gone from there.")
    } else {
        format!("It is pushed as soon as {other} is at {target}.")
    };
    let verdict = Verdict::new(Shown::Waiting, reason, next);
    match other.parse::<EntityRef>() {
        Ok(other) => {
            let EntityRef { entity_type, id } = other;
            verdict.advising(format!("See `ems-sync explain {entity_type} {id}`."))
        }
        Err(_) => verdict,
    }
}

/// Owed, and nothing but time keeps it back.
fn moving(evidence: &Evidence<'_>, record: &RecordRow) -> Verdict {
    let target = evidence.state.target;
    let reason = record.reason.as_deref();
    let again = || format!("It is tried again {}.", when(record.due_on));
    match record.state.as_str() {
        "retrying" => Verdict::new(Shown::Retrying, reason.unwrap_or("attempt_failed"), again()),
        "parked" => Verdict::new(Shown::Parked, reason.unwrap_or("postponed"), again()),
        "leased" => Verdict::new(
            Shown::Pending,
            "lease_expired",
            "The consumer that had it fell silent; another takes it over, and looks at the target first.",
        ),
        _ if evidence.version.is_none() => Verdict::new(
            Shown::Pending,
            reason.unwrap_or("owed"),
            format!(
                "It is removed from {target} within moments: the EMS does not show it any more."
            ),
        ),
        _ => Verdict::new(
            Shown::Pending,
            reason.unwrap_or("owed"),
            format!("It is pushed to {target} within moments."),
        ),
    }
}

/// Nothing is owed. Whether that is the whole truth is tested against the outbox and the projection.
fn settled(
    evidence: &Evidence<'_>,
    record: Option<&RecordRow>,
    obstacle: Option<Obstacle>,
) -> Verdict {
    let target = evidence.state.target;
    let unseen = |reason, next: &str| match obstacle {
        Some(obstacle) => behind(obstacle, evidence.state),
        None => Verdict::new(Shown::Pending, reason, next),
    };
    let is_shown = evidence.version.is_some();
    let may_be_there = record.is_some_and(|record| record.remote_id.is_some());
    if evidence.in_outbox && (is_shown || may_be_there) {
        return unseen(
            "in_outbox",
            "The relay takes the change up within moments, and it is pushed.",
        );
    }
    let not_seen = || {
        unseen("not_seen_yet", "The next sweep finds it, unless its change is on its way already.")
    };
    match record {
        None if is_shown => not_seen(),
        None => Verdict::new(
            Shown::Skipped,
            "out_of_scope",
            format!("Nothing: the EMS does not show it to {target}."),
        ),
        Some(record) if record.state == "skipped" => Verdict::new(
            Shown::Skipped,
            record.reason.as_deref().unwrap_or("nothing_to_do"),
            "Nothing: it is looked at again when it changes.",
        ),
        // A remote record without an entity, an entity without a remote record, or another version than was pushed.
        Some(_) if is_shown != may_be_there => not_seen(),
        Some(record) if is_shown && record.entity_modified_on != evidence.version => not_seen(),
        Some(record) if is_shown => Verdict::new(
            Shown::Synced,
            record.reason.as_deref().unwrap_or("up_to_date"),
            "Nothing: it is pushed again when it changes.",
        ),
        Some(record) => Verdict::new(
            Shown::Synced,
            record.reason.as_deref().unwrap_or("deleted"),
            format!("Nothing: it is gone from the EMS and from {target}."),
        ),
    }
}

fn when(at: Option<Timestamp>) -> String {
    at.map_or_else(
        || "within moments".to_owned(),
        |at| format!("at {}", at.strftime("%Y-%m-%d %H:%M:%SZ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::EntityType;
    use crate::ops::status::state::tests::{every_target_state, open_target};
    use crate::target::Target;

    const ENTITY: EntityRef = EntityRef::new(EntityType::Tag, 7);
    const STATES: [&str; 10] = [
        "synced",
        "pending",
        "waiting",
        "leased",
        "retrying",
        "parked",
        "held",
        "rejected",
        "skipped",
        "dead_letter",
    ];

    fn version() -> Option<Timestamp> {
        Timestamp::from_second(1_000).ok()
    }

    fn record(state: &str) -> RecordRow {
        RecordRow {
            entity: ENTITY,
            remote_id: Some("12".to_owned()),
            state: state.to_owned(),
            reason: None,
            last_error: None,
            is_owed: false,
            is_leased: false,
            owed_on: None,
            entity_synced_on: None,
            entity_modified_on: version(),
            remote_synced_on: None,
            due_on: None,
            waiting_on: None,
            attempts: 0,
            in_doubt: false,
            hashes_agree: None,
            dead_lettered_on: None,
        }
    }

    fn evidence<'a>(state: &'a TargetState, record: Option<&'a RecordRow>) -> Evidence<'a> {
        Evidence {
            entity: ENTITY,
            state,
            is_enabled: true,
            version: version(),
            record,
            in_outbox: false,
        }
    }

    fn verdict(record: Option<&RecordRow>) -> Verdict {
        judge(&evidence(&open_target(), record))
    }

    /// Every record in every state, against every state of the target and the EMS, by the rules restated.
    #[test]
    fn every_combination_has_the_one_state_that_the_rules_say() {
        let mut cases = 0;
        let mut seen = std::collections::BTreeSet::new();
        for target_state in every_target_state() {
            for bits in 0..64_u8 {
                let bit = |n: u8| bits & (1 << n) != 0;
                for name in std::iter::once(None).chain(STATES.map(Some)) {
                    let record = name.map(|name| RecordRow {
                        is_owed: bit(0),
                        is_leased: bit(1),
                        remote_id: bit(2).then(|| "12".to_owned()),
                        ..record(name)
                    });
                    let evidence = Evidence {
                        is_enabled: bit(3),
                        version: if bit(4) { version() } else { None },
                        in_outbox: bit(5),
                        ..evidence(&target_state, record.as_ref())
                    };
                    let verdict = judge(&evidence);
                    assert_eq!(verdict.state, by_the_rules(&evidence), "{evidence:?}");
                    assert!(verdict.next.ends_with('.'), "{verdict:?}");
                    assert!(!verdict.reason.is_empty(), "{verdict:?}");
                    let is_snake = |c: char| c.is_ascii_lowercase() || c == '_';
                    assert!(verdict.reason.chars().all(is_snake), "{verdict:?}");
                    seen.insert(verdict.state);
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 72 * 64 * 11);
        assert_eq!(seen.len(), Shown::ALL.len(), "every state is shown for something: {seen:?}");
    }

    fn by_the_rules(e: &Evidence<'_>) -> Shown {
        let obstacle = Obstacle::of(e.is_enabled, e.state).map(Obstacle::state);
        if obstacle == Some(Shown::Disabled) {
            return Shown::Disabled;
        }
        let is_leased = e.record.is_some_and(|r| r.is_leased);
        if is_leased {
            return Shown::Leased;
        }
        let is_owed = e.record.is_some_and(|r| r.is_owed);
        let name = e.record.map_or("none", |r| r.state.as_str());
        let late = obstacle.unwrap_or(Shown::Pending);
        if is_owed {
            return match name {
                "rejected" => Shown::Rejected,
                "held" => Shown::Held,
                "waiting" => Shown::Waiting,
                "dead_letter" => Shown::DeadLetter,
                "retrying" => obstacle.unwrap_or(Shown::Retrying),
                "parked" => obstacle.unwrap_or(Shown::Parked),
                _ => late,
            };
        }
        let (is_shown, is_there) =
            (e.version.is_some(), e.record.is_some_and(|r| r.remote_id.is_some()));
        if e.in_outbox && (is_shown || is_there) {
            return late;
        }
        match (name, is_shown == is_there) {
            ("none", _) if is_shown => late,
            ("none" | "skipped", _) => Shown::Skipped,
            (_, true) => Shown::Synced,
            (_, false) => late,
        }
    }

    #[test]
    fn a_type_that_a_target_does_not_cover_is_skipped_whatever_the_target_s_state() {
        for mut state in every_target_state() {
            state.target = Target::Mautic;
            for is_enabled in [true, false] {
                let verdict = judge(&Evidence { is_enabled, ..evidence(&state, None) });
                assert_eq!(
                    (verdict.state, verdict.reason.as_str()),
                    (Shown::Skipped, "not_covered")
                );
            }
        }
    }

    #[test]
    fn an_entity_that_nobody_has_seen_yet_is_pending_and_one_out_of_scope_is_skipped() {
        let state = open_target();
        let reason = |evidence| {
            let verdict = judge(&evidence);
            (verdict.state, verdict.reason)
        };
        let unseen = evidence(&state, None);
        assert_eq!(reason(unseen), (Shown::Pending, "not_seen_yet".to_owned()));
        let hidden = Evidence { version: None, ..unseen };
        assert_eq!(reason(hidden), (Shown::Skipped, "out_of_scope".to_owned()));
        let told = Evidence { in_outbox: true, ..unseen };
        assert_eq!(reason(told), (Shown::Pending, "in_outbox".to_owned()));
    }

    #[test]
    fn a_settled_record_is_not_synced_while_the_ems_shows_another_version() {
        assert_eq!(verdict(Some(&record("synced"))).state, Shown::Synced);
        let older =
            RecordRow { entity_modified_on: Timestamp::from_second(999).ok(), ..record("synced") };
        assert_eq!(verdict(Some(&older)).reason, "not_seen_yet");
        let deleted =
            RecordRow { remote_id: None, reason: Some("deleted".to_owned()), ..record("synced") };
        let state = open_target();
        let gone = Evidence { version: None, ..evidence(&state, Some(&deleted)) };
        assert_eq!((judge(&gone).state, judge(&gone).reason.as_str()), (Shown::Synced, "deleted"));
    }

    #[test]
    fn what_is_waited_for_is_named_and_can_be_explained() {
        let waits = |reason: &str| RecordRow {
            is_owed: true,
            waiting_on: Some("person:5".to_owned()),
            reason: Some(reason.to_owned()),
            ..record("waiting")
        };
        let parent = verdict(Some(&waits("waiting_for_parent")));
        assert_eq!(parent.next, "It is pushed as soon as person:5 is at tagserver.");
        assert_eq!(parent.advice.as_deref(), Some("See `ems-sync explain person 5`."));
        let child = verdict(Some(&waits("waiting_for_child")));
        assert!(
            child.next.contains("removed") && child.next.contains("person:5"),
            "{}",
            child.next
        );
    }

    #[test]
    fn a_failure_comes_with_the_advice_of_its_class() {
        for class in FailureClass::ALL {
            for state in ["retrying", "dead_letter", "rejected"] {
                let failed = RecordRow {
                    is_owed: true,
                    reason: Some(class.name().to_owned()),
                    ..record(state)
                };
                assert_eq!(
                    verdict(Some(&failed)).advice.as_deref(),
                    Some(class.advice()),
                    "{state}"
                );
            }
        }
        assert_eq!(verdict(Some(&record("synced"))).advice, None);
        let refused = TargetState {
            disabled: true,
            disabled_reason: Some("authentication: HTTP 401".to_owned()),
            ..open_target()
        };
        let advice = judge(&evidence(&refused, None)).advice;
        assert_eq!(advice.as_deref(), Some(FailureClass::Authentication.advice()));
    }

    #[test]
    fn a_deletion_is_told_from_a_push() {
        let owed = RecordRow { is_owed: true, ..record("pending") };
        assert!(verdict(Some(&owed)).next.contains("pushed"));
        let state = open_target();
        let gone = Evidence { version: None, ..evidence(&state, Some(&owed)) };
        assert!(judge(&gone).next.contains("removed"));
    }
}
