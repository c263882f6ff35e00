//! The contract's sections 2b and 7: lists, pages and totals.

use ems_sync_remotes::mautic::{Shape, Total};
use serde_json::json;

use crate::mautic_client::{assert_refused, person, start, start_with};

#[tokio::test]
async fn an_empty_list_has_a_total_of_text_and_a_map() {
    let site = start().await;
    let empty = site.get("/contacts").await;
    assert_eq!(empty.text, r#"{"contacts":{},"total":"0"}"#);
    site.sim.configure(|settings| {
        settings.total = Total::Number;
        settings.empty_list = Shape::Array;
    });
    assert_eq!(site.get("/contacts").await.json(), json!({ "total": 0, "contacts": [] }));
}

#[tokio::test]
async fn pages_are_thirty_and_go_by_keyset() {
    let site = start().await;
    for number in 0..35 {
        site.sim.plant(json!({ "email": format!("p{number}@example.org") })).unwrap();
    }
    let first = site.get("/contacts").await.json();
    assert_eq!(first["total"], "35");
    assert_eq!(first["contacts"].as_object().unwrap().len(), 30);
    let (mut last, mut seen) = (0, 0);
    loop {
        let path = format!(
            "/contacts?where[0][col]=id&where[0][expr]=gt&where[0][val]={last}\
             &orderBy=id&orderByDir=asc&limit=20"
        );
        let page = site.get(&path).await.json()["contacts"].clone();
        let ids = page.as_object().unwrap().keys().map(|id| id.parse::<i64>().unwrap());
        let ids: Vec<i64> = ids.collect();
        let Some(highest) = ids.iter().max() else { break };
        (last, seen) = (*highest, seen + ids.len());
    }
    assert_eq!(seen, 35);
    assert_eq!(site.sim.violations(), []);
    let newest = site.get("/contacts?orderBy=id&orderByDir=desc&limit=1").await.json();
    assert!(newest["contacts"].get(last.to_string()).is_some());
    let second = site.get("/contacts?start=30").await.json();
    assert_eq!(second["contacts"].as_object().unwrap().len(), 5);
    assert_eq!(site.violations("offset_paging"), 1);
}

#[tokio::test]
async fn conditions_are_those_of_sql() {
    let site = start().await;
    for (name, points) in [("Ada", 1), ("Zoë", 5), ("Bob", 10)] {
        site.sim.plant(json!({ "firstname": name, "points": points })).unwrap();
    }
    site.sim.plant(json!({ "email": "x@example.org" })).unwrap();
    for (query, total) in [
        ("where[0][col]=firstname&where[0][expr]=eq&where[0][val]=zoe", "1"),
        ("where[0][col]=firstname&where[0][expr]=neq&where[0][val]=Ada", "2"),
        ("where[0][col]=points&where[0][expr]=gte&where[0][val]=5", "2"),
        ("where[0][col]=points&where[0][expr]=lt&where[0][val]=5", "2"),
        ("where[0][col]=points&where[0][expr]=between&where[0][val]=1,5", "2"),
        ("where[0][col]=firstname&where[0][expr]=like&where[0][val]=%25o%25", "2"),
        ("where[0][col]=firstname&where[0][expr]=in&where[0][val][]=Ada&where[0][val][]=Bob", "2"),
        ("where[0][col]=firstname&where[0][expr]=notIn&where[0][val]=Ada,Bob", "1"),
        ("where[0][col]=firstname&where[0][expr]=isNull", "1"),
        ("where[0][col]=email&where[0][expr]=isNotEmpty", "1"),
        (
            "where[0][expr]=orX&where[0][val][0][col]=firstname&where[0][val][0][expr]=eq\
             &where[0][val][0][val]=Ada&where[0][val][1][col]=points\
             &where[0][val][1][expr]=eq&where[0][val][1][val]=10",
            "2",
        ),
        (
            "where[0][col]=points&where[0][expr]=gt&where[0][val]=1\
             &where[1][col]=firstname&where[1][expr]=eq&where[1][val]=Bob",
            "1",
        ),
    ] {
        let answer = site.get(&format!("/contacts?{query}")).await;
        assert_eq!(answer.json()["total"], total, "{query}");
    }
}

#[tokio::test]
async fn a_bad_condition_is_a_500() {
    let site = start().await;
    let no_expr = site.get("/contacts?where[0][col]=email&where[0][val]=x").await;
    assert_eq!(no_expr.status, 500);
    assert_eq!(site.violations("where_without_expr"), 1);
    for query in ["where[0][col]=nose&where[0][expr]=eq", "where[0][col]=id&where[0][expr]=is"] {
        assert_eq!(site.get(&format!("/contacts?{query}")).await.status, 500, "{query}");
    }
}

#[tokio::test]
async fn a_cached_nothing_hides_what_was_just_created() {
    let site = start_with(|settings| settings.count_cache_seconds = 5).await;
    let path = "/contacts?where[0][col]=email&where[0][expr]=eq&where[0][val]=p1@example.org";
    assert_eq!(site.get(path).await.json()["total"], "0");
    site.person("1").await;
    assert_eq!(site.get(path).await.json(), json!({ "total": "0", "contacts": {} }));
    assert_eq!(site.post("/contacts/new", person("1")).await.status, 200, "it is there");
    site.sim.configure(|settings| settings.clock_offset_seconds = 6);
    assert_eq!(site.get(path).await.json()["total"], "1");
}

#[tokio::test]
async fn fields_owners_and_single_contacts_are_read() {
    let site = start().await;
    let id = site.person("1").await;
    let fields = site.get("/contacts/list/fields").await.json();
    let ours = fields.as_object().unwrap().values().find(|f| f["alias"] == "ems_person_id");
    let ours = ours.unwrap();
    assert_eq!((&ours["type"], &ours["group"]), (&json!("text"), &json!("core")));
    site.sim.configure(|settings| settings.field_list = Shape::Array);
    assert!(site.get("/contacts/list/fields").await.json().is_array());
    assert_eq!(site.get("/contacts/list/owners").await.json()["1"]["id"], 1);
    let read = site.get(&format!("/contacts/{id}")).await;
    assert_eq!(read.json()["contact"]["fields"]["all"]["ems_person_id"], "1");
    assert_eq!(site.sim.counters().reads, 1);
    assert_refused(&site.get("/contacts/1").await, 404);
    assert_eq!(site.sim.violations(), []);
}
