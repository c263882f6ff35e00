//! The contract's sections 2, 6 and 9: create, edit, replace and delete.

use ems_sync_remotes::Effect;
use ems_sync_remotes::mautic::{ErrorShape, Validation, Version, Zeros};
use reqwest::Method;
use serde_json::{Value, json};

use crate::mautic_client::{assert_refused, id_of, person, start};

#[tokio::test]
async fn a_post_creates_with_201_and_adopts_with_200() {
    let site = start().await;
    let id = site.person("1").await;
    let again =
        site.post("/contacts/new", json!({ "email": "p1@example.org", "city": "Paarl" })).await;
    assert_eq!((again.status.as_u16(), id_of(&again)), (200, id));
    let all = again.json()["contact"]["fields"]["all"].clone();
    assert_eq!(
        (&all["firstname"], &all["city"]),
        (&json!("Ada"), &json!("Paarl")),
        "kept and added"
    );
    assert_eq!(all["id"], id);
    assert_eq!(site.sim.contact_count(), 1);
    let effects: Vec<_> = site.sim.journal().iter().map(|entry| entry.rows[0].effect).collect();
    assert_eq!(effects, [Effect::Created, Effect::Patched]);
    assert_eq!(site.sim.writes_of("contacts", "1").len(), 1, "the second names nobody");
}

#[tokio::test]
async fn a_contact_is_shown_with_phps_types() {
    let site = start().await;
    let mut body = person("1");
    body["tags"] = json!(["ems"]);
    let contact = site.post("/contacts/new", body).await.json()["contact"].clone();
    assert_eq!(contact["fields"]["personal"], json!([]), "an empty group is a list");
    assert!(contact["fields"]["core"].is_object());
    assert_eq!(contact["fields"]["core"]["email"]["value"], "p1@example.org");
    assert_eq!(contact["tags"][0]["tag"], "ems");
    assert_eq!((&contact["doNotContact"], &contact["frequencyRules"]), (&json!([]), &json!([])));
    let date = contact["dateAdded"].as_str().unwrap();
    assert!(date.ends_with("+00:00"), "{date}");
    assert_eq!(site.sim.violations(), []);
}

#[tokio::test]
async fn a_patch_keeps_what_is_absent_and_ignores_blanks() {
    let site = start().await;
    let id = site.person("1").await;
    let answer =
        site.patch(id, json!({ "firstname": "", "lastname": null, "city": "Paarl" })).await;
    assert_eq!((answer.status.as_u16(), id_of(&answer)), (200, id));
    assert_eq!(site.value(id, "firstname"), "Ada");
    let cleared = json!({ "firstname": "", "city": null, "overwriteWithBlank": true });
    assert_eq!(site.patch(id, cleared).await.status, 200);
    assert_eq!(site.value(id, "firstname"), Value::Null);
    assert_eq!(site.value(id, "city"), Value::Null);
    assert_eq!(site.value(id, "email"), "p1@example.org", "only what was sent");
    assert_refused(&site.patch(1, json!({ "city": "Paarl" })).await, 404);
    assert_eq!(site.sim.violations(), []);
}

#[tokio::test]
async fn a_put_wipes_and_creates_under_a_new_id() {
    let site = start().await;
    let id = site.person("1").await;
    site.sim
        .plant(json!({ "id": id, "points": 5, "stage": 2, "timezone": "UTC", "tags": ["x"] }))
        .unwrap();
    let body = json!({ "email": "p1@example.org", "overwriteWithBlank": false });
    assert_eq!(site.put(id, body.clone()).await.status, 200);
    let contact = site.sim.contact(id).unwrap();
    assert_eq!(contact.values.len(), 1, "{:?}", contact.values);
    assert_eq!((contact.points, contact.stage), (0, None));
    let created = site.put(1, body).await;
    assert_eq!(created.status, 201);
    assert_ne!(id_of(&created), 1);
    assert_eq!(site.sim.contact_count(), 2, "nobody looked for a duplicate");
    assert_eq!(site.violations("put"), 2);
}

