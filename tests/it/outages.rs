//! The whole system, of several processes, with a TagServer that is away, serves nobody, refuses us or wants to be left
//! alone: nothing is dead-lettered, nothing is sent that should not be, and everything comes home by itself.

use std::time::Duration;

use ems_sync_remotes::tagserver::{Bulk, Resource};
use ems_sync_remotes::{Entry, Fault, Offline, Rule};
use tokio::time::Instant;

use crate::support::fleet::Fleet;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

async fn people(rig: &Rig, n: i64) -> i64 {
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name)
         select 'Thandi', 'Runner ' || n from generate_series(1, {n}) n"
    ))
    .await;
    rig.count(&format!("select max(id) - {n} + 1 from ems.person")).await
}

async fn target_is(rig: &Rig, condition: &str) {
    let sql =
        format!("select 1 - count(*) from sync.target where target = 'tagserver' and {condition}");
    rig.until(&sql, condition).await;
}

async fn events(rig: &Rig, condition: &str) -> i64 {
    let sql = format!(
        "select count(*) from sync.target_event where target = 'tagserver' and {condition}"
    );
    rig.count(&sql).await
}

async fn dead_letters(rig: &Rig) -> i64 {
    let sql = "select count(*) from sync.record where state = 'dead_letter' or dead_lettered_on is not null";
    rig.count(sql).await
}

async fn order(rig: &Rig, order: &str) {
    let (code, text) = rig.run(&["target", order, "tagserver"]).await;
    assert_eq!(code, 0, "{text}");
}

/// The seconds (or the size) of a campaign: short by default, as long as it must be shown with `EMS_SYNC_CAMPAIGN=full`.
fn seconds(short: u64, full: u64) -> u64 {
    let is_full = std::env::var("EMS_SYNC_CAMPAIGN").is_ok_and(|campaign| campaign == "full");
    if is_full { full } else { short }
}

/// Waits until so much time has passed since `began`: what is tested lasts that long by itself.
async fn lasts(began: Instant, seconds: u64) {
    tokio::time::sleep_until(began + Duration::from_secs(seconds)).await;
}

/// Offline with 1,000 owed for 20 seconds; with 5,000 for 5 minutes in the full campaign (F58, R11).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_wait_for_a_target_that_is_offline_and_few_probes_go_out() {
    let rig = Rig::new().await;
    people(&rig, 20).await;
    let mut fleet = Fleet::start(&rig, 3);
    rig.settled().await;
    rig.sim.go_offline(Offline::Refuse).await.unwrap();
    let began = Instant::now();
    people(&rig, i64::try_from(seconds(1_000, 5_000)).unwrap()).await;
    target_is(&rig, "breaker <> 'closed'").await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let offline = seconds(20, 300);
    lasts(began, offline).await;
    // Pauses of 2, 4, 8, 16 and then at least 30 seconds, for all processes together.
    let probes = events(&rig, "event = 'probing'").await;
    let expected = [2, 6, 14, 30].iter().filter(|at| **at <= offline).count() as u64
        + offline.saturating_sub(30) / 30;
    eprintln!("{probes} probes in {offline} s offline, {expected} expected at most");
    assert!((2..=i64::try_from(expected).unwrap() + 1).contains(&probes), "{probes}");
    let hasty = "select count(*) from (
            select happened_on - lag(happened_on) over (order by target_event_id) as gap,
                   row_number() over (order by target_event_id) as n
            from sync.target_event where event = 'probing') as probes
        where n > 5 and gap < interval '29.9 seconds'";
    assert_eq!(rig.count(hasty).await, 0, "backed off, at most one probe in 30 s");
    assert_eq!(dead_letters(&rig).await, 0);
    let burnt = rig.count("select max(attempts)::bigint from sync.record").await;
    assert!(burnt <= 2, "{burnt} attempts of one entity before it opened");
    rig.sim.go_online().await.unwrap();
    let online = Instant::now();
    rig.settled().await;
    eprintln!("caught up {:?} after it came back", online.elapsed());
    assert_in_sync(&rig).await;
    assert_eq!(dead_letters(&rig).await, 0);
    target_is(&rig, "breaker = 'closed' and not on_trial").await;
    assert_eq!(events(&rig, "event = 'recovered'").await, 1);
    fleet.stop().await;
    assert_eq!(fleet.log("ERROR").len(), 1, "one alert: {:#?}", fleet.log("ERROR"));
}

