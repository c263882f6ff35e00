//! Chatwoot: one contact of ours per address, and per person who has only a number.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Chatwoot, Resource};
use serde_json::Value;
use tokio_postgres::Client;

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
pub(crate) async fn differences(ems: &Client, sim: &Simulator<Chatwoot>) -> Vec<String> {
    let mut ours: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut phones = BTreeSet::new();
    for row in sim.rows(Resource::Contact) {
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
    for row in ems.query(EXPECTED, &[]).await.unwrap() {
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
