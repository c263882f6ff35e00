//! Every fault does what it says, and nothing else.

use std::time::{Duration, Instant};

use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Fault, Garbage, Offline, Operation, Rule};
use serde_json::{Value, json};

use crate::client::{organisation, soon, start};

const PATH: &str = "/api/organisations";

#[tokio::test]
async fn a_drop_applies_nothing_and_answers_nothing() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::Drop));
    let error = api.try_post(PATH, &organisation("1")).await.unwrap_err();
    assert!(!error.is_connect() && !error.is_timeout(), "{error:?}");
    assert_eq!(sim.row_count(Resource::Organisation), 0);
    let entry = &sim.journal()[0];
    assert_eq!((entry.applied, entry.status, entry.abandoned), (false, None, false));
    assert_eq!(entry.faults, ["drop"]);
    api.organisation("1").await;
}

#[tokio::test]
async fn commit_then_drop_applies_and_answers_nothing() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::CommitThenDrop));
    assert!(api.try_post(PATH, &organisation("1")).await.is_err());
    assert!(sim.row(Resource::Organisation, "1").is_some());
    let entry = &sim.journal()[0];
    assert_eq!((entry.applied, entry.status), (true, None));
    assert_eq!(sim.counters().writes_to("organisations").created, 1);
}

#[tokio::test]
async fn commit_then_hang_applies_and_waits_for_the_client_to_give_up() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::CommitThenHang { ms: None }));
    let body = organisation("1");
    let hanging = api.try_post(PATH, &body);
    tokio::select! {
        _ = hanging => panic!("it was answered"),
        () = soon(sim.wait_until(|progress, _| progress.applied == 1)) => {}
    }
    assert!(sim.row(Resource::Organisation, "1").is_some());
    soon(sim.wait_for_requests(1)).await;
    let entry = &sim.journal()[0];
    assert_eq!((entry.applied, entry.status, entry.abandoned), (true, None, true));
}

#[tokio::test]
async fn hang_applies_nothing_and_may_end_by_itself() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::Hang { ms: Some(50) }));
    assert!(api.try_post(PATH, &organisation("1")).await.is_err());
    assert_eq!(sim.row_count(Resource::Organisation), 0);
}

#[tokio::test]
async fn a_status_is_not_applied_unless_it_says_so() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::status(503)));
    assert_eq!(api.post(PATH, organisation("1")).await.status, 503);
    assert_eq!(sim.row_count(Resource::Organisation), 0);
    sim.faults().push(Rule::new(Fault::Status {
        code: 504,
        headers: vec![("Retry-After".into(), "3".into())],
        body: Some(json!({ "why": "a gateway" })),
        applied: true,
    }));
    let answer = api.post(PATH, organisation("1")).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (504, "3"));
    assert_eq!(answer.json(), json!({ "why": "a gateway" }));
    assert_eq!(sim.row_count(Resource::Organisation), 1);
}

#[tokio::test]
async fn garbage_has_many_forms() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    api.organisation("2").await;
    let path = format!("{PATH}/{id}");
    let garble = |what| sim.faults().push(Rule::new(Fault::garbage(what)));

    garble(Garbage::Html);
    let answer = api.get(&path).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/html"));
    assert!(answer.text.contains("<html>"));

    garble(Garbage::TruncatedJson);
    let answer = api.get(&path).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.starts_with('{'));
    assert!(serde_json::from_str::<Value>(&answer.text).is_err());

    garble(Garbage::CutOff);
    let error = api.try_get(&path).await.unwrap_err();
    assert!(error.is_body() || error.is_decode(), "{error:?}");

    garble(Garbage::EmptyList);
    assert_eq!(api.get(PATH).await.json(), json!([]));

    garble(Garbage::EmptyBody);
    let answer = api.get(PATH).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));

    garble(Garbage::StrangersRecord);
    assert_eq!(api.get(&path).await.json()["externalId"], "2");
    garble(Garbage::StrangersRecord);
    let found = api.get(&format!("{PATH}?externalId.equals=1")).await.json();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["externalId"]), (1, &json!("2")));
    garble(Garbage::StrangersRecord);
    let created = api.post(PATH, organisation("3")).await;
    assert_eq!((created.status.as_u16(), &created.json()["externalId"]), (201, &json!("1")));
    assert!(sim.row(Resource::Organisation, "3").is_none());

    sim.faults().push(Rule::new(Fault::Garbage { what: Garbage::EmptyBody, applied: true }));
    api.post(PATH, organisation("3")).await;
    assert!(sim.row(Resource::Organisation, "3").is_some());
}

