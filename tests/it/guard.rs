//! The blast-radius guard (G10): a burst of deletes is held before the first call, and a person decides.

use std::time::Duration;

use ems_sync::deliver::guard::Limits;
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::process::Role;
use ems_sync::store::{DeleteVerdict, Weighed};
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::{Bulk, Resource};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use crate::support::ems;
use crate::support::parity::{assert_in_sync, differences};
use crate::support::rig::Rig;

mod decided;

const CONSUMING: [Role; 2] = [Role::Relay, Role::Consume];

/// At most this many deletes, whatever the target holds.
async fn guarded(max_deletes: u32) -> Rig {
    let mut rig = Rig::new().await;
    rig.set("GUARD__MAX_DELETES", &max_deletes.to_string());
    rig.set("GUARD__MAX_DELETE_SHARE", "0");
    rig
}

/// DELETE requests that have arrived at the remote.
fn deletes(rig: &Rig) -> usize {
    rig.sim.journal().iter().filter(|entry| entry.operation == Operation::Delete).count()
}

/// Waits until everything that is owed is held, or waits for a child that is.
async fn all_held(rig: &Rig) {
    rig.until(
        "select (select count(*) from sync.outbox)
              + (select count(*) from sync.record
                 where owed_gen > done_gen and not (gone and (state = 'held' or coalesce(state_reason, '') = 'waiting_for_child')))",
        "held",
    )
    .await;
}

/// How many records are gone from the EMS and not from the remote.
async fn gone_here(rig: &Rig) -> i64 {
    rig.count("select count(*) from sync.record where gone and remote_id is not null").await
}

async fn decisions(rig: &Rig, decision: &str) -> i64 {
    rig.count(&format!("select count(*) from sync.guard_decision where decision = '{decision}'"))
        .await
}

