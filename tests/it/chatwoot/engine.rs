//! The engine with Chatwoot: many changes converge to what an independent reading of the EMS says, lost answers double nothing,
//! shared addresses have one contact.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync_remotes::chatwoot::Resource;
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::{Value, json};

use super::rig::Rig;
use crate::support::campaign::scaled;
use crate::support::ems;

/// What each contact should hold, read from the base tables: a second implementation of the mapping. Of persons with one
/// address the first has the contact.
const EXPECTED: &str = "
    select distinct on (coalesce(lower(p.email), 'person ' || p.id)) p.id,
           jsonb_build_object('name', p.first_name || ' ' || p.last_name, 'email', lower(p.email), 'phone_number', p.phone,
               'identifier', 'ems-person-' || p.id, 'city', p.city, 'country', p.country, 'country_code', p.country)
    from ems.person p where p.email is not null or p.phone is not null
    order by coalesce(lower(p.email), 'person ' || p.id), p.id";

/// Numbers up to this are shared by families.
const SHARED_NUMBERS: i64 = 15;

fn is_shared(phone: &Value) -> bool {
    let number = phone.as_str().and_then(|phone| phone.strip_prefix("+2782")?.parse::<i64>().ok());
    number.is_some_and(|number| number <= SHARED_NUMBERS)
}

/// Every difference between the EMS and the simulated Chatwoot. A number that another contact has, be it one that was unlinked,
/// is left out; one that is shared may be on none, where the one that had it got another.
async fn differences(rig: &Rig) -> Vec<String> {
    let mut ours: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut phones = BTreeSet::new();
    for row in rig.sim.rows(Resource::Contact) {
        phones.extend(row.body["phone_number"].as_str().map(str::to_owned));
        let identifier = row.body["identifier"].as_str().map(str::to_owned);
        let attribute = row.body["custom_attributes"]["ems_person_id"].as_str();
        let marks = (identifier, attribute.map(|id| format!("ems-person-{id}")));
        match marks {
            (None, None) => {}
            (Some(identifier), Some(attribute)) if identifier == attribute => {
                ours.entry(identifier).or_default().push(row.body);
            }
            odd => return vec![format!("{} is marked {odd:?}", row.id)],
        }
    }
    let mut differences = Vec::new();
    for row in rig.ems.query(EXPECTED, &[]).await.unwrap() {
        let (id, wanted): (i64, Value) = (row.get(0), row.get(1));
        let contacts = ours.remove(&format!("ems-person-{id}")).unwrap_or_default();
        let [contact] = &*contacts else {
            differences.push(format!("person {id} has {} contacts", contacts.len()));
            continue;
        };
        for (field, wanted) in wanted.as_object().unwrap() {
            let held = contact.get(field).or_else(|| contact["additional_attributes"].get(field));
            let held = held.cloned().unwrap_or(Value::Null);
            let has_another = wanted.as_str().is_some_and(|phone| phones.contains(phone));
            let may_be_missing = field == "phone_number" && (has_another || is_shared(wanted));
            if held != *wanted && !(held.is_null() && may_be_missing) {
                differences.push(format!("person {id} {field}: EMS {wanted}, Chatwoot {held}"));
            }
        }
    }
    differences.extend(ours.into_keys().map(|identifier| format!("{identifier} is orphaned")));
    differences
}

