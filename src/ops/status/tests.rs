//! The mapping to states, and the shape of the document.

use serde_json::json;

use super::state::tests::{every_target_state, open_target};
use super::*;
use crate::deliver::binding::Part;
use crate::limits;

/// The states that stand in records, and what each shows where nothing is more urgent, the most urgent first.
const URGENCY: [(&str, Shown); 9] = [
    ("dead_letter", Shown::DeadLetter),
    ("rejected", Shown::Rejected),
    ("held", Shown::Held),
    ("retrying", Shown::Retrying),
    ("parked", Shown::Parked),
    ("waiting", Shown::Waiting),
    ("leased", Shown::Leased),
    ("pending", Shown::Pending),
    // A record that is settled and owed again is as good as pending.
    ("synced", Shown::Pending),
];

fn counts(states: &[&str]) -> Counts {
    let by_state = states.iter().map(|state| ((*state).to_owned(), (3, 1))).collect();
    Counts { by_state, ..Counts::default() }
}

#[test]
fn the_most_urgent_of_every_combination_of_records_is_shown() {
    for bits in 0..(1_u32 << URGENCY.len()) {
        let there: Vec<_> =
            (0..URGENCY.len()).filter(|n| bits & (1 << n) != 0).map(|n| URGENCY[n]).collect();
        let names: Vec<_> = there.iter().map(|(name, _)| *name).collect();
        let (shown, _) = target_state(true, &open_target(), &counts(&names));
        assert_eq!(shown, there.first().map_or(Shown::Synced, |first| first.1), "{names:?}");
    }
}

#[test]
fn what_keeps_the_whole_target_back_is_shown_before_its_records() {
    for state in every_target_state() {
        for records in [counts(&[]), counts(&["dead_letter", "pending"])] {
            let (shown, reason) = target_state(true, &state, &records);
            if let Some(obstacle) = Obstacle::of(true, &state) {
                assert_eq!((shown, reason), (obstacle.state(), obstacle.reason()));
            } else {
                assert!(matches!(shown, Shown::Synced | Shown::DeadLetter), "{state:?}");
            }
            assert_eq!(target_state(false, &state, &records), (Shown::Disabled, "not_enabled"));
        }
    }
}

#[test]
fn settled_records_are_synced_and_a_change_in_the_outbox_is_not() {
    let mut counts = Counts::default();
    counts.by_state.insert("synced".to_owned(), (9, 0));
    counts.by_state.insert("skipped".to_owned(), (9, 0));
    assert_eq!(target_state(true, &open_target(), &counts), (Shown::Synced, "nothing_owed"));
    counts.in_outbox = 1;
    assert_eq!(target_state(true, &open_target(), &counts), (Shown::Pending, "in_outbox"));
}

#[test]
fn a_person_is_needed_for_what_does_not_move_by_itself_and_for_nothing_else() {
    assert!(
        needs(&open_target(), &counts(&["retrying", "waiting", "parked", "leased"])).is_empty()
    );
    assert!(needs(&TargetState { paused: true, ..open_target() }, &counts(&[])).is_empty());
    let throttled = TargetState { throttled_until: Some(Timestamp::UNIX_EPOCH), ..open_target() };
    assert!(needs(&throttled, &counts(&[])).is_empty());

    for (state, reason) in
        [("dead_letter", "dead_letters"), ("rejected", "rejected"), ("held", "held")]
    {
        assert_eq!(needs(&open_target(), &counts(&[state])), [reason]);
    }
    // The next cycle of a dead letter is under way: the dead letter is still open.
    let again = Counts { dead_letters: 1, ..counts(&["pending"]) };
    assert_eq!(needs(&open_target(), &again), ["dead_letters"]);
    assert_eq!(needs(&TargetState { disabled: true, ..open_target() }, &counts(&[])), ["disabled"]);
    let held = TargetState { held_parts: vec![Part::Instance], ..open_target() };
    assert_eq!(needs(&held, &counts(&[])), ["binding"]);
    assert_eq!(target_state(true, &held, &counts(&["pending"])), (Shown::Held, "binding"));
    let detail = detail(&held).unwrap();
    assert!(detail.contains("target rebind tagserver"), "{detail}");
    for breaker in [BreakerState::Open, BreakerState::HalfOpen] {
        let state = TargetState { breaker, ..open_target() };
        assert_eq!(needs(&state, &counts(&[])), ["breaker_open"]);
    }
}

