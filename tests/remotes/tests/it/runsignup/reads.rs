//! Sections 4c, 4d, 5 and 6: participants, removed participants, dates, walks.

use ems_sync_remotes::Operation;
use ems_sync_remotes::runsignup::{Action, Resource};
use serde_json::{Value, json};

use super::{FIVE_KM, QUESTION, RACE, TEN_KM, code, codes, register, start, start_with};

#[tokio::test]
async fn a_participant_has_the_contracts_fields() {
    let (sim, rsu) = start().await;
    let row = json!({ "id": 2_645_624, "bib_num": 12, "registered_at": 1_631_042_122,
                      "last_modified": 1_631_042_122, "responses": { QUESTION.to_string(): "42" } });
    register(&sim, "Stephens", row);
    let row = &rsu.participants("include_questions=T").await[0];
    assert_eq!(row["registration_id"], 2_645_624);
    assert_eq!(row["registration_date"], "9/7/2021 15:15", "US Eastern, no leading zeros");
    assert_eq!(row["last_modified"], 1_631_042_122, "Unix seconds");
    assert_eq!((&row["race_fee"], &row["amount_paid"]), (&json!("$55.00"), &json!("$57.75")));
    assert_eq!((&row["imported"], &row["team_id"]), (&json!("F"), &Value::Null));
    assert_eq!(row["user"]["dob"], "1980-01-01");
    assert_eq!(row["user"]["address"]["zipcode"], Value::Null);
    let responses = json!([{ "question_id": "7885", "question_text": "EMS ID", "response": "42" }]);
    assert_eq!(row["question_responses"], responses, "ids are text here");
    let plain = &rsu.participants("").await[0];
    assert_eq!(plain.get("question_responses"), None);
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn numbers_come_as_text_now_and_then() {
    let (sim, rsu) = start().await;
    for id in [10, 11] {
        register(&sim, "A", json!({ "id": id, "bib_num": id }));
    }
    let rows = rsu.participants("sort=registration_id ASC").await;
    assert_eq!((&rows[0]["bib_num"], &rows[1]["bib_num"]), (&json!(10), &json!("11")));
    assert!(rows[0]["transaction_id"].is_i64() && rows[1]["transaction_id"].is_string());
}

#[tokio::test]
async fn each_event_has_an_element_and_an_empty_one_has_another_shape() {
    let (sim, rsu) = start().await;
    register(&sim, "A", json!({}));
    let path = format!("race/{RACE}/participants?event_id={FIVE_KM},{TEN_KM}&supports_nb=T");
    let body = rsu.get(&path).await;
    assert_eq!(body[0], json!({ "event": { "event_id": FIVE_KM, "participants": [] } }));
    assert_eq!(body[1]["event"], json!({ "event_id": TEN_KM }));
    assert_eq!(body[1]["participants"].as_array().unwrap().len(), 1);
    let path = format!("race/{RACE}/participants?supports_nb=T");
    assert_eq!(code(&rsu.get(&path).await), 3, "event_id is required");
}

#[tokio::test]
async fn a_walk_by_id_sees_everything_once() {
    let (sim, rsu) = start().await;
    let all: Vec<i64> = ["C", "B", "A"].map(|name| register(&sim, name, json!({}))).into();
    assert_eq!(rsu.ids("").await, [all[2], all[1], all[0]], "by name if nothing is said");
    let mut walked = Vec::new();
    loop {
        let after = walked.last().copied().unwrap_or(0);
        let query =
            format!("sort=registration_id ASC&results_per_page=2&after_registration_id={after}");
        let page = rsu.ids(&query).await;
        if page.is_empty() {
            break;
        }
        walked.extend(page);
    }
    assert_eq!(walked, all);
    assert_eq!(codes(&sim), [""; 0]);
    rsu.ids("results_per_page=2&page=2").await;
    rsu.ids("results_per_page=5000&after_registration_id=1").await;
    assert_eq!(codes(&sim), ["pages_by_number", "unsorted_walk", "page_too_large"]);
}

#[tokio::test]
async fn a_row_that_changes_during_a_walk_is_seen_now_or_next_time() {
    let (sim, rsu) = start().await;
    let all = ["A", "B", "C"].map(|name| register(&sim, name, json!({ "last_modified": 1000 })));
    let walk = "sort=registration_id ASC&modified_after_timestamp=1000&results_per_page=1";
    assert_eq!(rsu.ids(&format!("{walk}&after_registration_id=0")).await, all[..1]);
    for id in [all[0], all[2]] {
        sim.plant(Resource::Registration, json!({ "id": id, "last_modified": 2000 })).unwrap();
    }
    sim.act(all[1], Action::Remove).unwrap();
    assert_eq!(rsu.ids(&format!("{walk}&after_registration_id={}", all[0])).await, all[2..]);
    let next = "sort=registration_id ASC&modified_after_timestamp=1001";
    assert_eq!(rsu.ids(next).await, [all[0], all[2]]);
}

#[tokio::test]
async fn one_person_can_be_several_users() {
    let (sim, rsu) = start().await;
    let (one, other) = (rsu.add("1").await, rsu.write("F", json!([super::person("1")])).await);
    let users = [one, super::id(&other)].map(|id| sim.registration(id).unwrap().user_id);
    assert_ne!(users[0], users[1]);
    assert_eq!(sim.user(users[0]).unwrap().email, sim.user(users[1]).unwrap().email);
}

#[tokio::test]
async fn pages_by_number_shift_when_a_row_is_removed() {
    let (sim, rsu) = start().await;
    let all: Vec<i64> = ["A", "B", "C"].map(|name| register(&sim, name, json!({}))).into();
    let page = |number| format!("sort=registration_id ASC&results_per_page=2&page={number}");
    assert_eq!(rsu.ids(&page(1)).await, all[..2]);
    sim.act(all[0], Action::Remove).unwrap();
    assert_eq!(rsu.ids(&page(2)).await, [0; 0], "the third was never seen");
}

#[tokio::test]
async fn fifty_rows_are_a_page_if_nothing_is_said() {
    let (sim, rsu) = start().await;
    for _ in 0..51 {
        register(&sim, "A", json!({}));
    }
    assert_eq!(rsu.ids("").await.len(), 50);
    assert_eq!(rsu.ids("results_per_page=1000").await.len(), 51);
}

#[tokio::test]
async fn modified_after_is_inclusive_and_to_the_second() {
    let (sim, rsu) = start().await;
    let all = [1000, 1001, 1001]
        .map(|at| register(&sim, "A", json!({ "last_modified": at, "registered_at": 900 })));
    let query = |at: &str| format!("sort=registration_id ASC&modified_after_timestamp={at}");
    assert_eq!(rsu.ids(&query("1001")).await, all[1..]);
    assert_eq!(rsu.ids(&query("1002")).await, [0; 0]);
    assert_eq!(codes(&sim), [""; 0]);
    assert_eq!(rsu.ids(&query("2025-07-01 00:00:00")).await, [0; 0]);
    assert_eq!(rsu.ids(&query("999-07-01")).await, all, "a date is read as its year");
    assert_eq!(codes(&sim), ["timestamp_not_a_number"; 2]);
}

#[tokio::test]
async fn there_is_no_sort_by_last_modified() {
    let (sim, rsu) = start().await;
    let path = format!("race/{RACE}/participants?event_id={TEN_KM}&supports_nb=T");
    let sorted = format!("{path}&sort=last_modified ASC");
    assert_eq!(code(&rsu.get(&sorted).await), 3);
    let removed = sorted.replace("participants", "removed-participants");
    assert!(rsu.get(&removed).await.is_array(), "but there is for removed ones");
    rsu.get(&format!("{path}&since_datetime=1")).await;
    assert_eq!(codes(&sim), ["unknown_sort", "unknown_parameter"]);
}

#[tokio::test]
async fn a_gender_is_masked_without_supports_nb() {
    let (sim, rsu) = start().await;
    sim.register(TEN_KM, json!({ "user": { "first_name": "A", "gender": "X" } })).unwrap();
    assert_eq!(rsu.participants("").await[0]["user"]["gender"], "X");
    let path = format!("race/{RACE}/participants?event_id={TEN_KM}");
    assert_eq!(rsu.get(&path).await[0]["participants"][0]["user"]["gender"], "F");
    assert_eq!(codes(&sim), ["no_supports_nb"]);
}

#[tokio::test]
async fn searches_look_for_parts_and_are_counted_as_look_ups() {
    let (sim, rsu) = start().await;
    let one = register(&sim, "Byron", json!({ "bib_num": 7 }));
    let other = register(&sim, "Byronson", json!({}));
    let found =
        rsu.ids("sort=registration_id ASC&search_last_name=byron&search_first_name=max").await;
    assert_eq!(found, [one, other]);
    assert_eq!(rsu.ids("search_bib=7").await, [one]);
    assert_eq!(rsu.ids("search_email=nobody").await, [0; 0]);
    let (after, before) = (one - 1, one + 1);
    let one_only = format!("after_registration_id={after}&before_registration_id={before}");
    assert_eq!(rsu.ids(&one_only).await, [one]);
    let operations: Vec<_> = sim.journal().into_iter().map(|entry| entry.operation).collect();
    assert_eq!(operations, [Operation::Find, Operation::Find, Operation::Find, Operation::Read]);
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn a_template_has_the_id_minus_one() {
    let (sim, rsu) = start().await;
    assert_eq!(rsu.ids("include_template_participant=T").await, [-1]);
    assert_eq!(codes(&sim), ["template_participant"]);
}

#[tokio::test]
async fn removed_participants_are_elsewhere_with_other_dates() {
    let (sim, rsu) = start().await;
    let id = register(&sim, "A", json!({ "registered_at": 1_631_042_436 }));
    sim.plant(
        Resource::Registration,
        json!({ "id": id, "active": false, "removal":
        { "reason": "removed", "at": 1_632_405_277 } }),
    )
    .unwrap();
    assert_eq!(rsu.ids("").await, [0; 0]);
    let path = format!("race/{RACE}/removed-participants?event_id={TEN_KM}&supports_nb=T");
    let body = rsu.get(&path).await;
    let row = &body[0]["event"]["participants"][0];
    assert_eq!(row["registration_date"], "2021-09-07 15:20:36");
    assert_eq!(row["last_modified"], "2021-09-23 09:54:37");
    assert_eq!(row["last_modified_ts"], 1_632_405_277);
    assert_eq!((&row["removed_reason"], &row["imported"]), (&json!("removed"), &json!("F")));
    let later = rsu.get(&format!("{path}&modified_after_timestamp=1632405278")).await;
    assert_eq!(later[0]["event"]["participants"], json!([]));
}

#[tokio::test]
async fn a_new_registration_can_be_hidden_for_a_while() {
    let (sim, rsu) = start_with(|settings| settings.add_lag_seconds = 60).await;
    let id = rsu.add("42").await;
    assert_eq!(rsu.ids("search_last_name=Byron").await, [0; 0]);
    sim.configure(|settings| settings.clock_offset_seconds = 61);
    assert_eq!(rsu.ids("search_last_name=Byron").await, [id]);
}
