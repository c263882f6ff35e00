//! It carries the load of the worker's tests in a debug build.

use std::time::Instant;

use ems_sync_remotes::tagserver::Resource;
use serde_json::{Value, json};

use crate::client::start;

const ROWS: usize = 50_000;
const REQUESTS: usize = 4_000;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_are_loaded_in_bulk_and_a_request_does_not_depend_on_them() {
    let (sim, api) = start().await;
    let time = Instant::now();
    for start in (0..ROWS).step_by(500) {
        let rows = (start..start + 500)
            .map(|number| json!({ "externalId": number.to_string(), "name": "Club" }));
        let answer = api.post("/api/organisations/bulk", rows.collect::<Value>()).await;
        assert_eq!(answer.status, 200);
    }
    println!("{ROWS} rows in bulk: {:?}", time.elapsed());
    assert_eq!(sim.row_count(Resource::Organisation), ROWS);

    let time = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let api = api.clone();
        tokio::spawn(async move {
            for number in (client..REQUESTS).step_by(CLIENTS) {
                let path = format!("/api/organisations?externalId.equals={number}");
                let found = api.get(&path).await.json();
                let id = found[0]["id"].as_i64().unwrap();
                let body = json!({ "id": id, "externalId": number.to_string(), "name": "New" });
                let path = format!("/api/organisations/{id}");
                assert_eq!(api.put(&path, body).await.status, 200);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let requests = 2.0 * f64::from(u32::try_from(REQUESTS).unwrap());
    println!("{:.0} requests per second", requests / time.elapsed().as_secs_f64());
    let counters = sim.counters();
    assert_eq!(counters.writes_to("organisations").replaced, u64::try_from(REQUESTS).unwrap());
    assert_eq!((counters.violations.len(), counters.max_in_flight_of_one), (0, 1));
}