async fn json(rig: &Rig, arguments: &[&str]) -> Value {
    let (code, text) = rig.run(arguments).await;
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Persons without anything that is theirs; the id of the first.
async fn people(rig: &Rig, n: i64) -> i64 {
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name) select 'Thandi', 'Runner ' || n from generate_series(1, {n}) n"
    ))
    .await;
    rig.settled().await;
    rig.count(&format!("select max(id) - {n} + 1 from ems.person")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_delete_is_held_before_the_first_call_and_an_approval_lets_exactly_it_through() {
    let rig = guarded(20).await;
    let (one, other) = (rig.start(&CONSUMING), rig.start(&CONSUMING));
    ems::populate(&rig.ems, 160).await;
    rig.settled().await;
    let rows = |rig: &Rig| Resource::ALL.iter().map(|r| rig.sim.rows(*r).len()).sum::<usize>();
    let before = rows(&rig);
    rig.exec("delete from ems.person where id <= 100").await;
    all_held(&rig).await;
    assert_eq!((deletes(&rig), rows(&rig)), (0, before), "held before the first call");
    assert_eq!(decisions(&rig, "tripped").await, 1, "one alert");

    // What is no delete goes on.
    rig.exec(
        "update ems.person set last_name = last_name || '!' where id > 100;
         insert into ems.person (first_name, last_name) values ('New', 'Here')",
    )
    .await;
    let not_yet = "select count(*) from sync.record where owed_gen > done_gen and not gone";
    rig.until("select count(*) from sync.outbox", "owed").await;
    rig.until(not_yet, "pushed").await;
    // Further deletes join what is held, however few.
    rig.exec("delete from ems.person where last_name = 'Here'").await;
    all_held(&rig).await;
    assert_eq!(deletes(&rig), 0);
    assert_eq!(decisions(&rig, "tripped").await, 1, "it is the same alert");

    // A person is told.
    let (code, text) = rig.run(&["status", "--json", "--check"]).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    let held = rig.count("select count(*) from sync.record where state = 'held'").await;
    assert_eq!(code, 1);
    assert!(held > 100, "{held}");
    assert_eq!(status["targets"][0]["state"], "held");
    assert_eq!(
        (&status["targets"][0]["held"], &status["targets"][0]["kept"]),
        (&json!(held), &json!(0))
    );
    let held_tag = rig
        .count(
            "select min(entity_id) from sync.record where state = 'held' and entity_type = 'tag'",
        )
        .await;
    let explained = json(&rig, &["explain", "tag", &held_tag.to_string(), "--json"]).await;
    assert_eq!(
        (&explained["targets"][0]["state"], &explained["targets"][0]["reason"]),
        (&json!("held"), &json!("guard"))
    );
    assert!(
        explained["targets"][0]["advice"].as_str().unwrap().contains("target approve tagserver")
    );
    let parent = rig.count("select min(entity_id) from sync.record where state = 'waiting' and entity_type = 'person'").await;
    let explained = json(&rig, &["explain", "person", &parent.to_string(), "--json"]).await;
    assert!(
        explained["targets"][0]["next"].as_str().unwrap().contains("held for a person"),
        "{explained}"
    );

    // What comes after the approval is held anew.
    let burst = gone_here(&rig).await;
    let approved =
        json(&rig, &["target", "approve", "tagserver", "--reason", "race is over", "--json"]).await;
    assert_eq!((&approved["deletes"], &approved["target"]), (&json!(burst), &json!("tagserver")));
    rig.exec("delete from ems.person where id > 130").await;
    all_held(&rig).await;
    assert_eq!(deletes(&rig) as i64, burst, "exactly these");
    assert_eq!(decisions(&rig, "tripped").await, 2);
    let by = "select count(*) from sync.guard_decision where decision = 'approved' and decided_by = 'command line: race is over'
              and database_role = session_user and deletes = ";
    assert_eq!(rig.count(&format!("{by}{burst}")).await, 1, "it is written down who approved what");

    let second = gone_here(&rig).await;
    assert!(second > 30);
    let approved = json(&rig, &["target", "approve", "tagserver", "--json"]).await;
    assert_eq!(approved["deletes"], second);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(deletes(&rig) as i64, burst + second);
    // Nothing is left to decide.
    for order in ["approve", "reject"] {
        assert_eq!(json(&rig, &["target", order, "tagserver", "--json"]).await["deletes"], 0);
    }
    assert_eq!((decisions(&rig, "approved").await, decisions(&rig, "rejected").await), (2, 0));
    assert_eq!(rig.run(&["status", "--check"]).await.0, 0);
    one.stop().await;
    other.stop().await;
}

/// What joins after a person has looked is not let through with what they saw: that is decided, and the rest stays held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_of_what_was_seen_lets_nothing_else_through() {
    let rig = guarded(5).await;
    let running = rig.start(&CONSUMING);
    let first = people(&rig, 30).await;
    rig.exec(&format!("delete from ems.person where id < {first} + 10")).await;
    all_held(&rig).await;
    let look = ["target", "approve", "tagserver", "--dry-run", "--json"];
    let seen = json(&rig, &look).await;
    assert_eq!(seen["undecided"], 10, "{seen}");
    let old = seen["seen"].as_str().unwrap().to_owned();
    let text = rig.run(&["target", "approve", "tagserver", "--dry-run"]).await.1;
    assert!(text.contains(&format!("ems-sync target approve tagserver --seen {old}")), "{text}");

    rig.exec(&format!("delete from ems.person where id = {first} + 20")).await;
    all_held(&rig).await;
    // Words that nobody was shown; the last one claims to be of later.
    let later = format!("9{}", &old[1..]);
    for order in ["approve", "reject"] {
        for word in ["", "nonsense", "0.0", &later] {
            let (code, text) =
                rig.run(&["target", order, "tagserver", "--seen", word, "--json"]).await;
            let shown: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((code, &shown["undecided"]), (1, &json!(11)), "{order} {word}: {shown}");
        }
    }
    assert_eq!((decisions(&rig, "approved").await, decisions(&rig, "rejected").await), (0, 0));
    assert_eq!(deletes(&rig), 0);
    let now = json(&rig, &look).await["seen"].as_str().unwrap().to_owned();
    assert_ne!(now, old);
    let (code, text) = rig.run(&["target", "approve", "tagserver", "--seen", &old]).await;
    assert!(code == 0 && text.contains("10 deletes are sent to `tagserver`"), "{text}");
    assert!(text.contains("1 more joined since at `tagserver`"), "{text}");
    all_held(&rig).await;
    assert_eq!((deletes(&rig), gone_here(&rig).await), (10, 1));
    let (code, status) = rig.run(&["status", "--json", "--check"]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!((code, &status["targets"][0]["held"]), (1, &json!(1)), "a person is needed yet");
    // What was seen is not there any more.
    for word in [&old, &now] {
        let (code, text) = rig.run(&["target", "approve", "tagserver", "--seen", word]).await;
        assert_eq!(code, 1, "{text}");
    }
    let seen = json(&rig, &look).await["seen"].as_str().unwrap().to_owned();
    let approved = json(&rig, &["target", "approve", "tagserver", "--seen", &seen, "--json"]).await;
    assert_eq!((&approved["deletes"], &approved["undecided"]), (&json!(1), &json!(0)));
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(deletes(&rig), 11);
    assert_eq!(decisions(&rig, "tripped").await, 1, "it was one burst");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_table_is_held_and_a_rejection_leaves_the_remote_as_it_is() {
    let rig = guarded(20).await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 60).await;
    rig.settled().await;
    let first = rig.sim.row(Resource::Person, "1").unwrap().id;
    rig.exec("create table ems.saved as table ems.person; truncate ems.person cascade").await;
    rig.until(
        "select count(*) - 60 from sync.record where entity_type = 'person' and gone",
        "gone",
    )
    .await;
    all_held(&rig).await;
    assert_eq!(deletes(&rig), 0, "held before the first call");

    let burst = gone_here(&rig).await;
    let rejected = json(&rig, &["target", "reject", "tagserver", "--json"]).await;
    assert_eq!(rejected["deletes"], burst);
    assert_eq!(json(&rig, &["target", "reject", "tagserver", "--json"]).await["deletes"], 0);
    let kept = "select count(*) from sync.record where state = 'held' and state_reason = 'delete_rejected'";
    assert_eq!(rig.count(kept).await, burst, "children and parents alike");
    // It is listed, and needs nobody.
    let (code, text) = rig.run(&["status", "--json", "--check"]).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &status["targets"][0]["kept"]), (0, &json!(burst)), "{text}");
    assert_eq!(
        (&status["targets"][0]["state"], &status["targets"][0]["reason"]),
        (&json!("held"), &json!("deletes_rejected"))
    );
    // No sweep finds it again.
    let found = json(&rig, &["sweep", "outbound", "--json"]).await;
    assert_eq!(found["targets"][0]["found"]["orphaned"].as_i64().unwrap_or(0), 0, "{found}");

    // Half of the persons come back, as they were and changed: they are updated, not made anew.
    rig.exec(
        "insert into ems.person overriding system value select * from ems.saved where id <= 30;
         update ems.person set last_name = last_name || '?' where id <= 15",
    )
    .await;
    rig.settled().await;
    assert_eq!(rig.sim.row(Resource::Person, "1").unwrap().id, first);
    assert_eq!(rig.count(kept).await, burst - 30);
    assert_eq!(
        rig.count(
            "select count(*) from sync.record where entity_type = 'person' and state = 'synced'"
        )
        .await,
        30
    );
    // An approval of what is held now does not touch what a person rejected …
    assert_eq!(json(&rig, &["target", "approve", "tagserver", "--json"]).await["deletes"], 0);
    // … and one that says so does.
    let approved = json(&rig, &["target", "approve", "tagserver", "--kept", "--json"]).await;
    assert_eq!(approved["deletes"], burst - 30);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(deletes(&rig) as i64, burst - 30);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_deletes_flow_and_each_window_has_its_own_allowance() {
    let rig = guarded(20).await;
    let running = rig.start(&CONSUMING);
    let first = people(&rig, 100).await;
    let delete = async |from: i64, n: i64| {
        rig.exec(&format!(
            "delete from ems.person where id >= {first} + {from} and id < {first} + {from} + {n}"
        ))
        .await;
    };
    delete(0, 12).await;
    rig.settled().await;
    assert_eq!(deletes(&rig), 12);
    // The allowance of this window is half used: nine more are too many, all nine of them.
    delete(12, 9).await;
    all_held(&rig).await;
    assert_eq!(deletes(&rig), 12);
    assert_eq!(json(&rig, &["target", "approve", "tagserver", "--json"]).await["deletes"], 9);
    rig.settled().await;
    // What a person approved is not counted against the rest.
    delete(21, 8).await;
    rig.settled().await;
    assert_eq!(deletes(&rig), 12 + 9 + 8);
    // The next window.
    rig.exec(
        "update sync.guard set window_started_on = window_started_on - interval '299 seconds'",
    )
    .await;
    delete(29, 20).await;
    let waiting = "select count(*) - 20 from sync.record where gone and state = 'held'";
    rig.until(waiting, "held").await;
    assert_eq!(json(&rig, &["target", "reject", "tagserver", "--json"]).await["deletes"], 20);
    rig.exec("update sync.guard set window_started_on = window_started_on - interval '1 hour'")
        .await;
    delete(49, 20).await;
    rig.settled().await;
    assert_eq!(deletes(&rig), 12 + 9 + 8 + 20);
    assert_eq!(
        rig.count("select let_through from sync.guard where target = 'tagserver'").await,
        20
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_share_of_many_records_is_allowed() {
    let mut rig = guarded(20).await;
    rig.set("GUARD__MAX_DELETE_SHARE", "0.1");
    let running = rig.start(&CONSUMING);
    people(&rig, 1_000).await;
    rig.exec("delete from ems.person where id % 10 = 0").await;
    rig.settled().await;
    assert_eq!(deletes(&rig), 100);
    rig.exec("delete from ems.person where id % 100 = 1").await;
    all_held(&rig).await;
    assert_eq!(deletes(&rig), 100, "a tenth of a thousand, and of 900 no more");
    running.stop().await;
}

/// A relay that is slow or away: what it has not taken yet is owed as well. One delete is claimed by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_relay_has_taken_yet_is_weighed_too() {
    let rig = guarded(20).await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 60).await;
    rig.settled().await;
    running.stop().await;
    let limits = Limits { max_deletes: 20, share: 0, window: Duration::from_secs(300) };
    // What is at stake when person 1 is deleted with `also`; all of it is put back.
    let at_stake = async |also: &str| {
        rig.exec(&format!("begin; {also}; commit")).await;
        rig.exec(
            "update sync.guard set window_started_on = null, let_through = 0, tripped_on = null",
        )
        .await;
        let entity = EntityRef::new(EntityType::Tag, 1);
        let row = "update sync.record set owed_gen = done_gen + 1, delete_verdict = null
                   where entity_type = 'tag' and entity_id = 1 returning owed_gen";
        let owed_gen: i64 = rig.ems.query_one(row, &[]).await.unwrap().get(0);
        let delete = Weighed { entity, owed_gen, is_gone: true, loses: Vec::new() };
        let guarded = rig.store.guard_deletes(Target::TagServer, &[delete], limits).await;
        let guarded = guarded.unwrap();
        rig.exec(
            "update sync.record set owed_gen = done_gen, gone = false; delete from sync.outbox",
        )
        .await;
        let counts = guarded.tripped.map(|counts| counts.waiting);
        assert_eq!(guarded.verdicts[&entity] == DeleteVerdict::Held, counts.is_some());
        counts.unwrap_or(0)
    };
    assert_eq!(at_stake("select").await, 0, "one by itself");
    // Entities that were deleted and inserted again are there.
    let reload = "create temporary table sgp as table ems.start_group_participant;
                  delete from ems.start_group_participant;
                  insert into ems.start_group_participant overriding system value select * from sgp";
    assert_eq!(at_stake(reload).await, 0);
    assert!(rig.count("select count(*) from ems.start_group_participant").await == 30);
    // Nobody knows which they were, but they are gone.
    assert_eq!(at_stake("truncate ems.start_group_participant").await, 31);
    // Content that changed is no delete, and out of scope is one.
    assert_eq!(at_stake("update ems.event_participant set status = 'WITHDRAWN'").await, 0);
    let narrow = "create or replace view sync.tagserver_event_participant as
                  select p.id, p.modified_on, array['event:' || p.event_id, 'person:' || p.person_id] as parents, p.event_id,
                         p.person_id, p.number, p.status
                  from ems.event_participant p where p.status = 'WITHDRAWN'";
    let leave = "update ems.event_participant set status = 'CONFIRMED' where id <= 25";
    assert_eq!(at_stake(&format!("{narrow}; {leave}")).await, 26);
    // A view that can't be read says nothing.
    let broken = narrow.replace("p.status = 'WITHDRAWN'", "1 / (p.id - p.id) = 1");
    assert_eq!(at_stake(&format!("{broken}; {leave}")).await, 0);
    assert_eq!(at_stake("delete from ems.tag where id between 2 and 21").await, 21);
}

