//! What of Chatwoot reaches the reference EMS: `sql/projections/chatwoot_inbound.sql`, function by function.

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::database::{self, Services};

struct Ems {
    url: String,
    client: Client,
}

/// Row `thandi`, with everything.
const THANDI: &str = "insert into ems.person (first_name, last_name, email, phone, city, country, language, medical_conditions)
    values ('Thandi', 'Nkosi', 'Thandi@Example.org', '+27821234567', 'Durban', 'ZA', 'zu', 'canary') returning id";

impl Ems {
    async fn new() -> Self {
        let url = database::create(&Services::get()).await;
        Self { client: database::connect(&url).await, url }
    }

    async fn id(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn apply(&self, entity: &str, id: Option<i64>, fields: &Value) -> Option<i64> {
        self.try_apply(entity, id, fields).await.unwrap()
    }

    async fn try_apply(
        &self,
        entity: &str,
        id: Option<i64>,
        fields: &Value,
    ) -> Result<Option<i64>, tokio_postgres::Error> {
        let sql = format!("select sync.chatwoot_apply_{entity}($1, $2)");
        Ok(self.client.query_one(&sql, &[&id, fields]).await?.get(0))
    }

    async fn matches(&self, entity: &str, fields: &Value) -> Vec<(String, i64)> {
        let sql = format!("select entity_type, entity_id from sync.chatwoot_match_{entity}($1)");
        let rows = self.client.query(&sql, &[fields]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn row(&self, table: &str, id: i64) -> Value {
        let sql = format!("select to_jsonb(x) from ems.{table} x where id = $1");
        self.client.query_one(&sql, &[&id]).await.unwrap().get(0)
    }

    /// The person after an apply of these fields: what differs.
    async fn changes(&self, id: i64, fields: Value) -> Value {
        let before = self.row("person", id).await;
        assert_eq!(self.apply("person", Some(id), &fields).await, Some(id), "{fields}");
        let mut after = self.row("person", id).await;
        after.as_object_mut().unwrap().retain(|name, value| before[name] != *value);
        after.as_object_mut().unwrap().remove("modified_on");
        after
    }

    async fn names(&self, name: &str, first: &str, last: &str) -> (String, String) {
        let sql = "select first_name, last_name from sync.chatwoot_names($1, $2, $3)";
        let row = self.client.query_one(sql, &[&name, &first, &last]).await.unwrap();
        (row.get(0), row.get(1))
    }
}

/// The contact of `thandi`, as a snapshot has it.
fn contact(other: Value) -> Value {
    let mut fields = json!({"name": "Thandi Nkosi", "email": "thandi@example.org", "phone_number": "+27821234567",
        "city": "Durban", "country": "ZA", "country_code": "ZA", "identifier": "ems-person-1", "ems_person_id": "1",
        "blocked": false});
    fields.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    fields
}

#[tokio::test]
async fn of_a_name_only_the_part_that_changed_moves_and_none_is_blanked() {
    let ems = Ems::new().await;
    let long = "x".repeat(200);
    let table = [
        // name there, names here, names after
        ("Thandi Nkosi", ("Thandi", "Nkosi"), ("Thandi", "Nkosi")),
        (" Thandi  Nkosi ", ("Thandi ", "Nkosi"), ("Thandi ", "Nkosi")),
        ("Thandiwe Nkosi", ("Thandi", "Nkosi"), ("Thandiwe", "Nkosi")),
        ("Thandi Mary Nkosi", ("Thandi", "Nkosi"), ("Thandi Mary", "Nkosi")),
        ("Thandi Dlamini", ("Thandi", "Nkosi"), ("Thandi", "Dlamini")),
        ("Maria van der Merwe", ("Maria", "van der Berg"), ("Maria", "van der Merwe")),
        ("Anna Maria Berg", ("Anna Maria", "Merwe"), ("Anna Maria", "Berg")),
        ("Maria van der Berg", ("Marie", "van der Berg"), ("Maria", "van der Berg")),
        ("thandi nkosi", ("Thandi", "Nkosi"), ("thandi", "nkosi")),
        ("Sipho van Wyk", ("Thandi", "Nkosi"), ("Sipho", "van Wyk")),
        ("Nkosi Thandi", ("Thandi", "Nkosi"), ("Nkosi", "Thandi")),
        ("Nomsa", ("Thandi", "Nkosi"), ("Nomsa", "Nkosi")),
        ("Nkosi", ("Thandi", "Nkosi"), ("Thandi", "Nkosi")),
        ("Thandi", ("Thandi", "Nkosi"), ("Thandi", "Nkosi")),
        ("Thandi Nkosi", ("Thandi", ""), ("Thandi", "Nkosi")),
        ("Thandi Nkosi", ("", "Nkosi"), ("Thandi", "Nkosi")),
        ("Thandi Nkosi", ("", ""), ("Thandi", "Nkosi")),
        ("Jose\u{301} Nkosi", ("Jos\u{e9}", "Nkosi"), ("Jos\u{e9}", "Nkosi")),
        ("", ("Thandi", "Nkosi"), ("Thandi", "Nkosi")),
        (" \t ", ("Thandi", "Nkosi"), ("Thandi", "Nkosi")),
    ];
    for (name, (first, last), (first_after, last_after)) in table {
        let after = ems.names(name, first, last).await;
        assert_eq!((&*after.0, &*after.1), (first_after, last_after), "{name} for {first}|{last}");
    }
    // Chatwoot holds 255 characters: the rest is not lost here.
    let held = format!("{long} {}", "y".repeat(54));
    let whole = "y".repeat(200);
    assert_eq!(ems.names(&held, &long, &whole).await, (long.clone(), whole.clone()));
    let null: Option<&str> = None;
    let row = ems
        .client
        .query_one(
            "select first_name, last_name from sync.chatwoot_names($1, 'Thandi', 'Nkosi')",
            &[&null],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("Thandi", "Nkosi"));
}

#[tokio::test]
async fn what_a_contact_says_is_written_and_what_is_the_same_is_not() {
    let ems = Ems::new().await;
    let id = ems.id(THANDI).await;
    let before = ems.row("person", id).await;
    for same in [
        json!({}),
        contact(json!({})),
        contact(
            json!({"name": " Thandi Nkosi", "email": "THANDI@example.org", "country": "South Africa"}),
        ),
    ] {
        assert_eq!(ems.apply("person", Some(id), &same).await, Some(id));
        assert_eq!(ems.row("person", id).await, before, "{same}");
    }
    assert_eq!(
        ems.changes(id, contact(json!({"name": "Thandi Dlamini", "email": "new@example.org", "phone_number": "+27829999999",
                            "city": "Pretoria", "country": "Namibia", "country_code": "NA"}))).await,
        json!({"last_name": "Dlamini", "email": "new@example.org", "phone": "+27829999999", "city": "Pretoria",
               "country": "NA"}),
        "and neither language nor anything sensitive"
    );
    assert_ne!(ems.row("person", id).await["modified_on"], before["modified_on"]);
}

#[tokio::test]
async fn null_clears_absent_leaves_and_a_name_is_never_cleared() {
    let ems = Ems::new().await;
    let id = ems.id(THANDI).await;
    assert_eq!(ems.changes(id, json!({"city": null})).await, json!({"city": null}));
    assert_eq!(ems.changes(id, json!({"name": null})).await, json!({}));
    assert_eq!(ems.changes(id, json!({"name": ""})).await, json!({}));
    assert_eq!(
        ems.changes(id, json!({"country": null})).await,
        json!({}),
        "the code is still there"
    );
    assert_eq!(ems.changes(id, json!({"country_code": "KE"})).await, json!({"country": "KE"}));
    assert_eq!(
        ems.changes(id, json!({"country": "NA", "country_code": "KE"})).await,
        json!({"country": "NA"})
    );
    for nothing in [json!({"city": false}), json!({"country": false, "country_code": null})] {
        assert_eq!(ems.changes(id, nothing.clone()).await, json!({}), "{nothing}");
    }
    for no_code in ["Kenya", "", "K1", "ken"] {
        let fields = json!({"country": no_code, "country_code": no_code});
        assert_eq!(ems.changes(id, fields).await, json!({}), "{no_code}");
    }
    let all = json!({"email": null, "phone_number": null, "country": null, "country_code": null});
    assert_eq!(ems.changes(id, all).await, json!({"email": null, "phone": null, "country": null}));
}

/// Chatwoot holds no number in another form, and none that another contact has: its null says nothing about these.
#[tokio::test]
async fn a_number_that_the_contact_could_not_have_is_not_cleared() {
    let ems = Ems::new().await;
    let id = ems.id(THANDI).await;
    let set = async |phone: &str| {
        ems.client
            .execute("update ems.person set phone = $1 where id = $2", &[&phone, &id])
            .await
            .unwrap();
    };
    for phone in ["082 123 4567", "+0821", "+27821234567890123"] {
        set(phone).await;
        assert_eq!(
            ems.changes(id, contact(json!({"phone_number": null}))).await,
            json!({}),
            "{phone}"
        );
    }
    ems.id("insert into ems.person (first_name, last_name, phone) values ('Sipho', 'Nkosi', '+27821234567') returning id")
        .await;
    set(" +27821234567").await;
    assert_eq!(ems.changes(id, contact(json!({"phone_number": null}))).await, json!({}));
    assert_eq!(ems.changes(id, contact(json!({}))).await, json!({}), "blanks do not count");
    let new = contact(json!({"phone_number": "+27820000000"}));
    assert_eq!(ems.changes(id, new).await, json!({"phone": "+27820000000"}));
}

#[tokio::test]
async fn a_contact_is_somebodys_by_address_and_name_never_by_one_of_them() {
    let ems = Ems::new().await;
    let thandi = ems.id(THANDI).await;
    let person = |id: i64| ("person".to_owned(), id);
    assert_eq!(
        ems.matches("person", &contact(json!({"name": "thandi  NKOSI"}))).await,
        [person(thandi)]
    );
    for other in [
        json!({"name": "Sipho Nkosi"}),
        json!({"email": "other@example.org"}),
        json!({"email": null}),
        json!({"email": ""}),
        json!({"name": ""}),
    ] {
        assert_eq!(ems.matches("person", &contact(other.clone())).await, [], "{other}");
    }
    let twin = ems.id(THANDI).await;
    assert_eq!(ems.matches("person", &contact(json!({}))).await, [person(thandi), person(twin)]);
}

#[tokio::test]
async fn a_contact_becomes_a_person_if_the_policy_says_so() {
    let ems = Ems::new().await;
    ems.id(THANDI).await;
    let new = json!({"name": "Sipho van Wyk", "email": "sipho@example.org", "phone_number": "+27821234567", "city": "Durban",
                     "country": "South Africa", "country_code": "ZA", "blocked": false});
    let but = |other: Value| {
        let mut fields = new.clone();
        fields.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        fields
    };
    for refused in [
        json!({"name": "Sipho"}),
        json!({"name": null}),
        json!({"blocked": true}),
        json!({"let_go": true}),
        json!({"email": "thandi@example.org"}),
        json!({"email": null}),
        json!({"email": null, "phone_number": null}),
    ] {
        assert_eq!(ems.apply("person", None, &but(refused.clone())).await, None, "{refused}");
    }
    // A family's number is no obstacle to somebody with an address.
    let id = ems.apply("person", None, &new).await.unwrap();
    let row = ems.row("person", id).await;
    assert_eq!(
        json!([
            row["first_name"],
            row["last_name"],
            row["email"],
            row["phone"],
            row["city"],
            row["country"],
            row["language"]
        ]),
        json!(["Sipho", "van Wyk", "sipho@example.org", "+27821234567", "Durban", "ZA", null])
    );
    assert_eq!(ems.apply("person", None, &new).await, None, "not twice");
    let by_phone = but(json!({"email": null, "phone_number": "+27820000001", "name": "Lerato Mo"}));
    assert!(ems.apply("person", None, &by_phone).await.is_some());
    assert_eq!(ems.apply("person", None, &by_phone).await, None);
    assert_eq!(
        ems.id("select count(*) from ems.contact_preference").await,
        0,
        "nobody is opted in"
    );
}

#[tokio::test]
async fn somebody_who_is_gone_is_not_written() {
    let ems = Ems::new().await;
    assert_eq!(ems.apply("person", Some(4711), &contact(json!({}))).await, None);
    assert_eq!(ems.apply("conversation", Some(4711), &json!({"status": "open"})).await, None);
    assert_eq!(ems.id("select count(*) from ems.person").await, 0);
}

#[tokio::test]
async fn a_conversation_is_made_brought_up_to_date_and_found_again() {
    let ems = Ems::new().await;
    let thandi = ems.id(THANDI).await;
    let talk = json!({"source": "chatwoot", "external_id": "5b6ed9ad", "status": "open", "inbox": "1", "labels": ["bib", "vip"],
                      "assignee": "agent 5", "last_activity_at": "2023-11-14T22:13:20Z", "contact": "42"});
    assert_eq!(ems.matches("conversation", &talk).await, []);
    let id = ems.apply("conversation", None, &talk).await.unwrap();
    let row = ems.row("conversation", id).await;
    assert_eq!(
        json!([
            row["source"],
            row["external_id"],
            row["status"],
            row["inbox"],
            row["labels"],
            row["assignee"],
            row["person_id"]
        ]),
        json!(["chatwoot", "5b6ed9ad", "open", "1", ["bib", "vip"], "agent 5", null])
    );
    assert!(row["last_activity_at"].as_str().unwrap().starts_with("2023-11-14T"), "{row}");
    assert_eq!(ems.matches("conversation", &talk).await, [("conversation".to_owned(), id)]);
    // The same again changes nothing.
    assert_eq!(ems.apply("conversation", Some(id), &talk).await, Some(id));
    assert_eq!(ems.row("conversation", id).await, row);
    // Who it is with is known later, and is not forgotten when it is not said.
    let mut known = talk.clone();
    known["person"] = json!(thandi);
    known["labels"] = json!([]);
    known["assignee"] = Value::Null;
    ems.apply("conversation", Some(id), &known).await;
    ems.apply("conversation", Some(id), &json!({"status": "resolved"})).await;
    let row = ems.row("conversation", id).await;
    assert_eq!(
        json!([row["status"], row["labels"], row["assignee"], row["person_id"], row["inbox"]]),
        json!(["resolved", [], null, thandi, "1"])
    );
    let twice = ems.try_apply("conversation", None, &talk).await.unwrap_err();
    assert_eq!(twice.code(), Some(&SqlState::UNIQUE_VIOLATION));
    known["person"] = json!(4711);
    let nobody = ems.try_apply("conversation", Some(id), &known).await.unwrap_err();
    assert_eq!(nobody.code(), Some(&SqlState::FOREIGN_KEY_VIOLATION));
}

#[tokio::test]
async fn what_an_apply_writes_is_locked_first() {
    let ems = Ems::new().await;
    let other = database::connect(&ems.url).await;
    let thandi = ems.id(THANDI).await;
    let talk = ems.id("insert into ems.conversation (source, external_id) values ('chatwoot', 'a') returning id").await;
    for (entity, id) in [("person", thandi), ("conversation", talk)] {
        ems.client.batch_execute("begin").await.unwrap();
        ems.client
            .execute(&format!("select sync.chatwoot_lock_{entity}($1)"), &[&id])
            .await
            .unwrap();
        let busy = other
            .execute(
                &format!("select from ems.{entity} where id = $1 for no key update nowait"),
                &[&id],
            )
            .await
            .unwrap_err();
        assert_eq!(busy.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
        ems.client.batch_execute("rollback").await.unwrap();
    }
}
