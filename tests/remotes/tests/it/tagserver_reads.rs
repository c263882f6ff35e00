//! The contract's read, find and list.

use ems_sync_remotes::tagserver::Resource;
use serde_json::{Value, json};

use crate::client::{plant_all, start, start_with};

fn ids(list: &Value) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_row_is_read_by_its_id_or_is_a_404_problem() {
    let (_sim, api) = start().await;
    let id = api.organisation("77").await;
    let answer = api.get(&format!("/api/organisations/{id}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({ "id": id, "externalId": "77", "name": "Club 77" }));
    api.get("/api/organisations/1").await.assert_problem(404, "error.http.404");
    api.get("/api/organisations/abc").await.assert_problem(400, "error.http.400");
    api.get("/api/nothings/1").await.assert_problem(404, "error.http.404");
}

#[tokio::test]
async fn instants_come_back_in_utc_with_varying_digits() {
    let (sim, api) = start().await;
    let [_, _, event, ..] = plant_all(&sim);
    let body = json!({
        "externalId": "9", "name": "5 km", "distanceMeters": 5000, "event": { "id": event },
        "startTime": "2026-05-01T10:30:00.25+02:00",
    });
    let id = api.post("/api/races", body).await.id();
    let mut forms = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let race = api.get(&format!("/api/races/{id}")).await.json();
        forms.insert(race["startTime"].as_str().unwrap().to_owned());
    }
    let expected = [
        "2026-05-01T08:30:00.250000000Z",
        "2026-05-01T08:30:00.250000Z",
        "2026-05-01T08:30:00.250Z",
    ];
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_find_gives_none_or_one() {
    let (sim, api) = start().await;
    let id = api.organisation("77").await;
    api.organisation("777").await;
    let found = api.get("/api/organisations?externalId.equals=77").await;
    assert_eq!(ids(&found.json()), [id]);
    assert_eq!(found.header("x-total-count"), "1");
    assert_eq!(api.get("/api/organisations?externalId.equals=7").await.json(), json!([]));
    assert_eq!(api.get("/api/races?externalId.equals=77").await.json(), json!([]));
    assert_eq!(sim.counters().lookups, 3);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn a_find_decodes_what_it_is_given() {
    let (_sim, api) = start().await;
    let id = api.organisation("a b&c").await;
    let found = api.get("/api/organisations?externalId.equals=a%20b%26c").await;
    assert_eq!(ids(&found.json()), [id]);
}

#[tokio::test]
async fn an_unknown_filter_is_ignored_and_the_full_list_comes_back() {
    let (sim, api) = start().await;
    for number in 0..25 {
        api.organisation(&number.to_string()).await;
    }
    let list = api.get("/api/organisations?externalId=7").await;
    assert_eq!(list.status, 200);
    assert_eq!(list.json().as_array().unwrap().len(), 20, "the first page of everything");
    assert_eq!(list.header("x-total-count"), "25");
    assert_eq!(sim.counters().violations_of("unknown_filter").len(), 1);
    assert_eq!(sim.counters().lookups, 0);
}

#[tokio::test]
async fn a_list_goes_on_from_an_id_in_order() {
    let (_sim, api) = start().await;
    let mut all = Vec::new();
    for number in 0..25 {
        all.push(api.organisation(&number.to_string()).await);
    }
    let mut seen: Vec<i64> = Vec::new();
    loop {
        let last = seen.last().copied().unwrap_or(0);
        let path = format!("/api/organisations?id.greaterThan={last}&sort=id,asc&page=0&size=10");
        let page = api.get(&path).await;
        assert_eq!(page.header("x-total-count"), (25 - seen.len()).to_string());
        let page = ids(&page.json());
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn pages_have_links_and_a_default_size_of_20() {
    let (_sim, api) = start().await;
    let mut all = Vec::new();
    for number in 0..45 {
        all.push(api.organisation(&number.to_string()).await);
    }
    let page = api.get("/api/organisations?sort=id,asc&page=1").await;
    assert_eq!(ids(&page.json()), all[20..40]);
    let link = page.header("link");
    for (relation, number) in [("next", 2), ("prev", 0), ("last", 2), ("first", 0)] {
        let expected = format!("?page={number}&size=20>; rel=\"{relation}\"");
        assert!(link.contains(&expected), "{relation}: {link}");
    }
    let last = api.get("/api/organisations?sort=id,asc&page=2").await;
    assert_eq!(ids(&last.json()), all[40..]);
    assert!(!last.header("link").contains("next"));
    assert_eq!(api.get("/api/organisations?sort=id,asc&page=3").await.json(), json!([]));
}

#[tokio::test]
async fn no_order_is_promised_without_sort() {
    let (sim, api) = start().await;
    let mut newest_first = Vec::new();
    for number in 0..5 {
        newest_first.insert(0, api.organisation(&number.to_string()).await);
    }
    assert_eq!(ids(&api.get("/api/organisations").await.json()), newest_first);
    let sorted = api.get("/api/organisations?sort=id,desc").await;
    assert_eq!(ids(&sorted.json()), newest_first);
    api.get("/api/organisations?page=1").await;
    assert_eq!(sim.counters().violations_of("unsorted_pages").len(), 1);
    api.get("/api/organisations?sort=name,asc").await.assert_problem(400, "error.http.400");
}

#[tokio::test]
async fn a_page_has_at_most_2000_rows() {
    let (sim, api) = start().await;
    for number in 0..2100 {
        let body = json!({ "externalId": number.to_string(), "name": "Club" });
        sim.plant(Resource::Organisation, body).unwrap();
    }
    let page = api.get("/api/organisations?sort=id,asc&size=5000").await;
    assert_eq!(page.json().as_array().unwrap().len(), 2000);
    assert_eq!(page.header("x-total-count"), "2100");
    assert_eq!(sim.counters().violations_of("page_too_large").len(), 1);
    let page = api.get("/api/organisations?sort=id,asc&size=2000&page=1").await;
    assert_eq!(page.json().as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn the_look_up_index_may_lag_behind_the_rows() {
    let (sim, api) = start_with(|settings| settings.find_lag_ms = 3_600_000).await;
    let id = api.organisation("77").await;
    let find = "/api/organisations?externalId.equals=77";
    assert_eq!(api.get(find).await.json(), json!([]));
    assert_eq!(api.get(&format!("/api/organisations/{id}")).await.status, 200);
    assert_eq!(ids(&api.get("/api/organisations").await.json()), [id]);
    sim.configure(|settings| settings.find_lag_ms = 0);
    assert_eq!(ids(&api.get(find).await.json()), [id]);
}
