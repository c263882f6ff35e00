//! What is pulled: contacts, by walks over all of them (contract, section 4). The obligations of `src/remote/inbound.rs`.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync::entity::EntityType;
use ems_sync::remote::inbound::{
    ConsentSeen, ConsentState, PullFrom, Pulled, Shape, Snapshot, Stream, Subject,
};
use ems_sync::remote::{Failure, FailureClass, PushResult, Remote as _, Wire};
use ems_sync_remotes::chatwoot::Resource;
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, answers, person, runner, thandi};
use crate::support::random::Random;

/// What a walk has shown.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) shown: BTreeMap<String, Snapshot>,
    pub(super) consents: Vec<ConsentSeen>,
    pub(super) cursor: Option<Value>,
    pub(super) shows_all: bool,
    pub(super) pages: usize,
}

impl Walked {
    pub(super) fn ids(&self) -> BTreeSet<i64> {
        self.shown.keys().map(|id| id.parse().unwrap()).collect()
    }
}

/// Walks to the end. `between` is done before each page, which has a number. What is kept between pages goes through text,
/// as it does through the database.
pub(super) async fn walk(
    bench: &Bench,
    stream: Stream,
    from: PullFrom,
    mut between: impl FnMut(usize),
) -> Result<Walked, Failure> {
    let mut walked = Walked::default();
    let mut from = from;
    for n in 1..1_000 {
        between(n);
        let Pulled { snapshots, consents, position, cursor, shows_all, server_time } =
            bench.client.pull(stream, &from).await?;
        assert!(server_time.is_some(), "the server said what time it is");
        assert!(position.is_none() || cursor.is_none() && !shows_all, "with the last page only");
        walked.shown.extend(snapshots.into_iter().map(|shown| (shown.remote_id.clone(), shown)));
        walked.consents.extend(consents);
        walked.pages = n;
        from.position = position.map(|at| serde_json::from_str(&at.to_string()).unwrap());
        if from.position.is_none() {
            return Ok(Walked { cursor, shows_all, ..walked });
        }
    }
    panic!("the walk does not end");
}

pub(super) async fn contacts(bench: &Bench) -> Walked {
    walk(bench, Stream::Contacts, PullFrom::default(), |_| {}).await.unwrap()
}

pub(super) async fn conversations(bench: &Bench, cursor: Option<Value>) -> Walked {
    let from = PullFrom { cursor, ..PullFrom::default() };
    walk(bench, Stream::Conversations, from, |_| {}).await.unwrap()
}

/// Contacts of persons 1 to `n`, made one second after the other; their ids.
pub(super) fn plant(bench: &Bench, n: i64) -> Vec<i64> {
    let contact = |id: i64| {
        json!({"name": format!("Runner {id}"), "email": format!("runner{id}@example.org"),
            "identifier": format!("ems-person-{id}"), "custom_attributes": {"ems_person_id": id.to_string()},
            "created_at": 1_700_000_000 + id})
    };
    (1..=n).map(|id| bench.plant(contact(id))).collect()
}

pub(super) fn plant_conversation(bench: &Bench, row: Value) -> (i64, String) {
    let row = bench.sim.plant(Resource::Conversation, row).unwrap();
    (row.id, row.body["uuid"].as_str().unwrap().to_owned())
}

pub(super) fn wire(snapshot: &Snapshot) -> &Wire {
    let Shape::Stands { wire, .. } = &snapshot.shape else { panic!("it stands: {snapshot:?}") };
    wire
}

