//! Section 2: what is not RunSignup's program answers in HTML; scripted errors look like its own.

use ems_sync_remotes::runsignup::{RunSignup, RunSignupOptions, api_error, throttled};
use ems_sync_remotes::{Fault, Garbage, Rule};
use serde_json::json;

use super::{code, read, register, start};

#[tokio::test]
async fn scripted_errors_have_the_remotes_shape() {
    let (sim, rsu) = start().await;
    sim.faults().push(Rule::new(throttled()));
    assert_eq!(code(&rsu.get("race/7").await), 14);
    sim.faults().push(Rule::new(api_error(5)));
    assert_eq!(code(&rsu.get("race/7").await), 5);
    sim.faults().push(Rule::new(Fault::status(502)));
    let gateway = read(rsu.request(false, "race/7")).await;
    assert_eq!((gateway.status.as_u16(), gateway.header("content-type")), (502, "text/html"));
    sim.faults().push(Rule::new(Fault::throttled(3)));
    let throttled = read(rsu.request(false, "race/7")).await;
    assert_eq!((throttled.status.as_u16(), throttled.header("retry-after")), (429, "3"));
    assert_eq!(code(&throttled.json()), 14);
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_and_a_revoked_token_too() {
    let (sim, rsu) = start().await;
    sim.faults().push(Rule::new(Fault::RevokeToken));
    assert_eq!(code(&rsu.get("race/7").await), 6);
    assert_eq!(code(&rsu.get("race/7").await), 6);
    sim.configure(|settings| settings.key_valid = true);
    assert_eq!(rsu.get("race/7").await["race"]["race_id"], 7);
    let token = sim.issue_token(false);
    let get = || rsu.bare(false, "race/7?format=json").bearer_auth(&token);
    assert_eq!(read(get()).await.json()["race"]["race_id"], 7);
    sim.faults().push(Rule::new(Fault::RevokeToken));
    assert_eq!(code(&read(get()).await.json()), 6);
    assert_eq!(rsu.get("race/7").await["race"]["race_id"], 7, "the key is not concerned");
}

#[tokio::test]
async fn a_strangers_record_is_somebody_elses() {
    let (sim, rsu) = start().await;
    let id = rsu.add("42").await;
    let other = register(&sim, "A", json!({}));
    sim.faults().push(Rule::new(Fault::garbage(Garbage::StrangersRecord)).writes());
    let rows = json!([{ "registration_id": id, "bib_num": 1 }]);
    assert_eq!(super::id(&rsu.write("T", rows).await), other);
    let empty = RunSignup::start(RunSignupOptions::default()).await.unwrap();
    empty.faults().push(Rule::new(Fault::garbage(Garbage::StrangersRecord)));
    let rsu = super::Rsu::new(&empty);
    assert_eq!(
        rsu.get("race/1/participants?event_id=1").await[0]["participants"][0]["registration_id"],
        1
    );
}

#[tokio::test]
async fn an_empty_list_looks_like_nobody_at_all() {
    let (sim, rsu) = start().await;
    register(&sim, "A", json!({}));
    sim.faults().push(Rule::new(Fault::garbage(Garbage::EmptyList)));
    assert_eq!(rsu.ids("").await, [0; 0]);
    assert_eq!(rsu.ids("").await.len(), 1);
}
