//! A decision is about what would be lost, as it was seen: not about how often an entity was edited, and never about more.

use serde_json::Value;

use super::{
    CONSUMING, all_held, dates_there, deletes, gone_here, guarded, json, lessened_and_held, people,
    people_with_dates,
};
use crate::support::rig::Rig;
use ems_sync::process::Role;

const LOOK: [&str; 5] = ["target", "approve", "tagserver", "--dry-run", "--json"];

/// What is held now, and the digest of it.
async fn look(rig: &Rig) -> (Value, String) {
    let held = json(rig, &LOOK).await;
    let seen = held["seen"].as_str().unwrap().to_owned();
    (held, seen)
}

/// Decides about what was seen: the exit code, and what was decided or is held instead.
async fn decide(rig: &Rig, order: &[&str], seen: &str) -> (i32, Value) {
    let order = [&["target"], order, &["tagserver", "--seen", seen, "--json"]].concat();
    let (code, text) = rig.run(&order).await;
    (code, serde_json::from_str(&text).unwrap())
}

/// Edits that take nothing away, of all from `first` to `last`, and waits until they are owed.
async fn edit(rig: &Rig, first: i64, last: i64) {
    rig.exec(&format!(
        "update ems.person set last_name = last_name || '!' where id between {first} and {last}"
    ))
    .await;
    rig.until("select count(*) from sync.outbox", "owed").await;
}

async fn blank(rig: &Rig, column: &str, first: i64, last: i64) {
    rig.exec(&format!("update ems.person set {column} = null where id between {first} and {last}"))
        .await;
}

/// Persons with a date of birth and a gender, and the guard holds six blanked fields.
async fn with_genders(n: i64) -> Rig {
    let rig = guarded(5).await;
    let running = rig.start(&CONSUMING);
    people_with_dates(&rig, n).await;
    rig.exec("update ems.person set gender = 'MALE'").await;
    rig.settled().await;
    running.stop().await;
    rig
}

/// On a busy day what is held is edited all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_takes_nothing_more_away_leaves_a_decision_valid() {
    let rig = guarded(5).await;
    let running = rig.start(&CONSUMING);
    people_with_dates(&rig, 30).await;
    blank(&rig, "date_of_birth", 1, 10).await;
    lessened_and_held(&rig, 10).await;
    let (_, seen) = look(&rig).await;
    edit(&rig, 1, 10).await;
    assert_eq!(look(&rig).await.1, seen, "what would be lost is the same");
    let (code, rejected) = decide(&rig, &["reject"], &seen).await;
    assert_eq!((code, &rejected["lessens"]), (0, &json!(10)), "{rejected}");

    // What is kept concerns nobody who decides about another burst, whatever becomes of it meanwhile.
    blank(&rig, "date_of_birth", 11, 20).await;
    lessened_and_held(&rig, 10).await;
    let (held, seen) = look(&rig).await;
    assert_eq!((&held["undecided"], held["counts"].as_array().unwrap().len()), (&json!(10), 2));
    edit(&rig, 1, 20).await;
    rig.exec("update ems.person set date_of_birth = '1999-09-09' where id = 1").await;
    let kept = "select abs(9 - count(*)) from sync.record where state_reason = 'delete_rejected'";
    rig.until(kept, "given back").await;
    let (code, held) = decide(&rig, &["approve", "--kept"], &seen).await;
    assert_eq!((code, &held["undecided"]), (1, &json!(10)), "one of the kept has its date again");
    let (code, approved) = decide(&rig, &["approve"], &seen).await;
    assert_eq!((code, &approved["lessens"]), (0, &json!(10)), "{approved}");
    rig.settled().await;
    assert_eq!(dates_there(&rig), 20);

    // They are approved after all, as they were seen.
    let (_, seen) = look(&rig).await;
    edit(&rig, 2, 10).await;
    let (code, approved) = decide(&rig, &["approve", "--kept"], &seen).await;
    assert_eq!((code, &approved["lessens"]), (0, &json!(9)), "{approved}");
    rig.settled().await;
    assert_eq!(dates_there(&rig), 11);
    running.stop().await;
}

