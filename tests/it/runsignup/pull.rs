//! What comes back (contract, sections 4 and 6): everything once it is there, nothing twice by mistake, an odd list never as an
//! empty one, and the cursor by RunSignup's own times.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync::entity::EntityType;
use ems_sync::hash::ContentHash;
use ems_sync::remote::inbound::{PullFrom, Pulled, Shape, Snapshot, Stream};
use ems_sync::remote::{Failure, Remote as _};
use ems_sync_remotes::runsignup::{Action, Resource};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::bench::{Bench, OTHER, OTHER_RACE, RACE, TEN, TWENTY, participant};

/// What a walk has shown.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) cursor: Option<Value>,
    pub(super) shows_all: bool,
}

impl Walked {
    /// The last word about each record.
    fn by_id(&self) -> BTreeMap<&str, &Snapshot> {
        self.snapshots.iter().map(|snapshot| (snapshot.remote_id.as_str(), snapshot)).collect()
    }

    pub(super) fn of(&self, registration: i64) -> Option<&Snapshot> {
        self.by_id().get(registration.to_string().as_str()).copied()
    }
}

pub(super) async fn page(
    bench: &Bench,
    stream: Stream,
    from: &PullFrom,
) -> Result<Pulled, Failure> {
    let pull = bench.client.pull(stream, from);
    tokio::time::timeout(super::bench::PATIENCE, pull).await.expect("ends")
}

/// A whole walk; `meanwhile` is called after each page with its number.
async fn walk_while(
    bench: &Bench,
    stream: Stream,
    cursor: Option<Value>,
    mut meanwhile: impl FnMut(usize),
) -> Walked {
    let mut from = PullFrom { cursor, ..PullFrom::default() };
    let mut walked = Walked::default();
    for number in 1.. {
        let pulled = page(bench, stream, &from).await.unwrap();
        walked.snapshots.extend(pulled.snapshots);
        let is_over = pulled.position.is_none();
        assert!(is_over || pulled.position != from.position, "it moves on");
        assert!(is_over || (pulled.cursor.is_none() && !pulled.shows_all), "not before its end");
        if is_over {
            return Walked { cursor: pulled.cursor, shows_all: pulled.shows_all, ..walked };
        }
        meanwhile(number);
        from.position = pulled.position;
    }
    unreachable!("it ends or goes on")
}

pub(super) async fn walk(bench: &Bench, stream: Stream, cursor: Option<Value>) -> Walked {
    walk_while(bench, stream, cursor, |_| ()).await
}

pub(super) fn since(seconds: i64) -> Option<Value> {
    Some(json!({ "since": seconds }))
}

fn person(n: i64) -> Value {
    json!({"user": {"first_name": "Zoë", "last_name": format!("Runner {n}"), "dob": "1986-01-06", "gender": "X"}})
}

fn hash(snapshot: &Snapshot) -> ContentHash {
    let Shape::Stands { wire, .. } = &snapshot.shape else { panic!("it does not stand") };
    wire.hash
}

fn removed(snapshot: &Snapshot) -> (&str, Option<&str>) {
    let Shape::Removed { reason, successor } = &snapshot.shape else { panic!("it stands") };
    (reason, successor.as_deref())
}

pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}

