//! What the EMS takes in from RunSignup: the functions of `sql/projections/runsignup_inbound.sql`, in a database.

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::database::{self, Services, connect};

pub(super) struct Ems {
    pub(super) client: Client,
    /// An event of an organisation, with two races; and another event with one.
    pub(super) organisation: i64,
    pub(super) event: i64,
    pub(super) ten: i64,
    pub(super) twenty: i64,
    pub(super) elsewhere: i64,
}

impl Ems {
    pub(super) async fn new() -> Self {
        let client = connect(&database::create(&Services::get()).await).await;
        let mut ems = Self { client, organisation: 0, event: 0, ten: 0, twenty: 0, elsewhere: 0 };
        ems.organisation =
            ems.id("insert into ems.organisation (name) values ('Club') returning id").await;
        ems.event = ems.an_event("Comrades", "2099-06-01T05:00:00Z").await;
        ems.ten = ems.a_race(ems.event, "10 km").await;
        ems.twenty = ems.a_race(ems.event, "20 km").await;
        let other = ems.an_event("Two Oceans", "2099-04-01T05:00:00Z").await;
        ems.elsewhere = ems.a_race(other, "5 km").await;
        ems
    }

    async fn an_event(&self, name: &str, starts_on: &str) -> i64 {
        self.id(&format!(
            "insert into ems.event (organisation_id, name, start_date_time, timezone)
             values ({}, '{name}', '{starts_on}', 'Africa/Johannesburg') returning id",
            self.organisation
        ))
        .await
    }

    async fn a_race(&self, event: i64, name: &str) -> i64 {
        self.id(&format!(
            "insert into ems.race (event_id, name, distance_meters, start_time)
             values ({event}, '{name}', 10000, '2099-06-01T05:00:00Z') returning id"
        ))
        .await
    }

    pub(super) async fn id(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }

    pub(super) async fn run(&self, statements: &str) {
        self.client.batch_execute(statements).await.unwrap();
    }

    async fn applied(
        &self,
        what: &str,
        id: Option<i64>,
        fields: &Value,
    ) -> Result<Option<i64>, SqlState> {
        let query = format!("select sync.runsignup_apply_{what}($1, $2)");
        let row = self.client.query_one(&query, &[&id, fields]).await;
        row.map(|row| row.get(0)).map_err(|error| error.code().unwrap().clone())
    }

    pub(super) async fn apply(&self, what: &str, id: Option<i64>, fields: &Value) -> Option<i64> {
        self.applied(what, id, fields).await.unwrap()
    }

    pub(super) async fn created(&self, fields: &Value) -> i64 {
        self.apply("event_participant", None, fields).await.unwrap()
    }