#[tokio::test]
async fn zeros_are_dropped_except_by_put() {
    let site = start().await;
    site.sim.plant_field(json!({ "alias": "size", "type": "number" })).unwrap();
    site.sim.plant_field(json!({ "alias": "consent", "type": "boolean" })).unwrap();
    let id = site.person("1").await;
    site.patch(id, json!({ "size": 7, "consent": true, "points": 3, "city": "x" })).await;
    for zero in [json!(0), json!("0"), json!(0.5)] {
        let body = json!({ "size": zero, "points": zero, "city": "0", "overwriteWithBlank": true });
        assert_eq!(site.patch(id, body).await.status, 200);
    }
    site.patch(id, json!({ "consent": false })).await;
    assert_eq!((site.value(id, "size"), site.value(id, "city")), (json!(7), json!("x")));
    assert_eq!(site.value(id, "consent"), true);
    assert_eq!(site.sim.contact(id).unwrap().points, 3);
    assert_eq!(site.violations("zero_value"), 3, "a text may be the EMS's data");
    site.sim.configure(|settings| settings.zeros = Zeros::FalseKept);
    site.patch(id, json!({ "size": 0, "consent": false })).await;
    assert_eq!((site.value(id, "size"), site.value(id, "consent")), (json!(7), json!(false)));
    site.sim.configure(|settings| settings.zeros = Zeros::Kept);
    site.patch(id, json!({ "size": 0 })).await;
    assert_eq!(site.value(id, "size"), 0);
}

#[tokio::test]
async fn tags_are_added_and_a_minus_removes() {
    let site = start().await;
    let id = site.person("1").await;
    site.patch(id, json!({ "tags": ["ems", "old"] })).await;
    site.patch(id, json!({ "tags": ["new", "-old"] })).await;
    site.patch(id, json!({ "city": "Paarl", "tags": [] })).await;
    let tags: Vec<_> = site.sim.contact(id).unwrap().tags.into_iter().collect();
    assert_eq!(tags, ["ems", "new"]);
    assert_eq!(site.violations("empty_array"), 1);
    site.sim.configure(|settings| settings.version = Version::V3);
    site.patch(id, json!({ "tags": [], "doNotContact": [] })).await;
    let contact = site.sim.contact(id).unwrap();
    assert!(contact.tags.contains(""), "3.x makes a tag of nothing");
    assert_eq!(contact.do_not_contact_reason("email"), Some(3), "and forbids the channel");
}

#[tokio::test]
async fn an_unknown_field_is_lost_without_an_error() {
    let site = start().await;
    site.sim.remove_field("ems_person_id");
    let answer = site.post("/contacts/new", person("1")).await;
    assert_eq!(answer.status, 201);
    assert!(site.sim.contact_of("1").is_none());
    assert_eq!(site.sim.violations()[0].code, "unknown_field");
    assert_eq!(site.sim.violations()[0].detail, "ems_person_id");
}

#[tokio::test]
async fn choices_and_addresses_are_validated() {
    let site = start().await;
    for (alias, bad, good) in [
        ("country", "ZA", "South Africa"),
        ("state", "WC", "Western Cape"),
        ("preferred_locale", "en-ZA", "en_ZA"),
        ("timezone", "SAST", "Africa/Johannesburg"),
        ("email", "nobody", "a@b.org"),
    ] {
        let mut body = person("1");
        body[alias] = json!(bad);
        let refused = site.post("/contacts/new", body.clone()).await;
        assert_refused(&refused, 400);
        assert!(refused.json()["errors"][0]["details"][alias][0].is_string(), "{}", refused.text);
        body[alias] = json!(good);
        assert!(site.post("/contacts/new", body).await.status.is_success(), "{alias}");
    }
    site.sim.configure(|settings| settings.validation = Validation::Unprocessable);
    assert_refused(&site.post("/contacts/new", json!({ "country": "ZA" })).await, 422);
    site.sim.configure(|settings| settings.error_shape = ErrorShape::Error);
    let old = site.patch(1, json!({})).await;
    assert_eq!((old.status.as_u16(), &old.json()["error"]["code"]), (404, &json!(404)));
}