/// Deletes that trickle in one by one at several processes: together they send no more than one may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_share_one_allowance() {
    let rig = guarded(20).await;
    let running = [rig.start(&CONSUMING), rig.start(&CONSUMING), rig.start(&CONSUMING)];
    let first = people(&rig, 80).await;
    for id in first..first + 80 {
        rig.exec(&format!("delete from ems.person where id = {id}")).await;
    }
    all_held(&rig).await;
    let sent = deletes(&rig);
    assert!(sent <= 20, "{sent} were sent");
    assert_eq!(gone_here(&rig).await, 80 - sent as i64);
    assert_eq!(decisions(&rig, "tripped").await, 1);
    assert_eq!(
        json(&rig, &["target", "approve", "tagserver", "--json"]).await["deletes"],
        80 - sent
    );
    rig.settled().await;
    assert_in_sync(&rig).await;
    for running in running {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_is_tried_again_is_counted_once() {
    let mut rig = guarded(20).await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    let running = rig.start(&CONSUMING);
    let first = people(&rig, 40).await;
    let push = |rule: Rule| rig.sim.faults().push(rule.operation(Operation::Delete));
    // Too few to open the breaker.
    push(Rule::new(Fault::status(503)).times(2));
    push(Rule::new(Fault::CommitThenDrop).times(1));
    push(Rule::new(Fault::Hang { ms: None }).times(1));
    rig.exec(&format!("delete from ems.person where id < {first} + 20")).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert!(deletes(&rig) > 20, "some were tried again");
    assert!(rig.sim.faults().rules().is_empty());
    assert_eq!(decisions(&rig, "tripped").await, 0);
    assert_eq!(
        rig.count("select let_through from sync.guard where target = 'tagserver'").await,
        20
    );
    running.stop().await;
}

/// While a target is disabled deletes pile up, and are told from what has come and gone meanwhile (F99, F100).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_that_pile_up_while_a_target_is_disabled_are_one_burst() {
    let rig = guarded(20).await;
    let running = rig.start(&CONSUMING);
    let first = people(&rig, 60).await;
    running.stop().await;
    assert_eq!(rig.run(&["target", "disable", "tagserver"]).await.0, 0);
    let running = rig.start(&CONSUMING);
    // These were never at the remote: they count for nothing.
    rig.exec("insert into ems.person (first_name, last_name) select 'Short', 'Lived' from generate_series(1, 300)").await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    rig.exec("delete from ems.person where first_name = 'Short'").await;
    rig.exec(&format!("delete from ems.person where id < {first} + 20")).await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    assert_eq!(rig.run(&["target", "enable", "tagserver"]).await.0, 0);
    rig.settled().await;
    assert_eq!(deletes(&rig), 20, "as many as are allowed");
    assert_in_sync(&rig).await;

    running.stop().await;
    assert_eq!(rig.run(&["target", "disable", "tagserver"]).await.0, 0);
    let running = rig.start(&CONSUMING);
    rig.exec("delete from ems.person").await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    assert_eq!(rig.run(&["target", "enable", "tagserver"]).await.0, 0);
    all_held(&rig).await;
    assert_eq!(deletes(&rig), 20);
    running.stop().await;
}

