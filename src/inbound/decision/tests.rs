//! The table, written down and compared with the code over everything that can come together.

use jiff::SignedDuration;

use super::*;
use crate::inbound::pull::clock;
use crate::target::Target;

const PRECISION: Duration = Duration::from_secs(1);

/// Who changed what since both sides agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Neither,
    Ems,
    Remote,
    BothSame,
    BothDifferent,
}

const CHANGES: [(&str, Change); 5] = [
    ("neither", Change::Neither),
    ("ems", Change::Ems),
    ("remote", Change::Remote),
    ("both_same", Change::BothSame),
    ("both_different", Change::BothDifferent),
];

/// How far the outbound side is with what the EMS has.
const PENDING: [&str; 6] = ["pushed", "unseen", "owed", "in_doubt", "under_way", "ended_since"];

/// Expected where the record stands there and the entity in the EMS. `first` is who changed first, where both did.
const STANDS: &str = "
    change          first   pushed       unseen    owed      in_doubt     under_way  ended_since
    neither         -       seen         seen      seen      seen         later      reread
    ems             -       bounce_back  seen      seen      seen         later      reread
    remote          -       apply        apply     unpushed  unpushed     later      reread
    both_same       ems     bounce_back  agrees    agrees    bounce_back  later      reread
    both_same       remote  bounce_back  agrees    agrees    bounce_back  later      reread
    both_different  ems     apply        unpushed  unpushed  unpushed     later      reread
    both_different  remote  ems_newer    unpushed  unpushed  unpushed     later      reread
";

/// Expected where the remote tells no times: order is nothing that can be known, hashes decide.
const STANDS_WITHOUT_TIMES: &str = "
    change          first   pushed       unseen    owed      in_doubt     under_way  ended_since
    neither         -       seen         seen      seen      seen         later      reread
    ems             -       seen         seen      seen      seen         later      reread
    remote          -       apply        apply     unpushed  unpushed     later      reread
    both_same       ems     seen         agrees    agrees    bounce_back  later      reread
    both_same       remote  seen         agrees    agrees    bounce_back  later      reread
    both_different  ems     apply        unpushed  unpushed  unpushed     later      reread
    both_different  remote  apply        unpushed  unpushed  unpushed     later      reread
";

/// Expected where the EMS has deleted the entity, or shows it no more, and the record stands there still: what is our own writing is
/// none of people's, and all else is kept.
const DELETED_HERE: &str = "
    change          first   pushed       unseen     owed       in_doubt     under_way  ended_since
    neither         -       seen         seen       seen       seen         later      reread
    ems             -       bounce_back  seen       seen       seen         later      reread
    remote          -       tombstone    tombstone  tombstone  tombstone    later      reread
    both_same       ems     bounce_back  tombstone  tombstone  bounce_back  later      reread
    both_same       remote  bounce_back  tombstone  tombstone  bounce_back  later      reread
    both_different  ems     tombstone    tombstone  tombstone  tombstone    later      reread
    both_different  remote  tombstone    tombstone  tombstone  tombstone    later      reread
";

/// Expected where nothing is known but that it was an entity's that is deleted, or where people took the record out: whoever changed
/// what before.
const DELETED: &str = "
    delete              pushed     unseen     owed       in_doubt   under_way  ended_since
    ems_forgot          tombstone  tombstone  tombstone  tombstone  later      reread
    removed_there       remove     remove     remove     remove     later      reread
    moved_there         move       move       move       move       later      reread
    gone_there          forget     forget     forget     forget     later      reread
    removed_forgotten   not_ours   not_ours   not_ours   not_ours   later      reread
    gone_forgotten      not_ours   not_ours   not_ours   not_ours   later      reread
";

/// Expected where the snapshot shows a write of ours, whatever else is the case.
const ECHO: &str = "
    echo           pushed       unseen       owed         in_doubt     under_way  ended_since
    as_answered    seen         seen         seen         seen         later      reread
    as_pushed      bounce_back  bounce_back  bounce_back  bounce_back  later      reread
    answer_lost    bounce_back  bounce_back  bounce_back  bounce_back  later      reread
";

fn hash(text: &str) -> ContentHash {
    ContentHash::of(Target::RunSignup, 1, &serde_json::json!(text))
}

fn at(minutes: i64) -> Timestamp {
    let then: Timestamp = "2026-11-25T07:00:00Z".parse().unwrap();
    then.checked_add(SignedDuration::from_mins(minutes)).unwrap()
}

fn name(decision: Decision) -> &'static str {
    match decision {
        Decision::Skip(reason) => reason.name(),
        Decision::Conflict(reason) => reason.name(),
        Decision::Later
        | Decision::Reread
        | Decision::Match
        | Decision::Apply
        | Decision::Remove
        | Decision::Move
        | Decision::Forget => decision.name(),
    }
}

