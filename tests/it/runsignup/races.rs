//! Events and races of the EMS, where `push_races` is set (contract, section 7d).

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::{Action, Fields, Look, Push, Remote as _, RemoteIds, Standing};
use ems_sync_remotes::runsignup::{RaceWrites, Visibility};
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, failure, push, word};

const EVENT: EntityRef = EntityRef::new(EntityType::Event, 1);

async fn bench() -> Bench {
    let bench = Bench::new().await.pushing_races();
    bench.sim.configure(|settings| settings.race_writes = RaceWrites::Open);
    bench
}

fn fields(fields: Value) -> Fields {
    let Value::Object(fields) = fields else { panic!("an object") };
    Fields::new(fields)
}

/// An event with one race of ten kilometres.
fn event(bench: &Bench, changes: Value) -> ems_sync::remote::Wire {
    let mut event = json!({"name": "Comrades", "timezone": "Africa/Johannesburg", "status": "PUBLISHED",
        "city": "Durban", "country": "ZA", "province": "KwaZulu-Natal",
        "races": [{"name": "10 km", "start_time": "2099-11-29T05:00:00Z"}]});
    for (column, value) in changes.as_object().unwrap() {
        event[column] = value.clone();
    }
    bench.client.wire(EVENT, &fields(event), &RemoteIds::new()).unwrap()
}

fn race(bench: &Bench, event: &str, name: &str, start: &str) -> ems_sync::remote::Wire {
    let race = json!({"event_id": 1, "name": name, "start_time": start, "timezone": "Africa/Johannesburg"});
    let parents = RemoteIds::from([(EVENT, event.to_owned())]);
    bench.client.wire(EntityRef::new(EntityType::Race, 1), &fields(race), &parents).unwrap()
}

fn create(entity: EntityRef, wire: ems_sync::remote::Wire, look: Look) -> Push {
    push(entity, Action::Create { wire, look })
}

const fn of_race(id: i64) -> EntityRef {
    EntityRef::new(EntityType::Race, id)
}

async fn held(bench: &Bench, push: Push) -> (String, &'static str) {
    let result = bench.one(push).await;
    let ems_sync::remote::PushResult::Held { remote_id, .. } = &result else {
        panic!("not held: {result:?}")
    };
    (remote_id.clone(), word(&result))
}

