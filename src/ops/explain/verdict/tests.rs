//! Every combination of evidence, against the rules restated.

use std::collections::BTreeSet;

use super::*;
use crate::entity::EntityType;
use crate::ops::explain::Situation;
use crate::ops::status::state::tests::{every_target_state, open_target};
use crate::store::OpenDeadLetter;
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
        other_state: None,
        dead_letter: None,
        attempts: 0,
        in_doubt: false,
        hashes_agree: None,
        dead_lettered_on: None,
        owner_id: None,
        gave_up: false,
    }
}

fn evidence<'a>(state: &'a TargetState, record: Option<&'a RecordRow>) -> Evidence<'a> {
    Evidence {
        entity: ENTITY,
        state,
        is_enabled: true,
        version: version(),
        consents: None,
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
    let (mut seen, mut situations) = (BTreeSet::new(), BTreeSet::new());
    for target_state in every_target_state() {
        for bits in 0..128_u8 {
            let bit = |n: u8| bits & (1 << n) != 0;
            for name in std::iter::once(None).chain(STATES.map(Some)) {
                let record = name.map(|name| RecordRow {
                    is_owed: bit(0),
                    is_leased: bit(1),
                    remote_id: bit(2).then(|| "12".to_owned()),
                    gave_up: bit(6),
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
                let situation = Situation::of(&evidence, &verdict);
                assert!(Situation::NAMES.contains(&situation.name()), "{situation:?}");
                assert!(!situation.words().is_empty(), "{situation:?}");
                situations.insert(situation.name());
                assert!(verdict.next.ends_with('.'), "{verdict:?}");
                assert!(!verdict.reason.is_empty(), "{verdict:?}");
                let is_snake = |c: char| c.is_ascii_lowercase() || c == '_';
                assert!(verdict.reason.chars().all(is_snake), "{verdict:?}");
                seen.insert(verdict.state);
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 192 * 128 * 11);
    assert_eq!(seen.len(), Shown::ALL.len(), "every state is shown for something: {seen:?}");
    // The other two have a reason of their own: `what_is_skipped_says_…`, `who_has_no_consent_left_…`.
    assert_eq!(situations.len(), Situation::NAMES.len() - 2, "{situations:?}");
}

fn by_the_rules(e: &Evidence<'_>) -> Shown {
    let obstacle = Obstacle::of(e.is_enabled, e.state).map(Obstacle::state);
    if let Some(shown @ (Shown::Disabled | Shown::Held)) = obstacle {
        return shown;
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
    let gave_up = e.record.is_some_and(|r| r.gave_up);
    match (name, is_shown == is_there) {
        _ if gave_up && !is_shown && !is_there => Shown::Skipped,
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
            assert_eq!((verdict.state, verdict.reason.as_str()), (Shown::Skipped, "not_covered"));
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
fn who_is_gone_and_left_a_record_to_another_is_not_gone_there() {
    let state = open_target();
    for name in ["synced", "skipped"] {
        let told = |owner_id| {
            let record = RecordRow { remote_id: None, gave_up: true, owner_id, ..record(name) };
            judge(&Evidence { version: None, ..evidence(&state, Some(&record)) })
        };
        for verdict in [told(Some(5)), told(None)] {
            assert_eq!((verdict.state, verdict.reason.as_str()), (Shown::Skipped, "left_to_owner"));
            assert!(verdict.next.contains("was left at tagserver"), "{verdict:?}");
            assert!(verdict.next.contains("deleted there"), "{verdict:?}");
        }
        assert!(told(Some(5)).next.contains("to tag 5"));
        assert_eq!(told(Some(5)).advice.as_deref(), Some("See `ems-sync explain tag 5`."));
        assert!(told(None).next.contains("the next sweep finds the record"));
    }
    let here = RecordRow { gave_up: true, ..record("synced") };
    assert_eq!(verdict(Some(&here)).state, Shown::Synced, "who has a record of their own");
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
    assert!(child.next.contains("removed") && child.next.contains("person:5"), "{}", child.next);
}

#[test]
fn a_failure_comes_with_the_advice_of_its_class() {
    for class in FailureClass::ALL {
        for state in ["retrying", "dead_letter", "rejected"] {
            let failed =
                RecordRow { is_owed: true, reason: Some(class.name().to_owned()), ..record(state) };
            assert_eq!(verdict(Some(&failed)).advice.as_deref(), Some(class.advice()), "{state}");
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

#[test]
fn a_held_delete_names_the_commands_that_decide_about_it() {
    let held = |reason: &str| {
        let record = RecordRow { is_owed: true, reason: Some(reason.to_owned()), ..record("held") };
        let verdict = verdict(Some(&record));
        assert_eq!((verdict.state, verdict.reason.as_str()), (Shown::Held, reason));
        verdict.advice.unwrap()
    };
    let advice = held("guard");
    assert!(advice.contains("`ems-sync target approve tagserver`"), "{advice}");
    assert!(advice.contains("`ems-sync target reject tagserver`"), "{advice}");
    let advice = held("delete_rejected");
    assert!(advice.contains("`ems-sync target approve tagserver --kept`"), "{advice}");
}

#[test]
fn what_is_held_for_what_it_loses_is_called_no_delete() {
    let state = open_target();
    for reason in ["guard", "delete_rejected"] {
        let record = RecordRow { is_owed: true, reason: Some(reason.to_owned()), ..record("held") };
        let told = |evidence| {
            let verdict = judge(&evidence);
            format!("{} {}", verdict.next, verdict.advice.unwrap())
        };
        let lessened = told(evidence(&state, Some(&record)));
        assert!(!lessened.contains("delete"), "{lessened}");
        let gone = told(Evidence { version: None, ..evidence(&state, Some(&record)) });
        assert!(gone.contains("delete"), "{gone}");
    }
}

#[test]
fn whoever_waits_for_what_does_not_come_by_itself_is_told_so() {
    let waits = RecordRow {
        is_owed: true,
        reason: Some("waiting_for_child".to_owned()),
        waiting_on: Some("tag:9".to_owned()),
        ..record("waiting")
    };
    assert!(!verdict(Some(&waits)).next.contains("held for a person"));
    for (state, reason, told) in [
        ("held", Some("guard"), "That is held for a person (guard)."),
        ("rejected", Some("name_missing"), "That is rejected (name missing), until it changes"),
        ("rejected", Some("rejected"), "That is rejected, until it changes"),
        ("dead_letter", None, "That is a dead letter: all its tries failed."),
        ("waiting", None, "That waits for another itself."),
    ] {
        let other_state = Some((state.to_owned(), reason.map(str::to_owned)));
        let waits = RecordRow { other_state, ..waits.clone() };
        let verdict = verdict(Some(&waits));
        assert!(verdict.next.contains(told), "{verdict:?}");
        assert_eq!(verdict.advice.as_deref(), Some("See `ems-sync explain tag 9`."));
    }
    for state in ["pending", "leased", "retrying", "parked", "synced", "skipped"] {
        let other_state = Some((state.to_owned(), None));
        let moves = RecordRow { other_state, ..waits.clone() };
        assert_eq!(verdict(Some(&moves)).next, verdict(Some(&waits)).next, "{state}");
    }
    let paused = TargetState { paused: true, ..open_target() };
    let next = judge(&evidence(&paused, Some(&waits))).next;
    assert!(next.contains("Nothing is sent until `ems-sync target resume tagserver`"), "{next}");
}

#[test]
fn a_dead_letter_says_when_it_is_tried_once_more_and_how_it_is_tried_now() {
    let next = |state: &str, dead_letter| {
        verdict(Some(&RecordRow { is_owed: true, dead_letter, ..record(state) })).next
    };
    let letter = |next_try_on| Some(OpenDeadLetter { number: 12, next_try_on });
    assert_eq!(
        next("dead_letter", letter(version())),
        "It is tried once more by the first sweep after 1970-01-01 00:16:40Z; `ems-sync dead-letters replay --number 12` tries it now."
    );
    assert_eq!(
        next("dead_letter", letter(None)),
        "It is not tried again before it changes in the EMS; `ems-sync dead-letters replay --number 12` tries it now."
    );
    assert_eq!(
        next("rejected", letter(None)),
        "Nothing is sent until the entity changes in the EMS; `ems-sync dead-letters replay --number 12` tries it now."
    );
    assert_eq!(next("rejected", None), "Nothing is sent until the entity changes in the EMS.");
}

#[test]
fn what_is_skipped_says_until_when_and_whose_a_shared_address_is() {
    let skipped = |reason: &str, owner_id| {
        let reason = Some(reason.to_owned());
        let record = RecordRow { reason, owner_id, remote_id: None, ..record("skipped") };
        let verdict = verdict(Some(&record));
        assert_eq!(verdict.state, Shown::Skipped);
        verdict
    };
    let shared = skipped("shared_email", Some(3));
    assert!(shared.next.contains("tag 3"), "{shared:?}");
    assert!(shared.advice.unwrap().contains("`ems-sync explain tag 3`"));
    assert_eq!(skipped("shared_email", None).advice, None);
    let told: BTreeSet<_> = ["shared_email", "carried", "out_of_scope", "nothing"]
        .map(|r| skipped(r, None).next)
        .into();
    assert_eq!(told.len(), 4, "{told:?}");
    // A race of RunSignup's is mapped by a person; one that is known, and an event, need nobody.
    let runsignup = TargetState { target: Target::RunSignup, ..open_target() };
    let out = |entity_type, remote_id: Option<&str>| {
        let (reason, remote_id) = (Some("out_of_scope".to_owned()), remote_id.map(str::to_owned));
        let entity = EntityRef::new(entity_type, 7);
        let record = RecordRow { entity, reason, remote_id, ..record("skipped") };
        let verdict = judge(&Evidence { entity, ..evidence(&runsignup, Some(&record)) });
        (verdict.next.contains("only read there"), verdict.advice.is_some())
    };
    assert_eq!(out(EntityType::Race, None), (false, true));
    assert_eq!(out(EntityType::EventParticipant, None), (false, true));
    assert_eq!(out(EntityType::Event, None), (false, false));
    assert_eq!(out(EntityType::Race, Some("4711")), (true, false));
    let state = open_target();
    let situation = |owner_id| {
        let reason = Some("shared_email".to_owned());
        let record = RecordRow { reason, owner_id, remote_id: None, ..record("skipped") };
        let evidence = evidence(&state, Some(&record));
        Situation::of(&evidence, &judge(&evidence)).words()
    };
    assert_eq!(situation(Some(3)), "shared e-mail: owner tag 3");
    assert_eq!(situation(Some(ENTITY.id)), "shared e-mail: owner another entity");
}

#[test]
fn who_has_no_consent_left_is_told_from_who_has_one() {
    let (state, record) = (open_target(), record("synced"));
    let situation = |consents: Option<&[String]>| {
        let evidence = Evidence { consents, ..evidence(&state, Some(&record)) };
        Situation::of(&evidence, &judge(&evidence)).name()
    };
    assert_eq!(situation(None), "in_sync");
    assert_eq!(situation(Some(&["email".to_owned()])), "in_sync");
    assert_eq!(situation(Some(&[])), "consent");
}
