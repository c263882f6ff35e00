//! `verify` against what people did at the remote: everything is found, by name, and nothing else; foreign records are counted and left
//! alone; a repair brings home what may be brought home.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::mailchimp::Status;
use serde_json::{Value, json};

use super::bed::{Bed, CLUB, NEWS};
use super::meddling::entity_of;
use crate::support::campaign::scaled;
use crate::support::random::Random;

const FOREIGN: usize = 7;

/// What is expected of an entity: finding and fields.
type Findings = BTreeMap<(String, i64), (String, Vec<String>)>;

fn findings(document: &Value) -> Findings {
    assert_eq!(document["left_out"], json!(0));
    let mut found = Findings::new();
    for row in document["rows"].as_array().unwrap() {
        let key = (row["entity"].as_str().unwrap().to_owned(), row["id"].as_i64().unwrap());
        let fields: BTreeSet<String> = serde_json::from_value(row["fields"].clone()).unwrap();
        let of_row = (row["finding"].as_str().unwrap().to_owned(), fields.into_iter().collect());
        assert_eq!(found.insert(key.clone(), of_row), None, "{key:?} is told twice");
    }
    found
}

/// What is in one and not in the other.
fn difference(expected: &Findings, found: &Findings) -> Vec<String> {
    let mut differences = Vec::new();
    for key in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        let (wanted, got) = (expected.get(key), found.get(key));
        if wanted != got {
            differences.push(format!("{key:?}: expected {wanted:?}, found {got:?}"));
        }
    }
    differences
}

/// Does so many things at random to different entities; what must be found.
fn meddle(bed: &Bed, target: Target, people: i64, times: usize, random: &mut Random) -> Findings {
    let mut left: Vec<i64> = (1..=people).collect();
    let mut expected = Findings::new();
    for n in 0..times {
        let id = left.swap_remove(random.below(left.len()));
        let (entity, id, finding, fields) = match random.below(3) {
            0 => (entity_of(target), id, "different", bed.edit(target, id, random)),
            1 => (bed.delete(target, id), id, "missing", Vec::new()),
            _ => {
                let orphan = 900_000 + id;
                bed.plant(target, &format!("orphan{n}"), Some(orphan));
                (entity_of(target), orphan, "orphaned", Vec::new())
            }
        };
        expected.insert((entity.to_owned(), id), (finding.to_owned(), fields));
    }
    expected
}

async fn everything_is_found_and_repaired(target: Target) {
    let mut random = Random::seeded(target.name());
    let bed = Bed::of(target).await;
    let running = bed.rig.start(&[Role::Relay, Role::Consume]);
    let times = scaled(100, 500);
    let people = (times + times / 2) as i64;
    bed.populate(people).await;
    bed.rig.settled().await;
    let (code, clean) = bed.verify(target, false).await;
    assert_eq!((code, findings(&clean)), (0, Findings::new()), "{clean}");

    let expected = meddle(&bed, target, people, times, &mut random);
    let before = bed.rows(target);
    for n in 0..FOREIGN {
        bed.plant(target, &format!("foreign{n}"), None);
    }
    let meddled = bed.rows(target);
    let is_foreign = |id: &str| !before.contains_key(id);

    let (code, document) = bed.verify(target, false).await;
    let differences = difference(&expected, &findings(&document));
    assert!(differences.is_empty(), "{} differ: {differences:#?}", differences.len());
    let missing_and_different =
        expected.values().filter(|(finding, _)| finding != "orphaned").count() as i64;
    assert_eq!(code, 1);
    assert_eq!(document["foreign"], json!(FOREIGN), "{target}");
    assert_eq!(
        document["matched"].as_i64().unwrap(),
        clean["matched"].as_i64().unwrap() - missing_and_different
    );
    assert!(!document.to_string().contains("Meddled"), "names of fields only");
    assert_eq!(bed.rows(target), meddled, "it only reads");

    // A resync plans the same, and tells by which fields.
    let resync = ["resync", "--target", target.name(), "--dry-run", "--json"];
    let (code, text) = bed.rig.run(&resync).await;
    let plan: Value = serde_json::from_str(&text).unwrap();
    let of = |finding: &str| expected.values().filter(|(found, _)| found == finding).count();
    assert_eq!(
        (code, ["create", "update", "orphaned"].map(|name| plan[name].as_u64().unwrap() as usize)),
        (0, ["missing", "different", "orphaned"].map(of)),
        "{plan}"
    );
    let fields: BTreeSet<&String> = expected.values().flat_map(|(_, fields)| fields).collect();
    let planned: BTreeSet<&String> = plan["fields"].as_object().unwrap().keys().collect();
    assert_eq!(planned, fields, "{plan}");
    assert!(!plan.to_string().contains("Meddled"), "names of fields only");
    assert_eq!(bed.rows(target), meddled, "it only plans");

    let (code, document) = bed.verify(target, true).await;
    assert_eq!((code, document["owed"].as_u64()), (1, Some(times as u64)));
    bed.rig.settled().await;
    let (code, document) = bed.verify(target, false).await;
    let left = findings(&document);
    assert_eq!((code, difference(&Findings::new(), &left)), (0, Vec::new()), "all is home");
    let repaired = bed.rows(target);
    for (id, row) in meddled.iter().filter(|(id, _)| is_foreign(id)) {
        assert_eq!(repaired.get(id), Some(row), "foreign records are left alone");
    }
    // Whoever was taken out of the lists by people there stays out, whatever is repaired (G5).
    if target == Target::MailChimp {
        let out = expected.iter().filter(|(_, (finding, _))| finding == "missing");
        for ((_, id), _) in out {
            for list in [NEWS, CLUB] {
                let member = bed.mailchimp.member(list, &format!("runner{id}@club.org")).unwrap();
                assert_eq!(member.status, Status::Archived);
            }
        }
    }
    assert_eq!(bed.violations(target), []);
    running.stop().await;
}

macro_rules! each {
    ($($name:ident: $target:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            everything_is_found_and_repaired(Target::$target).await;
        }
    )*};
}

each! {
    what_people_do_at_tagserver_is_found_and_repaired: TagServer;
    what_people_do_at_mautic_is_found_and_repaired: Mautic;
    what_people_do_at_mailchimp_is_found_and_repaired_but_for_their_decisions: MailChimp;
    what_people_do_at_runsignup_is_found_and_repaired: RunSignup;
    what_people_do_at_chatwoot_is_found_and_repaired: Chatwoot;
}