    pub(super) async fn matches(&self, what: &str, fields: &Value) -> Vec<(String, i64)> {
        let query = format!("select entity_type, entity_id from sync.runsignup_match_{what}($1)");
        let rows = self.client.query(&query, &[fields]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// A row as JSON, without its stamps.
    pub(super) async fn row(&self, table: &str, id: i64) -> Value {
        let query = format!(
            "select to_jsonb(t) - 'created_on' - 'modified_on' from ems.{table} t where id = {id}"
        );
        self.client.query_one(&query, &[]).await.unwrap().get(0)
    }

    async fn person_of(&self, participant: i64) -> i64 {
        self.id(&format!("select person_id from ems.event_participant where id = {participant}"))
            .await
    }

    async fn people(&self) -> i64 {
        self.id("select count(*) from ems.person").await
    }

    /// When anything of them was changed last.
    pub(super) async fn modified(&self) -> Vec<String> {
        let query = "select t.what || ' ' || t.id || ' ' || t.modified_on from (
                select 'person' as what, id, modified_on from ems.person
                union all select 'participant', id, modified_on from ems.event_participant
                union all select 'race', id, modified_on from ems.race
                union all select 'event', id, modified_on from ems.event) t order by 1";
        let rows = self.client.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// A registration as the worker hands it over; `changes` are laid over the usual one.
pub(super) fn registration(race: i64, changes: Value) -> Value {
    let mut fields = json!({"event_id": "71", "active": true, "bib_num": "17", "first_name": "Zoë", "last_name": "Ngũgĩ",
        "email": "zoe@there.example", "phone": "+18568501510", "dob": "1986-01-06", "gender": "F", "street": "1 Main St",
        "city": "Trenton", "state": "NJ", "zipcode": "08057", "country_code": "US", "user_id": "5", "race": race,
        "registered_on": "2098-09-07T19:15:00Z", "team": "Harriers", "shirt_size": "M", "paid": true});
    for (key, value) in changes.as_object().unwrap() {
        fields[key] = value.clone();
    }
    fields
}

pub(super) fn only(what: &str, id: i64) -> Vec<(String, i64)> {
    vec![(what.to_owned(), id)]
}

#[tokio::test]
async fn a_registration_becomes_a_participant_with_a_person() {
    let ems = Ems::new().await;
    let fields = registration(ems.ten, json!({}));
    assert_eq!(ems.matches("event_participant", &fields).await, []);
    let id = ems.created(&fields).await;
    let row = ems.row("event_participant", id).await;
    let person = ems.person_of(id).await;
    let expected = json!({"id": id, "event_id": ems.event, "person_id": person, "race_id": ems.ten, "number": "17",
        "status": "REGISTERED", "registered_on": row["registered_on"], "team": "Harriers", "shirt_size": "M", "paid": true});
    assert_eq!(row, expected);
    assert!(row["registered_on"].as_str().unwrap().starts_with("2098-09-07T19:15:00"));
    let person = ems.row("person", person).await;
    for (column, value) in [
        ("first_name", "Zoë"),
        ("last_name", "Ngũgĩ"),
        ("email", "zoe@there.example"),
        ("phone", "+18568501510"),
        ("date_of_birth", "1986-01-06"),
        ("gender", "FEMALE"),
        ("address_line", "1 Main St"),
        ("city", "Trenton"),
        ("province", "NJ"),
        ("postal_code", "08057"),
        ("country", "US"),
    ] {
        assert_eq!(person[column], json!(value), "{column}");
    }
    for column in
        ["medical_conditions", "identity_number", "emergency_contact_name", "title", "language"]
    {
        assert_eq!(person[column], json!(null), "{column}");
    }
}

#[tokio::test]
async fn what_says_nothing_new_changes_nothing() {
    let ems = Ems::new().await;
    let fields = registration(ems.ten, json!({}));
    let id = ems.created(&fields).await;
    // As people here write it.
    ems.run(
        "update ems.person set first_name = ' Zoë ', address_line = '1 Main St' || repeat(' ', 1000) || 'back door', email = 'Zoe@There.example', province = 'nj', postal_code = '08057 ';
         update ems.event_participant set number = '00017'",
    )
    .await;
    let before = ems.modified().await;
    assert_eq!(ems.apply("event_participant", Some(id), &fields).await, Some(id));
    let nothing = json!({"race": ems.ten});
    assert_eq!(ems.apply("event_participant", Some(id), &nothing).await, Some(id));
    assert_eq!(ems.apply("event_participant", Some(id), &json!({})).await, Some(id));
    assert_eq!(ems.modified().await, before);
}

#[tokio::test]
async fn an_edit_there_is_an_edit_here_and_what_is_absent_stays() {
    let ems = Ems::new().await;
    let id = ems.created(&registration(ems.ten, json!({}))).await;
    let edit = json!({"last_name": "Married", "bib_num": "18", "gender": "M", "dob": "1986-01-07", "email": "new@there.example",
        "race": ems.twenty, "paid": false, "phone": "+27821234567"});
    ems.apply("event_participant", Some(id), &edit).await;
    let person = ems.row("person", ems.person_of(id).await).await;
    let shown = ["first_name", "last_name", "gender", "date_of_birth", "email", "phone", "city"]
        .map(|name| person[name].as_str().unwrap());
    assert_eq!(
        shown,
        ["Zoë", "Married", "MALE", "1986-01-07", "new@there.example", "+27821234567", "Trenton"]
    );
    let row = ems.row("event_participant", id).await;
    assert_eq!((&row["number"], &row["race_id"]), (&json!("18"), &json!(ems.twenty)));
    assert_eq!(
        (&row["paid"], &row["team"]),
        (&json!(true), &json!("Harriers")),
        "nobody pays less"
    );
    // To a race of another event.
    ems.apply("event_participant", Some(id), &json!({"race": ems.elsewhere})).await;
    let row = ems.row("event_participant", id).await;
    assert_ne!(row["event_id"], json!(ems.event));
    assert_eq!(row["race_id"], json!(ems.elsewhere));
}

/// The rule at the beginning of the file.
#[tokio::test]
async fn an_empty_field_there_empties_only_what_could_stand_there() {
    let ems = Ems::new().await;
    let id = ems.created(&registration(ems.ten, json!({}))).await;
    let empty = json!({"bib_num": null, "phone": null, "dob": null, "gender": null, "street": null, "city": null, "state": null,
        "zipcode": null, "country_code": null, "email": null, "first_name": "", "last_name": ""});
    ems.run(
        "update ems.event_participant set number = 'A12';
         update ems.person set phone = '+27821234567', province = 'KwaZulu-Natal', country = 'ZA'",
    )
    .await;
    ems.apply("event_participant", Some(id), &empty).await;
    let person = ems.row("person", ems.person_of(id).await).await;
    for (column, value) in [
        ("phone", json!("+27821234567")),
        ("province", json!("KwaZulu-Natal")),
        ("email", json!("zoe@there.example")),
        ("first_name", json!("Zoë")),
        ("last_name", json!("Ngũgĩ")),
        ("gender", json!("UNKNOWN")),
        ("date_of_birth", json!(null)),
        ("address_line", json!(null)),
        ("city", json!(null)),
        ("postal_code", json!(null)),
        ("country", json!(null)),
    ] {
        assert_eq!(person[column], value, "{column}");
    }
    assert_eq!(ems.row("event_participant", id).await["number"], json!("A12"));
    // A state of two letters of a country that RunSignup may not know.
    ems.run("update ems.person set province = 'GP', country = 'ZA'").await;
    ems.apply("event_participant", Some(id), &json!({"state": null})).await;
    assert_eq!(ems.row("person", ems.person_of(id).await).await["province"], json!("GP"));
    // What RunSignup holds, people have emptied there.
    ems.run("update ems.event_participant set number = '00042'; update ems.person set phone = '+18568501510', province = 'nj', country = 'US'").await;
    ems.apply("event_participant", Some(id), &empty).await;
    let person = ems.row("person", ems.person_of(id).await).await;
    assert_eq!((&person["phone"], &person["province"]), (&json!(null), &json!(null)));
    assert_eq!(ems.row("event_participant", id).await["number"], json!(null));
    // A phone without a country is kept as it is; what the EMS can't keep is left out, not cut.
    let odd = json!({"phone": "27821234567", "country_code": "South Africa"});
    ems.apply("event_participant", Some(id), &odd).await;
    let person = ems.row("person", ems.person_of(id).await).await;
    assert_eq!((&person["phone"], &person["country"]), (&json!("27821234567"), &json!(null)));
}

#[tokio::test]
async fn a_new_registration_is_recognised_by_its_ems_id_or_by_birth_and_names() {
    let ems = Ems::new().await;
    let id = ems.created(&registration(ems.ten, json!({}))).await;
    let person = ems.person_of(id).await;
    let unknown_user = |race: i64, changes: Value| {
        let mut fields = registration(race, changes);
        fields["user_id"] = json!(null);
        fields
    };
    let matches = async |changes: Value| {
        ems.matches("event_participant", &unknown_user(ems.twenty, changes)).await
    };
    // The same person, in another race of the event, however it is written.
    let written = json!({"first_name": "ZOE\u{308}", "last_name": "ngũgĩ"});
    assert_eq!(matches(written).await, only("event_participant", id));
    // In another event only the person is known.
    let elsewhere = unknown_user(ems.elsewhere, json!({}));
    assert_eq!(ems.matches("event_participant", &elsewhere).await, only("person", person));
    // Never by e-mail alone, nor by names alone.
    for changes in [
        json!({"last_name": "Other"}),
        json!({"first_name": "Other"}),
        json!({"dob": "1986-01-07"}),
        json!({"dob": null}),
    ] {
        assert_eq!(matches(changes.clone()).await, [], "{changes}");
    }
    // By the EMS id, if something bears it out.
    for (changes, expected) in [
        (json!({"last_name": "Married"}), only("event_participant", id)),
        (json!({"first_name": "Zoe", "dob": null}), only("event_participant", id)),
        (json!({"last_name": "Other", "dob": "1990-01-01"}), vec![]),
    ] {
        let mut carried = changes.clone();
        carried["event_participant"] = json!(id);
        assert_eq!(matches(carried).await, expected, "{changes}");
    }
    let mut foreign = elsewhere;
    foreign["event_participant"] = json!(id);
    assert_eq!(
        ems.matches("event_participant", &foreign).await,
        only("person", person),
        "it is of another event"
    );
    // Two persons of the same names and birth are both candidates.
    ems.run("insert into ems.person (first_name, last_name, date_of_birth) values ('zoë', 'NGŨGĨ', '1986-01-06')").await;
    assert_eq!(
        ems.matches("event_participant", &unknown_user(ems.elsewhere, json!({}))).await.len(),
        2
    );
    // One of them stands in this event already: it is that one.
    assert_eq!(matches(json!({})).await, only("event_participant", id));
}

/// Contract, section 9: the stored user first, if the first name or the day of birth bears it out.
#[tokio::test]
async fn who_registers_again_under_another_name_is_known_by_the_user() {
    let ems = Ems::new().await;
    let id = ems.created(&registration(ems.ten, json!({}))).await;
    let person = ems.person_of(id).await;
    let married = json!({"last_name": "Married", "dob": null});
    let matches = async |race: i64, changes: &Value| {
        ems.matches("event_participant", &registration(race, changes.clone())).await
    };
    assert_eq!(matches(ems.elsewhere, &married).await, only("person", person));
    assert_eq!(matches(ems.twenty, &married).await, only("event_participant", id));
    let nickname = json!({"first_name": "Zo", "last_name": "Married"});
    assert_eq!(matches(ems.elsewhere, &nickname).await, only("person", person));
    // Another one of the family, and another user.
    let child = json!({"first_name": "Kid", "dob": "2015-01-01"});
    assert_eq!(matches(ems.elsewhere, &child).await, []);
    let mut other = married.clone();
    other["user_id"] = json!("6");
    assert_eq!(matches(ems.elsewhere, &other).await, []);
    // A participant who was here before learns it with the first registration.
    ems.run("insert into ems.person (first_name, last_name, date_of_birth) values ('Abe', 'Old', '1950-01-01')").await;
    let known = ems.id("select max(id) from ems.person").await;
    let abe = |changes: Value| {
        let mut fields = json!({"first_name": "Abe", "last_name": "Old", "dob": "1950-01-01", "user_id": "9", "person": known});
        fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        registration(ems.ten, fields)
    };
    ems.created(&abe(json!({}))).await;
    let renamed = json!({"first_name": "Abe", "last_name": "New", "dob": null, "user_id": "9"});
    assert_eq!(matches(ems.elsewhere, &renamed).await, only("person", known));
}

/// Nothing tells that these change there, so that what is shown with another edit may be old.
#[tokio::test]
async fn team_shirt_and_payment_are_taken_when_a_registration_becomes_known_and_never_again() {
    let ems = Ems::new().await;
    let nothing = json!({"team": null, "shirt_size": null, "paid": null});
    let id = ems.created(&registration(ems.ten, nothing)).await;
    let shown = async || {
        let row = ems.row("event_participant", id).await;
        [row["team"].clone(), row["shirt_size"].clone(), row["paid"].clone()]
    };
    // An adoption completes.
    ems.run("update ems.event_participant set shirt_size = 'XL'").await;
    ems.apply("event_participant", Some(id), &registration(ems.ten, json!({}))).await;
    assert_eq!(shown().await, [json!("Harriers"), json!("XL"), json!(true)]);
    // From now on the record is known.
    ems.run(&format!(
        "insert into sync.record (target, entity_type, entity_id, remote_id) values ('runsignup', 'event_participant', {id}, '7');
         update ems.event_participant set team = null, shirt_size = 'L', paid = false"
    ))
    .await;
    ems.apply("event_participant", Some(id), &registration(ems.ten, json!({"bib_num": "18"})))
        .await;
    assert_eq!(shown().await, [json!(null), json!("L"), json!(false)], "as people here want it");
    assert_eq!(ems.row("event_participant", id).await["number"], json!("18"));
}

/// Whom a record is compared with is found by an index, not by reading everybody.
#[tokio::test]
async fn looking_somebody_up_does_not_read_a_hundred_thousand_persons() {
    let ems = Ems::new().await;
    ems.run(
        "alter table ems.person disable trigger user;
         insert into ems.person (first_name, last_name, email, phone, date_of_birth, modified_on)
         select 'First ' || n, 'Last ' || n, 'p' || n || '@ems.example', '+2782' || lpad(n::text, 7, '0'),
                date '1950-01-01' + (n % 20000), now() from generate_series(1, 100000) n;
         alter table ems.person enable trigger user;
         analyze ems.person",
    )
    .await;
    let contact = json!({"name": "New One", "email": null, "phone_number": "+27839999999"});
    let known = json!({"name": "First 7 Last 7", "email": "p7@ems.example"});
    let emptied = json!({"phone_number": null});
    let id = ems.id("select id from ems.person where lower(email) = 'p7@ems.example'").await;
    let calls = [
        format!(
            "select count(*) from sync.runsignup_match_event_participant('{}')",
            registration(ems.ten, json!({}))
        ),
        format!("select count(*) from sync.chatwoot_match_person('{known}')"),
        format!("select sync.chatwoot_apply_person(null, '{contact}')"),
        format!("select sync.chatwoot_apply_person({id}, '{emptied}')"),
    ];
    for call in calls {
        let read = "select coalesce(sum(seq_tup_read), 0)::bigint from pg_stat_xact_user_tables where relid = 'ems.person'::regclass";
        ems.run("begin").await;
        ems.run(&call).await;
        let rows = ems.id(read).await;
        ems.run("rollback").await;
        assert_eq!(rows, 0, "{call}");
    }
}

#[tokio::test]
async fn a_person_who_was_recognised_is_completed_and_not_overwritten() {
    let ems = Ems::new().await;
    ems.run("insert into ems.person (first_name, last_name, date_of_birth, email, city) values ('Zoë', 'Ngũgĩ', '1986-01-06', 'zoe@ems.example', 'Durban')").await;
    let person = ems.id("select max(id) from ems.person").await;
    let id = ems.created(&registration(ems.ten, json!({ "person": person }))).await;
    assert_eq!((ems.person_of(id).await, ems.people().await), (person, 1));
    let row = ems.row("person", person).await;
    assert_eq!((&row["email"], &row["city"]), (&json!("zoe@ems.example"), &json!("Durban")));
    assert_eq!((&row["phone"], &row["gender"]), (&json!("+18568501510"), &json!("FEMALE")));
    // Once per person and event: the second is refused, and nothing of it stays.
    let again = ems
        .applied("event_participant", None, &registration(ems.twenty, json!({ "person": person })))
        .await;
    assert_eq!(again, Err(SqlState::UNIQUE_VIOLATION));
}

#[tokio::test]
async fn a_participant_who_was_here_before_is_completed_and_not_overwritten() {
    let ems = Ems::new().await;
    let first =
        json!({"email": "zoe@ems.example", "phone": null, "bib_num": "A12", "shirt_size": null});
    let id = ems.created(&registration(ems.ten, first)).await;
    let again = json!({"completes": true, "bib_num": "99", "team": "Others", "shirt_size": "L"});
    let again = registration(ems.twenty, again);
    // Who was withdrawn registers anew, for another race.
    for (status, race) in [("CONFIRMED", ems.ten), ("WITHDRAWN", ems.twenty)] {
        ems.run(&format!("update ems.event_participant set status = '{status}'")).await;
        ems.apply("event_participant", Some(id), &again).await;
        let row = ems.row("event_participant", id).await;
        let shown = ["number", "team", "shirt_size", "race_id"].map(|name| row[name].clone());
        assert_eq!(shown, [json!("A12"), json!("Harriers"), json!("L"), json!(race)]);
        assert_ne!(row["status"], json!("WITHDRAWN"));
        let person = ems.row("person", ems.person_of(id).await).await;
        let shown = (&person["email"], &person["phone"]);
        assert_eq!(shown, (&json!("zoe@ems.example"), &json!("+18568501510")));
    }
}

#[tokio::test]
async fn what_the_ems_refuses_is_refused_whole() {
    let ems = Ems::new().await;
    for (changes, expected) in [
        (json!({"last_name": ""}), SqlState::NOT_NULL_VIOLATION),
        (json!({"first_name": null}), SqlState::NOT_NULL_VIOLATION),
        (json!({"race": 4711}), SqlState::FOREIGN_KEY_VIOLATION),
        (json!({"dob": "soon"}), SqlState::INVALID_DATETIME_FORMAT),
    ] {
        let fields = registration(ems.ten, changes.clone());
        assert_eq!(
            ems.applied("event_participant", None, &fields).await,
            Err(expected),
            "{changes}"
        );
    }
    assert_eq!(ems.people().await, 0);
}

/// Nothing in a name is a statement (F89).
#[tokio::test]
async fn a_name_is_only_a_name() {
    let ems = Ems::new().await;
    let name = "'); drop table ems.person; --<script>\u{202e}\r\n".to_owned();
    let id = ems.created(&registration(ems.ten, json!({ "last_name": name }))).await;
    assert_eq!(ems.row("person", ems.person_of(id).await).await["last_name"], json!(name));
}

#[tokio::test]
async fn who_was_taken_out_is_withdrawn_and_who_comes_back_is_registered() {
    let ems = Ems::new().await;
    let id = ems.created(&registration(ems.ten, json!({}))).await;
    let remove = async || -> bool {
        let query = "select sync.runsignup_remove_event_participant($1, 'removed')";
        ems.client.query_one(query, &[&id]).await.unwrap().get(0)
    };
    let status = async || ems.row("event_participant", id).await["status"].clone();
    ems.run("update ems.event_participant set status = 'CONFIRMED'").await;
    assert!(remove().await);
    assert_eq!(status().await, json!("WITHDRAWN"));
    let before = ems.modified().await;
    assert!(remove().await);
    assert_eq!(ems.modified().await, before);
    ems.apply("event_participant", Some(id), &registration(ems.ten, json!({}))).await;
    assert_eq!(status().await, json!("REGISTERED"));
    ems.run("update ems.event_participant set status = 'DISQUALIFIED'").await;
    assert!(!remove().await, "it stays what it is");
    ems.apply("event_participant", Some(id), &registration(ems.ten, json!({"bib_num": "9"}))).await;
    assert_eq!(status().await, json!("DISQUALIFIED"));
}