/// An EMS that reads as empty, by a view that shows nothing, deletes nothing; when it reads as before, all is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_that_shows_nothing_deletes_nothing_and_is_forgiven() {
    let rig = guarded(20).await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 50).await;
    rig.settled().await;
    let view = |condition: &str| {
        format!(
            "create or replace view sync.tagserver_person as
             select p.id, p.modified_on, '{{}}'::text[] as parents, p.first_name, p.last_name, p.date_of_birth, p.gender
             from ems.person p where {condition}"
        )
    };
    rig.exec(&view("false")).await;
    rig.exec("update ems.person set last_name = last_name || '!' where id % 2 = 0").await;
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    all_held(&rig).await;
    assert_eq!(deletes(&rig), 0);
    rig.exec(&view("true")).await;
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(deletes(&rig), 0);
    assert_eq!(
        rig.count("select count(*) from sync.record where gone or state <> 'synced'").await,
        0
    );

    // The trip is over with what it held: one delete is one delete.
    rig.exec("delete from ems.tag where id = (select max(id) from ems.tag)").await;
    rig.settled().await;
    assert_eq!(deletes(&rig), 1);

    // An error is no answer: nobody is gone.
    rig.exec(&view("1 / (p.id - p.id) = 1")).await;
    rig.exec("update ems.person set last_name = last_name || '?'").await;
    rig.until("select count(*) from sync.outbox", "taken").await;
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 1, "the sweep says so");
    assert_eq!(
        rig.count("select count(*) from sync.record where gone and entity_type = 'person'").await,
        0
    );
    rig.exec(&view("true")).await;
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(deletes(&rig), 1);
    running.stop().await;
}