/// A brown-out: logins and probes are answered, every write is refused. And one entity is poisonous even after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_lets_us_in_and_takes_no_write_gets_few_and_nothing_is_dead_lettered() {
    let rig = Rig::new().await;
    let fault = rig.sim.faults().push(Rule::new(Fault::status(503)).writes().unlimited());
    let mut fleet = Fleet::start(&rig, 2);
    let began = Instant::now();
    people(&rig, 1_000).await;
    target_is(&rig, "breaker <> 'closed'").await;
    // All that was under way has ended when the first trial has failed.
    target_is(&rig, "breaker_failures >= 2").await;
    let (writes, trials) = (rig.writes() as i64, events(&rig, "event = 'closed'").await);
    lasts(began, seconds(1, 180)).await;
    let more =
        "select greatest(2 + {trials} - count(*), 0) from sync.target_event where event = 'closed'";
    rig.until(&more.replace("{trials}", &trials.to_string()), "tried twice more").await;
    target_is(&rig, "breaker = 'open'").await;
    let writes = rig.writes() as i64 - writes;
    let trials = events(&rig, "event = 'closed'").await - trials;
    eprintln!("{writes} writes in {trials} trials of two processes");
    assert!(writes >= 1, "{writes}");
    assert!(writes <= 4 * (trials + 1), "a trial takes a push or two of each process");
    let burnt = rig.count("select max(attempts)::bigint from sync.record").await;
    assert!(burnt <= 2, "{burnt}: a failed trial burns no attempt");
    assert_eq!(dead_letters(&rig).await, 0);
    assert_eq!(events(&rig, "event = 'recovered'").await, 0, "it does not flap");
    rig.sim.faults().remove(fault);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(dead_letters(&rig).await, 0);
    fleet.stop().await;
    assert_eq!(fleet.log("ERROR").len(), 1, "one alert: {:#?}", fleet.log("ERROR"));
}

/// `Retry-After: 5` is told to one of four processes, in the middle of everything (F57).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_leave_the_target_alone_for_as_long_as_one_of_them_was_told() {
    let rig = Rig::new().await;
    rig.sim.configure(|settings| settings.bulk = Bulk::NotFound);
    rig.sim.set_latency(Duration::from_millis(50));
    let mut fleet = Fleet::start(&rig, 4);
    // Everybody is at work.
    people(&rig, 200).await;
    rig.settled().await;
    let created = rig.sim.row_count(Resource::Person);
    rig.sim.faults().push(Rule::new(Fault::throttled(5)).writes().nth(400));
    people(&rig, 3_000).await;
    let told = rig.sim.wait_for(|| rig.sim.counters().by_status.contains_key(&429));
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("is told");
    assert!(rig.sim.row_count(Resource::Person) > created + 100, "in the middle of everything");
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.count("select max(attempts)::bigint from sync.record").await, 0);
    assert_eq!(dead_letters(&rig).await, 0);
    fleet.stop().await;

    let journal = rig.sim.journal();
    let throttled = journal.iter().find(|entry| entry.status == Some(429)).unwrap();
    let told_us = throttled.ended_us.unwrap();
    let after_ms = |entry: &Entry| (entry.started_us as f64 - told_us as f64) / 1e3;
    let in_window: Vec<f64> =
        journal.iter().map(after_ms).filter(|ms| (0.0..5_000.0).contains(ms)).collect();
    let before = journal.iter().map(after_ms).filter(|ms| (-1_000.0..0.0).contains(ms)).count();
    eprintln!(
        "{before} requests in the second before; in the window {}, the last after {:.1} ms",
        in_window.len(),
        in_window.iter().copied().fold(0.0, f64::max)
    );
    assert!(before > 0, "it was busy");
    // What was on its way when the answer came, and what goes out until the others have heard: milliseconds, where the
    // processes get the processor. They are given a second from when it was written down.
    let written = rig
        .ems
        .query_one("select min(happened_on) from sync.target_event where event = 'throttled'", &[])
        .await
        .unwrap()
        .get::<_, jiff::Timestamp>(0);
    let heard = written.duration_since(throttled.ended_at.unwrap()).as_secs_f64() * 1e3 + 1_000.0;
    eprintln!("written down {:.1} ms after it was told", heard - 1_000.0);
    let late: Vec<_> = in_window.iter().filter(|ms| **ms > heard).collect();
    assert!(late.is_empty(), "{late:?}");
    let later = journal.iter().map(after_ms).filter(|ms| *ms >= 5_000.0).count();
    assert!(later > 1_000, "{later}: the rest came after it");
}

