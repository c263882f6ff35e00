//! The engine and the client together: what the EMS says is what Mautic holds, by a reading of its own of both.

use std::time::Duration;

use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::Value;

use super::rig::Rig;
use crate::support::readings::mautic;
use crate::support::rig::PATIENCE;

/// Makes `people` persons of every kind: with and without address, sharing one, with and without preferences. Who shares an
/// address says nothing of it: an opt-out that came to the contact before its owner did stays with it.
async fn populate(rig: &Rig, people: i64) {
    rig.exec(&format!(
        "begin;
         insert into ems.person (title, first_name, last_name, email, phone, city, postal_code, province, country, language,
                                 date_of_birth, address_line, medical_conditions, identity_number, emergency_contact_name)
         select case when n % 4 = 0 then 'Dr' end, (array['Thandi', ' Ngũgĩ', 'Zoë', '美咲'])[1 + n % 4], 'Runner ' || n,
                case when n % 7 = 0 then null when n % 11 = 0 then '  ' when n % 5 = 0 then 'Family' || n / 20 || '@EMS.example'
                     else 'runner' || n || '+club@ems.example' end,
                case n % 3 when 0 then '+2782' || lpad(n::text, 7, '0') when 1 then 'call me' end,
                case when n % 2 = 0 then 'Durban' end, lpad(n::text, 4, '0'), 'KZN', (array['ZA', 'GB', null])[1 + n % 3],
                (array['en-ZA', 'af', null])[1 + n % 3], date '1990-01-01', 'canary street', 'canary medical',
                'canary identity', 'canary emergency'
         from generate_series(1, {people}) n;
         insert into ems.contact_preference (person_id, channel, opted_in)
         select p.id, c.channel, (p.id + c.n) % 3 > 0 from ems.person p,
                (values ('EMAIL', 0), ('SMS', 1), ('PHONE', 2)) c (channel, n)
         where (p.id + c.n) % 2 = 0 and p.email not like 'Family%';
         commit;"
    ))
    .await;
}

