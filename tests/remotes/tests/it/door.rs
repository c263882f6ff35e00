//! Offline and online.

use std::time::Duration;

use ems_sync_remotes::tagserver::{Resource, TagServer, TagServerOptions};
use ems_sync_remotes::{Fault, Offline, Rule, State};
use serde_json::json;

use crate::client::{Api, builder, organisation, soon, start};

#[tokio::test]
async fn an_offline_server_refuses_connections_and_keeps_its_port() {
    let (sim, api) = start().await;
    api.organisation("1").await;
    let base = sim.base_url();
    sim.go_offline(Offline::Refuse).await.unwrap();
    let error = api.try_post("/api/organisations", &organisation("2")).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    sim.go_offline(Offline::Refuse).await.unwrap();
    sim.go_online().await.unwrap();
    assert_eq!(sim.base_url(), base);
    api.organisation("2").await;
    assert_eq!(sim.counters().requests, 2, "nothing arrived while it was away");
}

#[tokio::test]
async fn an_offline_server_may_reset_connections_at_once() {
    let (sim, api) = start().await;
    sim.go_offline(Offline::Close).await.unwrap();
    let error = api.try_get("/api/races").await.unwrap_err();
    assert!(!error.is_timeout(), "{error:?}");
    sim.go_online().await.unwrap();
    assert_eq!(api.get("/api/races").await.status, 200);
}

#[tokio::test]
async fn an_offline_server_may_be_silent() {
    let (sim, mut api) = start().await;
    sim.go_offline(Offline::Hang).await.unwrap();
    api.http = builder().timeout(Duration::from_millis(200)).build().unwrap();
    assert!(api.try_get("/api/races").await.unwrap_err().is_timeout());
    assert_eq!(sim.counters().requests, 0);
    sim.go_online().await.unwrap();
    assert_eq!(api.get("/api/races").await.status, 200);
}

#[tokio::test]
async fn going_offline_cuts_requests_that_are_waiting() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::Hang { ms: None }));
    let waiting = tokio::spawn(async move { api.try_get("/api/races").await.is_err() });
    soon(sim.wait_until(|progress, _| progress.started == 1)).await;
    sim.go_offline(Offline::Refuse).await.unwrap();
    assert!(soon(waiting).await.unwrap());
}

#[tokio::test]
async fn the_control_api_works_while_the_remote_is_offline() {
    let (sim, api) = start().await;
    let http = builder().build().unwrap();
    let switch = format!("{}/_sim/offline", sim.control_url());
    let answer = http.post(&switch).json(&json!({ "offline": true })).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(api.try_get("/api/races").await.unwrap_err().is_connect());
    let counters = format!("{}/_sim/counters", sim.control_url());
    assert_eq!(http.get(counters).send().await.unwrap().status(), 200);
    http.post(&switch).json(&json!({ "offline": false })).send().await.unwrap();
    assert_eq!(api.get("/api/races").await.status, 200);
}

#[tokio::test]
async fn a_restart_also_ends_offline() {
    let (sim, api) = start().await;
    sim.go_offline(Offline::Refuse).await.unwrap();
    sim.restart(State::Kept).await.unwrap();
    assert_eq!(api.get("/api/races").await.status, 200);
}

#[tokio::test]
async fn a_shutdown_applies_no_delayed_write_afterwards() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::delay(Duration::from_secs(3600))));
    let waiting = tokio::spawn(async move {
        api.try_post("/api/organisations", &organisation("1")).await.is_err()
    });
    soon(sim.wait_until(|progress, _| progress.started == 1)).await;
    soon(sim.shutdown()).await;
    assert!(soon(waiting).await.unwrap());
    assert_eq!(sim.row_count(Resource::Organisation), 0);
}

#[tokio::test]
async fn another_simulator_can_take_the_port_over() {
    let (sim, api) = start().await;
    assert_eq!(api.get("/api/races").await.status, 200);
    let mut options = TagServerOptions::default();
    options.server.listen = sim.address();
    assert!(TagServer::start(options.clone()).await.is_err(), "the port is taken");
    sim.shutdown().await;
    let next = TagServer::start(options).await.unwrap();
    assert_eq!(next.address(), sim.address());
    assert_eq!(api.get("/api/races").await.status, 401, "another signing secret");
    assert_eq!(Api::new(&next).get("/api/races").await.status, 200);
}

#[tokio::test]
async fn a_dropped_simulator_is_gone() {
    let (sim, api) = start().await;
    assert_eq!(api.get("/api/races").await.status, 200);
    drop(sim);
    let gone = async {
        while api.try_get("/api/races").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
}
