//! Sections 7b and 7c: transfer and delete.

use ems_sync_remotes::Effect;
use ems_sync_remotes::runsignup::{Reason, Resource};
use serde_json::{Value, json};

use super::{ELSEWHERE, FIVE_KM, RACE, TEN_KM, code, codes, id, register, start, start_with};

fn race() -> String {
    RACE.to_string()
}

#[tokio::test]
async fn a_transfer_gives_the_registration_another_id() {
    let (sim, rsu) = start().await;
    let old = rsu.add("42").await;
    sim.plant(Resource::Registration, json!({ "id": old, "bib_num": 3 })).unwrap();
    let (path, race) = (format!("race/{RACE}/switch-participant-events"), race());
    let form = [("race_id", race.as_str()), ("transfer_bibs", "T")];
    let request = json!({ "registrations": [{ "registration_id": old, "new_event_id": FIVE_KM }] });
    let new = id(&rsu.post(&path, &form, &request).await);
    assert_ne!(new, old);
    let row = sim.registration(new).unwrap();
    assert_eq!((row.event_id, row.bib_num), (FIVE_KM, Some(3)));
    let removal = sim.registration(old).unwrap().removal.unwrap();
    assert_eq!((removal.reason, removal.new_registration_id), (Reason::Transferred, Some(new)));
    let removed = format!("race/{RACE}/removed-participants?event_id={TEN_KM}&supports_nb=T");
    let removed = rsu.get(&removed).await;
    let gone = &removed[0]["event"]["participants"][0];
    assert_eq!(gone["removed_reason"], "transferred");
    assert_eq!(gone["new_registration_id"], new);
    assert_eq!(rsu.ids("").await, [0; 0]);
    assert_eq!(rsu.ids("include_transferred_participants=T").await, [old]);
    let row = &sim.writes_of(Resource::Registration, "42")[1].rows[0];
    assert_eq!((row.effect, row.remote_id.clone()), (Effect::Replaced, Some(new.to_string())));
    assert_eq!(code(&rsu.post(&path, &form, &request).await), 15, "the old one is gone");
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn a_transfer_loses_the_bib_unless_it_is_told_and_stays_in_its_race() {
    let (sim, rsu) = start().await;
    let old = register(&sim, "A", json!({ "bib_num": 3, "chip_num": "C" }));
    let (path, race) = (format!("race/{RACE}/switch-participant-events"), race());
    let form = [("race_id", race.as_str())];
    let to =
        |event| json!({ "registrations": [{ "registration_id": old, "new_event_id": event }] });
    assert_eq!(code(&rsu.post(&path, &form, &to(ELSEWHERE)).await), 15);
    assert_eq!(code(&rsu.post(&path, &form, &to(TEN_KM)).await), 3);
    assert_eq!(code(&rsu.post(&path, &[], &to(FIVE_KM)).await), 3, "race_id is in the form");
    let new = id(&rsu.post(&path, &form, &to(FIVE_KM)).await);
    let row = sim.registration(new).unwrap();
    assert_eq!((row.bib_num, row.chip_num), (None, None));
}

#[tokio::test]
async fn a_delete_takes_only_what_was_imported_and_says_which() {
    let (sim, rsu) = start().await;
    let (imported, paid) = (rsu.add("42").await, register(&sim, "A", json!({})));
    let (path, race) = (format!("race/{RACE}/delete-participants"), race());
    let form = [("race_id", race.as_str())];
    let request = json!({ "registrations": [
        { "registration_id": imported }, { "registration_id": paid }, { "registration_id": 1 },
    ] });
    let answer = rsu.post(&path, &form, &request).await;
    assert_eq!(answer, json!({ "participants": [{ "registration_id": imported }] }));
    assert_eq!(sim.registration(imported), None);
    assert!(sim.registration(paid).unwrap().active);
    let effects: Vec<_> = sim.journal()[1].rows.iter().map(|row| row.effect).collect();
    assert_eq!(effects, [Effect::Deleted, Effect::Refused, Effect::Refused]);
    assert_eq!(codes(&sim), [""; 0]);
    let form = [("race_id", race.as_str()), ("allow_non_imports", "T")];
    assert_eq!(id(&rsu.post(&path, &form, &request).await), paid);
    assert_eq!(codes(&sim), ["deletes_non_imports"]);
}

#[tokio::test]
async fn what_was_deleted_is_listed_as_removed_or_not() {
    let (sim, rsu) = start_with(|settings| settings.deleted_rows_are_listed = true).await;
    let race = race();
    let removed = format!("race/{RACE}/removed-participants?event_id={TEN_KM}&supports_nb=T");
    for (listed, name) in [(true, "1"), (false, "2")] {
        sim.configure(|settings| settings.deleted_rows_are_listed = listed);
        let id = rsu.add(name).await;
        let request = json!({ "registrations": [{ "registration_id": id }] });
        let path = format!("race/{RACE}/delete-participants");
        rsu.post(&path, &[("race_id", race.as_str())], &request).await;
        let body = rsu.get(&removed).await;
        assert_eq!(body[0]["event"]["participants"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn at_most_250_are_deleted_at_once() {
    let (sim, rsu) = start().await;
    let many: Vec<Value> = (0..251).map(|n| json!({ "registration_id": n })).collect();
    let (path, race) = (format!("race/{RACE}/delete-participants"), race());
    let answer =
        rsu.post(&path, &[("race_id", race.as_str())], &json!({ "registrations": many })).await;
    assert_eq!(code(&answer), 3);
    assert_eq!(codes(&sim), ["delete_too_large"]);
}
