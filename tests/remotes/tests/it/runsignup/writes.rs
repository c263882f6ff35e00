//! Section 7a: add or edit.

use ems_sync_remotes::runsignup::{Action, BatchErrors, Resource, UnrestrictedAdd};
use ems_sync_remotes::{Effect, Fault, Operation, Rule};
use serde_json::{Value, json};

use super::{ELSEWHERE, RACE, TEN_KM, code, codes, id, person, read, register, row_code, start};

#[tokio::test]
async fn an_add_makes_an_imported_registration_of_a_user_without_an_account() {
    let (sim, rsu) = start().await;
    let id = rsu.add("42").await;
    let row = sim.registration(id).unwrap();
    assert!(row.imported && row.active && row.age == Some(109), "{row:?}");
    assert!(!sim.user(row.user_id).unwrap().has_account);
    assert_eq!(sim.registrations_of("42"), [row]);
    let entry = &sim.writes_of(Resource::Registration, "42")[0];
    assert_eq!(entry.operation, Operation::Create);
    assert_eq!(entry.remote_id, Some(id.to_string()));
    assert_eq!(sim.counters().writes_to("registrations").created, 1);
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn a_second_add_is_refused_with_the_id_of_the_first() {
    let (sim, rsu) = start().await;
    let first = rsu.add("42").await;
    let second = rsu.write("T", json!([person("42")])).await;
    assert_eq!(row_code(&second, 0), 517);
    assert_eq!(second["error_details"][0]["detailed_desc"], first.to_string());
    assert_eq!(second.get("participants"), None);
    let row = &sim.journal()[1].rows[0];
    assert_eq!((row.effect, row.status), (Effect::Refused, 517));
}

#[tokio::test]
async fn without_the_restriction_an_add_makes_a_duplicate() {
    let (sim, rsu) = start().await;
    let first = rsu.add("42").await;
    let second = id(&rsu.write("F", json!([person("42")])).await);
    let ids: Vec<i64> = sim.registrations_of("42").iter().map(|row| row.id).collect();
    assert_eq!(ids, [first, second]);
    assert_eq!(codes(&sim), ["unrestricted_add"]);
    sim.configure(|settings| settings.unrestricted_add = UnrestrictedAdd::Conflicts);
    assert_eq!(row_code(&rsu.write("F", json!([person("42")])).await, 0), 517);
}

#[tokio::test]
async fn an_add_whose_answer_is_lost_is_found_by_searching() {
    let (sim, rsu) = start().await;
    sim.faults().push(Rule::new(Fault::CommitThenDrop).external_id("42").writes());
    let request = json!({ "participants": [person("42")] }).to_string();
    let form = [
        ("event_id", "71"),
        ("restrict_potential_dup", "T"),
        ("request_format", "json"),
        ("request", request.as_str()),
    ];
    let lost = rsu.request(true, &format!("race/{RACE}/participants")).form(&form).send().await;
    assert!(lost.is_err());
    let found = rsu.participants("search_last_name=Byron 42&include_questions=T").await;
    assert_eq!(found[0]["question_responses"][0]["response"], "42");
}

#[tokio::test]
async fn an_edit_changes_what_is_there_and_clears_what_is_null() {
    let (sim, rsu) = start().await;
    let id = rsu.add("42").await;
    let rows =
        json!([{ "registration_id": id, "bib_num": 101, "user": { "phone": "856-850-1510" } }]);
    assert_eq!(rsu.write("T", rows).await, json!({ "participants": [{ "registration_id": id }] }));
    let rows = json!([{ "registration_id": id, "user": { "phone": null, "dob": "XXXX-XX-XX" } }]);
    rsu.write("T", rows).await;
    let row = sim.registration(id).unwrap();
    let user = sim.user(row.user_id).unwrap();
    assert_eq!((row.bib_num, user.phone, user.dob), (Some(101), None, None));
    assert_eq!(user.first_name, "Ada");
    let last = sim.journal().pop().unwrap();
    assert_eq!((last.operation, last.external_ids), (Operation::Patch, vec!["42".to_owned()]));
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn our_own_write_comes_back_as_modified_even_if_nothing_changed() {
    let (sim, rsu) = start().await;
    let id = rsu.add("42").await;
    sim.configure(|settings| settings.clock_offset_seconds = 100);
    let before = sim.registration(id).unwrap();
    rsu.write("T", json!([{ "registration_id": id, "user": { "first_name": "Ada" } }])).await;
    assert!(sim.registration(id).unwrap().last_modified >= before.last_modified + 99);
    assert_eq!(sim.counters().writes_to("registrations").unchanged, 1);
}

#[tokio::test]
async fn the_email_of_an_account_is_ignored_in_silence() {
    let (sim, rsu) = start().await;
    let id = register(&sim, "A", json!({}));
    let rows = json!([{ "registration_id": id, "bib_num": 5,
                        "user": { "email": "new@example.org", "first_name": "Moritz" } }]);
    assert_eq!(rsu.write("T", rows).await["participants"][0]["registration_id"], id);
    let row = sim.registration(id).unwrap();
    let user = sim.user(row.user_id).unwrap();
    assert_eq!(user.email.as_deref(), Some("max@example.org"));
    assert_eq!((user.first_name.as_str(), row.bib_num), ("Moritz", Some(5)));
    assert_eq!(codes(&sim), ["email_in_edit"]);
}

#[tokio::test]
async fn an_email_of_an_account_cannot_be_taken() {
    let (sim, rsu) = start().await;
    register(&sim, "A", json!({}));
    let id = rsu.add("42").await;
    let rows = json!([{ "registration_id": id, "user": { "email": "max@example.org" } }]);
    assert_eq!(row_code(&rsu.write("T", rows).await, 0), 122);
}

#[tokio::test]
async fn in_safe_sync_mode_persons_with_accounts_cannot_be_edited() {
    let (sim, rsu) = start().await;
    let id = register(&sim, "A", json!({}));
    let path = format!("race/{RACE}/sync-settings");
    let toggle = rsu.request(true, &path).form(&[("safe_sync_enabled", "T")]);
    assert_eq!(read(toggle).await.json()["safe_sync_enabled"], "T");
    let rows = json!([{ "registration_id": id, "bib_num": 5, "user": { "first_name": "B" } }]);
    assert_eq!(row_code(&rsu.write("T", rows).await, 0), 121);
    assert_eq!(sim.registration(id).unwrap().bib_num, None);
    let rows = json!([{ "registration_id": id, "bib_num": 5, "chip_num": "C5" }]);
    rsu.write("T", rows).await;
    assert_eq!(sim.registration(id).unwrap().bib_num, Some(5));
    let imported = rsu.add("42").await;
    let rows = json!([{ "registration_id": imported, "user": { "first_name": "B" } }]);
    assert_eq!(super::id(&rsu.write("T", rows).await), imported);
}

#[tokio::test]
async fn bib_chip_and_team_of_a_removed_registration_are_ignored_in_silence() {
    let (sim, rsu) = start().await;
    let id = register(&sim, "A", json!({ "bib_num": 1 }));
    sim.act(id, Action::Remove).unwrap();
    let rows = json!([{ "registration_id": id, "bib_num": 5, "team_id": 9, "chip_num": "C",
                        "user": { "first_name": "Moritz" } }]);
    assert_eq!(rsu.write("T", rows).await["participants"][0]["registration_id"], id);
    let row = sim.registration(id).unwrap();
    assert_eq!((row.bib_num, row.team_id, &row.chip_num), (Some(1), None, &None));
    assert_eq!(sim.user(row.user_id).unwrap().first_name, "Moritz");
    let cleared = register(&sim, "B", json!({}));
    sim.act(cleared, Action::Clear).unwrap();
    let rows = json!([{ "registration_id": cleared, "user": { "first_name": "B" } }]);
    assert_eq!(row_code(&rsu.write("T", rows).await, 0), 15);
}

#[tokio::test]
async fn each_field_has_its_own_code() {
    let (sim, rsu) = start().await;
    let id = rsu.add("42").await;
    let user = |field: &str, value: Value| json!({ "user": { field: value } });
    let address = |field: &str, value: Value| json!({ "user": { "address": { field: value } } });
    let cases = [
        (user("first_name", json!(null)), 104),
        (user("last_name", json!(" ")), 106),
        (user("last_name", json!(7)), 107),
        (user("email", json!("nobody")), 108),
        (user("dob", json!("28/02/1990")), 117),
        (user("dob", json!("2999-01-01")), 117),
        (user("gender", json!("FEMALE")), 114),
        (user("phone", json!("+27 11 555 0100")), 120),
        (address("state", json!("Gauteng")), 111),
        (address("country_code", json!("South Africa")), 113),
        (address("city", json!("Area 51")), 123),
        (json!({ "bib_num": "A12" }), 115),
        (json!({ "chip_num": ["C"] }), 116),
        (json!({ "age": 999 }), 118),
        (json!({ "age": 12 }), 119),
        (json!({ "giveaway": "Shirt" }), 3),
    ];
    for (mut row, expected) in cases {
        row["registration_id"] = json!(id);
        let answer = rsu.write("T", json!([row])).await;
        assert_eq!(row_code(&answer, 0), expected, "{row}");
        assert_eq!(code(&answer), 11);
    }
    sim.configure(|settings| settings.american_addresses = false);
    let mut row = address("state", json!("Gauteng"));
    row["registration_id"] = json!(id);
    assert_eq!(super::id(&rsu.write("T", json!([row])).await), id);
}

#[tokio::test]
async fn an_add_needs_a_name_and_may_name_its_user() {
    let (sim, rsu) = start().await;
    assert_eq!(row_code(&rsu.write("T", json!([{ "user": { "last_name": "A" } }])).await, 0), 104);
    assert_eq!(row_code(&rsu.write("T", json!([{ "user": { "first_name": "A" } }])).await, 0), 106);
    assert_eq!(row_code(&rsu.write("T", json!([{ "user_id": 1 }])).await, 0), 101);
    let user = json!({ "first_name": "Ada", "last_name": "B" });
    let user = sim.plant(Resource::User, user).unwrap()["id"].clone();
    let id = id(&rsu.write("T", json!([{ "user_id": user }])).await);
    assert_eq!(json!(sim.registration(id).unwrap().user_id), user);
}

#[tokio::test]
async fn a_bad_row_undoes_its_batch_or_not() {
    let (sim, rsu) = start().await;
    let (one, other) = (rsu.add("1").await, rsu.add("2").await);
    let rows = json!([{ "registration_id": one, "bib_num": 1 },
                      { "registration_id": other, "bib_num": "A" }]);
    let answer = rsu.write("T", rows.clone()).await;
    assert_eq!((&answer["error_details"][0], row_code(&answer, 1)), (&json!({}), 115));
    assert_eq!(sim.registration(one).unwrap().bib_num, None);
    assert_eq!(sim.counters().writes_to("registrations").bulk_refused, 2);
    sim.configure(|settings| settings.batch_errors = BatchErrors::GoodRowsCommitted);
    let answer = rsu.write("T", rows).await;
    assert_eq!(answer.get("participants"), None);
    assert_eq!(sim.registration(one).unwrap().bib_num, Some(1));
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn batches_have_rules() {
    let (sim, rsu) = start().await;
    let answer = rsu.write("T", json!([person("1"), person("2")])).await;
    assert_eq!(answer["participants"].as_array().unwrap().len(), 2, "in the order of the request");
    let one = id(&answer);
    let twice = json!([{ "registration_id": one }, { "registration_id": one }]);
    rsu.write("T", twice).await;
    let many: Vec<Value> = (0..51).map(|n| json!({ "registration_id": n })).collect();
    rsu.write("T", Value::Array(many)).await;
    assert_eq!(codes(&sim), ["add_in_batch", "duplicate_in_batch", "batch_too_large"]);
    assert_eq!(sim.writes_of(Resource::Registration, "2").len(), 1);
}

#[tokio::test]
async fn a_form_has_rules() {
    let (sim, rsu) = start().await;
    let path = format!("race/{RACE}/participants");
    let full = [
        ("event_id", "71"),
        ("restrict_potential_dup", "T"),
        ("request_format", "json"),
        ("request", r#"{"participants":[]}"#),
    ];
    for (missing, expected) in [(0, 3), (1, 3), (2, 11), (3, 11)] {
        let mut form = full.to_vec();
        form.remove(missing);
        let answer = read(rsu.request(true, &path).form(&form)).await;
        assert_eq!(code(&answer.json()), expected, "{missing}");
    }
    let json = read(rsu.request(true, &path).json(&json!({ "participants": [] }))).await;
    assert_eq!(code(&json.json()), 3);
    let expected = [
        "no_event_id",
        "no_restrict_potential_dup",
        "no_request_format",
        "malformed_request",
        "wrong_media_type",
    ];
    assert_eq!(codes(&sim), expected);
}

#[tokio::test]
async fn a_request_that_is_not_encoded_is_corrupted() {
    let (sim, rsu) = start().await;
    let path = format!("race/{RACE}/participants");
    let send = async |name: &str| {
        let row = json!({ "participants": [{ "user": { "first_name": name, "last_name": "B" } }] });
        let body =
            format!("event_id=71&restrict_potential_dup=T&request_format=json&request={row}");
        let form = rsu.request(true, &path).body(body);
        read(form.header("Content-Type", "application/x-www-form-urlencoded")).await.json()
    };
    let id = id(&send("A+B").await);
    let user = sim.user(sim.registration(id).unwrap().user_id).unwrap();
    assert_eq!(user.first_name, "A B");
    assert_eq!(code(&send("A&B").await), 11);
    let expected = ["request_not_encoded", "request_not_encoded", "malformed_request"];
    assert_eq!(codes(&sim), expected);
}

#[tokio::test]
async fn strange_fields_and_questions_are_ignored_and_noted() {
    let (sim, rsu) = start().await;
    let id = rsu.add("42").await;
    sim.plant(Resource::Registration, json!({ "id": id, "team_id": 4 })).unwrap();
    let row = json!({ "registration_id": id, "status": "x", "team_id": 4,
                      "user": { "nick": "x", "address": { "zip": "1" } },
                      "question_responses": [{ "question_id": 1, "response": "x" }] });
    rsu.write("T", json!([row])).await;
    let expected = [
        "unknown_field",
        "unknown_field",
        "unknown_field",
        "team_id_unchanged",
        "unknown_question",
    ];
    assert_eq!(codes(&sim), expected);
}

#[tokio::test]
async fn a_race_without_the_question_has_registrations_under_their_own_id() {
    let (sim, rsu) = start().await;
    let event = ELSEWHERE.to_string();
    let form = [("event_id", event.as_str()), ("restrict_potential_dup", "T")];
    let row = json!({ "user": { "first_name": "A", "last_name": "B" } });
    let answer = rsu.post("race/8/participants", &form, &json!({ "participants": [row] })).await;
    let id = id(&answer);
    let row = json!({ "registration_id": id, "bib_num": 1 });
    rsu.post("race/8/participants", &form, &json!({ "participants": [row] })).await;
    let key = format!("reg-{id}");
    assert_eq!(sim.writes_of(Resource::Registration, &key).len(), 1);
    assert_eq!(sim.journal()[0].rows[0].external_id, Some(key));
}

#[tokio::test]
async fn writes_of_one_registration_at_once_are_seen() {
    let (sim, rsu) = start().await;
    let id = rsu.add("42").await;
    sim.faults().push(Rule::new(Fault::delay(std::time::Duration::from_millis(200))).times(1));
    let edit = |bib: i64| json!([{ "registration_id": id, "bib_num": bib }]);
    tokio::join!(rsu.write("T", edit(1)), rsu.write("T", edit(2)));
    assert_eq!(sim.overlaps().len(), 1);
    assert_eq!(sim.overlaps()[0].external_id, "42");
}

#[tokio::test]
async fn nothing_panics_on_garbage() {
    let (_sim, rsu) = start().await;
    let path = format!("race/{RACE}/participants");
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for request in [
        "",
        "null",
        "[]",
        "{",
        "7",
        r#"{"participants":7}"#,
        r#"{"participants":[7,null,[]]}"#,
        r#"{"participants":[{"registration_id":{},"user":[],"question_responses":7}]}"#,
        r#"{"participants":[{"registration_id":9223372036854775807}]}"#,
        deep.as_str(),
    ] {
        for path in [
            path.as_str(),
            "race/7/delete-participants",
            "race/7/switch-participant-events",
            "race/7/sync-settings",
            "race",
            "race/x/participants",
        ] {
            let form = [
                ("event_id", "71"),
                ("race_id", "7"),
                ("restrict_potential_dup", "T"),
                ("request_format", "json"),
                ("request", request),
            ];
            let answer = read(rsu.request(true, path).form(&form)).await;
            assert_eq!(answer.status, 200, "{request}");
        }
    }
    for query in [
        "page=-1",
        "page=99999999999999999999",
        "after_registration_id=9223372036854775807",
        "before_registration_id=-9223372036854775808",
        "sort=",
        "event_id=,,",
        "search_bib=x",
        "after_registration_id=9223372036854775807&before_registration_id=-9223372036854775808",
    ] {
        for list in ["participants", "removed-participants"] {
            rsu.get(&format!("race/{RACE}/{list}?event_id={TEN_KM}&{query}")).await;
        }
    }
}
