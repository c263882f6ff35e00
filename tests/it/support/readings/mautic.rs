//! Mautic: one contact of ours per address, with its consents.

use std::collections::BTreeMap;

use ems_sync_remotes::Simulator;
use ems_sync_remotes::mautic::{Contact, Mautic};
use serde_json::Value;
use tokio_postgres::Client;

/// The expected contact of each person, by the base tables and the contract: of those who share an address the lowest id.
const EXPECTED: &str = "
    select distinct on (lower(btrim(p.email))) p.id::text, jsonb_strip_nulls(jsonb_build_object(
        'ems_person_id', p.id::text, 'title', nullif(btrim(p.title), ''), 'firstname', btrim(p.first_name),
        'lastname', btrim(p.last_name), 'email', lower(btrim(p.email)),
        'mobile', case when p.phone ~ '^[+][0-9]{7,15}$' then p.phone end, 'city', nullif(btrim(p.city), ''),
        'zipcode', nullif(btrim(p.postal_code), ''),
        'country', case p.country when 'ZA' then 'South Africa' when 'GB' then 'United Kingdom' when 'US' then 'United States' end,
        'preferred_locale', case p.language when 'en-ZA' then 'en_ZA' when 'af' then 'af' when 'en' then 'en' end)),
        (select c.opted_in from ems.contact_preference c where c.person_id = p.id and c.channel = 'EMAIL'),
        (select c.opted_in from ems.contact_preference c where c.person_id = p.id and c.channel = 'SMS')
    from ems.person p where btrim(p.email) <> '' order by lower(btrim(p.email)), p.id";

/// Every difference between the EMS and Mautic.
pub(crate) async fn differences(ems: &Client, sim: &Simulator<Mautic>) -> Vec<String> {
    let mut contacts: BTreeMap<String, Vec<Contact>> = BTreeMap::new();
    for contact in sim.contacts() {
        let key = contact.ems_person_id().unwrap_or("nobody").to_owned();
        contacts.entry(key).or_default().push(contact);
    }
    let mut differences = Vec::new();
    for row in ems.query(EXPECTED, &[]).await.unwrap() {
        let (id, wanted): (String, Value) = (row.get(0), row.get(1));
        let held = contacts.remove(&id).unwrap_or_default();
        let [contact] = held.as_slice() else {
            differences.push(format!("{id} has {} contacts", held.len()));
            continue;
        };
        let values = serde_json::to_value(&contact.values).unwrap();
        if values != wanted {
            differences.push(format!("{id}: EMS {wanted}, Mautic {values}"));
        }
        for (channel, opted_in) in [("email", row.get(2)), ("sms", row.get(3))] {
            let entry = contact.do_not_contact.iter().find(|entry| entry.channel == channel);
            let is_right = match opted_in {
                Some(false) => entry.is_some(),
                // Whatever forbids it then is not ours.
                Some(true) => entry.is_none_or(|entry| !entry.comments.starts_with("ems-sync")),
                None => true,
            };
            if !is_right {
                differences.push(format!("{id} {channel}: EMS {opted_in:?}, Mautic {entry:?}"));
            }
        }
    }
    for (key, contacts) in contacts {
        // What is kept without our key must not be contacted.
        let is_kept = |contact: &&Contact| key == "nobody" && !contact.do_not_contact.is_empty();
        let rest = contacts.iter().filter(|contact| !is_kept(contact)).count();
        if rest > 0 {
            differences.push(format!("{rest} contacts of {key} are orphaned"));
        }
    }
    differences
}