#[test]
fn what_comes_back_needs_a_person_where_it_does_not_move_by_itself() {
    let needed =
        |inbound: InboundCounts| needs(&open_target(), &Counts { inbound, ..Counts::default() });
    let none = InboundCounts::default;
    assert!(needed(InboundCounts { pending: 9, waiting: 9, failures: 4, ..none() }).is_empty());
    assert_eq!(needed(InboundCounts { conflicts: 1, held: 1, ..none() }), ["conflicts"]);
    assert_eq!(needed(InboundCounts { held: 1, ..none() }), ["inbound_held"]);
    let burst = InboundCounts { conflicts: 1, held: 41, held_removals: 40, ..none() };
    assert_eq!(needed(burst), ["conflicts", "inbound_held"], "no conflict hides it");
    assert!(needed(InboundCounts { held: 40, kept_removals: 40, ..none() }).is_empty());
    let held_consents = InboundCounts { conflicts: 1, held_consents: 1, ..none() };
    assert_eq!(needed(held_consents), ["conflicts", "inbound_held"]);
    assert_eq!(needed(InboundCounts { rejected: 1, ..none() }), ["inbound_rejected"]);
    assert_eq!(needed(InboundCounts { failures: 5, ..none() }), ["inbound_failing"]);
    assert_eq!(needed(InboundCounts { put_off: 1, ..none() }), ["inbound_failing"]);
    let held_reason = Some("too many are missing".to_owned());
    assert_eq!(needed(InboundCounts { held_reason, ..none() }), ["inbound_missing"]);
}

/// What a person decided needs nobody; it is shown when there is nothing more urgent.
#[test]
fn deletes_that_a_person_rejected_are_shown_and_need_nobody() {
    let mut counts = Counts { kept: 3, ..Counts::default() };
    counts.by_state.insert("held".to_owned(), (3, 3));
    assert_eq!(target_state(true, &open_target(), &counts), (Shown::Held, "deletes_rejected"));
    assert!(needs(&open_target(), &counts).is_empty());
    counts.by_state.insert("pending".to_owned(), (1, 1));
    assert_eq!(target_state(true, &open_target(), &counts), (Shown::Pending, "owed"));
    counts.by_state.insert("held".to_owned(), (4, 4));
    assert_eq!(target_state(true, &open_target(), &counts), (Shown::Held, "person_must_decide"));
    assert_eq!(needs(&open_target(), &counts), ["held"]);
}

/// The usual intervals.
pub(in crate::ops) fn sweep() -> Sweep {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    Sweep { outbound_every: minutes(5), inbound_every: minutes(15) }
}

pub(in crate::ops) fn reading() -> Reading {
    let state = |target| TargetState { target, ..open_target() };
    Reading {
        outbox: vec![(EntityType::Tag, 2, 7.5), (EntityType::Conversation, 1, 99.0)],
        states: vec![StateCount {
            target: Target::TagServer,
            state: "waiting".to_owned(),
            records: 4,
            owed: 4,
            kept: 0,
            oldest_seconds: Some(3.0),
            due_seconds: None,
            settled_seconds: None,
        }],
        dead_letters: vec![(Target::TagServer, 1)],
        targets: Target::ALL.map(state).to_vec(),
        duties: vec![DutyRow {
            duty: "sweep_outbound".to_owned(),
            target: "tagserver".to_owned(),
            finished_on: Some(Timestamp::UNIX_EPOCH),
            found: 5,
            idle_seconds: 60.0,
            is_under_way: false,
        }],
        inbound: vec![(
            Target::TagServer,
            InboundCounts { pending: 2, ..InboundCounts::default() },
        )],
        capture_problems: vec![("ems.tag".to_owned(), "a trigger is disabled".to_owned())],
    }
}