#[tokio::test]
async fn every_race_is_shown_with_its_years_and_again_in_each_walk() {
    let bench = Bench::new().await;
    let past = json!({"id": 31, "race_id": RACE, "race_event_days_id": 3, "name": "5K", "start_time": "2019-06-01T09:00:00"});
    bench.sim.plant(Resource::Event, past).unwrap();
    let volunteers =
        json!({"id": 79, "race_id": RACE, "race_event_days_id": 12, "volunteer": true});
    bench.sim.plant(Resource::Event, volunteers).unwrap();
    for cursor in [None, since(now() + 1_000)] {
        let walked = walk(&bench, Stream::Races, cursor).await;
        assert!(walked.shows_all);
        let ids: BTreeSet<&str> = walked.by_id().into_keys().collect();
        let expected = [
            r#"{"race_event_days_id":12,"race_id":7}"#,
            r#"{"race_event_days_id":12,"race_id":8}"#,
            r#"{"race_event_days_id":3,"race_id":7}"#,
            "31",
            "71",
            "72",
            "81",
        ];
        assert_eq!(ids, BTreeSet::from(expected));
        assert_eq!(walked.snapshots.len(), expected.len(), "each once");
        let parents: BTreeMap<&str, &str> = walked
            .snapshots
            .iter()
            .flat_map(|race| {
                race.parents.iter().map(|p| (race.remote_id.as_str(), p.remote_id.as_str()))
            })
            .collect();
        assert_eq!(parents["31"], expected[2]);
        assert_eq!(parents["72"], expected[0]);
        // It can be compared with what the walk of `verify` sees.
        let listed = bench.client.list(EntityType::Race, None).await.unwrap();
        assert!(!listed.records.is_empty());
        for record in listed.records {
            assert_eq!(hash(walked.by_id()[record.remote_id.as_str()]), record.wire.hash);
        }
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_registration_is_shown_as_it_was_pushed_with_its_race_and_its_ems_id() {
    let bench = Bench::new().await;
    let ours = bench.registered(5, TWENTY).await;
    let theirs = bench.paid(6, OTHER, json!({"gender": "X"}));
    let walked = walk(&bench.fresh(), Stream::Registrations, None).await;
    assert!(walked.shows_all);
    assert_eq!(walked.snapshots.len(), 2);
    let (one, other) = (walked.of(ours).unwrap(), walked.of(theirs).unwrap());
    assert_eq!((one.entity, other.entity), (Some(participant(5)), None));
    assert_eq!(hash(one), bench.wire(5, TWENTY, json!({})).hash);
    assert_eq!(hash(other), bench.wire(6, OTHER, json!({"gender": "UNKNOWN"})).hash);
    assert_eq!(one.modified_on.unwrap().as_second(), bench.registration(ours).0.last_modified);
    let parent = &other.parents[0];
    assert_eq!((parent.entity_type, parent.remote_id.as_str()), (EntityType::Race, "81"));
    assert!(parent.required);
    bench.assert_no_violation();
}

#[tokio::test]
async fn the_remotes_clock_is_told_and_the_cursor_is_its_own() {
    for ahead in [-3_600, 0, 3_600] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.clock_offset_seconds = ahead);
        let id = bench.paid(6, TEN, json!({}));
        let before = Timestamp::now();
        let from = PullFrom::default();
        let pulled = page(&bench, Stream::Registrations, &from).await.unwrap();
        let ahead = SignedDuration::from_secs(ahead);
        let told = pulled.server_time.unwrap().duration_since(before).saturating_sub(ahead);
        assert!(told.as_secs().abs() <= 30, "{told}");
        let walked = walk(&bench, Stream::Registrations, None).await;
        let modified = bench.registration(id).0.last_modified;
        assert_eq!(walked.cursor, since(modified - 420));
    }
}

/// Which events a race has is read a while before a walk at most: what was registered in a new one meanwhile is not passed by.
#[tokio::test]
async fn who_registers_in_an_event_that_is_not_known_yet_is_shown_by_the_next_walk() {
    const NEW: i64 = 73;
    let bench = Bench::new().await;
    bench.paid(5, TEN, json!({}));
    let cursor = walk(&bench, Stream::Registrations, None).await.cursor;
    let event = json!({"id": NEW, "race_id": RACE, "race_event_days_id": 12});
    bench.sim.plant(Resource::Event, event).unwrap();
    let first = bench.sim.register(NEW, person(1)).unwrap();
    bench.sim.configure(|settings| settings.clock_offset_seconds = 290);
    let late = bench.paid(6, TEN, json!({}));
    let walked = walk(&bench, Stream::Registrations, cursor).await;
    assert!(walked.of(late).is_some());
    assert!(walked.of(first).is_none(), "of this process the race is known already");
    let walked = walk(&bench.fresh(), Stream::Registrations, walked.cursor).await;
    assert!(walked.of(first).is_some());
}