#[tokio::test]
async fn several_choices_come_as_a_list_or_joined() {
    let site = start().await;
    let field = json!({ "alias": "topics", "type": "multiselect", "choices": ["run", "swim"] });
    site.sim.plant_field(field).unwrap();
    let id = site.person("1").await;
    for sent in [json!(["run", "swim"]), json!("run|swim")] {
        site.patch(id, json!({ "topics": sent })).await;
        assert_eq!(site.value(id, "topics"), "run|swim");
    }
    assert_refused(&site.patch(id, json!({ "topics": ["fly"] })).await, 400);
}

#[tokio::test]
async fn moments_lose_their_seconds_and_dates_of_zeros_are_dropped() {
    let site = start().await;
    site.sim.plant_field(json!({ "alias": "seen", "type": "datetime" })).unwrap();
    site.sim.plant_field(json!({ "alias": "born", "type": "date" })).unwrap();
    let id = site.person("1").await;
    let body = json!({ "seen": "2026-01-31 10:00:59", "born": "1990-02-28" });
    let shown = site.patch(id, body).await.json()["contact"]["fields"]["all"].clone();
    assert_eq!(shown["seen"], "2026-01-31T10:00:00+00:00");
    assert_eq!(shown["born"], "1990-02-28");
    let active = site.patch(id, json!({ "lastActive": "2026-01-31 10:00:59" })).await;
    assert_eq!(active.json()["contact"]["lastActive"], "2026-01-31T10:00:00+00:00");
    assert_eq!(site.sim.violations(), []);
    site.patch(id, json!({ "seen": "2026-01-31T10:00:00Z", "born": "0000-00-00" })).await;
    assert_eq!(site.value(id, "seen"), "2026-01-31 12:00:00", "moved into PHP's zone");
    assert_eq!(site.value(id, "born"), "1990-02-28");
    assert_eq!(site.violations("datetime_with_offset"), 1);
}

#[tokio::test]
async fn a_default_fills_what_is_empty_on_post_only() {
    let site = start().await;
    let id = site.person("1").await;
    site.sim.plant_field(json!({ "alias": "kind", "type": "text", "default": "runner" })).unwrap();
    site.patch(id, json!({ "city": "Paarl" })).await;
    assert_eq!(site.value(id, "kind"), Value::Null);
    site.post("/contacts/new", person("1")).await;
    assert_eq!(site.value(id, "kind"), "runner");
}

#[tokio::test]
async fn frequency_rules_on_post_empty_the_segments_and_want_every_sub_key() {
    let site = start().await;
    let id = site.person("1").await;
    let segment = site.sim.plant_segment("Runners").unwrap();
    site.sim.plant(json!({ "id": id, "segments": [segment] })).unwrap();
    let rule = json!({
        "frequency_number": 2, "frequency_time": "WEEK", "pause_from_date": null,
        "pause_to_date": null, "preferred_channel": true,
    });
    let patched = site.patch(id, json!({ "frequencyRules": { "email": rule } })).await;
    let shown = patched.json()["contact"]["frequencyRules"][0].clone();
    assert_eq!((&shown["channel"], &shown["frequencyNumber"]), (&json!("email"), &json!(2)));
    assert_eq!(site.sim.contact(id).unwrap().segments.len(), 1);
    let mut body = person("1");
    body["frequencyRules"] = json!({ "email": rule });
    assert_eq!(site.post("/contacts/new", body).await.status, 200);
    assert!(site.sim.contact(id).unwrap().segments.is_empty());
    let partial = json!({ "frequencyRules": { "email": { "frequency_number": 2 } } });
    let fatal = site.patch(id, partial).await;
    assert_eq!(fatal.status, 500);
    assert!(fatal.header("content-type").starts_with("text/html"));
    assert_eq!(site.violations("frequency_rules"), 3);
}

