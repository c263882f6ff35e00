//! The whole system with a TagServer that fails: lost answers, hours offline, refusals, pauses, poison. In the end the
//! remote holds what the EMS has, once.

use std::time::Duration;

use ems_sync::broker::Queue;
use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::{Bulk, Resource};
use ems_sync_remotes::{Effect, Entry, Fault, Offline, Operation, Rule};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde_json::json;

use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

const CONSUMING: [Role; 2] = [Role::Relay, Role::Consume];

/// Persons with these last names; the id of the first.
async fn people(rig: &Rig, n: i64) -> i64 {
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name)
         select 'Thandi', 'Runner ' || n from generate_series(1, {n}) n"
    ))
    .await;
    rig.count(&format!("select max(id) - {n} + 1 from ems.person")).await
}

async fn dead_letters(rig: &Rig) -> i64 {
    rig.count(
        "select count(*) from sync.record where state = 'dead_letter' or dead_lettered_on is not null",
    )
    .await
}

/// Waits until every rule of the fault script has struck as often as it may.
async fn struck(rig: &Rig) {
    let struck = rig.sim.wait_for(|| rig.sim.faults().rules().is_empty());
    tokio::time::timeout(Duration::from_secs(30), struck).await.expect("strikes");
}

/// Waits until this number of rows of `sync.target` is there.
async fn target_is(rig: &Rig, condition: &str) {
    let sql =
        format!("select 1 - count(*) from sync.target where target = 'tagserver' and {condition}");
    rig.until(&sql, condition).await;
}

async fn order(rig: &Rig, order: &str) {
    let (code, text) = rig.run(&["target", order, "tagserver"]).await;
    assert_eq!(code, 0, "{text}");
}

/// Waits until the deliveries have no consumer any more: every process has seen that the target is closed.
async fn nobody_consumes(rig: &Rig) {
    let connection =
        Connection::connect(&rig.services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = Queue::outbound(Target::TagServer).name(&rig.prefix);
    let nobody = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let name = queue.clone().into();
            let state = channel.queue_declare(name, options, FieldTable::default()).await.unwrap();
            if state.consumer_count() == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), nobody).await.expect("they stop");
}