#[tokio::test]
async fn every_contact_is_shown_with_one_request_per_page_and_that_it_was_all_is_proven() {
    for n in [0, 1, 14, 15, 16, 30, 47] {
        let bench = Bench::new().await;
        let ids = plant(&bench, n);
        let walked = contacts(&bench).await;
        assert_eq!(walked.ids(), ids.iter().copied().collect());
        assert!(walked.shows_all);
        assert!(walked.consents.iter().all(|seen| seen.state == ConsentState::Lifted));
        let pages = (n as usize).div_ceil(15).max(1);
        assert_eq!((walked.pages, bench.sim.journal().len()), (pages, pages));
        for (n, id) in (1..).zip(&ids) {
            let shown = &walked.shown[&id.to_string()];
            assert_eq!(wire(shown), &Wire { match_key: None, ..bench.wire(n, runner(n)) });
            assert_eq!((shown.entity_type, shown.entity), (EntityType::Person, Some(person(n))));
            assert_eq!((shown.modified_on, shown.parents.len()), (None, 0));
        }
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn whatever_comes_and_goes_between_two_pages_nobody_who_stays_is_missed() {
    let mut random = Random::seeded("chatwoot_contacts_come_and_go");
    let (mut proven, mut masked, mut gone_back) = (0, 0, 0);
    for round in 0..40 {
        let bench = Bench::new().await;
        let mut standing: BTreeSet<i64> =
            plant(&bench, 50 + random.below(30) as i64).into_iter().collect();
        let mut new = 0;
        let mut is_masked = false;
        let always = standing.clone();
        let mut pages = 0;
        let walked = walk(&bench, Stream::Contacts, PullFrom::default(), |page| {
            pages += 1;
            if page == 1 || page > 12 || random.below(3) == 0 {
                return;
            }
            // In every fourth round one may come where another one goes.
            let (goes, comes) = match random.below(if round % 4 == 0 { 3 } else { 2 }) {
                0 => (1 + random.below(3), 0),
                1 => (0, 1 + random.below(2)),
                _ => (1, 1),
            };
            is_masked |= goes > 0 && comes > 0;
            for _ in 0..goes {
                let all: Vec<i64> = standing.iter().copied().collect();
                let id = *random.pick(&all);
                standing.remove(&id);
                if random.percent(50) || standing.is_empty() {
                    bench.sim.remove(Resource::Contact, id);
                } else {
                    let base = *standing.first().unwrap();
                    bench.sim.merge(base, id).unwrap();
                }
            }
            for _ in 0..comes {
                new += 1;
                bench.plant(json!({"name": "New", "email": format!("new{new}@example.org")}));
            }
        })
        .await
        .unwrap();
        let missed: Vec<&i64> =
            always.intersection(&standing).filter(|id| !walked.ids().contains(id)).collect();
        assert!(missed.is_empty() || is_masked, "round {round}: {missed:?} were missed");
        assert!(missed.is_empty() || !walked.shows_all, "round {round}: {missed:?}, proven");
        let next = contacts(&bench).await;
        assert!(standing.is_subset(&next.ids()), "round {round}");
        proven += usize::from(walked.shows_all);
        masked += usize::from(is_masked);
        gone_back += usize::from(pages > 6);
        bench.assert_no_violation();
    }
    assert!(proven > 0 && masked > 0 && gone_back > 0, "{proven} {masked} {gone_back}");
}

#[tokio::test]
async fn new_contacts_are_no_reason_to_doubt_but_one_for_one_that_went_is() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 40);
    let walked = walk(&bench, Stream::Contacts, PullFrom::default(), |page| {
        if page == 2 {
            bench.plant(json!({"name": "New", "email": "new@example.org"}));
        }
    })
    .await
    .unwrap();
    assert!(walked.shows_all && walked.shown.len() == 41);
    let walked = walk(&bench, Stream::Contacts, PullFrom::default(), |page| {
        if page == 2 {
            bench.sim.remove(Resource::Contact, ids[0]);
            bench.plant(json!({"name": "New", "email": "new2@example.org"}));
        }
    })
    .await
    .unwrap();
    assert!(!walked.shows_all, "the count is what it was, and proves nothing");
}

#[tokio::test]
async fn a_walk_goes_on_in_another_process_and_a_position_of_another_version_begins_anew() {
    let bench = Bench::new().await;
    let ids: BTreeSet<i64> = plant(&bench, 40).into_iter().collect();
    let one = bench.client.pull(Stream::Contacts, &PullFrom::default()).await.unwrap();
    let elsewhere = bench.with_client("ems-sync-token", 1);
    let from = PullFrom { position: one.position, ..PullFrom::default() };
    let rest = walk(&elsewhere, Stream::Contacts, from, |_| {}).await.unwrap();
    assert_eq!((rest.shown.len(), rest.pages, rest.shows_all), (25, 2, true));
    for position in [json!({"page": "two"}), json!(7), json!({"walk": {"page": 0}})] {
        let from = PullFrom { position: Some(position), ..PullFrom::default() };
        assert_eq!(walk(&bench, Stream::Contacts, from, |_| {}).await.unwrap().ids(), ids);
    }
}