async fn assert_in_sync(rig: &Rig) {
    let dead = "select entity_id || ' ' || error from sync.dead_letter where closed_on is null";
    let dead: Vec<String> =
        rig.ems.query(dead, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(dead, [""; 0]);
    let differences = differences(rig).await;
    let shown: Vec<_> = differences.iter().take(10).collect();
    assert!(differences.is_empty(), "{} differences: {shown:#?}", differences.len());
    assert_eq!(rig.sim.violations(), []);
}

async fn populate(rig: &Rig) {
    ems::populate(&rig.ems, 300).await;
    // Some families share a number; some have a number and no address.
    rig.exec(
        "update ems.person set phone = '+2782' || lpad((id / case when id % 10 = 0 then 20 else 1 end)::text, 7, '0'),
                city = 'City ' || id % 7, country = 'ZA', language = 'en' where id % 3 > 0",
    )
    .await;
}

/// Every second round, the first of two neighbours gets the address that the second one has.
async fn change(rig: &Rig, round: i64) {
    ems::change(&rig.ems, round).await;
    rig.exec(&format!(
        "update ems.person set email = 'Moved' || id || '@EMS.example' where id % 11 = {round} % 11;
         update ems.person set email = null where id % 17 = {round} % 17;
         update ems.person set city = null, country = 'KE' where id % 5 = {round} % 5;
         update ems.person p set email = o.email from ems.person o
         where o.id = p.id + 1 and o.email like 'Moved%' and {round} % 2 = 0 and o.id % 11 = {round} - 1"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_changes_converge_and_a_second_sweep_writes_nothing() {
    let rig = Rig::new().await;
    let running = rig.start();
    populate(&rig).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    for round in 1..5 {
        change(&rig, round).await;
        rig.settled().await;
        assert_in_sync(&rig).await;
    }
    let requests = rig.sim.counters().writes_to("contacts");
    assert_eq!(requests.deleted, 0, "nobody's history is wiped");
    let writes = requests.applied();
    let (code, _) = rig.run(&["sweep", "outbound"]).await;
    assert_eq!(code, 0);
    rig.settled().await;
    assert_eq!(rig.sim.counters().writes_to("contacts").applied(), writes);
    assert!(rig.sim.overlaps().is_empty(), "two pushes of one entity were in flight");
    let (_, report) = rig.run(&["verify", "--target", "chatwoot", "--json"]).await;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["orphaned"], json!(0), "{report}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_make_no_second_contact() {
    let rig = Rig::new().await;
    let n = scaled(200, 1_000);
    for operation in [Operation::Create, Operation::Patch] {
        let rule = Rule::new(Fault::CommitThenDrop).operation(operation).probability(0.15);
        rig.sim.faults().push(rule.unlimited());
    }
    let running = rig.start();
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name, email)
         select 'Thandi', 'Runner ' || n, 'runner' || n || '@ems.example' from generate_series(1, {n}) n"
    ))
    .await;
    rig.settled().await;
    rig.exec("update ems.person set city = 'Durban'").await;
    rig.settled().await;
    rig.sim.faults().clear();
    rig.settled().await;
    assert_in_sync(&rig).await;
    let writes = rig.sim.counters().writes_to("contacts");
    assert_eq!((writes.created as usize, rig.sim.contact_count()), (n, n), "{writes:?}");
    assert_eq!(writes.unchanged, 0, "nothing was said twice: {writes:?}");
    running.stop().await;
}

/// The owner of an address changes: the contact with its history goes along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_goes_to_the_person_who_owns_the_address_now() {
    let rig = Rig::new().await;
    let running = rig.start();
    rig.exec(
        "insert into ems.person (id, first_name, last_name, email) overriding system value values
         (10, 'Sipho', 'Nkosi', 'family@ems.example'), (20, 'Zanele', 'Nkosi', 'family@ems.example')",
    )
    .await;
    rig.settled().await;
    let contact = rig.sim.contact("10").unwrap().id;
    assert_eq!(rig.sim.contact_count(), 1);
    // Somebody with a lower id wants it, too.
    rig.exec(
        "insert into ems.person (id, first_name, last_name, email) overriding system value values
         (5, 'Thandi', 'Nkosi', 'Family@ems.example')",
    )
    .await;
    rig.settled().await;
    assert_eq!(rig.sim.contact("5").map(|row| row.id), Some(contact));
    // The owner leaves: the next one adopts what was unlinked.
    rig.exec("delete from ems.person where id = 5").await;
    rig.settled().await;
    assert_eq!(rig.sim.contact("10").map(|row| row.id), Some(contact));
    // The owner gets another address: the contact goes with the owner, the next one gets one of its own.
    rig.exec("update ems.person set email = 'sipho@ems.example' where id = 10").await;
    rig.settled().await;
    assert_eq!(rig.sim.contact("10").map(|row| row.id), Some(contact));
    assert_eq!(rig.sim.contact_count(), 2);
    // And wants the family's again: the other one gives it up, and its contact the marks.
    rig.exec("update ems.person set email = 'family@ems.example' where id = 10").await;
    rig.settled().await;
    assert_eq!(rig.sim.contact("10").map(|row| row.id), Some(contact));
    assert_eq!(rig.sim.contact("20"), None);
    assert_in_sync(&rig).await;
    running.stop().await;
}