#[tokio::test]
async fn forms_are_taken_like_json() {
    let site = start().await;
    let form = "email=a%2Bb%40example.org&firstname=Ada&tags[]=ems&tags[]=x&ems_person_id=9";
    let answer = site
        .api
        .send(
            Method::POST,
            "/api/contacts/new",
            "application/x-www-form-urlencoded",
            Some(form.to_owned()),
        )
        .await
        .unwrap();
    assert_eq!(answer.status, 201);
    let contact = site.sim.contact_of("9").unwrap();
    assert_eq!((contact.email(), contact.tags.len()), (Some("a+b@example.org"), 2));
}

#[tokio::test]
async fn a_delete_is_hard_and_the_second_is_404() {
    let site = start().await;
    let (one, two) = (site.person("1").await, site.person("2").await);
    let mut ids = Vec::new();
    for id in [one, two] {
        let path = format!("/contacts/{id}/delete");
        let answer = site.delete(&path).await;
        assert_eq!(answer.status, 200);
        ids.push(answer.json()["contact"]["id"].clone());
        assert_refused(&site.delete(&path).await, 404);
    }
    assert!(ids.iter().any(Value::is_null) && ids.iter().any(Value::is_number), "{ids:?}");
    assert_eq!(site.sim.writes_of("contacts", "1")[1].rows[0].effect, Effect::Deleted);
    assert_eq!(site.sim.violations(), []);
}

#[tokio::test]
async fn deleting_the_unsubscribed_or_a_stranger_is_a_violation() {
    let site = start().await;
    let id = site.person("1").await;
    site.sim.unsubscribe(id, "email");
    site.delete(&format!("/contacts/{id}/delete")).await;
    let stranger = site.sim.plant(json!({ "email": "x@example.org" })).unwrap().id;
    site.delete(&format!("/contacts/{stranger}/delete")).await;
    assert_eq!(site.violations("deletes_unsubscribed"), 1);
    assert_eq!(site.violations("deletes_foreign_contact"), 1);
    let again = site.person("1").await;
    assert_eq!(site.sim.contact(again).unwrap().do_not_contact, [], "contactable again");
}

#[tokio::test]
async fn whatever_is_sent_nothing_breaks() {
    let site = start().await;
    let id = site.person("1").await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "",
        "{",
        "null",
        "[]",
        "1",
        "\"x\"",
        "[1,null]",
        &deep,
        r#"{"email":{"a":[]}}"#,
        r#"{"tags":{"x":1},"doNotContact":7,"frequencyRules":[],"lastActive":{}}"#,
    ] {
        for path in [
            "/api/contacts/new".to_owned(),
            "/api/contacts/batch/new".to_owned(),
            format!("/api/contacts/{id}/dnc/email/add"),
            "/api/segments/1/contacts/add".to_owned(),
            "/oauth/v2/token".to_owned(),
        ] {
            let answer = site
                .api
                .send(Method::POST, &path, "application/json", Some(body.to_owned()))
                .await
                .unwrap();
            assert!(!answer.text.is_empty(), "{path}");
        }
        let edit = format!("/api/contacts/{id}/edit");
        site.api
            .send(Method::PATCH, &edit, "application/json", Some(body.to_owned()))
            .await
            .unwrap();
    }
    for path in
        ["/contacts/x", "/contacts/x/edit", "/nothing", "/contacts?where=1", "/contacts?where[0]"]
    {
        assert!(!site.get(path).await.text.is_empty(), "{path}");
    }
    assert_eq!(site.get("/contacts").await.status, 200);
    assert!(site.violations("malformed_json") > 0 && site.violations("unknown_path") > 0);
    assert_eq!(site.violations("method_not_allowed"), 1);
    assert_eq!(site.violations("malformed_id"), 1);
}