#[test]
fn the_document_has_the_fixed_shape() {
    let queues = Queues { outbound: Some(3), retry: Some(1), dead: Some(0), ..Queues::default() };
    let lengths = HashMap::from([(Target::TagServer, queues)]);
    let status = put_together(&reading(), Some(&lengths), &[Target::TagServer], sweep()).unwrap();
    let document = serde_json::to_value(&status).unwrap();
    assert_eq!(
        document["targets"][0],
        json!({
            "target": "tagserver", "state": "waiting", "reason": "others_come_first", "detail": null,
            "breaker": "closed",
            "queues": {"outbound": 3, "inbound": null, "retry": 1, "dead": 0},
            "dead_letters": 1, "oldest_unsynced_seconds": 7.5,
            "last_sweep": {"outbound": "1970-01-01T00:00:00Z", "inbound": null},
            "records": 4, "owed": 4, "waiting": 4, "rejected": 0, "held": 0, "kept": 0,
            "inbound": {"pending": 2, "waiting": 0, "put_off": 0, "held": 0, "held_removals": 0, "kept_removals": 0, "rejected": 0, "conflicts": 0, "held_consents": 0, "failures": 0,
                        "error": null, "held_reason": null},
        })
    );
    assert_eq!(document["targets"].as_array().unwrap().len(), Target::ALL.len());
    assert_eq!(document["targets"][1]["state"], "disabled");
    assert_eq!(document["targets"][1]["oldest_unsynced_seconds"], json!(null), "not enabled");
    assert_eq!(document["outbox"], json!({"rows": 3, "oldest_seconds": 99.0}));
    assert_eq!(
        document["needs_person"],
        json!([{"target": "tagserver", "reason": "dead_letters"},
               {"target": null, "reason": "changes_not_captured"}])
    );
}

#[test]
fn a_broker_that_can_not_be_asked_makes_the_lengths_unknown_and_says_so() {
    let status = put_together(&reading(), None, &[Target::TagServer], sweep()).unwrap();
    for row in &status.targets {
        assert_eq!(
            serde_json::to_value(row.queues).unwrap(),
            json!({"outbound": null, "inbound": null, "retry": null, "dead": null,
                   "reason": "broker_unreachable"})
        );
    }
    let last = status.needs_person.last().unwrap();
    assert_eq!((last.target, last.reason), (None, "broker_unreachable"));
}

#[test]
fn a_target_without_a_row_is_an_error_and_not_a_panic() {
    let mut reading = reading();
    reading.targets.pop();
    assert!(put_together(&reading, None, &[], sweep()).is_err());
}

#[test]
fn a_change_in_the_outbox_concerns_enabled_targets_that_cover_its_type() {
    let reading = reading();
    let in_outbox = |target, is_enabled| reading.counts(target, is_enabled, sweep()).in_outbox;
    assert_eq!(in_outbox(Target::TagServer, true), 2);
    assert_eq!(in_outbox(Target::TagServer, false), 0);
    assert_eq!(in_outbox(Target::Mautic, true), 0, "a tag is not sent there");
}

#[test]
fn an_error_of_the_past_is_no_detail_of_a_target_that_works() {
    let closed = TargetState { last_error: Some("HTTP 503".to_owned()), ..open_target() };
    assert_eq!(detail(&closed), None);
    let open = TargetState { breaker: BreakerState::Open, ..closed };
    assert_eq!(detail(&open).as_deref(), Some("HTTP 503"));
}

#[test]
fn empty_queues_are_told_from_unknown_ones() {
    let unknown = Queues { reason: Some("broker_unreachable"), ..Queues::default() };
    assert_eq!(unknown.words(), "broker unreachable");
    assert_eq!(Queues { outbound: Some(0), ..Queues::default() }.words(), "empty");
    let filled = Queues { outbound: Some(2), retry: Some(1), dead: Some(0), ..Queues::default() };
    assert_eq!(filled.words(), "outbound 2, retry 1");
}

const MINUTE: f64 = 60.0;

