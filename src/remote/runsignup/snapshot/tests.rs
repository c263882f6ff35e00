//! What is taken of a registration and of a race, and that neither an odd value nor another year's clock disturbs it.

use proptest::prelude::*;

use super::super::rows;
use super::*;

fn registration(changes: &Value) -> Map<String, Value> {
    let mut row = json!({"user": {"user_id": 5}, "registration_date": "9/7/2021 15:15", "imported": "F", "race_fee": "$55.00",
        "amount_paid": "$1,057.75", "team_name": " Harriers ", "giveaway": "Medium T-Shirt", "age": 35,
        "question_responses": [{"question_id": "1", "response": "diabetes"}], "emergency_contact": "somebody"});
    for (name, value) in changes.as_object().unwrap() {
        row[name] = value.clone();
    }
    row.as_object().unwrap().clone()
}

#[test]
fn only_what_is_named_is_taken_of_a_registration() {
    let taken = Value::Object(besides(&registration(&json!({}))));
    let expected = json!({"user_id": "5", "registered_on": "2021-09-07T19:15:00Z", "team": "Harriers",
        "shirt_size": "Medium T-Shirt", "paid": true});
    assert_eq!(taken, expected);
    let blank = json!({"registration_date": "soon", "team_name": null, "giveaway": " ", "amount_paid": null});
    assert_eq!(Value::Object(besides(&registration(&blank))), json!({"user_id": "5"}));
}

#[test]
fn whether_it_is_paid_is_told_of_what_was_registered_there_only() {
    for (changes, paid) in [
        (json!({"amount_paid": "$0.00"}), Some(false)),
        (json!({"amount_paid": "$0.00", "race_fee": "$0.00"}), Some(true)),
        (json!({"imported": "T"}), None),
        (json!({"amount_paid": "57.75"}), None),
        (json!({"amount_paid": 57}), None),
    ] {
        let taken = besides(&registration(&changes));
        assert_eq!(taken.get("paid").and_then(Value::as_bool), paid, "{changes}");
    }
}

/// Contract, section 5: Eastern time has a summer, and an hour in autumn that comes twice.
#[test]
fn eastern_times_are_read_with_their_summers() {
    for (text, expected) in [
        ("1/5/2022 08:02", "2022-01-05T13:02:00Z"),
        ("7/5/2022 08:02", "2022-07-05T12:02:00Z"),
        ("11/1/2026 01:30", "2026-11-01T05:30:00Z"),
        ("3/8/2026 02:30", "2026-03-08T07:30:00Z"),
    ] {
        let taken = besides(&registration(&json!({"registration_date": text})));
        assert_eq!(taken["registered_on"], json!(expected), "{text}");
    }
}

fn race(changes: &Value) -> RaceRow {
    let mut race = json!({"race_id": 7, "name": "Two Oceans", "timezone": "America/Chicago", "is_draft_race": "T",
        "address": {"city": "Chicago", "state": "il", "country_code": "US"},
        "url": "https://runsignup.com/Race/IL/Chicago/TwoOceans", "events": [
            {"event_id": 71, "race_event_days_id": 12, "name": "Ultra", "start_time": "11/1/2026 6:00", "end_time": "11/1/2026 14:00",
             "distance": "35 Miles", "volunteer": "F",
             "registration_periods": [{"race_fee": "$80.50"}, {"race_fee": "$80.50"}]},
            {"event_id": 72, "race_event_days_id": 12, "name": "5K", "start_time": "10/31/2026 18:30", "volunteer": "F",
             "registration_periods": [{"race_fee": "$10.00"}, {"race_fee": "$12.00"}]},
            {"event_id": 60, "race_event_days_id": 11, "name": "Ultra", "start_time": "7/1/2025 06:00", "volunteer": "F"},
            {"event_id": 73, "race_event_days_id": 12, "name": "To be told", "start_time": null, "volunteer": "F"},
            {"event_id": 79, "race_event_days_id": 12, "name": "Help", "start_time": "10/1/2026 06:00", "volunteer": "T"}]});
    for (name, value) in changes.as_object().unwrap() {
        race[name] = value.clone();
    }
    rows::race(&json!({ "race": race })).unwrap()
}