async fn assert_same(rig: &Rig, when: &str) {
    let differences = mautic::differences(&rig.ems, &rig.sim).await;
    assert!(differences.is_empty(), "{when}: {differences:#?} {:#?}", rig.states().await);
    assert_eq!(rig.sim.violations(), [], "{when}");
    assert_eq!(rig.sim.overlaps(), [], "{when}");
    let open = "select count(*) from sync.dead_letter where closed_on is null";
    assert_eq!(rig.count(open).await, 0, "{when}: {:#?}", rig.states().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_changes_converge() {
    let rig = Rig::new().await;
    populate(&rig, 300).await;
    let running = rig.start();
    rig.settled().await;
    assert_same(&rig, "after the first push").await;
    // People at Mautic have their say, also one whose contact will be deleted.
    let contacts = rig.sim.contacts();
    for contact in contacts.iter().step_by(9) {
        assert!(rig.sim.unsubscribe(contact.id, "email"));
    }
    for round in 0..3 {
        rig.exec(&format!(
            "update ems.person set last_name = last_name || '-{round}' where id % 4 = {round};
             update ems.person set city = null, phone = null, country = null where id % 6 = {round};
             update ems.person set email = 'moved' || id || '-{round}@ems.example' where id % 13 = {round};
             update ems.person set email = null where id % 17 = {round};
             update ems.contact_preference set opted_in = not opted_in where person_id % 3 = {round};
             delete from ems.contact_preference where person_id % 19 = {round};
             delete from ems.person where id % 23 = {round};
             insert into ems.person (first_name, last_name, email)
             select 'Late', 'Entry {round}', 'late{round}-' || n || '@ems.example' from generate_series(1, 10) n;"
        ))
        .await;
        rig.settled().await;
        assert_same(&rig, &format!("after round {round}")).await;
    }
    let (code, verified) = rig.run(&["verify", "--target", "mautic", "--json"]).await;
    assert_eq!(code, 0, "{verified}");
    let verified: Value = serde_json::from_str(&verified).unwrap();
    // Who shares an address with its owner needs no contact, and that is as it should be.
    let with_address = "select count(*) from ems.person where btrim(email) <> ''";
    assert_eq!(verified["matched"], rig.count(with_address).await);
    let held = format!("{:?}", rig.sim.contacts());
    assert!(!held.contains("canary") && !held.contains("1990-01-01") && !held.contains("KZN"));
    running.stop().await;
}

/// An owner goes, and whoever shared the address is made a contact; an owner comes, and takes one over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_addresses_have_one_contact_whoever_comes_and_goes() {
    let rig = Rig::new().await;
    let running = rig.start();
    let person = |id: i64, email: &str| {
        format!(
            "insert into ems.person (id, first_name, last_name, email) overriding system value
                 values ({id}, 'P', '{id}', '{email}');"
        )
    };
    rig.exec(&(person(20, "f@ems.example") + &person(30, "F@ems.example "))).await;
    rig.settled().await;
    assert_same(&rig, "two share").await;
    assert!(rig.sim.contact_of("30").is_none());
    // A lower id comes later: the contact is the same, and so is its unsubscription.
    let contact = rig.sim.contact_of("20").unwrap().id;
    rig.sim.unsubscribe(contact, "email");
    rig.exec(&person(10, "f@EMS.example")).await;
    rig.settled().await;
    assert_same(&rig, "three share").await;
    let taken = rig.sim.contact_of("10").unwrap();
    assert_eq!((taken.id, taken.do_not_contact_reason("email")), (contact, Some(1)));
    rig.exec("delete from ems.person where id = 10").await;
    rig.settled().await;
    assert_same(&rig, "the owner went").await;
    let kept = rig.sim.contact_of("20").unwrap();
    assert_eq!((kept.id, kept.do_not_contact_reason("email")), (contact, Some(1)));
    rig.exec("update ems.person set email = 'other@ems.example' where id = 20").await;
    rig.settled().await;
    assert_same(&rig, "the owner moved").await;
    assert_eq!(rig.sim.contact_count(), 2);
    running.stop().await;
}

/// Somebody gave their contact up to the owner of its address, who is gone before they came: it goes along to the address that the one
/// who gave it up has by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_and_not_taken_goes_along_to_the_next_address() {
    let rig = Rig::new().await;
    let running = rig.start();
    let person = |id: i64| {
        format!(
            "insert into ems.person (id, first_name, last_name, email) overriding system value
                 values ({id}, 'P', '{id}', 'f@ems.example');"
        )
    };
    rig.exec(&person(20)).await;
    rig.settled().await;
    let contact = rig.sim.contact_of("20").unwrap().id;
    let fails = Rule::new(Fault::status(503)).resource("contacts");
    let rule = rig.sim.faults().push(fails.unlimited());
    rig.exec(&person(10)).await;
    rig.until("select count(*) from sync.record where entity_id = 20 and remote_id is not null")
        .await;
    running.stop().await;
    rig.sim.faults().remove(rule);
    rig.exec("delete from ems.person where id = 10; update ems.person set email = 'other@ems.example' where id = 20").await;
    let running = rig.start();
    rig.settled().await;
    assert_same(&rig, "the owner is gone").await;
    assert_eq!(rig.sim.contact_of("20").map(|row| row.id), Some(contact));
    assert_eq!(rig.sim.contact_count(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_leave_no_second_contact() {
    let rig = Rig::new().await;
    populate(&rig, 120).await;
    for operation in [Operation::Create, Operation::Patch, Operation::Delete] {
        let lost =
            Rule::new(Fault::CommitThenDrop).operation(operation).probability(0.15).times(15);
        rig.sim.faults().push(lost);
    }
    rig.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Bulk).times(1));
    let running = rig.start();
    rig.settled().await;
    rig.exec(
        "update ems.person set last_name = last_name || '-x' where id % 2 = 0;
         update ems.contact_preference set opted_in = not opted_in;
         delete from ems.person where id % 5 = 1;",
    )
    .await;
    rig.settled().await;
    let lost = rig.sim.journal().into_iter().filter(|entry| !entry.faults.is_empty()).count();
    assert!(lost >= 10, "only {lost} answers were lost");
    assert_same(&rig, "after lost answers").await;
    running.stop().await;
}

/// What is sent for a field that is not there is lost without a word: nothing is sent before somebody has made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mautic_without_our_field_is_disabled_before_anything_is_written() {
    let rig = Rig::new().await;
    rig.sim.remove_field("ems_person_id");
    populate(&rig, 20).await;
    let running = rig.start();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let disabled = async {
        let sql = "select count(*) from sync.target
                   where target = 'mautic' and disabled_on is not null";
        while rig.count(sql).await == 0 {
            pace.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, disabled).await.expect("is disabled");
    assert_eq!(rig.sim.contact_count(), 0);
    rig.sim.plant_field(serde_json::json!({ "alias": "ems_person_id", "type": "text" })).unwrap();
    let (code, text) = rig.run(&["target", "enable", "mautic"]).await;
    assert_eq!(code, 0, "{text}");
    rig.settled().await;
    assert_same(&rig, "with the field").await;
    running.stop().await;
}

/// Sets when the EMS's word of e-mail was said, which its trigger would not let be told.
async fn said(rig: &Rig, what: &str, on: &str) {
    rig.exec(&format!(
        "alter table ems.contact_preference disable trigger set_modified_on;
         update ems.contact_preference set {what}, modified_on = clock_timestamp() + interval '{on}';
         alter table ems.contact_preference enable always trigger set_modified_on"
    ))
    .await;
}

/// Consent that was taken back there is the EMS's own, and stays so; a later opt-in in the EMS stands, until they leave once more.
/// Mautic's clock is an hour behind or ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_there_is_out_in_the_ems_and_a_second_time_too() {
    for offset in [-3_600, 3_600] {
        let rig = Rig::new().await;
        rig.sim.configure(|settings| settings.clock_offset_seconds = offset);
        rig.exec(
            "insert into ems.person (id, first_name, last_name, email)
             select n, 'P', n::text, 'p' || n || '@ems.example' from generate_series(1, 4) n;
             insert into ems.contact_preference (person_id, channel, opted_in) select id, 'EMAIL', true from ems.person",
        )
        .await;
        said(&rig, "opted_in = true", "-10 minutes").await;
        let running = rig.start();
        rig.settled().await;
        // The sweep after the start is over, and the next one far: what is taken from now on is taken on demand.
        rig.run(&["sweep", "inbound", "--target", "mautic"]).await;
        let contact = |n: i64| rig.sim.contact_of(&n.to_string()).unwrap();
        assert!(rig.sim.unsubscribe(contact(1).id, "email"));
        assert!(rig.sim.bounce(contact(2).id, "email"));
        assert!(rig.sim.forbid(contact(3).id, "sms"));
        let taken = async || {
            let (code, out) = rig.run(&["sweep", "inbound", "--target", "mautic", "--json"]).await;
            assert_eq!(code, 0, "{out}");
            let document: Value = serde_json::from_str(&out).unwrap();
            document["targets"][0]["streams"][0]["consents_taken"].as_i64().unwrap()
        };
        let out = async || {
            let sql = "select string_agg(concat_ws(' ', person_id, channel, reason), ', ' order by person_id)
                       from ems.contact_preference where not opted_in";
            rig.ems
                .query_one(sql, &[])
                .await
                .unwrap()
                .get::<_, Option<String>>(0)
                .unwrap_or_default()
        };
        let restricted =
            "1 EMAIL mautic: unsubscribed, 2 EMAIL mautic: bounced, 3 SMS mautic: blocked";
        assert_eq!((taken().await, out().await.as_str()), (3, restricted), "{offset}");
        // No sync reverts it, on either side.
        rig.settled().await;
        rig.run(&["sweep", "outbound", "--target", "mautic"]).await;
        rig.settled().await;
        assert_eq!((taken().await, out().await.as_str()), (0, restricted), "{offset}");
        assert_eq!(contact(1).do_not_contact_reason("email"), Some(1));
        assert_eq!(contact(2).do_not_contact_reason("email"), Some(2));
        // An opt-in in the EMS later than that: the same old restriction does not revert it.
        said(&rig, "opted_in = true, reason = null", "5 seconds").await;
        assert_eq!((taken().await, out().await.as_str()), (0, ""), "{offset}");
        // They come back there as well, and leave once more. The opt-in was ten minutes ago by then.
        assert!(rig.sim.permit(contact(1).id, "email"));
        assert_eq!(taken().await, 0);
        said(&rig, "opted_in = true", "-10 minutes").await;
        assert!(rig.sim.unsubscribe(contact(1).id, "email"));
        rig.exec("delete from ems.contact_preference where person_id in (2, 3)").await;
        assert!(rig.sim.permit(contact(2).id, "email") && rig.sim.permit(contact(3).id, "sms"));
        assert_eq!((taken().await, out().await.as_str()), (1, "1 EMAIL mautic: unsubscribed"));
        rig.settled().await;
        assert_eq!(rig.sim.violations(), []);
        running.stop().await;
    }
}