/// Contract, section 6: inclusive, a second long, and kept where nothing was shown.
#[tokio::test]
async fn equal_seconds_are_all_shown_and_nothing_shown_keeps_the_cursor() {
    let bench = Bench::new().await;
    let at = 1_700_000_000;
    for n in 0..3 {
        let mut row = person(n);
        row["last_modified"] = json!(at - i64::from(n == 2));
        row["event_id"] = json!(TEN);
        bench.sim.plant(Resource::Registration, row).unwrap();
    }
    let walked = walk(&bench, Stream::Registrations, since(at)).await;
    assert_eq!(walked.snapshots.len(), 2);
    assert!(!walked.shows_all);
    assert_eq!(walked.cursor, since(at), "it never goes back");
    let walked = walk(&bench, Stream::Registrations, since(at + 1)).await;
    assert_eq!((walked.snapshots.len(), walked.cursor), (0, since(at + 1)));
    // Whatever the cursor says.
    let from = PullFrom { cursor: since(at + 1), full: true, ..PullFrom::default() };
    assert_eq!(page(&bench, Stream::Registrations, &from).await.unwrap().snapshots.len(), 3);
    bench.assert_no_violation();
}

/// Some come behind the walk, some before it, and what was shown is edited: two walks have shown all of it.
#[tokio::test]
async fn five_thousand_that_appear_while_pages_are_walked_all_arrive() {
    let bench = Bench::new().await;
    let mut made: BTreeSet<i64> = BTreeSet::new();
    let register = |count: usize, made: &mut BTreeSet<i64>| {
        for n in 0..count {
            let event = [TEN, TWENTY, OTHER][n % 3];
            made.insert(bench.sim.register(event, person(i64::try_from(n).unwrap())).unwrap());
        }
    };
    register(2_500, &mut made);
    let first = walk_while(&bench, Stream::Registrations, None, |_| {
        if made.len() < 5_000 {
            register(500, &mut made);
            let edited = *made.first().unwrap();
            let edit = json!({"id": edited, "bib_num": made.len()});
            bench.sim.plant(Resource::Registration, edit).unwrap();
        }
    })
    .await;
    assert_eq!(made.len(), 5_000);
    let standing = |walked: &Walked| -> Vec<i64> {
        walked.snapshots.iter().map(|snapshot| snapshot.remote_id.parse().unwrap()).collect()
    };
    let shown = standing(&first);
    assert_eq!(shown.len(), shown.iter().collect::<BTreeSet<_>>().len(), "none twice in a walk");
    let second = walk(&bench, Stream::Registrations, first.cursor.clone()).await;
    let all: BTreeSet<i64> = shown.into_iter().chain(standing(&second)).collect();
    assert_eq!(all, made);
    // The last edit is among them.
    let edited = *made.first().unwrap();
    let last = second.of(edited).or_else(|| first.of(edited)).unwrap();
    let read = bench.client.read(EntityType::EventParticipant, &edited.to_string()).await.unwrap();
    assert_eq!(hash(last), hash(&read));
    bench.assert_no_violation();
}

/// A long walk shows later changes than the ones that it has passed.
#[tokio::test]
async fn what_is_changed_behind_the_walk_is_shown_by_the_next_one() {
    let bench = Bench::new().await;
    let began = now();
    let passed = bench.paid(5, TEN, json!({}));
    let ahead = bench.paid(6, OTHER, json!({}));
    let first = walk_while(&bench, Stream::Registrations, since(began - 10), |number| {
        // The first page has shown the first event.
        if number == 1 {
            for (id, after) in [(passed, 5), (ahead, 1_000)] {
                let edit = json!({"id": id, "bib_num": 777, "last_modified": began + after});
                bench.sim.plant(Resource::Registration, edit).unwrap();
            }
        }
    })
    .await;
    assert_eq!(first.of(ahead).unwrap().modified_on.unwrap().as_second(), began + 1_000);
    let second = walk(&bench, Stream::Registrations, first.cursor).await;
    let edited = bench.wire(5, TEN, json!({"number": "777"}));
    assert_eq!(hash(second.of(passed).unwrap()), edited.hash);
}

