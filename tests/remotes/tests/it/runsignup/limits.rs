//! Section 3: two calls at once, throttling.

use std::time::Duration;

use ems_sync_remotes::runsignup::ThrottleAnswer;
use ems_sync_remotes::{Fault, Rule};

use super::{code, codes, read, start, start_with};
use crate::client::soon;

#[tokio::test]
async fn a_third_call_at_once_is_throttled() {
    let (sim, rsu) = start().await;
    sim.faults().push(Rule::new(Fault::Hang { ms: None }).times(2));
    let hanging: Vec<_> =
        (0..2).map(|_| tokio::spawn(rsu.request(false, "race/7").send())).collect();
    soon(sim.wait_for(|| sim.counters().requests == 2)).await;
    let third = read(rsu.request(false, "race/7")).await;
    assert_eq!((third.status.as_u16(), code(&third.json())), (200, 14));
    assert_eq!(codes(&sim), ["too_many_concurrent_calls"]);
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    soon(
        sim.wait_for(|| {
            sim.counters().by_status.len() == 1 && sim.progress().borrow().finished == 3
        }),
    )
    .await;
    assert_eq!(rsu.get("race/7").await["race"]["race_id"], 7);
    assert_eq!(sim.violations().len(), 1);
}

#[tokio::test]
async fn what_a_client_has_given_up_still_counts_against_it_but_is_no_breach() {
    let (sim, rsu) = start().await;
    sim.faults().push(Rule::new(Fault::delay(Duration::from_secs(60))).times(2));
    for _ in 0..2 {
        let impatient = rsu.request(false, "race/7").timeout(Duration::from_millis(100));
        assert!(impatient.send().await.unwrap_err().is_timeout());
    }
    soon(sim.wait_for(|| sim.journal().iter().all(|entry| entry.abandoned))).await;
    assert_eq!(code(&rsu.get("race/7").await), 14);
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn calls_in_a_row_are_fine() {
    let (sim, rsu) = start().await;
    for _ in 0..20 {
        let (one, other) = tokio::join!(rsu.get("race/7"), rsu.get("race/8"));
        assert_eq!((&one["race"]["race_id"], &other["race"]["race_id"]), (&7.into(), &8.into()));
    }
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn calls_of_a_while_can_be_limited() {
    let (sim, rsu) = start_with(|settings| settings.calls_per_minute = Some(2)).await;
    rsu.get("race/7").await;
    rsu.get("race/7").await;
    assert_eq!(code(&rsu.get("race/7").await), 14);
    sim.configure(|settings| {
        settings.calls_per_minute = None;
        settings.calls_per_hour = Some(1);
        settings.throttle_answer = ThrottleAnswer::TooManyRequests;
    });
    rsu.get("race/7").await;
    let second = read(rsu.request(false, "race/7")).await;
    assert_eq!((second.status.as_u16(), code(&second.json())), (429, 14));
    assert_eq!(codes(&sim), [""; 0], "nobody can know such a limit");
}