/// On a busy day new ones join all the time, also one that no consumer has claimed by the time of the decision. It is one, and would be
/// let through if it were a burst of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_joins_after_a_look_stays_held_also_where_it_is_claimed_after_the_decision() {
    let rig = guarded(5).await;
    let running = rig.start(&CONSUMING);
    let first = people(&rig, 40).await;
    let delete = async |from: i64, n: i64| {
        let last = first + from + n;
        rig.exec(&format!("delete from ems.person where id >= {first} + {from} and id < {last}"))
            .await;
        rig.until("select count(*) from sync.outbox", "owed").await;
    };
    delete(0, 10).await;
    all_held(&rig).await;
    running.stop().await;
    let relaying = rig.start(&[Role::Relay]);
    let (_, seen) = look(&rig).await;
    delete(10, 1).await;
    let (code, approved) = decide(&rig, &["approve"], &seen).await;
    assert_eq!((code, &approved["deletes"]), (0, &json!(10)), "{approved}");
    assert_eq!(approved["undecided"], 1, "{approved}");
    relaying.stop().await;
    // Nor does another loss that happens to be claimed first end the trip.
    let weighed = format!(
        "select count(*) from sync.guard_weigh('tagserver', '{{person}}', array[{first} + 30],
             array(select owed_gen from sync.record where target = 'tagserver' and entity_id = {first} + 30),
             '{{f}}', interval '1 hour', 5, '{{\"[\\\"gender\\\"]\"}}') where tripped"
    );
    rig.exec("begin").await;
    assert_eq!(rig.count(&weighed).await, 1);
    rig.exec("rollback").await;
    let running = rig.start(&CONSUMING);
    all_held(&rig).await;
    assert_eq!((deletes(&rig), gone_here(&rig).await), (10, 1));

    // The same of a rejection, and of an approval of what was rejected.
    let (_, seen) = look(&rig).await;
    delete(11, 2).await;
    let (code, rejected) = decide(&rig, &["reject"], &seen).await;
    assert_eq!((code, &rejected["deletes"]), (0, &json!(1)), "{rejected}");
    assert_eq!(rejected["undecided"], 2, "{rejected}");
    all_held(&rig).await;
    let (held, seen) = look(&rig).await;
    assert_eq!((&held["undecided"], held["rows"].as_array().unwrap().len()), (&json!(2), 3));
    delete(13, 1).await;
    let (code, approved) = decide(&rig, &["approve", "--kept"], &seen).await;
    assert_eq!((code, &approved["deletes"]), (0, &json!(3)), "{approved}");
    assert_eq!(approved["undecided"], 1, "{approved}");
    all_held(&rig).await;
    assert_eq!((deletes(&rig), gone_here(&rig).await), (13, 1));

    // All is decided: what comes now is weighed by itself.
    let (_, seen) = look(&rig).await;
    let (code, rejected) = decide(&rig, &["reject"], &seen).await;
    assert_eq!((code, &rejected["undecided"]), (0, &json!(0)), "{rejected}");
    delete(14, 2).await;
    all_held(&rig).await;
    assert_eq!((deletes(&rig), gone_here(&rig).await), (15, 1));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_and_is_there_again_refuses_the_decision_although_others_joined() {
    let rig = guarded(5).await;
    let running = rig.start(&CONSUMING);
    let first = people(&rig, 30).await;
    rig.exec("create table ems.saved as table ems.person").await;
    rig.exec(&format!("delete from ems.person where id < {first} + 10")).await;
    all_held(&rig).await;
    let (_, seen) = look(&rig).await;
    rig.exec(&format!(
        "insert into ems.person overriding system value select * from ems.saved where id = {first};
         delete from ems.person where id = {first} + 20"
    ))
    .await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    all_held(&rig).await;
    for order in ["approve", "reject"] {
        let (code, held) = decide(&rig, &[order], &seen).await;
        assert_eq!((code, &held["undecided"]), (1, &json!(10)), "{order}: {held}");
    }
    // Gone once more it is held once more, but not as it was seen.
    rig.exec(&format!("delete from ems.person where id = {first}")).await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    all_held(&rig).await;
    let (code, held) = decide(&rig, &["approve"], &seen).await;
    assert_eq!((code, &held["undecided"]), (1, &json!(11)), "{held}");
    assert_eq!(deletes(&rig), 0);
    running.stop().await;
}

/// Nothing was edited: somebody installed a projection that shows less, after a person had looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_that_grows_by_a_changed_projection_is_not_what_was_seen() {
    let rig = with_genders(20).await;
    let running = rig.start(&CONSUMING);
    blank(&rig, "date_of_birth", 1, 10).await;
    lessened_and_held(&rig, 10).await;
    let (_, seen) = look(&rig).await;
    rig.exec(
        "create or replace view sync.tagserver_person as
         select p.id, p.modified_on, '{}'::text[] as parents, p.first_name, p.last_name, p.date_of_birth,
                case when p.id > 3 then p.gender end as gender
         from ems.person p",
    )
    .await;
    for order in ["approve", "reject"] {
        let (code, held) = decide(&rig, &[order], &seen).await;
        assert_eq!((code, &held["undecided"]), (1, &json!(10)), "{order}: {held}");
        let loses = |id: usize| held["rows"][id - 1]["loses"].clone();
        assert_eq!(loses(3), json!(["date_of_birth", "gender"]), "{held}");
        assert_eq!(loses(4), json!(["date_of_birth"]), "{held}");
    }
    assert_eq!(dates_there(&rig), 20);
    let (_, seen) = look(&rig).await;
    let (code, approved) = decide(&rig, &["approve"], &seen).await;
    assert_eq!((code, &approved["lessens"]), (0, &json!(10)), "{approved}");
    rig.settled().await;
    assert_eq!(dates_there(&rig), 10);
    running.stop().await;
}