/// A time by the remote's clock, which is wrong by `skew` and is told in whole seconds, as the pull corrects it: by what the `Date`
/// header of an answer says that took `took`.
fn seen(true_time: Timestamp, skew: SignedDuration, took: Duration) -> Timestamp {
    let whole = |on: Timestamp| Timestamp::from_second(on.as_second()).unwrap();
    let there = |on: Timestamp| whole(on.checked_add(skew).unwrap());
    let asked = at(300).checked_add(SignedDuration::from_millis(730)).unwrap();
    let header = there(asked.checked_add(took).unwrap());
    let ahead = clock::measured(asked, took, Some(header));
    clock::corrected(there(true_time), ahead, PRECISION)
}

/// A world: agreed at minute 0 on B; the EMS makes it E, the remote R (or E too), two minutes apart; pushes take a minute.
fn input(change: Change, remote_first: bool, pending: &str, skew_minutes: i64) -> Input {
    let (ems_at, remote_at) = if remote_first { (62, 60) } else { (60, 62) };
    let ems_changed = !matches!(change, Change::Neither | Change::Remote);
    let ems = hash(if ems_changed { "E" } else { "B" });
    let is_pushed = pending == "pushed";
    let there = if is_pushed { ems } else { hash("B") };
    let (shown, changed_there_at) = match change {
        Change::Neither => (there, 0),
        Change::Ems => (there, if is_pushed { ems_at + 1 } else { 0 }),
        Change::BothSame => (hash("E"), remote_at),
        Change::Remote | Change::BothDifferent => (hash("R"), remote_at),
    };
    let skew = SignedDuration::from_mins(skew_minutes);
    let known = Known {
        pushing: match pending {
            "under_way" => Pushing::Now,
            "ended_since" => Pushing::Since,
            _ => Pushing::Quiet,
        },
        tombstone: false,
        owed: matches!(pending, "owed" | "in_doubt" | "under_way"),
        in_doubt: matches!(pending, "in_doubt" | "under_way"),
        data_hash: Some(there),
        remote_hash: Some(there),
        sent: if pending == "in_doubt" { vec![ems] } else { Vec::new() },
        remote_synced_on: Some(seen(at(0), skew, Duration::from_millis(300))),
    };
    Input {
        snapshot: Snapshot::Stands {
            hash: shown,
            modified_on: Some(seen(at(changed_there_at), skew, Duration::from_millis(300))),
        },
        mapping: Mapping::Known(known),
        ems: Ems::Shown { hash: Some(ems), changed_on: ems_changed.then(|| at(ems_at)) },
        precision: PRECISION,
    }
}

/// Rows of a table: the words before the columns of [`PENDING`], and what is expected under each of those.
fn rows(table: &'static str, keys: usize) -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let words = |line: &'static str| line.split_whitespace().collect::<Vec<_>>();
    let mut lines = table.lines().map(words).filter(|line| !line.is_empty());
    let header = lines.next().unwrap();
    assert_eq!(header[keys..], PENDING, "the columns of the table");
    lines.map(|line| (line[..keys].to_vec(), line[keys..].to_vec())).collect()
}

fn change_named(name: &str) -> Change {
    CHANGES.into_iter().find(|(n, _)| *n == name).unwrap().1
}

/// The rows of a table of changes for one change and order.
fn expected(
    table: &'static str,
    change: Change,
    remote_first: bool,
    column: usize,
) -> &'static str {
    let order = if remote_first { "remote" } else { "ems" };
    let rows = rows(table, 2);
    let mut fitting = rows.iter().filter(|(keys, _)| {
        change_named(keys[0]) == change && (keys[1] == "-" || keys[1] == order)
    });
    let (_, cells) = fitting.next().unwrap();
    assert!(fitting.next().is_none(), "one row each");
    cells[column]
}