fn extra(snapshots: &[Snapshot], remote_id: &str) -> Value {
    let found = snapshots.iter().find(|snapshot| snapshot.remote_id == remote_id).unwrap();
    let Shape::Stands { extra, .. } = &found.shape else { panic!("it stands") };
    Value::Object(extra.clone())
}

#[test]
fn a_race_is_an_event_for_each_of_its_years_and_its_events_are_races() {
    let snapshots = of_race(&race(&json!({})), Some(3));
    let ids: Vec<&str> = snapshots.iter().map(|snapshot| snapshot.remote_id.as_str()).collect();
    let (then, now) =
        (r#"{"race_event_days_id":11,"race_id":7}"#, r#"{"race_event_days_id":12,"race_id":7}"#);
    assert_eq!(ids, [then, now, "71", "72", "60"]);
    assert!(snapshots.iter().all(|snapshot| snapshot.modified_on.is_none()));
    let url = "https://runsignup.com/Race/IL/Chicago/TwoOceans";
    assert_eq!(
        extra(&snapshots, now),
        json!({"organisation_id": 3, "day": "2026-10-31", "starts_on": "2026-10-31T23:30:00Z",
               "ends_on": "2026-11-01T20:00:00Z", "contact_url": url})
    );
    assert_eq!(
        extra(&snapshots, "71"),
        json!({"starts_on": "2026-11-01T12:00:00Z", "distance_meters": 56_327, "fee": "80.50", "currency": "USD"})
    );
    assert_eq!(
        extra(&snapshots, "72"),
        json!({"starts_on": "2026-10-31T23:30:00Z", "distance_meters": 5_000}),
        "two fees are none, and a name may be a distance"
    );
    assert_eq!(snapshots[4].parents[0].remote_id, then);
    assert!(snapshots[4].parents[0].required);
}

#[test]
fn what_can_not_be_read_is_named_among_the_others_and_an_unknown_zone_tells_no_instant() {
    let odd = json!({"events": [{"event_id": 1, "race_event_days_id": 2, "name": "A", "start_time": "2026-11-01 06:00"}]});
    let unreadable = |race: &RaceRow| -> Vec<(EntityType, String)> {
        let shown = of_race(race, None).into_iter();
        let odd = shown.filter(|one| matches!(one.shape, Shape::Unreadable { .. }));
        odd.map(|one| (one.entity_type, one.remote_id)).collect()
    };
    assert_eq!(unreadable(&race(&odd)), [(EntityType::Race, "1".to_owned())]);
    let without_zone = race(&json!({"timezone": null}));
    assert_eq!(unreadable(&without_zone).len(), 2, "each year of it; its races are shown");
    assert_eq!(unreadable(&race(&json!({}))), []);
    let snapshots = of_race(&race(&json!({"timezone": "Nowhere/Else"})), None);
    assert_eq!(extra(&snapshots, "60"), json!({}));
    assert_eq!(extra(&snapshots, &snapshots[0].remote_id)["day"], json!("2025-07-01"));
}

proptest! {
    #[test]
    fn whatever_a_row_holds_is_taken_or_not(name in "user|imported|registration_date|amount_paid|race_fee|team_name|giveaway",
                                            text in "\\PC{0,9}|\\$[0-9,.]{0,30}|[0-9/]{8,10} [0-9:]{4,5}", n in any::<i64>()) {
        for value in [json!(null), json!(text), json!(n), json!([text]), json!({"user_id": text})] {
            let mut row = registration(&json!({}));
            row.insert(name.clone(), value);
            besides(&row);
        }
    }

    #[test]
    fn whatever_a_race_holds_is_shown_or_not(name in "name|timezone|address|events|url|is_draft_race", text in "\\PC{0,9}", n in any::<i64>()) {
        for value in [json!(null), json!(text), json!(n), json!([text]), json!({"city": n}), json!([{"event_id": n, "race_event_days_id": n,
                      "name": text, "start_time": text}])] {
            let mut row = json!({"race_id": 7, "name": "A", "timezone": "UTC", "events": []});
            row[name.as_str()] = value;
            if let Some(race) = rows::race(&json!({ "race": row })) {
                of_race(&race, Some(n));
            }
        }
    }
}
