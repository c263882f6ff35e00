//! Sections 4a, 4b and 7d: races and their events.

use ems_sync_remotes::runsignup::{RaceWrites, Resource};
use serde_json::{Value, json};

use super::{RACE, Rsu, TEN_KM, code, codes, read, start, start_with};

#[tokio::test]
async fn a_race_has_the_contracts_fields_and_zones() {
    let (sim, rsu) = start().await;
    sim.plant(
        Resource::Race,
        json!({ "id": RACE, "created": "2011-12-19T16:47:00Z",
                                      "last_modified": "2019-01-11T06:58:00Z" }),
    )
    .unwrap();
    sim.plant(
        Resource::Event,
        json!({ "id": TEN_KM, "registration_opens": "2018-12-10T12:00:00Z",
                                       "distance": "6.2 Miles", "volunteer": true }),
    )
    .unwrap();
    let race = rsu.get(&format!("race/{RACE}?include_questions=T")).await;
    let race = &race["race"];
    assert_eq!(race["created"], "12/19/2011 11:47", "US Eastern");
    assert_eq!(race["last_modified"], "1/11/2019 01:58");
    assert_eq!(race["next_date"], "05/01/2099");
    assert_eq!((&race["last_date"], &race["is_private_race"]), (&Value::Null, &json!("F")));
    assert_eq!(race["url"], "https://runsignup.com/Race/AB/DC/Abcd");
    assert_eq!(race["questions"][0]["question_text"], "EMS ID");
    let event = &race["events"][0];
    assert_eq!(event["start_time"], "5/1/2099 08:30", "the race's own zone");
    assert_eq!(event["registration_opens"], "12/10/2018 07:00", "US Eastern");
    assert_eq!((&event["volunteer"], &event["distance"]), (&json!("T"), &json!("6.2 Miles")));
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn a_race_has_the_events_of_all_years() {
    let (sim, rsu) = start().await;
    let old = json!({ "id": 60, "race_id": RACE, "race_event_days_id": 11,
                      "start_time": "2020-05-01T08:30:00" });
    sim.plant(Resource::Event, old).unwrap();
    let count = async |query: &str| {
        let race = rsu.get(&format!("race/{RACE}{query}")).await;
        race["race"]["events"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count("?future_events_only=T").await, 2);
    assert_eq!(count("?most_recent_events_only=T").await, 2);
    assert_eq!(count("?race_event_days_id=11").await, 1);
    assert_eq!(rsu.get("race/7").await["race"]["last_date"], "05/01/2020");
    let races = rsu.get("races?events=T&sort=name ASC").await;
    let listed = &races["races"][0]["race"];
    assert_eq!(listed["events"].as_array().unwrap().len(), 2, "only the most current");
}

#[tokio::test]
async fn races_are_those_of_the_key_or_all_public_ones() {
    let (sim, rsu) = start().await;
    sim.plant(Resource::Race, json!({ "id": 8, "reachable": false })).unwrap();
    sim.plant(Resource::Race, json!({ "id": RACE, "visibility": "private" })).unwrap();
    let ids = |races: &Value| -> Vec<i64> {
        let races = races["races"].as_array().unwrap();
        races.iter().map(|race| race["race"]["race_id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids(&rsu.get("races").await), [RACE]);
    let nobody = read(rsu.bare(false, "races?format=json")).await.json();
    assert_eq!(ids(&nobody), [8]);
    let private = read(rsu.bare(false, "race/7?format=json")).await.json();
    assert_eq!(code(&private), 7);
}

#[tokio::test]
async fn past_races_are_only_listed_if_one_asks_for_them() {
    let (sim, rsu) = start().await;
    sim.plant(Resource::Race, json!({ "id": 9, "name": "Over" })).unwrap();
    sim.plant(Resource::Event, json!({ "race_id": 9, "start_time": "2020-05-01T08:30:00" }))
        .unwrap();
    let count = async |query: &str| {
        rsu.get(&format!("races{query}")).await["races"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 2);
    assert_eq!(count("?start_date=2019-01-01&sort=date ASC").await, 3);
    assert_eq!(count("?start_date=2019-01-01&results_per_page=2&page=2").await, 1);
    assert_eq!(count("?start_date=2019-01-01&end_date=today").await, 1);
    assert_eq!(count("?modified_since=tomorrow").await, 0);
    assert_eq!(code(&rsu.get("races?start_date=1/1/2019").await), 9);
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn races_cannot_be_written_by_the_public() {
    let (sim, rsu) = start().await;
    let race = json!({ "name": "New" });
    assert_eq!(code(&rsu.post("race", &[], &race).await), 7);
    sim.configure(|settings| settings.race_writes = RaceWrites::Signed);
    assert_eq!(code(&rsu.post("race", &[], &race).await), 7);
    let signed = async |time: i64, nonce: &str| {
        let signature = format!("1.{time}.{nonce}.{}", "0a".repeat(20));
        rsu.post(&format!("race?protected_api_signature={signature}"), &[], &race).await
    };
    let now = jiff_now();
    assert_eq!(code(&signed(now, "12345678").await), 217, "signed, but without events");
    assert_eq!(code(&signed(now, "12345678").await), 7, "a nonce is good once");
    assert_eq!(code(&signed(now - 400, "12345679").await), 7, "too old");
}

#[tokio::test]
async fn a_race_is_created_edited_and_renewed() {
    let (sim, rsu) = start_with(|settings| settings.race_writes = RaceWrites::Open).await;
    let write = async |rsu: &Rsu, body: &Value| rsu.post("race", &[], body).await;
    let events = json!([{ "name": "5K", "start_time": "2099-06-07 08:30:00" }]);
    let new = json!({ "name": "New", "url_string": "New", "timezone": "America/Denver", "events": events });
    let answer = write(&rsu, &new).await;
    let (race, event) = (answer["race_id"].clone(), answer["events"][0]["event_id"].clone());
    assert_eq!(code(&write(&rsu, &new).await), 216, "the address is in use");
    let row = sim.race(race.as_i64().unwrap()).unwrap();
    assert_eq!((row.name.as_str(), row.timezone.as_str()), ("New", "America/Denver"));
    let edit = json!({ "race_id": race, "events": [{ "event_id": event, "name": "5 km" }] });
    write(&rsu, &edit).await;
    assert_eq!(sim.event(event.as_i64().unwrap()).unwrap().name, "5 km");
    let renewal = json!({ "race_id": race, "events": events });
    assert_eq!(code(&write(&rsu, &renewal).await), 224, "this year's is not over");
    let past = json!({ "id": event, "start_time": "2020-06-07T08:30:00" });
    sim.plant(Resource::Event, past).unwrap();
    let renewed = write(&rsu, &renewal).await["events"][0]["event_id"].as_i64().unwrap();
    assert_eq!(sim.event(renewed).unwrap().race_event_days_id, 2);
    let bad = [
        (json!({ "race_id": 1 }), 201),
        (json!({ "race_id": race, "timezone": "Mars" }), 214),
        (json!({ "race_id": race, "events": [{ "event_id": TEN_KM }] }), 15),
        (
            json!({ "race_id": race, "events": [{ "event_id": event, "start_time": "6/7/2099" }] }),
            9,
        ),
        (json!({ "name": "Old", "events": [{ "start_time": "2001-06-07 08:30:00" }] }), 202),
    ];
    for (body, expected) in bad {
        assert_eq!(code(&write(&rsu, &body).await), expected, "{body}");
    }
    assert_eq!(codes(&sim), [""; 0]);
    write(&rsu, &json!({ "race_id": race, "url_string": "New" })).await;
    assert_eq!(codes(&sim), ["url_string_in_edit"]);
}

fn jiff_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}