#[test]
fn what_could_be_pushed_and_is_not_needs_a_person_unless_the_target_moves_or_is_closed() {
    let needed = |state: &TargetState, outbox, due, settled| {
        let (outbox_seconds, due_seconds, settled_seconds) = (outbox, due, settled);
        let counts = Counts { outbox_seconds, due_seconds, settled_seconds, ..Counts::default() };
        needs(state, &counts)
    };
    let (old, young) = (Some(11.0 * MINUTE), Some(9.0 * MINUTE));
    let open = open_target();
    assert!(needed(&open, None, None, None).is_empty(), "nothing is owed");
    assert!(needed(&open, young, young, old).is_empty());
    assert_eq!(needed(&open, old, None, old), ["not_moving"], "nobody empties the outbox");
    assert_eq!(needed(&open, old, None, young), [""; 0], "a long import was committed");
    let stuck = Some(limits::OUTBOX_STUCK_AFTER.as_secs_f64() + 1.0);
    assert_eq!(needed(&open, stuck, None, young), ["not_moving"], "sweeps alone move");
    assert_eq!(needed(&open, None, old, old), ["not_moving"]);
    assert_eq!(needed(&open, None, old, None), ["not_moving"], "nothing was ever settled");
    assert!(needed(&open, None, old, young).is_empty(), "a long queue that grows shorter");
    let just_opened = TargetState { open_for: Some(Duration::from_secs(5)), ..open_target() };
    assert!(needed(&just_opened, old, old, old).is_empty());
    for state in every_target_state().iter().filter(|state| !state.is_open_for_business()) {
        assert!(!needed(state, old, old, old).contains(&"not_moving"), "{state:?}");
    }
}

#[test]
fn a_sweep_that_has_not_ended_for_three_intervals_needs_a_person() {
    let silent = |duty: &str, minutes: f64, is_under_way: bool, state: TargetState| {
        let (duty, target) = (duty.to_owned(), "tagserver".to_owned());
        let idle_seconds = minutes * MINUTE;
        let row = DutyRow { duty, target, finished_on: None, found: 0, idle_seconds, is_under_way };
        let reading = Reading { duties: vec![row], targets: vec![state], ..reading() };
        let needed = |target| reading.counts(target, true, sweep()).sweep_silent;
        assert!(!needed(Target::Mautic), "another one's, and never begun");
        needed(Target::TagServer)
    };
    let paused = || TargetState { paused: true, ..open_target() };
    assert!(!silent("sweep_outbound", 14.0, false, open_target()));
    assert!(silent("sweep_outbound", 16.0, false, open_target()));
    assert!(silent("sweep_outbound", 16.0, false, paused()), "it is swept all the same");
    assert!(!silent("sweep_outbound", 999.0, true, open_target()), "a long one is under way");
    assert!(!silent("sweep_inbound", 44.0, false, open_target()));
    assert!(silent("sweep_inbound", 46.0, false, open_target()));
    assert!(!silent("sweep_inbound", 46.0, true, open_target()));
    assert!(!silent("sweep_inbound", 46.0, false, paused()), "nothing is read meanwhile");
    assert!(!silent("purge_inbound", 9_999.0, false, open_target()));
    let counts = Counts { sweep_silent: true, ..Counts::default() };
    assert_eq!(needs(&open_target(), &counts), ["sweep_silent"]);
}

/// Whoever reads a reason in `status` finds what to do under a heading of the runbook.
#[test]
fn every_reason_that_needs_a_person_stands_in_the_runbook() {
    let runbook = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/RUNBOOK.md");
    let runbook = std::fs::read_to_string(runbook).unwrap();
    let rows = runbook.lines().filter(|line| line.starts_with("| `"));
    let table: Vec<(&str, &str)> =
        rows.filter_map(|line| line.trim_matches('|').split_once('|')).collect();
    let reasons = super::reasons(&open_target(), &Counts::default());
    let of_all = ["changes_not_captured", "broker_unreachable"];
    for reason in reasons.iter().map(|(reason, _)| *reason).chain(of_all) {
        let named = table.iter().find(|(names, _)| names.contains(&format!("`{reason}`")));
        let (_, headings) = named.unwrap_or_else(|| panic!("{reason} does not stand in it"));
        let headings = headings.split('(').next().unwrap().split(',').map(str::trim);
        for heading in headings {
            assert!(runbook.contains(&format!("\n## {heading}\n")), "{reason}: {heading}");
        }
    }
}