/// Look-ups and lists that answer 200 with nothing, with a page for people or with half of it: nothing is deleted, and
/// nothing is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_empty_odd_or_half_there_deletes_nothing() {
    let mut rig = guarded(1_000).await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    rig.sim.configure(|settings| settings.bulk = Bulk::NotFound);
    let running = rig.start_all();
    ems::populate(&rig.ems, 40).await;
    rig.settled().await;
    let half_page = Fault::Status {
        code: 200,
        headers: vec![("X-Total-Count".to_owned(), "1000".to_owned())],
        body: Some(json!([{"id": 1, "externalId": "1", "firstName": "Half", "lastName": "There"}])),
        applied: false,
    };
    let kinds = [
        Garbage::EmptyList,
        Garbage::Html,
        Garbage::TruncatedJson,
        Garbage::CutOff,
        Garbage::EmptyBody,
    ];
    let odd = kinds.into_iter().map(Fault::garbage).chain([half_page]);
    for (round, fault) in odd.enumerate() {
        for operation in [Operation::Find, Operation::List, Operation::Read] {
            rig.sim.faults().push(Rule::new(fault.clone()).operation(operation).unlimited());
        }
        // Creates whose answers are lost are looked up; so are records in doubt.
        let lost = Rule::new(Fault::CommitThenDrop).operation(Operation::Create).times(2);
        rig.sim.faults().push(lost);
        rig.exec(&format!(
            "update ems.person set last_name = last_name || '{round}' where id % 3 = 0;
             insert into ems.person (first_name, last_name) select 'New', 'Runner ' || n from generate_series(1, 4) n"
        ))
        .await;
        let looked = |rig: &Rig| {
            let looks = [Operation::Find, Operation::List, Operation::Read];
            rig.sim.journal().iter().filter(|entry| looks.contains(&entry.operation)).count()
        };
        let before = looked(&rig);
        let looks = rig.sim.wait_for(|| looked(&rig) > before);
        tokio::time::timeout(Duration::from_secs(60), looks).await.expect("it looks");
        assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
        assert_eq!(deletes(&rig), 0, "{fault:?}");
        rig.sim.faults().clear();
        rig.exec(
            "update sync.target set breaker_until = clock_timestamp() where breaker <> 'closed'",
        )
        .await;
        // What ended in a dead letter meanwhile begins its next cycle.
        assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
        rig.settled().await;
        assert!(differences(&rig).await.is_empty(), "{fault:?}: {:?}", differences(&rig).await);
        assert_eq!(deletes(&rig), 0, "{fault:?}");
    }
    running.stop().await;
}