/// A target that does not say how long gets a pause that doubles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_without_a_time_is_learnt_and_shared() {
    let rig = Rig::new().await;
    rig.sim.configure(|settings| settings.bulk = Bulk::NotFound);
    rig.sim.faults().push(Rule::new(Fault::status(429)).writes());
    people(&rig, 30).await;
    let mut fleet = Fleet::start(&rig, 2);
    target_is(&rig, "throttled_until > now() and learnt_pause = 2").await;
    rig.settled().await;
    rig.sim.faults().push(Rule::new(Fault::status(429)).writes());
    people(&rig, 30).await;
    target_is(&rig, "learnt_pause = 4").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.count("select max(attempts)::bigint from sync.record").await, 0);
    assert_eq!(events(&rig, "event = 'throttled'").await, 2);
    fleet.stop().await;
}

/// 401 for ever (F65): the target is disabled by one of four processes, with one alert.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_us_for_ever_is_disabled_with_one_alert_of_four_processes() {
    let rig = Rig::new().await;
    people(&rig, 40).await;
    let mut fleet = Fleet::start(&rig, 4);
    rig.settled().await;
    let fault = rig.sim.faults().push(Rule::new(Fault::status(401)).unlimited());
    people(&rig, 1_000).await;
    target_is(&rig, "disabled_on is not null").await;
    let requests = rig.sim.counters().requests;
    rig.exec("update ems.person set last_name = last_name || '!' where id % 10 = 0").await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    let (_, status) = rig.run(&["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let row = &status["targets"][0];
    assert_eq!((&row["state"], &row["reason"]), (&"disabled".into(), &"authentication".into()));
    assert_eq!(row["breaker"], "disabled");
    let more = rig.sim.counters().requests - requests;
    assert!(more <= 4 * 16, "{more}: what was on its way, no more");
    assert_eq!(dead_letters(&rig).await, 0);
    assert_eq!(rig.count("select max(attempts)::bigint from sync.record").await, 0);
    assert_eq!(events(&rig, "event = 'disabled'").await, 1);
    rig.sim.faults().remove(fault);
    order(&rig, "enable").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    fleet.stop().await;
    assert_eq!(fleet.log("ERROR").len(), 1, "one alert: {:#?}", fleet.log("ERROR"));
}

/// Nothing but failures for as long as is configured: a person must look, and enabling catches up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_only_fails_is_given_up_until_a_person_enables_it() {
    let mut rig = Rig::new().await;
    rig.set("BREAKER__DISABLE_AFTER", "5s");
    rig.sim.go_offline(Offline::Refuse).await.unwrap();
    people(&rig, 50).await;
    let running = rig.start_all();
    target_is(&rig, "disabled_on is not null").await;
    assert_eq!(dead_letters(&rig).await, 0);
    let (_, status) = rig.run(&["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let row = &status["targets"][0];
    assert_eq!((&row["state"], &row["reason"]), (&"disabled".into(), &"given_up".into()));
    let (_, explained) = rig.run(&["explain", "person", "1", "--json"]).await;
    assert!(explained.contains("target enable tagserver"), "{explained}");
    rig.sim.go_online().await.unwrap();
    rig.exec("update ems.person set last_name = last_name || '!'").await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    assert_eq!(rig.sim.counters().requests, 0, "nobody probes what a person must enable");
    order(&rig, "enable").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(events(&rig, "event = 'enable' and by like 'command line%'").await, 1);
    running.stop().await;
}
