//! What participants and directors do, and the control API's view of it.

use ems_sync_remotes::runsignup::{Action, Reason, Resource};
use ems_sync_remotes::{Reimage, State};
use serde_json::{Value, json};

use super::{FIVE_KM, RACE, TEN_KM, register, start};
use crate::client::builder;

#[tokio::test]
async fn registrations_go_in_every_way_and_come_back() {
    let (sim, rsu) = start().await;
    let ways = [
        (Action::Clear, Reason::Cleared),
        (Action::Remove, Reason::Removed),
        (Action::Defer, Reason::Deferred),
    ];
    for (action, reason) in ways {
        let id = register(&sim, "A", json!({}));
        let row = sim.act(id, action).unwrap();
        assert_eq!((row.active, row.removal.unwrap().reason), (false, reason));
        assert_eq!(sim.act(id, action), None, "it is gone already");
    }
    let old = register(&sim, "B", json!({}));
    let new = sim.act(old, Action::Transfer { event_id: FIVE_KM }).unwrap();
    assert_eq!((new.event_id, new.active), (FIVE_KM, true));
    assert_eq!(sim.act(new.id, Action::Transfer { event_id: 1 }), None);
    sim.configure(|settings| settings.clock_offset_seconds = 100);
    let back = sim.act(old, Action::Reactivate).unwrap();
    assert!(back.last_modified > back.removal.unwrap().at, "the later one wins");
    assert_eq!(rsu.ids("").await, [old]);
    let removed = format!("race/{RACE}/removed-participants?event_id={TEN_KM}&supports_nb=T");
    let removed = rsu.get(&removed).await;
    assert_eq!(removed[0]["event"]["participants"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_profile_edit_touches_the_registration_or_not() {
    let (sim, _rsu) = start().await;
    let id = register(&sim, "A", json!({ "last_modified": 5 }));
    let user = sim.registration(id).unwrap().user_id;
    sim.plant(Resource::User, json!({ "id": user, "email": "new@example.org" })).unwrap();
    assert_eq!(sim.registration(id).unwrap().last_modified, 5);
    sim.configure(|settings| settings.profile_edit_touches_registrations = true);
    sim.plant(Resource::User, json!({ "id": user, "email": null })).unwrap();
    assert!(sim.registration(id).unwrap().last_modified > 5);
    assert_eq!(sim.user(user).unwrap().last_name, "A");
}

#[tokio::test]
async fn the_control_api_plants_acts_and_configures() {
    let (sim, _rsu) = start().await;
    let http = builder().build().unwrap();
    let control = format!("{}/_sim", sim.control_url());
    let post = async |path: &str, body: Value| {
        let response = http.post(format!("{control}/{path}")).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let row = json!({ "event_id": TEN_KM, "user": { "first_name": "A" }, "bib_num": 4 });
    let (status, row) = post("rows/event_participant", row).await;
    assert_eq!(status, 200, "{row}");
    let id = row["id"].as_i64().unwrap();
    let act = json!({ "act": "transfer", "registration_id": id, "event_id": FIVE_KM });
    let (_, moved) = post("acts", act).await;
    assert_eq!((&moved["event_id"], &moved["bib_num"]), (&json!(FIVE_KM), &json!(4)));
    let act = json!({ "act": "remove", "registration_id": moved["id"] });
    assert_eq!(post("acts", act.clone()).await.1["active"], false);
    assert_eq!(post("acts", act).await.0, 400);
    assert_eq!(post("acts", json!({ "act": "dance" })).await.0, 400);
    let act = json!({ "act": "callback", "kind": "cleared", "registration_id": id });
    assert!(post("acts", act).await.1["form"].as_str().unwrap().contains("signature="));
    let (_, token) = post("acts", json!({ "act": "issue_token", "writes": false })).await;
    assert!(token["token"].is_string());
    assert_eq!(post("rows/registrations", json!({ "event_id": 1 })).await.0, 400);
    assert_eq!(post("rows/registrations", json!({ "event_id": TEN_KM, "typo": 1 })).await.0, 400);
    let (_, race) = post("rows/event", json!({ "id": RACE, "safe_sync": true })).await;
    assert_eq!((&race["name"], &race["safe_sync"]), (&json!("Sample Race"), &json!(true)));
    let (_, settings) = post("settings", json!({ "calls_per_minute": 9 })).await;
    assert_eq!(
        (&settings["calls_per_minute"], &settings["max_concurrent_calls"]),
        (&json!(9), &json!(2))
    );
    assert_eq!(post("settings", json!({ "typo": 9 })).await.0, 400);
    assert_eq!(sim.counters().requests, 0, "none of that is in the journal");
}

#[tokio::test]
async fn a_question_that_is_added_later_shows_whose_the_registrations_are() {
    let (sim, _rsu) = start().await;
    sim.plant(Resource::Race, json!({ "id": RACE, "questions": null })).unwrap();
    register(&sim, "A", json!({ "responses": { "9": "42" } }));
    assert_eq!(sim.registrations_of("42"), []);
    sim.plant(Resource::Race, json!({ "id": RACE, "questions": { "9": "EMS ID" } })).unwrap();
    assert_eq!(sim.registrations_of("42").len(), 1);
}

#[tokio::test]
async fn rows_can_be_shuffled_and_wiped() {
    let (sim, rsu) = start().await;
    let (one, other) = (rsu.add("1").await, rsu.add("2").await);
    sim.reimage(Reimage::Shuffled);
    assert_eq!(sim.registrations_of("1")[0].id, other);
    assert_eq!(sim.registrations_of("2")[0].id, one);
    assert!(sim.remove(Resource::Registration, one) && !sim.remove(Resource::Registration, one));
    sim.restart(State::Wiped).await.unwrap();
    assert_eq!((sim.registrations(), sim.rows(Resource::Race)), (vec![], vec![]));
}

#[tokio::test]
async fn callbacks_are_signed() {
    let (sim, _rsu) = start().await;
    let id = register(&sim, "A", json!({}));
    let form = sim.callback("registered", id);
    assert!(form.starts_with("json=%7B"), "{form}");
    let signature = form.rsplit_once("signature=").unwrap().1;
    assert_eq!(signature.len(), 40);
    assert_ne!(sim.callback("cleared", id).rsplit_once("signature=").unwrap().1, signature);
}
