//! What the EMS takes in of RunSignup's races and events, by the functions of `sql/projections/runsignup_inbound.sql`.

use serde_json::{Value, json};

use super::takes_in::{Ems, only, registration};

fn event(changes: Value) -> Value {
    let mut fields = json!({"name": "Comrades", "timezone": "America/Chicago", "draft": false, "street": "1 Main St", "city": "Chicago",
        "state": "IL", "zipcode": "60601", "country_code": "US", "day": "2099-06-01", "starts_on": "2099-06-01T11:00:00Z",
        "ends_on": "2099-06-01T20:00:00Z", "contact_url": "https://runsignup.com/Race/IL/Chicago/Comrades"});
    for (key, value) in changes.as_object().unwrap() {
        fields[key] = value.clone();
    }
    fields
}

#[tokio::test]
async fn an_event_is_created_for_the_organisation_and_matched_by_name_and_day() {
    let ems = Ems::new().await;
    assert_eq!(ems.apply("event", None, &event(json!({}))).await, None, "nobody would own it");
    let owned =
        event(json!({"organisation_id": ems.organisation, "name": "Chicago", "draft": true}));
    let id = ems.apply("event", None, &owned).await.unwrap();
    let row = ems.row("event", id).await;
    assert_eq!(
        (&row["status"], &row["city"], &row["timezone"]),
        (&json!("DRAFT"), &json!("Chicago"), &json!("America/Chicago"))
    );
    assert!(row["start_date_time"].as_str().unwrap().starts_with("2099-06-01T11:00:00"));
    let before = ems.modified().await;
    ems.apply("event", Some(id), &owned).await;
    assert_eq!(ems.modified().await, before);
    // Whether or not anybody is to own it. The day is that of a clock there.
    for (changes, expected) in [
        (json!({"name": " comrades"}), only("event", ems.event)),
        (
            json!({"name": "Comrades", "organisation_id": ems.organisation}),
            only("event", ems.event),
        ),
        (json!({"day": "2099-06-02"}), vec![]),
        (json!({"name": "Two Oceans"}), vec![]),
        (json!({"organisation_id": 4711}), vec![]),
    ] {
        assert_eq!(ems.matches("event", &event(changes.clone())).await, expected, "{changes}");
    }
    let unknown_zone = json!({"name": "Comrades", "timezone": "Nowhere/Else", "day": "2099-06-01"});
    assert_eq!(ems.matches("event", &unknown_zone).await, []);
}

/// Else its record would be one without an entity, which is removed.
#[tokio::test]
async fn an_event_that_came_from_there_is_shown_before_its_races() {
    let ems = Ems::new().await;
    let owned = event(json!({"organisation_id": ems.organisation, "name": "Chicago"}));
    let id = ems.apply("event", None, &owned).await.unwrap();
    let shown = async || {
        ems.id(&format!("select count(*) from sync.runsignup_event where id = {id}")).await
    };
    assert_eq!(shown().await, 0, "it can't be made there");
    ems.run(&format!(
        "insert into sync.record (target, entity_type, entity_id, remote_id)
         values ('runsignup', 'event', {id}, '{{\"race_event_days_id\":12,\"race_id\":7}}')"
    ))
    .await;
    assert_eq!(shown().await, 1);
}

#[tokio::test]
async fn an_event_follows_its_name_its_place_and_its_draft_only() {
    let ems = Ems::new().await;
    ems.run("update ems.event set province = 'KwaZulu-Natal', city = 'Durban'").await;
    let begin = ems.row("event", ems.event).await["start_date_time"].clone();
    let status = async |draft: bool| {
        let fields = event(
            json!({"name": "Comrades Marathon", "state": null, "city": null, "draft": draft}),
        );
        ems.apply("event", Some(ems.event), &fields).await;
        ems.row("event", ems.event).await["status"].clone()
    };
    assert_eq!(status(true).await, json!("DRAFT"));
    assert_eq!(status(false).await, json!("PUBLISHED"));
    for over in ["CANCELLED", "COMPLETED"] {
        ems.run(&format!("update ems.event set status = '{over}'")).await;
        assert_eq!((status(true).await, status(false).await), (json!(over), json!(over)));
    }
    let row = ems.row("event", ems.event).await;
    assert_eq!(
        (&row["name"], &row["province"]),
        (&json!("Comrades Marathon"), &json!("KwaZulu-Natal"))
    );
    assert_eq!((&row["city"], &row["start_date_time"]), (&json!(null), &begin));
    let removed =
        "select sync.runsignup_remove_event(1, 'gone') or sync.runsignup_remove_race(1, 'gone')";
    assert!(!ems.client.query_one(removed, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn a_race_is_created_in_its_event_and_its_start_is_the_events() {
    let ems = Ems::new().await;
    let fields = |changes: Value| {
        let mut fields = json!({"race_id": "7", "race_event_days_id": "12", "name": "Half", "start_time": "2099-06-01T07:00",
            "event": ems.event, "starts_on": "2099-06-01T05:00:00Z", "distance_meters": 21098, "fee": "80.50", "currency": "USD"});
        for (key, value) in changes.as_object().unwrap() {
            fields[key] = value.clone();
        }
        fields
    };
    assert_eq!(ems.matches("race", &fields(json!({}))).await, []);
    assert_eq!(
        ems.matches("race", &fields(json!({"name": "10  KM"}))).await,
        only("race", ems.ten)
    );
    let id = ems.apply("race", None, &fields(json!({}))).await.unwrap();
    let row = ems.row("race", id).await;
    assert_eq!(
        (&row["distance_meters"], &row["fee"], &row["currency"]),
        (&json!(21098), &json!(80.50), &json!("USD"))
    );
    let unknown =
        json!({"name": "Fun Run", "event": ems.event, "starts_on": "2099-06-01T05:00:00Z"});
    let unknown = ems.apply("race", None, &unknown).await.unwrap();
    assert_eq!(ems.row("race", unknown).await["distance_meters"], json!(0));
    // Seconds are not shown there, and nothing new is said.
    ems.run(&format!("update ems.race set start_time = '2099-06-01T05:00:30Z' where id = {id}"))
        .await;
    let before = ems.modified().await;
    ems.apply("race", Some(id), &fields(json!({}))).await;
    assert_eq!(ems.modified().await, before);
    // It is moved: the event still begins with the others.
    let begin =
        async || ems.row("event", ems.event).await["start_date_time"].as_str().unwrap().to_owned();
    let later = fields(
        json!({"start_time": "2099-06-01T08:00", "starts_on": "2099-06-01T06:00:00Z", "name": "Half Marathon"}),
    );
    ems.apply("race", Some(id), &later).await;
    let row = ems.row("race", id).await;
    assert_eq!(row["name"], json!("Half Marathon"));
    assert!(row["start_time"].as_str().unwrap().starts_with("2099-06-01T06:00:00"));
    assert!(begin().await.starts_with("2099-06-01T05:00:00"));
    // Until the last of them moves, too.
    for race in [ems.ten, ems.twenty, unknown] {
        ems.apply("race", Some(race), &later).await;
    }
    assert!(begin().await.starts_with("2099-06-01T06:00:00"));
}

#[tokio::test]
async fn what_is_written_can_be_locked_before() {
    let ems = Ems::new().await;
    let id = ems.created(&registration(ems.ten, json!({}))).await;
    for (what, id) in
        [("event_participant", id), ("event", ems.event), ("race", ems.ten), ("race", 4711)]
    {
        let query = format!("select sync.runsignup_lock_{what}($1)");
        ems.client.query_one(&query, &[&id]).await.unwrap();
    }
}
