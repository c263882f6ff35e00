//! What needs a person (G8): the retries before it, the row and its token, what a person does about it, and how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use ems_sync::broker::Queue;
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Fault, Rule};
use jiff::{SignedDuration, Timestamp};
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::{Value, json};

use crate::support::binary::{ended, of};
use crate::support::campaign::scaled;
use crate::support::parity::assert_in_sync;
use crate::support::rig::{PATIENCE, Rig};

const OPEN: &str = "select count(*) from sync.dead_letter where closed_on is null";

/// A person, and a remote that refuses every write of it with this status.
async fn failing(rig: &Rig, status: u16) -> EntityRef {
    rig.exec("insert into ems.person (first_name, last_name) values ('Dead', 'Letter')").await;
    let id = rig.count("select max(id) from ems.person").await;
    let fault = Fault::Status {
        code: status,
        headers: Vec::new(),
        body: Some(json!({"message": "error.validation"})),
        applied: false,
    };
    rig.sim.faults().push(Rule::new(fault).external_id(id).writes().unlimited());
    EntityRef::new(EntityType::Person, id)
}

async fn opened(rig: &Rig, n: i64) {
    rig.until(
        &format!("select count(*) - {n} from sync.dead_letter where closed_on is null"),
        "opened",
    )
    .await;
}

/// A token of the queue of dead letters: its body and its headers.
type Token = (Value, BTreeMap<String, AMQPValue>);

/// Every token; they stay in the queue.
async fn tokens(rig: &Rig) -> Vec<Token> {
    let connection =
        Connection::connect(&rig.services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = Queue::dead(Target::TagServer).name(&rig.prefix);
    let mut tokens = Vec::new();
    while let Some(message) =
        channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: false }).await.unwrap()
    {
        let headers = message.delivery.properties.headers().clone().unwrap_or_default();
        let headers = headers.inner().iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
        tokens.push((serde_json::from_slice(&message.delivery.data).unwrap(), headers));
    }
    connection.close(200, "done".into()).await.unwrap();
    tokens
}