#[tokio::test]
async fn a_delayed_write_lands_although_its_client_has_gone() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    sim.faults().push(Rule::new(Fault::delay(Duration::from_millis(300))).method("PUT"));
    let path = format!("{PATH}/{id}");
    let late = json!({ "id": id, "externalId": "1", "name": "Late" });
    tokio::select! {
        _ = api.put(&path, late) => panic!("it was not delayed"),
        () = soon(sim.wait_until(|progress, _| progress.started == 2)) => {}
    }
    let newer = json!({ "id": id, "externalId": "1", "name": "Newer" });
    assert_eq!(api.put(&path, newer).await.status, 200);
    soon(sim.wait_for_requests(3)).await;
    assert_eq!(sim.row(Resource::Organisation, "1").unwrap().body["name"], "Late");
    let counters = sim.counters();
    assert_eq!((counters.overlaps, counters.overlaps_with_abandoned), (0, 1));
    let journal = sim.journal();
    let (late, newer) = (&journal[1], &journal[2]);
    assert!(late.started_us < newer.started_us && late.applied_us > newer.applied_us);
    assert_eq!((late.applied, late.status, late.abandoned), (true, None, true));
}

#[tokio::test]
async fn delays_add_up_and_do_not_end_the_script() {
    let (sim, api) = start().await;
    sim.set_latency(Duration::from_millis(40));
    sim.faults().push(Rule::new(Fault::delay(Duration::from_millis(40))));
    sim.faults().push(Rule::new(Fault::delay(Duration::from_millis(40))));
    sim.faults().push(Rule::new(Fault::status(503)));
    let start = Instant::now();
    assert_eq!(api.get(PATH).await.status, 503);
    assert!(start.elapsed() >= Duration::from_millis(120), "{:?}", start.elapsed());
    assert_eq!(sim.journal()[0].faults, ["delay", "delay", "status"]);
    let start = Instant::now();
    assert_eq!(api.get(PATH).await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(40), "latency is for all requests");
}

#[tokio::test]
async fn a_slow_body_arrives_in_the_end() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::SlowBody { chunk_bytes: 10, pause_ms: 20 }));
    let start = Instant::now();
    let created = api.post(PATH, organisation("1")).await;
    assert!(start.elapsed() >= Duration::from_millis(80), "{:?}", start.elapsed());
    assert_eq!(created.json()["name"], "Club 1");
}

#[tokio::test]
async fn rules_are_looked_at_in_order_and_used_up() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::status(502)).times(2));
    sim.faults().push(Rule::new(Fault::status(503)));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(api.get(PATH).await.status.as_u16());
    }
    assert_eq!(seen, [502, 502, 503, 200]);
    assert_eq!(sim.faults().rules(), []);
    assert_eq!(sim.counters().faults["status"], 3);
}

#[tokio::test]
async fn rules_choose_their_requests() {
    let (sim, api) = start().await;
    api.organisation("1").await;
    let rules = [
        Rule::new(Fault::status(502)).method("get").route("/api/races/{id}"),
        Rule::new(Fault::status(503)).resource(Resource::Race).operation(Operation::Find),
        Rule::new(Fault::status(504)).external_id("7").writes(),
    ];
    for rule in rules {
        sim.faults().push(rule.unlimited());
    }
    assert_eq!(api.get("/api/races").await.status, 200);
    assert_eq!(api.get("/api/races/17").await.status, 502);
    assert_eq!(api.get("/api/races?externalId.equals=7").await.status, 503);
    assert_eq!(api.get("/api/organisations?externalId.equals=7").await.status, 200);
    assert_eq!(api.post(PATH, organisation("8")).await.status, 201);
    assert_eq!(api.post(PATH, organisation("7")).await.status, 504);
    assert_eq!(api.post("/api/organisations/bulk", json!([organisation("7")])).await.status, 504);
    let id = sim.row(Resource::Organisation, "1").unwrap().id;
    sim.plant(Resource::Organisation, json!({ "id": id, "externalId": "7" })).unwrap();
    assert_eq!(api.delete(&format!("{PATH}/{id}")).await.status, 504, "known by its row");
    assert_eq!(sim.faults().rules().len(), 3);
    sim.faults().clear();
    assert_eq!(api.get("/api/races/17").await.status, 404);
}

#[tokio::test]
async fn the_nth_request_can_be_meant() {
    let (sim, api) = start().await;
    let id = sim.faults().push(Rule::new(Fault::status(503)).nth(3));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(api.get(PATH).await.status.as_u16());
    }
    assert_eq!(seen, [200, 200, 503, 200]);
    assert!(!sim.faults().remove(id), "it is used up");
}

#[tokio::test]
async fn dice_fall_the_same_way_for_the_same_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (sim, api) = start().await;
        sim.faults().push(Rule::new(Fault::status(503)).probability(0.5).unlimited());
        let mut seen = Vec::new();
        for _ in 0..40 {
            seen.push(api.get(PATH).await.status.as_u16());
        }
        runs.push(seen);
    }
    assert_eq!(runs[0], runs[1]);
    let failed = runs[0].iter().filter(|status| **status == 503).count();
    assert!((8..=32).contains(&failed), "{failed} of 40");
}

#[tokio::test]
async fn a_script_can_take_the_server_offline_for_a_while() {
    let (sim, api) = start().await;
    let fault = Fault::Offline { mode: Offline::Refuse, ms: Some(200) };
    sim.faults().push(Rule::new(fault).method("POST"));
    assert!(api.try_post(PATH, &organisation("1")).await.is_err());
    assert_eq!(sim.row_count(Resource::Organisation), 0);
    let back = async {
        while api.try_get(PATH).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(back).await;
}