/// Persons with a date of birth, one a day.
async fn people_with_dates(rig: &Rig, n: i64) {
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name, date_of_birth)
         select 'Thandi', 'Runner ' || n, date '1980-01-01' + n::int from generate_series(1, {n}) n"
    ))
    .await;
    rig.settled().await;
}

/// Persons whose date of birth the remote has.
fn dates_there(rig: &Rig) -> usize {
    rig.sim.rows(Resource::Person).iter().filter(|row| row.body["dateOfBirth"].is_string()).count()
}

/// Waits until nothing is owed but what a person must decide about.
async fn lessened_and_held(rig: &Rig, n: i64) {
    rig.until("select count(*) from sync.outbox", "owed").await;
    rig.until(
        &format!(
            "select abs({n} - (select count(*) from sync.record where state = 'held' and state_reason = 'guard' and lessens))
                  + (select count(*) from sync.record where owed_gen > done_gen and state <> 'held')"
        ),
        "held",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_blanking_is_held_before_the_first_call_and_an_approval_lets_exactly_it_through() {
    let rig = guarded(20).await;
    let _processes = (rig.start(&CONSUMING), rig.start(&CONSUMING));
    people_with_dates(&rig, 60).await;
    assert_eq!(dates_there(&rig), 60);
    let writes = rig.sim.counters().writes_applied();
    rig.exec("update ems.person set date_of_birth = null where id <= 50").await;
    lessened_and_held(&rig, 50).await;
    assert_eq!((dates_there(&rig), rig.sim.counters().writes_applied()), (60, writes));
    assert_eq!(decisions(&rig, "tripped").await, 1);

    // What takes nothing away goes on; who gets the field back is held no longer.
    rig.exec("update ems.person set last_name = 'Grows' where id > 50").await;
    rig.exec("update ems.person set date_of_birth = '1999-09-09' where id = 1").await;
    lessened_and_held(&rig, 49).await;
    assert_eq!(rig.sim.row(Resource::Person, "1").unwrap().body["dateOfBirth"], "1999-09-09");

    let approved = json(&rig, &["target", "approve", "tagserver", "--json"]).await;
    assert_eq!(approved["lessens"], json!(49));
    rig.settled().await;
    assert_eq!(dates_there(&rig), 11);
    // What was approved is forgotten: the next burst is held again.
    rig.exec("update ems.person set gender = 'MALE'").await;
    rig.settled().await;
    rig.exec("update ems.person set gender = null").await;
    lessened_and_held(&rig, 60).await;
    assert_eq!(decisions(&rig, "tripped").await, 2);
    let rejected = json(&rig, &["target", "reject", "tagserver", "--json"]).await;
    assert_eq!(rejected["lessens"], json!(60));
    let genders =
        rig.sim.rows(Resource::Person).iter().filter(|r| r.body["gender"] == "MALE").count();
    assert_eq!(genders, 60, "rejected: the remote records stay");
}

/// Nothing changed in the EMS: somebody installed a projection that shows less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_that_shows_less_of_most_is_held_before_the_first_call() {
    let rig = guarded(20).await;
    let _process = rig.start(&CONSUMING);
    people_with_dates(&rig, 60).await;
    let writes = rig.sim.counters().writes_applied();
    rig.exec(
        "create or replace view sync.tagserver_person as
         select p.id, p.modified_on, '{}'::text[] as parents, p.first_name, p.last_name,
                case when p.id % 5 < 3 then null else p.date_of_birth end as date_of_birth, p.gender
         from ems.person p",
    )
    .await;
    let found = json(&rig, &["sweep", "outbound", "--json"]).await;
    assert_eq!(found["targets"][0]["different"], json!(36));
    lessened_and_held(&rig, 36).await;
    assert_eq!((dates_there(&rig), rig.sim.counters().writes_applied()), (60, writes));
}