/// Seconds between the starts of successive requests.
fn gaps(started_us: &[u64]) -> Vec<f64> {
    started_us.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_every_third_create_makes_no_second_record() {
    let rig = Rig::new().await;
    rig.sim.configure(|settings| settings.bulk = Bulk::NotFound);
    let first = people(&rig, 300).await;
    for id in (first..first + 300).step_by(3) {
        let lost = Rule::new(Fault::CommitThenDrop).operation(Operation::Create).external_id(id);
        rig.sim.faults().push(lost.resource(Resource::Person));
    }
    let running = rig.start(&CONSUMING);
    rig.settled().await;
    struck(&rig).await;
    assert_in_sync(&rig).await;
    let writes = rig.sim.counters().writes_to("people");
    assert_eq!((writes.created, writes.refused), (300, 0), "each was looked for before a new try");
    assert_eq!(dead_letters(&rig).await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_bulk_calls_makes_no_second_record() {
    let rig = Rig::new().await;
    let lost = Rule::new(Fault::CommitThenDrop).operation(Operation::Bulk).times(3);
    rig.sim.faults().push(lost);
    let lost = Rule::new(Fault::CommitThenHang { ms: None }).operation(Operation::Bulk).nth(5);
    rig.sim.faults().push(lost);
    people(&rig, 600).await;
    let running = rig.start(&CONSUMING);
    rig.settled().await;
    struck(&rig).await;
    assert_in_sync(&rig).await;
    assert_eq!(dead_letters(&rig).await, 0);
    running.stop().await;
}

/// A → B, whose answer is lost → A: the old hash proves nothing, and A is pushed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_back_after_a_lost_answer_reaches_the_remote() {
    let rig = Rig::new().await;
    let id = people(&rig, 1).await;
    let running = rig.start(&CONSUMING);
    rig.until("select 1 - count(*) from sync.record where state = 'synced'", "pushed").await;
    rig.sim.faults().push(Rule::new(Fault::CommitThenDrop).writes());
    let name = format!("update ems.person set last_name = $1 where id = {id}");
    rig.ems.execute(&name, &[&"B"]).await.unwrap();
    let applied = rig.sim.wait_for(|| {
        rig.sim.row(Resource::Person, &id.to_string()).unwrap().body["lastName"] == "B"
    });
    tokio::time::timeout(Duration::from_secs(30), applied).await.expect("is applied");
    rig.ems.execute(&name, &[&"Runner 1"]).await.unwrap();
    rig.until("select count(*) from sync.record where owed_gen < 3", "owed").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// Away in three ways. Nothing is dead-lettered, no attempt is burnt while the breaker is open, and everything comes
/// home by itself.
async fn a_thousand_wait_for_the_target_to_come_back(offline: Offline) {
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    ems::populate(&rig.ems, 20).await;
    let running = rig.start_all();
    rig.settled().await;
    rig.sim.go_offline(offline).await.unwrap();
    people(&rig, 1_000).await;
    target_is(&rig, "breaker <> 'closed'").await;
    // What was under way when it opened has ended by the time of the first probe, which fails.
    target_is(&rig, "breaker_failures >= 2").await;
    let attempts = rig.count("select count(*) from sync.attempt").await;
    target_is(&rig, "breaker_failures >= 3").await;
    assert_eq!(rig.count("select count(*) from sync.attempt").await, attempts, "none while open");
    let burnt = rig.count("select max(attempts)::bigint from sync.record").await;
    assert!(burnt <= 2, "{burnt} attempts of one entity before it opened");
    assert_eq!(dead_letters(&rig).await, 0);
    rig.sim.go_online().await.unwrap();
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(dead_letters(&rig).await, 0);
    target_is(&rig, "breaker = 'closed' and not on_trial").await;
    assert_eq!(rig.count("select max(attempts)::bigint from sync.record").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_wait_for_a_target_that_refuses_connections() {
    a_thousand_wait_for_the_target_to_come_back(Offline::Refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_wait_for_a_target_that_does_not_answer() {
    a_thousand_wait_for_the_target_to_come_back(Offline::Hang).await;
}

/// On trial all that is due is taken, of which one push goes out: not always the same one, which may be poisonous.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_sends_one_push_of_all_that_are_due_and_not_always_the_same() {
    const TRIALS: i64 = 6;
    let rig = Rig::new().await;
    people(&rig, 40).await;
    rig.sim.faults().push(Rule::new(Fault::status(503)).writes().unlimited());
    order(&rig, "enable").await;
    target_is(&rig, "on_trial").await;
    let running = rig.start(&CONSUMING);
    let opened = "select count(*) from sync.target_event where event = 'opened'";
    let leased = "select count(*) from sync.record where lease_until is not null";
    for trials in 1..=TRIALS {
        rig.until(&format!("select greatest({trials} - ({opened}), 0)"), "a trial has failed")
            .await;
        // What has failed could be next again.
        rig.until(leased, "has ended").await;
        rig.exec("update sync.record set due_on = clock_timestamp() where lease_until is null")
            .await;
        order(&rig, "enable").await;
    }
    rig.until(&format!("select {TRIALS} + 1 - least(({opened}), {TRIALS} + 1)"), "failed").await;
    // A lease is a doubt.
    order(&rig, "pause").await;
    nobody_consumes(&rig).await;
    rig.until(leased, "has ended").await;
    let refused = |entry: &Entry| entry.operation.is_write() && entry.status == Some(503);
    let writes: Vec<_> = rig.sim.journal().into_iter().filter(refused).collect();
    let mut tried: Vec<_> = writes.iter().flat_map(|entry| entry.external_ids.clone()).collect();
    assert_eq!(tried.len(), writes.len(), "one row at a time: {tried:?}");
    assert!(writes.len() as i64 <= rig.count(opened).await, "{tried:?}");
    assert_eq!(rig.count("select max(attempts)::bigint from sync.record").await, 0);
    tried.sort_unstable();
    tried.dedup();
    assert!(tried.len() > 1, "of forty not always {tried:?}");
    let doubted = rig.count("select count(*) from sync.record where in_doubt").await;
    assert_eq!(doubted, tried.len() as i64, "what was not sent is in no doubt");
    rig.sim.faults().clear();
    order(&rig, "resume").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    target_is(&rig, "breaker = 'closed' and not on_trial").await;
    running.stop().await;
}

/// Many that need no push stand in front of the one that ends the trial: they are settled in batches, not one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_is_not_held_up_by_what_needs_no_push() {
    const MANY: i64 = 900;
    let rig = Rig::new().await;
    let first = people(&rig, MANY).await;
    let running = rig.start_all();
    rig.settled().await;
    running.stop().await;
    // Changed and changed back.
    rig.exec("update ems.person set last_name = last_name || '!'").await;
    rig.exec("update ems.person set last_name = left(last_name, -1)").await;
    people(&rig, 1).await;
    let writes = rig.writes();
    order(&rig, "enable").await;
    target_is(&rig, "on_trial").await;
    let running = rig.start_all();
    rig.settled().await;
    assert_in_sync(&rig).await;
    target_is(&rig, "breaker = 'closed' and not on_trial").await;
    assert_eq!(rig.writes() - writes, 1, "only the new one");
    // A row's `xmin` is the transaction that wrote it last.
    let settled = format!(
        "select count(distinct xmin::text) from sync.record
         where entity_type = 'person' and entity_id between {first} and {first} + {MANY} - 1"
    );
    let transactions = rig.count(&settled).await;
    assert!(transactions <= MANY / 5, "{MANY} were settled in {transactions} transactions");
    running.stop().await;
}

/// A captive portal or a proxy without its application answers everything with a page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_captive_portal_rejects_nothing_forgets_nothing_and_deletes_nothing() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 60).await;
    let running = rig.start_all();
    rig.settled().await;
    let page = |code: u16| Fault::Status {
        code,
        headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
        body: Some(json!("<html><body>Welcome to the network</body></html>")),
        applied: false,
    };
    for code in [200, 302, 404, 400] {
        let rule = rig.sim.faults().push(Rule::new(page(code)).unlimited());
        // Tokens that still live would be used; in the field the portal is there for hours.
        rig.exec(
            "update ems.person set last_name = last_name || '!' where id % 3 = 0;
             delete from ems.person where id = (select max(id) from ems.person);
             insert into ems.person (first_name, last_name) values ('New', 'Here')",
        )
        .await;
        target_is(&rig, "(breaker <> 'closed' or disabled_on is not null)").await;
        rig.sim.faults().remove(rule);
        if rig.count("select count(*) from sync.target where disabled_on is not null").await > 0 {
            panic!("{code}: a portal is no reason to disable the target");
        }
        rig.settled().await;
        assert_in_sync(&rig).await;
        let stuck = "select count(*) from sync.record where owed_gen > done_gen";
        assert_eq!(rig.count(stuck).await, 0, "{code}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_disables_the_target_and_enabling_it_catches_up() {
    let mut rig = Rig::new().await;
    let right = rig.settings["EMS_SYNC__TARGETS__TAGSERVER__PASSWORD"].clone();
    rig.set("TARGETS__TAGSERVER__PASSWORD", "wrong");
    people(&rig, 300).await;
    let running = rig.start_all();
    target_is(&rig, "disabled_on is not null").await;
    // Changes go on meanwhile, and sweeps too.
    rig.exec("update ems.person set last_name = last_name || '!' where id % 2 = 0").await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    let logins = rig.sim.counters().logins;
    assert!(logins <= 4, "{logins} logins: the account must not be locked by us");
    assert_eq!(dead_letters(&rig).await, 0);
    assert_eq!(rig.count("select max(attempts)::bigint from sync.record").await, 0);
    assert_eq!(rig.count("select count(*) from sync.record where owed_gen > done_gen").await, 300);
    running.stop().await;

    rig.set("TARGETS__TAGSERVER__PASSWORD", &right);
    let running = rig.start_all();
    order(&rig, "enable").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(dead_letters(&rig).await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_writes_disables_the_target_once_for_all_processes() {
    let rig = Rig::new().await;
    rig.sim.faults().push(Rule::new(Fault::status(403)).writes().unlimited());
    people(&rig, 300).await;
    let (one, other) = (rig.start(&CONSUMING), rig.start(&CONSUMING));
    target_is(&rig, "disabled_on is not null").await;
    assert_eq!(dead_letters(&rig).await, 0);
    // What was on its way when the first was refused is refused too; then nothing more is sent.
    nobody_consumes(&rig).await;
    let requests = rig.sim.counters().requests;
    rig.exec("update ems.person set last_name = last_name || '!'").await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    assert_eq!(rig.sim.counters().requests, requests, "nothing is sent to a disabled target");
    rig.sim.faults().clear();
    order(&rig, "enable").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttle_pauses_the_whole_target_for_as_long_as_it_asks() {
    let rig = Rig::new().await;
    rig.sim.faults().push(Rule::new(Fault::throttled(3)).writes());
    people(&rig, 50).await;
    let running = rig.start(&CONSUMING);
    target_is(&rig, "throttled_until > now()").await;
    assert_eq!(
        rig.count("select max(attempts)::bigint from sync.record").await,
        0,
        "none is burnt"
    );
    rig.settled().await;
    assert_in_sync(&rig).await;
    let journal = rig.sim.journal();
    let throttled = journal.iter().find(|entry| entry.status == Some(429)).unwrap();
    let until = throttled.ended_us.unwrap() + 2_900_000;
    // What was on its way before its answer had reached us can't be called back.
    let on_its_way = throttled.ended_us.unwrap() + 100_000;
    let later: Vec<_> = journal
        .iter()
        .filter(|entry| entry.operation.is_write() && entry.started_us > on_its_way)
        .map(|entry| entry.started_us)
        .collect();
    assert!(!later.is_empty());
    assert!(later.iter().all(|started| *started >= until), "{until}: {later:?}");
    running.stop().await;
}

/// One row that the server will never take is set aside, and the rest of its bulk call arrives (G7). Correcting it in the
/// EMS brings it home.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_entity_stops_no_other_and_comes_home_when_it_is_corrected() {
    let rig = Rig::new().await;
    let first = people(&rig, 100).await;
    let poison = first + 50;
    let body = json!({"message": "error.validation", "fieldErrors": [{"field": "lastName", "message": "Size"}]});
    let fault = Fault::Status { code: 400, headers: Vec::new(), body: Some(body), applied: false };
    rig.sim.faults().push(Rule::new(fault).external_id(poison).writes().unlimited());
    let running = rig.start(&CONSUMING);
    rig.settled().await;
    assert_eq!(rig.sim.row_count(Resource::Person), 99);
    let is_rejected = format!(
        "select count(*) from sync.record where entity_id = {poison} and state = 'rejected'
         and state_reason = 'rejected' and last_error like '%lastName=Size%' and owed_gen > done_gen"
    );
    assert_eq!(rig.count(&is_rejected).await, 1);
    // The same content is not sent again, whatever asks for it.
    let requests = rig.sim.writes_of("people", &poison.to_string()).len();
    assert!(requests <= 2, "once in bulk, once by itself: {requests}");
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    rig.exec(&format!("update ems.person set email = 'a@ems.example' where id = {poison}")).await;
    let owed = format!(
        "select count(*) from sync.record where entity_id = {poison} and (owed_gen < 2 or state <> 'rejected')"
    );
    rig.until(&owed, "rejected again").await;
    assert_eq!(rig.sim.writes_of("people", &poison.to_string()).len(), requests);
    assert_eq!(rig.count(&format!("select count(*) from sync.record where entity_id = {poison} and state_reason = 'rejected'")).await, 1);

    rig.sim.faults().clear();
    rig.exec(&format!("update ems.person set last_name = 'Shorter' where id = {poison}")).await;
    rig.until("select count(*) from sync.record where owed_gen > done_gen", "home").await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// One try and three retries, after about 1, 2 and 4 seconds; then it waits for the next sweep.
async fn retries_then_dead_letter(rig: &Rig, id: i64, operation: Operation) {
    rig.until(
        &format!(
            "select 1 - count(*) from sync.record where entity_id = {id} and state = 'dead_letter'"
        ),
        "dead-lettered",
    )
    .await;
    let journal = rig.sim.journal();
    let started: Vec<_> = journal
        .iter()
        .filter(|entry| {
            entry.operation == operation && entry.external_ids.contains(&id.to_string())
        })
        .filter(|entry| entry.status == Some(500))
        .map(|entry| entry.started_us)
        .collect();
    let gaps = gaps(&started);
    assert_eq!(started.len(), 4, "{gaps:?}");
    for (gap, expected) in gaps.iter().zip([1.0, 2.0, 4.0]) {
        assert!((expected..expected + 0.9).contains(gap), "{gaps:?}");
    }
    let record = format!(
        "select count(*) from sync.record where entity_id = {id} and attempts = 4 and failures = 4
         and dead_lettered_on is not null and last_error like 'transient: 500%'"
    );
    assert_eq!(rig.count(&record).await, 1);
    target_is(rig, "breaker = 'closed'").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_fails_is_tried_four_times_and_again_by_the_next_sweep() {
    let rig = Rig::new().await;
    let id = people(&rig, 1).await;
    rig.sim.faults().push(Rule::new(Fault::status(500)).external_id(id).writes().unlimited());
    let running = rig.start(&CONSUMING);
    retries_then_dead_letter(&rig, id, Operation::Create).await;
    // The others arrive meanwhile and after.
    people(&rig, 20).await;
    rig.until("select 20 - count(*) from sync.record where state = 'synced'", "pushed").await;
    // A sweep tries again, and once more fails for a whole cycle or less; with the fault gone it comes home.
    rig.sim.faults().clear();
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    rig.until("select count(*) from sync.record where owed_gen > done_gen", "home").await;
    assert_in_sync(&rig).await;
    assert_eq!(dead_letters(&rig).await, 0, "it is resolved");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_fails_is_tried_four_times_and_again_by_the_next_sweep() {
    let rig = Rig::new().await;
    let id = people(&rig, 1).await;
    let running = rig.start(&CONSUMING);
    rig.until("select 1 - count(*) from sync.record where state = 'synced'", "pushed").await;
    rig.sim.faults().push(Rule::new(Fault::status(500)).external_id(id).writes().unlimited());
    rig.exec("update ems.person set last_name = 'New'").await;
    retries_then_dead_letter(&rig, id, Operation::Replace).await;
    rig.sim.faults().clear();
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    rig.until("select count(*) from sync.record where owed_gen > done_gen", "home").await;
    assert_in_sync(&rig).await;
    assert_eq!(dead_letters(&rig).await, 0);
    running.stop().await;
}

/// One row on which the server itself breaks must not take its bulk call along to the dead letters (G7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_that_breaks_the_server_stops_no_other() {
    let rig = Rig::new().await;
    let first = people(&rig, 100).await;
    let poison = first + 50;
    rig.sim.faults().push(Rule::new(Fault::status(500)).external_id(poison).writes().unlimited());
    let running = rig.start(&CONSUMING);
    rig.until("select 99 - count(*) from sync.record where state = 'synced'", "pushed").await;
    rig.until("select 1 - count(*) from sync.record where state = 'dead_letter'", "dead").await;
    assert_eq!(dead_letters(&rig).await, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_target_gets_nothing_and_is_caught_up_when_it_is_resumed() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 100).await;
    let running = rig.start_all();
    rig.settled().await;
    order(&rig, "pause").await;
    nobody_consumes(&rig).await;
    let requests = rig.sim.counters().requests;
    ems::change(&rig.ems, 1).await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    let owed = rig.count("select count(*) from sync.record where owed_gen > done_gen").await;
    assert!(owed > 50, "{owed}");
    assert_eq!(rig.sim.counters().requests, requests, "nothing is sent");
    order(&rig, "resume").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// The answer to a create is lost, then the row is deleted in the EMS: what the create made is found by our key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_meets_a_lost_create_leaves_nothing_behind() {
    let rig = Rig::new().await;
    rig.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Create));
    let running = rig.start(&CONSUMING);
    people(&rig, 1).await;
    let applied = rig.sim.wait_for(|| rig.sim.row_count(Resource::Person) == 1);
    tokio::time::timeout(Duration::from_secs(30), applied).await.expect("is applied");
    rig.exec("delete from ems.person").await;
    rig.until("select count(*) from sync.record where tombstoned_on is null", "looked for").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.sim.row_count(Resource::Person), 0);
    running.stop().await;
}

/// The create is still on its way when the delete looks for it: absence is not believed before it has settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_lands_after_the_delete_has_looked_for_it_leaves_nothing_behind() {
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    rig.sim.faults().push(Rule::new(Fault::Delay { ms: 1_800 }).operation(Operation::Create));
    let running = rig.start(&CONSUMING);
    people(&rig, 1).await;
    struck(&rig).await;
    rig.exec("delete from ems.person").await;
    rig.until("select count(*) from sync.record where tombstoned_on is null", "looked for").await;
    rig.settled().await;
    let landed = |entry: &ems_sync_remotes::Entry| {
        entry.rows.iter().any(|row| row.effect == Effect::Created)
    };
    assert!(rig.sim.journal().iter().any(landed), "the create came late, but it came");
    assert_in_sync(&rig).await;
    assert_eq!(rig.sim.row_count(Resource::Person), 0);
    running.stop().await;
}

/// A write that times out lands after the newer one that followed it: an outbound-only target would never tell, so the
/// remote is read back (G4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_write_that_lands_over_a_newer_one_is_made_good_by_the_read_back() {
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    // The read-back is after the late one, 4 s from now: the deadline, and then deadline and settle time.
    rig.set("TARGETS__TAGSERVER__SETTLE", "3s");
    let id = people(&rig, 1).await.to_string();
    let running = rig.start(&CONSUMING);
    rig.until("select 1 - count(*) from sync.record where state = 'synced'", "pushed").await;
    rig.sim.faults().push(Rule::new(Fault::Delay { ms: 4_000 }).writes());
    rig.exec("update ems.person set last_name = 'Old'").await;
    struck(&rig).await;
    rig.exec("update ems.person set last_name = 'New'").await;
    let name = || rig.sim.row(Resource::Person, &id).unwrap().body["lastName"].clone();
    let late = rig.sim.wait_for(|| {
        let rows = rig.sim.writes_of("people", &id);
        rows.iter().filter(|entry| entry.applied).count() >= 3
    });
    tokio::time::timeout(Duration::from_secs(30), late).await.expect("both land");
    assert_eq!(name(), "Old", "the older one landed over the newer one");
    let put_right = rig.sim.wait_for(|| name() == "New");
    tokio::time::timeout(Duration::from_secs(60), put_right).await.expect("read back");
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// Somebody deleted rows at the remote: the known ids are stale, and what changes is created again, parents first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_vanished_at_the_remote_are_created_again_when_they_change() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 60).await;
    let running = rig.start(&CONSUMING);
    rig.settled().await;
    for resource in Resource::ALL {
        for row in rig.sim.rows(resource) {
            rig.sim.remove(resource, row.id);
        }
    }
    rig.exec(
        "update ems.organisation set name = name || '!'; update ems.event set name = name || '!';
         update ems.race set name = name || '!'; update ems.start_group set name = name || '!';
         update ems.person set last_name = last_name || '!';
         update ems.event_participant set number = number || '1';
         update ems.start_group_participant set seq = seq + 1; update ems.tag set number = number || '1'",
    )
    .await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    rig.settled().await;
    assert_eq!(rig.count("select count(*) from sync.record where owed_gen > done_gen").await, 0);
    // It could not know better than to name parents that are gone; in the end all is there.
    let differences = crate::support::parity::differences(&rig).await;
    assert!(differences.is_empty(), "{differences:#?}");
    running.stop().await;
}
