//! RunSignup: the registrations that stand there, each once, with the EMS id that it carries.

use std::collections::BTreeMap;

use ems_sync_remotes::Simulator;
use ems_sync_remotes::runsignup::{Registration, RunSignup};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// Event, bib, names, day of birth, gender and e-mail of each participant: what the EMS wants there.
const EXPECTED: &str = "
    select ep.id::text, jsonb_build_array(r.remote_id::bigint, ltrim(ep.number, '0')::bigint, p.first_name, p.last_name,
           p.date_of_birth, case p.gender when 'MALE' then 'M' when 'FEMALE' then 'F' end, lower(p.email))
    from ems.event_participant ep
    join ems.person p on p.id = ep.person_id
    join sync.record r on r.target = 'runsignup' and r.entity_type = 'race' and r.entity_id = ep.race_id
    where ep.status <> 'WITHDRAWN' and r.remote_id is not null";

/// Where the e-mail stands in a content.
const EMAIL: usize = 6;

/// What the EMS wants there, by the id of the participant.
pub(crate) async fn wanted(ems: &Client) -> BTreeMap<String, Value> {
    let rows = ems.query(EXPECTED, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What stands there, by the EMS id that it carries.
pub(crate) fn held(sim: &Simulator<RunSignup>, question: i64) -> BTreeMap<String, Vec<Value>> {
    held_as(sim, question, |_| Some(String::new()))
}

/// The same; `whose` says whose a registration is that carries no EMS id, and `None` where it does not count.
pub(crate) fn held_as(
    sim: &Simulator<RunSignup>,
    question: i64,
    whose: impl Fn(&Registration) -> Option<String>,
) -> BTreeMap<String, Vec<Value>> {
    let mut held: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in sim.registrations().into_iter().filter(|row| row.active) {
        let user = sim.user(row.user_id).unwrap();
        let content = json!([
            row.event_id,
            row.bib_num,
            user.first_name,
            user.last_name,
            user.dob.map(|dob| dob.to_string()),
            user.gender,
            // People there write it as they like: a mailbox is the same in capitals.
            user.email.map(|email| email.to_lowercase())
        ]);
        let Some(unmarked) = whose(&row) else { continue };
        let id = row.responses.get(&question).cloned().unwrap_or(unmarked);
        held.entry(id).or_default().push(content);
    }
    held
}

/// Every difference between the EMS and RunSignup.
pub(crate) async fn differences(
    ems: &Client,
    sim: &Simulator<RunSignup>,
    question: i64,
) -> Vec<String> {
    compare(wanted(ems).await, held(sim, question), |_, wanted, held| wanted == held)
}

/// The same where e-mail addresses change: RunSignup is in charge of them, and keeps the one that came with the registration.
/// `former` holds those that the person of a participant ever had.
pub(crate) async fn differences_since(
    ems: &Client,
    sim: &Simulator<RunSignup>,
    question: i64,
    former: &BTreeMap<String, Vec<Value>>,
) -> Vec<String> {
    compare(wanted(ems).await, held(sim, question), but_for_email(former))
}

/// Whether both are the same but for an e-mail address that was the person's once.
pub(crate) fn but_for_email(
    former: &BTreeMap<String, Vec<Value>>,
) -> impl Fn(&str, &Value, &Value) -> bool {
    move |id, wanted, held| {
        let is_hers = former.get(id).is_some_and(|emails| emails.contains(&held[EMAIL]));
        let is_email = wanted[EMAIL] == held[EMAIL] || is_hers;
        is_email && (0..EMAIL).all(|field| wanted[field] == held[field])
    }
}

/// Every difference between what the EMS wants and what stands there.
pub(crate) fn compare(
    wanted: BTreeMap<String, Value>,
    mut held: BTreeMap<String, Vec<Value>>,
    is_same: impl Fn(&str, &Value, &Value) -> bool,
) -> Vec<String> {
    let mut differences = Vec::new();
    for (id, wanted) in wanted {
        match held.remove(&id).as_deref() {
            None => differences.push(format!("participant {id} is missing: EMS {wanted}")),
            Some([there]) if is_same(&id, &wanted, there) => {}
            Some(there) => {
                let there = json!(there);
                differences.push(format!("participant {id}: EMS {wanted}, RunSignup {there}"));
            }
        }
    }
    differences.extend(held.into_keys().map(|id| format!("participant {id:?} is orphaned")));
    differences
}

/// Every difference between the races of the EMS, with their events, and those that they are mapped to.
pub(crate) async fn race_differences(ems: &Client, sim: &Simulator<RunSignup>) -> Vec<String> {
    let sql = "select r.id, e.name, r.name, s.remote_id::bigint from ems.race r join ems.event e on e.id = r.event_id
               left join sync.record s on s.target = 'runsignup' and s.entity_type = 'race' and s.entity_id = r.id";
    let mut differences = Vec::new();
    for row in ems.query(sql, &[]).await.unwrap() {
        let (id, event, race): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
        let there = row.get::<_, Option<i64>>(3).and_then(|id| sim.event(id));
        let there = there.map(|event| (sim.race(event.race_id).unwrap().name, event.name));
        if there.as_ref() != Some(&(event.clone(), race.clone())) {
            differences.push(format!("race {id}: EMS {event}/{race}, RunSignup {there:?}"));
        }
    }
    differences
}
