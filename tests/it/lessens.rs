//! What counts as taken away (G10) stands in two places, in the worker and in the database: they agree about any two rows.

use ems_sync::remote::Fields;
use serde_json::{Map, Value, json};

use crate::support::database::{self, Services};
use crate::support::random::Random;

const NAMES: [&str; 6] =
    ["phone", "number", "opted_in", "preference_on", "memberships", "consents"];

/// Values of every JSON type, blank and filled, in whatever column.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!("filled"),
        json!(""),
        json!(" \t\u{b}\n"),
        json!("\u{a0}\u{2003}\u{3000}\u{85}"),
        // No space, though nothing is seen of it.
        json!("\u{200b}"),
        json!(0),
        json!(4.5),
        json!(true),
        json!(false),
        json!([]),
        json!(["email", "sms"]),
        json!(["email", 7, null]),
        json!(["sms", "list:news"]),
        json!({}),
        json!({"email": 1, "news": {"status": "SUBSCRIBED"}}),
    ]
}

fn row(random: &mut Random, values: &[Value]) -> Value {
    let mut row = Map::new();
    for name in NAMES {
        if random.percent(85) {
            row.insert(name.to_owned(), random.pick(values).clone());
        }
    }
    Value::Object(row)
}

fn fields(row: &Value) -> Fields {
    Fields::new(row.as_object().expect("an object").clone())
}

#[tokio::test]
async fn the_worker_and_the_database_agree_about_what_is_taken_away() {
    let mut random = Random::seeded("lessens");
    let ems = database::connect(&database::create(&Services::get()).await).await;
    let query = "select sync.lessens($1, $2, $3), sync.loses($1, $2, $3)";
    let query = ems.prepare(query).await.unwrap();
    let (values, mut seen) = (values(), [0, 0]);
    for _ in 0..4_000 {
        let before = row(&mut random, &values);
        let mut after = if random.percent(50) { before.clone() } else { row(&mut random, &values) };
        let name = *random.pick(&NAMES);
        after[name] = random.pick(&values).clone();
        let held = fields(&before).holds();
        let by_worker = held.is_lessened_by(&fields(&after).holds());
        let columns: Vec<&String> = held.columns.iter().collect();
        let consents: Vec<&String> = held.consents.iter().collect();
        let row = ems.query_one(&query, &[&columns, &consents, &after]).await.unwrap();
        let by_database: (bool, Vec<String>) = (row.get(0), row.get(1));
        let mut lost: Vec<_> = held.lost_in(&fields(&after).holds()).collect();
        lost.sort_unstable();
        assert_eq!((by_worker, lost), by_database, "{before} then {after}");
        seen[usize::from(by_worker)] += 1;
    }
    assert!(seen.iter().all(|n| *n > 500), "{seen:?}");
}

/// By name, what the rule means.
#[tokio::test]
async fn a_text_a_number_and_a_consent_can_be_taken_away_and_bookkeeping_can_not() {
    let full = json!({"phone": "+27820000001", "number": 7, "opted_in": true, "preference_on": "2026-01-02T03:04:05Z",
                      "memberships": {"news": {}}, "consents": ["email", "sms"]});
    let lessened = |name: &str, value: Value| {
        let mut next = full.clone();
        next[name] = value;
        fields(&full).holds().is_lessened_by(&fields(&next).holds())
    };
    for (name, value) in [
        ("phone", json!(null)),
        ("phone", json!(" ")),
        ("number", json!(null)),
        ("consents", json!(["sms"])),
        ("consents", json!(null)),
    ] {
        assert!(lessened(name, value), "{name}");
    }
    for (name, value) in [
        ("phone", json!("+27820000002")),
        ("opted_in", json!(null)),
        ("preference_on", json!(null)),
        ("memberships", json!(null)),
        ("consents", json!(["sms", "email", "list:news"])),
    ] {
        assert!(!lessened(name, value), "{name}");
    }
}