fn numbers(tokens: &[Token]) -> Vec<i64> {
    let number = |(_, headers): &Token| match headers["x-dead-letter-id"] {
        AMQPValue::LongLongInt(number) => number,
        ref odd => panic!("{odd:?}"),
    };
    let mut numbers: Vec<i64> = tokens.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Waits until the queue holds exactly one token for each open dead letter. The issue gives it 30 seconds.
async fn rows_and_tokens_agree(rig: &Rig) {
    let agree = async {
        loop {
            let open = "select coalesce(array_agg(dead_letter_id order by dead_letter_id), '{}')
                        from sync.dead_letter where closed_on is null";
            let open: Vec<i64> = rig.ems.query_one(open, &[]).await.unwrap().get(0);
            if numbers(&tokens(rig).await) == open {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(PATIENCE, agree).await.expect("rows and tokens agree");
}

async fn command(rig: &Rig, line: &str) -> (Option<i32>, Value) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ended = ended(of(rig, &words)).await;
    assert!(ended.code == Some(0), "{line}: {ended:?}");
    (ended.code, serde_json::from_str(&ended.stdout).unwrap_or(Value::Null))
}

/// One try and three retries, after 1, 2 and 4 seconds; a change in between begins no second chain; a replay brings it home,
/// and a second one does no harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_attempts_then_one_dead_letter_and_a_replay_brings_it_home() {
    let rig = Rig::new().await;
    let person = failing(&rig, 503).await;
    let running = rig.start_all();
    let id = person.id.to_string();
    let writes = || rig.sim.writes_of(Resource::Person, &id);
    let second = rig.sim.wait_for(|| writes().len() == 2);
    tokio::time::timeout(PATIENCE, second).await.unwrap();
    rig.exec("update ems.person set last_name = 'Live'").await;
    opened(&rig, 1).await;

    let at: Vec<u64> = writes().iter().map(|entry| entry.started_us / 1_000).collect();
    let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    eprintln!("gaps between the attempts: {gaps:?} ms");
    assert_eq!(gaps.len(), 3, "one try and three retries");
    for (gap, least) in gaps.iter().zip([1_000, 2_000, 4_000]) {
        assert!(*gap >= least, "{gaps:?}");
    }
    let shown = ended(of(&rig, &["explain", "person", &id, "--json"])).await.json();
    assert_eq!(shown["targets"][0]["state"], "dead_letter");

    rows_and_tokens_agree(&rig).await;
    let (body, headers) = tokens(&rig).await.remove(0);
    assert_eq!((&body["entity"], &body["id"]), (&json!("person"), &json!(person.id)));
    assert_eq!(headers["x-reason"], AMQPValue::LongString("transient".into()));
    assert_eq!(headers["x-attempts"], AMQPValue::LongInt(4));
    assert!(headers.contains_key("x-error"));
    let on = |header| match &headers[header] {
        AMQPValue::LongString(text) => text.to_string().parse::<Timestamp>().unwrap(),
        odd => panic!("{header}: {odd:?}"),
    };
    let lasted = on("x-last-failed-on").duration_since(on("x-first-failed-on"));
    assert!(lasted >= SignedDuration::from_secs(7), "all of its attempts, not the last: {lasted}");

    rig.sim.faults().clear();
    let (_, changed) = command(&rig, "dead-letters replay --target tagserver --json").await;
    assert_eq!((&changed["matched"], &changed["changed"]), (&json!(1), &json!(1)));
    command(&rig, "dead-letters replay --target tagserver --json").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.count(OPEN).await, 0);
    assert_eq!(rig.sim.rows(Resource::Person).len(), 1);
    assert_eq!(writes().len(), 5, "one write more");
    let outcome = "select count(*) from sync.dead_letter where outcome = 'resolved' and closed_by = 'ems-sync'";
    assert_eq!(rig.count(outcome).await, 1);
    let (_, changed) = command(&rig, "dead-letters replay --target tagserver --json").await;
    assert_eq!(changed["matched"], 0, "nothing is open");
    rows_and_tokens_agree(&rig).await;
    running.stop().await;
}

/// While a dead letter is open a sweep makes a single attempt, the next sweeps none until the gap is over, and a change
/// begins a whole cycle that resolves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_tries_once_ever_more_seldom_and_a_later_success_resolves() {
    let rig = Rig::new().await;
    let person = failing(&rig, 503).await;
    let running = rig.start_all();
    opened(&rig, 1).await;
    let id = person.id.to_string();
    let writes = || rig.sim.writes_of(Resource::Person, &id).len();
    assert_eq!(writes(), 4);
    for (failed, minutes) in [(2, 5), (3, 10), (4, 20)] {
        assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
        rig.until(
            &format!("select {failed} - max(cycles)::bigint from sync.dead_letter"),
            "tried once",
        )
        .await;
        assert_eq!(writes(), 3 + failed);
        // Another sweep leaves it alone.
        assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
        let due =
            "select count(*) from sync.record where owed_gen > done_gen and due_on < 'infinity'";
        assert_eq!(rig.count(due).await, 0);
        let gap = "select round(extract(epoch from next_try_on - last_failed_on) / 60)::bigint from sync.dead_letter";
        assert_eq!(rig.count(gap).await, minutes);
        rig.exec("update sync.dead_letter set next_try_on = now()").await;
    }
    rig.sim.faults().clear();
    rig.exec("update ems.person set last_name = 'Corrected'").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.count(OPEN).await, 0);
    let marked = "select count(*) from sync.record where dead_lettered_on is not null";
    assert_eq!(rig.count(marked).await, 0);
    rows_and_tokens_agree(&rig).await;
    running.stop().await;
}