#[tokio::test]
async fn what_we_wrote_comes_back_with_the_hash_that_the_answer_had() {
    let bench = Bench::new().await;
    let result = bench.one(bench.create(42, thandi())).await;
    let PushResult::Held { remote_id, remote_hash, .. } = result else { panic!("not held") };
    let walked = contacts(&bench).await;
    assert_eq!(wire(&walked.shown[&remote_id]).hash, remote_hash);
    let read = bench.client.read(EntityType::Person, &remote_id).await.unwrap();
    assert_eq!(read, walked.shown[&remote_id]);
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_edit_that_moves_no_time_is_seen_by_its_hash() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 3);
    let before = contacts(&bench).await;
    bench.plant(json!({"id": ids[1], "additional_attributes": {"city": "Durban"}}));
    let after = contacts(&bench).await;
    let changed: Vec<&String> = after
        .shown
        .iter()
        .filter(|(id, shown)| wire(shown).hash != wire(&before.shown[*id]).hash)
        .map(|(id, _)| id)
        .collect();
    assert_eq!(changed, [&ids[1].to_string()]);
    assert_eq!(wire(&after.shown[&ids[1].to_string()]).body["city"], "Durban");
}

/// Nothing is gone because a list does not show it.
#[tokio::test]
async fn a_contact_that_the_list_hides_is_read_by_its_id() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 2);
    let hidden =
        bench.plant(json!({"name": "Hidden", "identifier": "ems-person-9", "created_at": 1}));
    bench.sim.configure(|settings| settings.crm_v2 = true);
    let walked = contacts(&bench).await;
    assert_eq!(walked.ids(), ids.into_iter().collect());
    let read = bench.client.read(EntityType::Person, &hidden.to_string()).await.unwrap();
    assert_eq!((read.entity, &wire(&read).body["name"]), (Some(person(9)), &json!("Hidden")));
    bench.assert_no_violation();
}

#[tokio::test]
async fn merged_and_deleted_contacts_are_gone_by_the_servers_own_word_only() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 4);
    bench.sim.merge(ids[0], ids[1]).unwrap();
    bench.sim.remove(Resource::Contact, ids[2]);
    assert_eq!(contacts(&bench).await.ids(), [ids[0], ids[3]].into());
    let read = async |id: i64| bench.client.read(EntityType::Person, &id.to_string()).await;
    for gone in [ids[1], ids[2]] {
        let snapshot = read(gone).await.unwrap();
        assert_eq!((snapshot.shape, snapshot.remote_id), (Shape::Gone, gone.to_string()));
    }
    assert_eq!(read(ids[0]).await.unwrap().entity, Some(person(1)));
    let page = Fault::Status {
        code: 404,
        headers: Vec::new(),
        body: Some(json!("<html>")),
        applied: false,
    };
    let no_words = [
        answers(404, json!({"status": 404, "error": "Not Found"})),
        page,
        answers(404, json!({})),
        Fault::status(401),
        Fault::status(502),
        Fault::garbage(Garbage::EmptyBody),
        Fault::garbage(Garbage::StrangersRecord),
        Fault::garbage(Garbage::TruncatedJson),
        Fault::Drop,
    ];
    for fault in no_words {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Read));
        let result = read(ids[1]).await;
        assert!(result.is_err(), "{fault:?}: {result:?}");
    }
    assert_eq!(read(ids[1]).await.unwrap().shape, Shape::Gone);
    let nobody = bench.client.read(EntityType::Person, "{\"race_id\":1}").await.unwrap_err();
    assert_eq!(nobody.class, FailureClass::OurFault);
}

#[tokio::test]
async fn a_block_is_a_consent_of_whoevers_id_the_contact_carries() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 2);
    let foreign =
        bench.plant(json!({"name": "Spam", "email": "spam@example.org", "created_at": 1}));
    bench.sim.block(ids[1], true).unwrap();
    bench.sim.block(foreign, true).unwrap();
    let said = |person: i64, state| {
        ["EMAIL", "SMS", "PHONE"].map(|channel| ConsentSeen {
            person,
            subject: Subject::Channel(channel.to_owned()),
            record: ids[usize::try_from(person).unwrap() - 1].to_string(),
            state,
            said_on: None,
            at_latest: None,
        })
    };
    let said = |second| [said(1, ConsentState::Lifted), said(2, second)].concat();
    let walked = contacts(&bench).await;
    let by_person = |mut consents: Vec<ConsentSeen>| {
        consents.sort_by_key(|seen| seen.person);
        consents
    };
    assert_eq!(by_person(walked.consents), said(ConsentState::Blocked));
    let is_blocked = |id: i64| match &walked.shown[&id.to_string()].shape {
        Shape::Stands { extra, .. } => extra["blocked"] == json!(true),
        shape => panic!("{shape:?}"),
    };
    assert_eq!([ids[0], ids[1], foreign].map(is_blocked), [false, true, true]);
    assert_eq!(wire(&walked.shown[&ids[1].to_string()]).hash, bench.wire(2, runner(2)).hash);
    bench.sim.block(ids[1], false).unwrap();
    assert_eq!(by_person(contacts(&bench).await.consents), said(ConsentState::Lifted));
}