/// What was approved is not sent yet, and comes to lose more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_loses_more_than_was_approved_is_held_anew() {
    let rig = with_genders(20).await;
    let running = rig.start(&CONSUMING);
    blank(&rig, "date_of_birth", 1, 10).await;
    lessened_and_held(&rig, 10).await;
    running.stop().await;
    let (_, seen) = look(&rig).await;
    let (code, approved) = decide(&rig, &["approve"], &seen).await;
    assert_eq!((code, &approved["lessens"]), (0, &json!(10)), "{approved}");

    // Whether a consumer or the relay comes first, it is not what was approved.
    blank(&rig, "gender", 1, 8).await;
    let writes = rig.sim.counters().writes_applied();
    let running = rig.start(&CONSUMING);
    lessened_and_held(&rig, 8).await;
    assert_eq!((dates_there(&rig), rig.sim.counters().writes_applied()), (18, writes + 2));
    let (held, seen) = look(&rig).await;
    assert_eq!(held["rows"][0]["loses"], json!(["date_of_birth", "gender"]), "{held}");
    let (code, approved) = decide(&rig, &["approve"], &seen).await;
    assert_eq!((code, &approved["lessens"]), (0, &json!(8)), "{approved}");
    rig.settled().await;
    assert_eq!(dates_there(&rig), 10);
    running.stop().await;
}

/// A person said no to a loss. One that is more is not theirs to have decided, and as few as they are they are not let through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_loses_more_than_was_rejected_is_asked_about_again() {
    let rig = with_genders(20).await;
    let running = rig.start(&CONSUMING);
    blank(&rig, "date_of_birth", 1, 10).await;
    lessened_and_held(&rig, 10).await;
    let (_, seen) = look(&rig).await;
    let (code, rejected) = decide(&rig, &["reject"], &seen).await;
    assert_eq!((code, &rejected["lessens"]), (0, &json!(10)), "{rejected}");
    let kept = "select abs({n} - count(*)) from sync.record where state_reason = 'delete_rejected'";
    rig.until(&kept.replace("{n}", "10"), "kept").await;

    let writes = rig.sim.counters().writes_applied();
    blank(&rig, "gender", 4, 5).await;
    rig.until(&kept.replace("{n}", "8"), "asked again").await;
    let (held, seen) = look(&rig).await;
    assert_eq!(held["undecided"], 2, "{held}");
    assert_eq!(held["rows"][0]["loses"], json!(["date_of_birth", "gender"]), "{held}");
    assert_eq!(rig.sim.counters().writes_applied(), writes);
    let (code, approved) = decide(&rig, &["approve"], &seen).await;
    assert_eq!((code, &approved["lessens"]), (0, &json!(2)), "{approved}");
    rig.settled().await;
    assert_eq!(dates_there(&rig), 18);
    running.stop().await;
}

/// A rebind trusts no id, and finds the records by ours: what was to stay there stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_rejected_or_is_undecided_is_not_taken_away_after_a_rebind_either() {
    for is_rejected in [true, false] {
        let rig = guarded(5).await;
        let running = rig.start(&CONSUMING);
        people_with_dates(&rig, 30).await;
        blank(&rig, "date_of_birth", 1, 10).await;
        lessened_and_held(&rig, 10).await;
        if is_rejected {
            let (_, seen) = look(&rig).await;
            assert_eq!(decide(&rig, &["reject"], &seen).await.0, 0);
        }
        let order = ["target", "rebind", "tagserver", "--reason", "test"];
        let (code, out) = rig.run(&order).await;
        assert_eq!(code, 0, "{out}");
        edit(&rig, 1, 10).await;
        let reason = if is_rejected { "delete_rejected" } else { "guard" };
        rig.until(
            &format!(
                "select abs(10 - (select count(*) from sync.record where state = 'held' and state_reason = '{reason}'))
                     + (select count(*) from sync.record where owed_gen > done_gen and state <> 'held')"
            ),
            "held still",
        )
        .await;
        assert_eq!(dates_there(&rig), 30, "{reason}");
        running.stop().await;
    }
}