/// The read-backs of an ambiguous write don't bring a dead letter round again before its time: they only keep the doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_after_lost_answers_keeps_to_its_gap() {
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    rig.set("TARGETS__TAGSERVER__SETTLE", "100ms");
    rig.exec("insert into ems.person (first_name, last_name) values ('Never', 'Answered')").await;
    let id = rig.count("select max(id) from ems.person").await;
    rig.sim.faults().push(Rule::new(Fault::Hang { ms: None }).external_id(id).writes().unlimited());
    let running = rig.start_all();
    opened(&rig, 1).await;
    let writes = || rig.sim.writes_of(Resource::Person, &id.to_string()).len();
    let before = writes();
    rig.exec("update sync.record set read_back_on = now() where read_back_on is not null").await;
    rig.until("select greatest(0, 1 - read_back_step::bigint) from sync.record", "looked at").await;
    let left_alone = "select count(*) from sync.record where state = 'dead_letter' and due_on = 'infinity' and in_doubt";
    assert_eq!(rig.count(left_alone).await, 1);
    assert_eq!(writes(), before);
    rig.sim.faults().clear();
    command(&rig, "dead-letters replay --target tagserver --json").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// Rejected at once, shown with what to do; discarded, it is left alone by every sweep until it changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_discarded_is_left_alone_until_it_changes() {
    let rig = Rig::new().await;
    let person = failing(&rig, 400).await;
    let running = rig.start_all();
    opened(&rig, 1).await;
    let writes = || rig.sim.writes_of(Resource::Person, &person.id.to_string()).len();
    assert_eq!(writes(), 1);
    let (_, listed) = command(&rig, "dead-letters list --target tagserver --json").await;
    let row = &listed[0];
    assert_eq!((&row["entity"], &row["id"]), (&json!("person"), &json!(person.id)));
    assert_eq!((&row["state"], &row["reason"]), (&json!("dead_letter"), &json!("rejected")));
    assert!(row["advice"].as_str().unwrap().contains("Correct the entity"));
    let number = row["dead_letter"].as_i64().unwrap();
    let (_, shown) = command(&rig, &format!("dead-letters show --number {number} --json")).await;
    assert_eq!(shown[0]["last_attempts"].as_array().unwrap().len(), 1);

    let dry = format!("dead-letters discard --number {number} --dry-run --json");
    assert_eq!(command(&rig, &dry).await.1["changed"], 1);
    assert_eq!(rig.count(OPEN).await, 1, "a dry run changes nothing");
    let wet = format!("dead-letters discard --number {number} --json");
    assert_eq!(command(&rig, &wet).await.1["changed"], 1);
    assert_eq!(command(&rig, &wet).await.1["changed"], 0, "once is enough");
    rows_and_tokens_agree(&rig).await;
    for _ in 0..2 {
        assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
        rig.settled().await;
    }
    assert_eq!(writes(), 1);
    let checked = ended(of(&rig, &["status", "--check"])).await;
    assert_eq!(checked.code, Some(0), "nobody is needed any more: {checked:?}");
    let explained = ended(of(&rig, &["explain", "person", &person.id.to_string(), "--json"])).await;
    assert_eq!(explained.json()["targets"][0]["reason"], "discarded");

    rig.sim.faults().clear();
    rig.exec("update ems.person set last_name = 'Corrected'").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// A message that nobody can read gets one row for its content, whose token can be watched; nothing of it is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_no_delivery_becomes_a_dead_letter_without_its_content() {
    let rig = Rig::new().await;
    let running = rig.start_all();
    rig.exec("insert into ems.person (first_name, last_name) values ('The', 'First')").await;
    rig.until("select 1 - count(*) from sync.record where state = 'synced'", "pushed").await;
    let connection =
        Connection::connect(&rig.services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = Queue::outbound(Target::TagServer).name(&rig.prefix);
    for body in ["canary@example.org", "canary@example.org", "{\"v\":7}"] {
        let publish = channel.basic_publish(
            "".into(),
            queue.as_str().into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            BasicProperties::default(),
        );
        publish.await.unwrap();
    }
    opened(&rig, 2).await;
    rig.until("select 2 - max(cycles)::bigint from sync.dead_letter", "seen twice").await;
    rows_and_tokens_agree(&rig).await;
    let everything = format!("{:?}", tokens(&rig).await);
    let rows = "select string_agg(d::text, ' ') from sync.dead_letter d";
    let everything = everything + &rig.ems.query_one(rows, &[]).await.unwrap().get::<_, String>(0);
    assert!(!everything.contains("canary"), "{everything}");
    let (_, listed) = command(&rig, "dead-letters list --reason undecodable --json").await;
    let mut sizes: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| &row["message_bytes"]).collect();
    sizes.sort_by_key(|size| size.as_i64());
    assert_eq!(sizes, [7, 18]);
    assert_eq!(listed[0]["message_digest"].as_str().unwrap().len(), 64);
    let (_, changed) = command(&rig, "dead-letters replay --target tagserver --json").await;
    assert_eq!((&changed["changed"], &changed["not_replayable"]), (&json!(0), &json!(2)));
    // One that can be put back comes after them, and a limit counts only such.
    rig.sim.faults().push(Rule::new(refusal()).writes().unlimited());
    rig.exec("update ems.person set last_name = 'Second'").await;
    opened(&rig, 3).await;
    rig.sim.faults().clear();
    for (limit, more) in [("1", true), ("3", false)] {
        let listed = ended(of(&rig, &["dead-letters", "list", "--limit", limit])).await.stdout;
        assert_eq!(listed.contains("There are more"), more, "{listed}");
    }
    let limited = "dead-letters replay --target tagserver --limit 1 --json";
    let (_, changed) = command(&rig, limited).await;
    assert_eq!((&changed["changed"], &changed["not_replayable"]), (&json!(1), &json!(2)));
    rig.settled().await;
    let (_, changed) = command(&rig, limited).await;
    assert_eq!((&changed["changed"], &changed["not_replayable"]), (&json!(0), &json!(2)));
    let status = ended(of(&rig, &["status", "--json"])).await.json();
    assert_eq!(status["targets"][0]["dead_letters"], 2);
    command(&rig, "dead-letters discard --target tagserver --reason undecodable --json").await;
    rows_and_tokens_agree(&rig).await;
    running.stop().await;
}

/// The target refuses what it is sent.
fn refusal() -> Fault {
    let body = Some(json!({"message": "error.validation"}));
    Fault::Status { code: 400, headers: Vec::new(), body, applied: false }
}