#[test]
fn every_decision_is_the_one_of_the_written_table() {
    let mut seen = 0;
    for (_, change) in CHANGES {
        for remote_first in [false, true] {
            for (column, pending) in PENDING.into_iter().enumerate() {
                for skew in [-5, 0, 5] {
                    let case = format!("{change:?} remote_first={remote_first} {pending} {skew}");
                    let input = input(change, remote_first, pending, skew);
                    let expect = expected(STANDS, change, remote_first, column);
                    assert_eq!(name(decide(&input)), expect, "{case}");
                    let expect = expected(STANDS_WITHOUT_TIMES, change, remote_first, column);
                    assert_eq!(name(decide(&without_times(&input))), expect, "{case}, no times");
                    echoes(&input, column, &case);
                    let expect = expected(DELETED_HERE, change, remote_first, column);
                    for ems in [input.ems, Ems::Nothing] {
                        let mapping = Mapping::Known(Known { tombstone: true, ..known(&input) });
                        let deleted = Input { mapping, ems, ..input.clone() };
                        assert_eq!(name(decide(&deleted)), expect, "{case}, deleted");
                    }
                    deletes(&input, column, &case);
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 5 * 2 * 6 * 3);
}

fn without_times(input: &Input) -> Input {
    let Snapshot::Stands { hash, .. } = input.snapshot else { panic!("it stands") };
    let mapping = match input.mapping.clone() {
        Mapping::Known(known) => Mapping::Known(Known { remote_synced_on: None, ..known }),
        other @ (Mapping::Forgotten(_) | Mapping::Unknown) => other,
    };
    Input { snapshot: Snapshot::Stands { hash, modified_on: None }, mapping, ..input.clone() }
}

fn known(input: &Input) -> Known {
    match &input.mapping {
        Mapping::Known(known) => known.clone(),
        Mapping::Forgotten(_) | Mapping::Unknown => panic!("it is known"),
    }
}

/// Our own write comes back: as the remote answered it, as we pushed it where the answer said something else, and one of which
/// no answer came. Deleted or not.
fn echoes(input: &Input, column: usize, case: &str) {
    for (keys, cells) in rows(ECHO, 1) {
        for tombstone in [false, true] {
            let own = hash("own");
            let other = Known { tombstone, ..known(input) };
            let known = match keys[0] {
                "as_answered" => Known { remote_hash: Some(own), ..other },
                "as_pushed" => Known { data_hash: Some(own), ..other },
                "answer_lost" => Known { sent: vec![hash("older"), own], ..other },
                name => panic!("{name}"),
            };
            let input = Input {
                snapshot: Snapshot::Stands { hash: own, modified_on: known.remote_synced_on },
                mapping: Mapping::Known(known),
                ..input.clone()
            };
            assert_eq!(name(decide(&input)), cells[column], "{case} {}", keys[0]);
        }
    }
}

fn deletes(input: &Input, column: usize, case: &str) {
    for (keys, cells) in rows(DELETED, 1) {
        let known = known(input);
        let pushing = known.pushing;
        let removed = |has_successor| Snapshot::Removed { has_successor };
        let (snapshot, mapping) = match keys[0] {
            "ems_forgot" => (input.snapshot, Mapping::Forgotten(pushing)),
            "removed_there" => (removed(false), Mapping::Known(known)),
            "moved_there" => (removed(true), Mapping::Known(known)),
            "gone_there" => (Snapshot::Gone, Mapping::Known(known)),
            "removed_forgotten" => (removed(true), Mapping::Forgotten(pushing)),
            "gone_forgotten" => (Snapshot::Gone, Mapping::Forgotten(pushing)),
            name => panic!("{name}"),
        };
        let input = Input { snapshot, mapping, ..input.clone() };
        assert_eq!(name(decide(&input)), cells[column], "{case} {}", keys[0]);
    }
}

/// Whatever the remote's clock says and however long its answers take: who changed it later by more than what can be measured wins.
#[test]
fn a_clock_that_is_wrong_by_minutes_does_not_turn_the_order_round() {
    for skew_ms in
        [-300_000, -299_501, -61_250, -1_499, -700, 0, 700, 1_499, 61_250, 299_501, 300_000]
    {
        for took_ms in [0, 40, 300, 1_900] {
            // Seconds are cut off twice, half a second is over in the mean, and half of the way is not known: and a clock that is
            // wrong by less than the precision is not corrected.
            let sure = 2_000 + 500 + took_ms / 2;
            for apart_ms in [-3_600_000, -sure, sure, 3_600_000_i64] {
                let skew = SignedDuration::from_millis(skew_ms);
                let there = seen(at(60), skew, Duration::from_millis(took_ms.unsigned_abs()));
                let here = at(60).checked_add(SignedDuration::from_millis(apart_ms)).unwrap();
                let base = input(Change::BothDifferent, true, "pushed", 0);
                let hash = hash("R");
                let snapshot = Snapshot::Stands { hash, modified_on: Some(there) };
                let ems = match base.ems {
                    Ems::Shown { hash, .. } => Ems::Shown { hash, changed_on: Some(here) },
                    Ems::Nothing => Ems::Nothing,
                };
                let expect = if apart_ms > 0 { "ems_newer" } else { "apply" };
                let decision = decide(&Input { snapshot, ems, ..base });
                assert_eq!(name(decision), expect, "{skew_ms} {took_ms} {apart_ms}");
            }
        }
    }
}

/// Documented contradictions are found at the edges of a second.
#[test]
fn what_is_less_apart_than_the_remotes_precision_is_the_same_time() {
    let base = input(Change::BothDifferent, true, "pushed", 0);
    let with = |ems_nanos: i64| Input {
        ems: Ems::Shown {
            hash: Some(hash("E")),
            changed_on: Some(at(60).checked_add(SignedDuration::from_nanos(ems_nanos)).unwrap()),
        },
        ..base.clone()
    };
    for (nanos, expect) in [
        (-5_000_000_000, "apply"),
        (0, "apply"),
        (499_999_000, "apply"),
        (500_000_000, "apply"),
        (999_999_000, "apply"),
        (1_000_000_000, "ems_newer"),
    ] {
        assert_eq!(name(decide(&with(nanos))), expect, "{nanos}");
    }
    // A remote that is exact to the nanosecond still needs one that is later.
    let exact = Input { precision: Duration::ZERO, ..with(0) };
    assert_eq!(name(decide(&exact)), "apply");
}

/// What was taken from the remote itself raises the EMS's version: that is no change of the EMS's own.
#[test]
fn a_second_change_there_is_taken_though_the_first_ones_taking_was_later() {
    let base = input(Change::Remote, false, "pushed", 0);
    assert_eq!(decide(&base), Decision::Apply);
}

#[test]
fn what_the_target_is_never_told_of_is_taken_as_it_comes() {
    let base = input(Change::Remote, false, "pushed", 0);
    assert_eq!(decide(&Input { ems: Ems::Nothing, ..base.clone() }), Decision::Apply);
    let unmappable = Ems::Shown { hash: None, changed_on: None };
    assert_eq!(name(decide(&Input { ems: unmappable, ..base })), "unpushed");
}

#[test]
fn what_nobody_knows_is_matched_and_its_removal_is_nothing() {
    let base = input(Change::Remote, false, "pushed", 0);
    let with = |snapshot| Input { snapshot, mapping: Mapping::Unknown, ..base.clone() };
    assert_eq!(decide(&with(base.snapshot)), Decision::Match);
    for snapshot in [Snapshot::Removed { has_successor: false }, Snapshot::Gone] {
        assert_eq!(name(decide(&with(snapshot))), "not_ours");
    }
}

/// Over every combination of facts about a candidate, against a table of its own.
#[test]
fn a_candidate_is_adopted_only_where_nothing_speaks_against_it() {
    let table = [
        // pushing (now, since, quiet), tombstone, chosen, has_another, waited_long, left_behind, showing (comparable, nothing, never)
        ("n......", Unknown::Later),
        ("s......", Unknown::Reread),
        ("q10....", Unknown::Tombstone),
        ("q001.1.", Unknown::LeftBehind),
        ("q000.1n", Unknown::LeftBehind),
        ("q00110.", Unknown::Ambiguous),
        ("q0111..", Unknown::Ambiguous),
        ("q1111..", Unknown::Ambiguous),
        ("q00100.", Unknown::Wait),
        ("q0110..", Unknown::Wait),
        ("q1110..", Unknown::Wait),
        ("q0.0..c", Unknown::Adopt),
        ("q110..c", Unknown::Adopt),
        ("q000.0n", Unknown::Complete),
        ("q010..n", Unknown::Complete),
        ("q110..n", Unknown::Complete),
        ("q0.0..v", Unknown::AdoptWhole),
        ("q110..v", Unknown::AdoptWhole),
    ];
    let pushing = [('n', Pushing::Now), ('s', Pushing::Since), ('q', Pushing::Quiet)];
    let showing = [('c', Shows::Comparable), ('n', Shows::Nothing), ('v', Shows::Never)];
    let both = pushing.iter().flat_map(|pushing| showing.iter().map(move |shows| (pushing, shows)));
    for (bits, (pushing, showing)) in
        (0..32_u32).flat_map(|bits| both.clone().map(move |both| (bits, both)))
    {
        let bit = |n: u32| bits >> (5 - n) & 1 == 1;
        let text = format!("{}{bits:05b}{}", pushing.0, showing.0);
        let fits =
            |pattern: &str| pattern.chars().zip(text.chars()).all(|(p, t)| p == '.' || p == t);
        let expected: Vec<_> = table.iter().filter(|(pattern, _)| fits(pattern)).collect();
        assert_eq!(expected.len(), 1, "{text}: {expected:?}");
        let candidate = Candidate {
            pushing: pushing.1,
            tombstone: bit(1),
            chosen: bit(2),
            has_another: bit(3),
            waited_long: bit(4),
            left_behind: bit(5),
            showing: showing.1,
        };
        assert_eq!(unknown(Found::One(candidate)), expected[0].1, "{text}");
    }
    assert_eq!(unknown(Found::Several), Unknown::Ambiguous);
    assert_eq!(unknown(Found::None), Unknown::Create);
}