#[tokio::test]
async fn who_was_taken_out_is_told_with_the_reason_after_all_who_stand() {
    let bench = Bench::new().await;
    let (moved, bystander) = (bench.paid(4, OTHER, json!({})), bench.paid(9, OTHER, json!({})));
    // To an event that is walked before.
    let new = bench.sim.act(moved, Action::Transfer { event_id: TEN }).unwrap().id;
    let mut went = BTreeMap::from([(moved, ("transferred", Some(new.to_string())))]);
    for (n, action, reason) in [
        (5, Action::Clear, "cleared"),
        (6, Action::Remove, "removed"),
        (7, Action::Defer, "deferred"),
    ] {
        let id = bench.paid(n, TEN, json!({}));
        bench.sim.act(id, action).unwrap();
        went.insert(id, (reason, None));
    }
    for cursor in [None, since(now() - 60)] {
        let walked = walk(&bench, Stream::Registrations, cursor).await;
        for (id, (reason, successor)) in &went {
            let snapshot = walked.of(*id).unwrap();
            assert_eq!(removed(snapshot), (*reason, successor.as_deref()));
            let at = bench.sim.registration(*id).unwrap().removal.unwrap().at;
            assert_eq!(snapshot.modified_on.unwrap().as_second(), at);
        }
        assert_eq!(walked.snapshots.len(), went.len() + 2, "each once");
        let standing = walked.snapshots.iter().take(2);
        let standing: Vec<&str> = standing.map(|snapshot| snapshot.remote_id.as_str()).collect();
        assert_eq!(standing, [new.to_string(), bystander.to_string()]);
    }
    // Nothing of it is shown to a walk from later on.
    assert_eq!(walk(&bench, Stream::Registrations, since(now() + 60)).await.snapshots.len(), 0);
    bench.assert_no_violation();
}

/// It stays in the list of the removed (contract, section 6: the re-activation wins).
#[tokio::test]
async fn who_came_back_stands_in_every_list() {
    let bench = Bench::new().await;
    let gone = bench.paid(4, TEN, json!({}));
    let back = bench.paid(5, TEN, json!({}));
    for id in [gone, back] {
        bench.sim.act(id, Action::Remove).unwrap();
    }
    bench.sim.act(back, Action::Reactivate).unwrap();
    for cursor in [None, since(now() - 60)] {
        let walked = walk(&bench, Stream::Registrations, cursor).await;
        assert_eq!(removed(walked.of(gone).unwrap()).0, "removed");
        let of_back = walked.snapshots.iter().filter(|one| one.remote_id == back.to_string());
        assert!(of_back.clone().count() >= 1);
        for snapshot in of_back {
            assert_eq!(hash(snapshot), bench.wire(5, TEN, json!({})).hash);
        }
    }
    bench.assert_no_violation();
}

/// Refunds come for some weeks; then the daily walk over everything sees them.
#[tokio::test]
async fn an_event_that_is_long_over_is_walked_with_everything_only() {
    let bench = Bench::new().await;
    let day = |ago: i64| (Timestamp::now() - SignedDuration::from_hours(24 * ago)).to_string();
    for (id, ago) in [(31, 61), (32, 59)] {
        let start = day(ago).chars().take(19).collect::<String>();
        let event =
            json!({"id": id, "race_id": OTHER_RACE, "race_event_days_id": 3, "start_time": start});
        bench.sim.plant(Resource::Event, event).unwrap();
    }
    let (old, live) = (bench.paid(5, 31, json!({})), bench.paid(6, 32, json!({})));
    let walked = walk(&bench, Stream::Registrations, since(now() - 60)).await;
    assert!(walked.of(old).is_none() && walked.of(live).is_some());
    let walked = walk(&bench, Stream::Registrations, None).await;
    assert!(walked.of(old).is_some() && walked.of(live).is_some() && walked.shows_all);
}

/// Pulls and pushes share the two calls.
#[tokio::test]
async fn walks_and_pushes_together_have_two_calls_under_way() {
    let bench = Bench::new().await;
    bench.sim.set_latency(std::time::Duration::from_millis(5));
    let pushes = bench.many((1..=12).map(|id| bench.create(id, TEN)).collect());
    let races = walk(&bench, Stream::Races, None);
    let registrations = walk(&bench, Stream::Registrations, None);
    let (results, races, _) = tokio::join!(pushes, races, registrations);
    assert_eq!((results.len(), races.snapshots.len()), (12, 5));
    bench.assert_no_violation();
}