/// Forty people (a thousand in a campaign) are refused; filters take what they say, a limit ends, a rate holds, and a replay that is
/// killed goes on where it ended: each comes home with one write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_by_filter_is_limited_and_can_be_killed_and_repeated() {
    let rig = Rig::new().await;
    let people = scaled(40, 1_000);
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name) select 'P', n::text from generate_series(1, {people}) n"
    ))
    .await;
    rig.sim.faults().push(Rule::new(refusal()).writes().unlimited());
    let running = rig.start_all();
    opened(&rig, people as i64).await;
    rig.sim.faults().clear();
    let refused = rig.writes();

    for nothing in [
        "--target mautic",
        "--target tagserver --entity tag",
        "--target tagserver --reason transient",
        "--target tagserver --error certificate",
        "--target tagserver --older-than 2h",
        "--target tagserver --entity person --id 0",
    ] {
        let line = format!("dead-letters replay --json {nothing}");
        assert_eq!(command(&rig, &line).await.1["matched"], 0, "{nothing}");
    }
    let dry = "dead-letters replay --target tagserver --dry-run --json";
    assert_eq!(command(&rig, dry).await.1["changed"], people);
    assert_eq!(rig.count(OPEN).await, people as i64);
    let limited = "dead-letters replay --target tagserver --limit 3 --error REJECTED --json";
    assert_eq!(command(&rig, limited).await.1["changed"], 3);

    let rate = (people / 40).to_string();
    let slow = ["dead-letters", "replay", "--target", "tagserver", "--rate", &rate, "--json"];
    let mut slow = rig.spawn(&slow);
    rig.until(
        "select greatest(0, 5 - count(*)) from sync.dead_letter where replayed_on is not null",
        "under way",
    )
    .await;
    slow.kill().await.unwrap();
    let rest = rig
        .count(
            "select count(*) from sync.dead_letter where closed_on is null and replayed_on is null",
        )
        .await;
    assert!(rest > 0, "it was killed too late");
    let (_, changed) =
        command(&rig, "dead-letters replay --target tagserver --rate 1000 --json").await;
    assert_eq!(changed["changed"], rest);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.count(OPEN).await, 0);
    assert_eq!(rig.writes_applied(), people, "each once; {refused} requests were refused before");
    let put_back = "select count(*) from sync.operator_event where event = 'dead_letter_replayed'";
    assert_eq!(rig.count(put_back).await, people as i64, "each once, whoever was killed");
    running.stop().await;
}

/// An old dead letter of somebody who is gone brings nobody back (F102).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_somebody_who_was_deleted_creates_nobody() {
    let rig = Rig::new().await;
    failing(&rig, 400).await;
    let running = rig.start_all();
    opened(&rig, 1).await;
    rig.sim.faults().clear();
    let writes = rig.writes();
    rig.exec("alter table ems.person disable trigger all; delete from ems.person").await;
    command(&rig, "dead-letters replay --target tagserver --json").await;
    rig.settled().await;
    assert_eq!(rig.writes(), writes);
    assert!(rig.sim.rows(Resource::Person).is_empty());
    assert_eq!(rig.count(OPEN).await, 0, "there is nothing left to do");
    running.stop().await;
}

/// Whatever step of dead-lettering a process dies at, the row and its token find each other.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_between_the_steps_leaves_row_and_token_in_agreement() {
    use crate::support::process::ends_within;

    for point in ["finish.committed", "dead_letter.committed", "dead_letter.published", "acked"] {
        let mut rig = Rig::new().await;
        rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
        let person = failing(&rig, 400).await;
        let all = ["run", "--roles", "relay,consume,sweep"];
        let mut dying =
            of(&rig, &all).env("FAILPOINTS", format!("{point}=return")).spawn().unwrap();
        assert_eq!(ends_within(&mut dying, 60).await, None, "{point}: it was killed");
        let mut heir = rig.spawn(&all);
        opened(&rig, 1).await;
        rows_and_tokens_agree(&rig).await;
        // And the way back: put back by hand, killed again when it has succeeded.
        heir.kill().await.unwrap();
        rig.sim.faults().clear();
        command(&rig, "dead-letters replay --target tagserver --json").await;
        let mut dying =
            of(&rig, &all).env("FAILPOINTS", "finish.committed=return").spawn().unwrap();
        assert_eq!(ends_within(&mut dying, 60).await, None, "{point}: it was killed");
        let mut heir = rig.spawn(&all);
        rig.settled().await;
        rows_and_tokens_agree(&rig).await;
        assert_eq!(rig.count(OPEN).await, 0, "{person} came home");
        assert_in_sync(&rig).await;
        heir.kill().await.unwrap();
    }
}