#[tokio::test]
async fn an_event_is_made_with_its_races_which_then_find_themselves() {
    let bench = bench().await;
    let push = create(EVENT, event(&bench, json!({})), Look::IfRefused);
    let (id, how) = held(&bench, push).await;
    assert_eq!(how, "held");
    let ids: Value = serde_json::from_str(&id).unwrap();
    let there = bench.sim.race(ids["race_id"].as_i64().unwrap()).unwrap();
    assert_eq!((there.name.as_str(), there.timezone.as_str()), ("Comrades", "Africa/Johannesburg"));
    assert_eq!(there.address.state, None, "a state has two letters");
    // The race that it began with is there: it is only adopted.
    let ten = race(&bench, &id, "10 km", "2099-11-29T05:00:00Z");
    let (ten_id, how) = held(&bench, create(of_race(1), ten.clone(), Look::IfRefused)).await;
    assert_eq!(how, "adopted");
    let shown = bench.sim.event(ten_id.parse().unwrap()).unwrap();
    assert_eq!(shown.start_time.to_string(), "2099-11-29T07:00:00", "in the race's zone");
    // Another one is added beside it, which is no renewal (224).
    let twenty = race(&bench, &id, "20 km", "2099-11-29T06:00:00Z");
    let (twenty_id, how) = held(&bench, create(of_race(2), twenty, Look::IfRefused)).await;
    assert_eq!(how, "held");
    assert_ne!(twenty_id, ten_id);
    // It is renamed, and the other one stays.
    let renamed = race(&bench, &id, "21.1 km", "2099-11-29T06:30:00Z");
    let update = Action::Update { remote_id: twenty_id.clone(), wire: renamed };
    assert_eq!(
        held(&bench, super::bench::push(of_race(2), update)).await,
        (twenty_id.clone(), "held")
    );
    let shown = bench.sim.event(twenty_id.parse().unwrap()).unwrap();
    assert_eq!((shown.name.as_str(), shown.start_time.hour()), ("21.1 km", 8));
    let same = Action::Update { remote_id: ten_id.clone(), wire: ten };
    assert_eq!(held(&bench, super::bench::push(of_race(1), same)).await, (ten_id, "adopted"));
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_event_is_edited_without_its_address() {
    let bench = bench().await;
    let push = create(EVENT, event(&bench, json!({})), Look::IfRefused);
    let (id, _) = held(&bench, push).await;
    let wire = event(&bench, json!({"name": "Ultra", "status": "DRAFT"}));
    let update = Action::Update { remote_id: id.clone(), wire };
    assert_eq!(held(&bench, super::bench::push(EVENT, update)).await, (id.clone(), "held"));
    let ids: Value = serde_json::from_str(&id).unwrap();
    let there = bench.sim.race(ids["race_id"].as_i64().unwrap()).unwrap();
    assert_eq!((there.name.as_str(), there.visibility), ("Ultra", Visibility::Draft));
    bench.assert_no_violation();
}

/// The end of the public address is ours and unique (216).
#[tokio::test]
async fn a_race_whose_answer_was_lost_is_found_by_its_address() {
    let bench = bench().await;
    let lost = Rule::new(Fault::CommitThenDrop).operation(Operation::Create);
    bench.sim.faults().push(lost);
    let wire = event(&bench, json!({}));
    let result = bench.one(create(EVENT, wire.clone(), Look::IfRefused)).await;
    assert_eq!(word(&result), "ambiguous");
    let races = bench.sim.rows(ems_sync_remotes::runsignup::Resource::Race).len();
    let look = Look::First { absence_is_proof: false };
    assert_eq!(held(&bench, create(EVENT, wire.clone(), look)).await.1, "adopted");
    assert_eq!(held(&bench, create(EVENT, wire, Look::IfRefused)).await.1, "adopted", "216");
    assert_eq!(bench.sim.rows(ems_sync_remotes::runsignup::Resource::Race).len(), races);
    let other = EntityRef::new(EntityType::Event, 2);
    let result = bench.one(create(other, event(&bench, json!({})), look)).await;
    assert_eq!(word(&result), "unsettled");
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_event_whose_answer_was_lost_is_found_by_name_and_start() {
    let bench = bench().await;
    let push = create(EVENT, event(&bench, json!({})), Look::IfRefused);
    let (id, _) = held(&bench, push).await;
    let wire = race(&bench, &id, "20 km", "2099-11-29T06:00:00Z");
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Patch));
    let result = bench.one(create(of_race(2), wire.clone(), Look::IfRefused)).await;
    assert_eq!(word(&result), "ambiguous");
    let look = Look::First { absence_is_proof: false };
    assert_eq!(held(&bench, create(of_race(2), wire, look)).await.1, "adopted");
    let other = race(&bench, &id, "30 km", "2099-11-29T06:00:00Z");
    assert_eq!(word(&bench.one(create(of_race(3), other, look)).await), "unsettled");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_race_of_the_past_may_be_made() {
    let bench = bench().await;
    let past = json!({"races": [{"name": "10 km", "start_time": "2019-11-29T05:00:00Z"}]});
    let push = create(EVENT, event(&bench, past), Look::IfRefused);
    assert_eq!(held(&bench, push).await.1, "held");
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_account_that_may_not_write_races_is_set_up_wrongly() {
    let bench = Bench::new().await.pushing_races();
    let push = create(EVENT, event(&bench, json!({})), Look::IfRefused);
    let failed = failure(bench.one(push).await);
    assert_eq!(failed.class.name(), "configuration");
    assert!(failed.text.contains("push_races"), "{}", failed.text);
}

#[tokio::test]
async fn nothing_deletes_a_race_but_a_person() {
    let bench = bench().await;
    let push = create(EVENT, event(&bench, json!({})), Look::IfRefused);
    let (remote_id, _) = held(&bench, push).await;
    let delete = super::bench::push(EVENT, Action::Delete { remote_id: remote_id.clone() });
    let failed = failure(bench.one(delete.clone()).await);
    assert_eq!(failed.class.name(), "rejected");
    let ids: Value = serde_json::from_str(&remote_id).unwrap();
    let race = ids["race_id"].as_i64().unwrap();
    bench.sim.remove(ems_sync_remotes::runsignup::Resource::Race, race);
    assert_eq!(word(&bench.one(delete).await), "gone");
    bench.assert_no_violation();
}

#[tokio::test]
async fn they_are_only_read_unless_they_are_pushed() {
    let bench = Bench::new().await;
    let pushing = bench.pushing_races();
    for entity_type in [EntityType::Event, EntityType::Race] {
        assert_eq!(bench.client.standing(entity_type), Standing::Pulled);
        assert_eq!(pushing.client.standing(entity_type), Standing::Pushed);
    }
    assert_eq!(bench.client.standing(EntityType::Person), Standing::Carried);
    assert_eq!(bench.client.standing(EntityType::EventParticipant), Standing::Pushed);
}
