//! Consent that was taken back elsewhere: it becomes the EMS's own, only ever restricts, and the later word counts.

use ems_sync::remote::inbound::{ConsentSeen, ConsentState, Subject};
use jiff::{SignedDuration, Timestamp};

use super::double::Bench;

const NOW: SignedDuration = SignedDuration::ZERO;

fn unsubscribed(person: i64, channel: &str, ago: Option<SignedDuration>) -> ConsentSeen {
    ConsentSeen {
        person,
        subject: Subject::Channel(channel.to_owned()),
        record: person.to_string(),
        state: ConsentState::Unsubscribed,
        said_on: ago.map(|ago| Timestamp::now() - ago),
        at_latest: None,
    }
}

async fn people(bench: &Bench, n: i64) {
    bench
        .rig
        .exec(&format!(
            "insert into ems.person (id, first_name, last_name) select n, 'P', n::text from generate_series(1, {n}) n"
        ))
        .await;
}

async fn preferences(bench: &Bench) -> Vec<String> {
    let sql = "select concat_ws(' ', person_id, channel, opted_in, reason) from ems.contact_preference order by 1";
    bench.rig.ems.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn consents(bench: &Bench, seen: Vec<ConsentSeen>) -> u64 {
    bench.double.world().consents = seen;
    bench.swept().await.streams[0].consents_taken
}

/// What a remote does not date, but was so by some moment at the latest, is no newer than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restriction_that_stood_before_an_opt_in_does_not_revert_it_when_it_is_seen_later() {
    let bench = Bench::with(0).await;
    people(&bench, 2).await;
    bench
        .rig
        .exec("insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'EMAIL', true), (2, 'EMAIL', true)")
        .await;
    let at_latest = Some(Timestamp::now() - SignedDuration::from_hours(1));
    let before = ConsentSeen { at_latest, ..unsubscribed(1, "EMAIL", None) };
    assert_eq!(consents(&bench, vec![before.clone(), unsubscribed(2, "EMAIL", None)]).await, 1);
    assert_eq!(preferences(&bench).await, ["1 EMAIL t", "2 EMAIL f chatwoot: unsubscribed"]);
    // Nor does it when it is seen again, undated.
    assert_eq!(consents(&bench, vec![ConsentSeen { at_latest: None, ..before }]).await, 0);
    assert_eq!(preferences(&bench).await, ["1 EMAIL t", "2 EMAIL f chatwoot: unsubscribed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_that_was_taken_back_elsewhere_is_the_emss_own_with_its_source() {
    let bench = Bench::with(0).await;
    people(&bench, 3).await;
    bench
        .rig
        .exec(
            "insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'EMAIL', true), (2, 'EMAIL', false);
             insert into ems.list_membership (person_id, list_code, status)
             values (1, 'news', 'SUBSCRIBED'), (2, 'news', 'PENDING'), (3, 'races', 'SUBSCRIBED')",
        )
        .await;
    let list = |person: i64| ConsentSeen {
        subject: Subject::List("news".to_owned()),
        ..unsubscribed(person, "", Some(NOW))
    };
    let seen = vec![
        unsubscribed(1, "EMAIL", Some(NOW)),
        unsubscribed(2, "EMAIL", Some(NOW)),
        unsubscribed(3, "SMS", Some(NOW)),
        // Nobody, and no channel.
        unsubscribed(99, "EMAIL", Some(NOW)),
        unsubscribed(3, "PIGEON", Some(NOW)),
        list(1),
        list(2),
        list(3),
    ];
    assert_eq!(consents(&bench, seen.clone()).await, 4);
    assert_eq!(
        preferences(&bench).await,
        ["1 EMAIL f chatwoot: unsubscribed", "2 EMAIL f", "3 SMS f chatwoot: unsubscribed"]
    );
    let sql = "select count(*) from ems.list_membership where status = 'UNSUBSCRIBED' and list_code = 'news'";
    assert_eq!(bench.rig.count(sql).await, 2);
    assert_eq!(bench.rig.count("select count(*) from ems.list_membership").await, 3);
    // Seen again, it changes nothing: no row is written, so no other target hears of it.
    let moved = "select sum(extract(epoch from modified_on))::text from ems.contact_preference";
    let before: String = bench.rig.ems.query_one(moved, &[]).await.unwrap().get(0);
    assert_eq!(consents(&bench, seen).await, 0);
    let after: String = bench.rig.ems.query_one(moved, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_opt_in_of_the_ems_is_not_reverted() {
    let bench = Bench::with(0).await;
    people(&bench, 1).await;
    bench.rig.exec("insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'EMAIL', true)").await;
    let hour = SignedDuration::from_hours(1);
    assert_eq!(consents(&bench, vec![unsubscribed(1, "EMAIL", Some(hour))]).await, 0);
    assert_eq!(preferences(&bench).await, ["1 EMAIL t"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restriction_without_a_date_counts_from_when_it_was_first_seen() {
    let bench = Bench::with(0).await;
    people(&bench, 1).await;
    bench.rig.exec("insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'EMAIL', true)").await;
    let seen = vec![unsubscribed(1, "EMAIL", None)];
    assert_eq!(consents(&bench, seen.clone()).await, 1);
    bench.rig.exec("update ems.contact_preference set opted_in = true, reason = 'asked us'").await;
    assert_eq!(consents(&bench, seen.clone()).await, 0);
    assert_eq!(consents(&bench, seen.clone()).await, 0, "not with the next walk either");
    // Another word is another statement.
    let complained = ConsentSeen { state: ConsentState::Complained, ..seen[0].clone() };
    assert_eq!(consents(&bench, vec![complained]).await, 1);
    assert_eq!(preferences(&bench).await, ["1 EMAIL f chatwoot: complained"]);
}

fn lifted(seen: &ConsentSeen) -> ConsentSeen {
    ConsentSeen { state: ConsentState::Lifted, ..seen.clone() }
}

/// Unsubscribed, opted in in the EMS and subscribed there, unsubscribed again: the word is the same, and a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_restriction_counts_once_the_first_was_lifted_there() {
    let bench = Bench::with(0).await;
    people(&bench, 1).await;
    bench.rig.exec("insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'EMAIL', true)").await;
    let january = unsubscribed(1, "EMAIL", None);
    assert_eq!(consents(&bench, vec![january.clone()]).await, 1);
    bench.rig.exec("update ems.contact_preference set opted_in = true").await;
    assert_eq!(consents(&bench, vec![lifted(&january)]).await, 0);
    assert_eq!(preferences(&bench).await, ["1 EMAIL t chatwoot: unsubscribed"], "nothing is given");
    assert_eq!(consents(&bench, vec![january.clone()]).await, 1, "that is June's");
    bench.rig.exec("update ems.contact_preference set opted_in = true").await;
    assert_eq!(consents(&bench, vec![january]).await, 0, "and is reverted by no walk");
}

/// A person's old address may have a record of its own there, restricted as ever, beside the one that is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_record_of_the_person_shows_makes_an_old_restriction_no_new_one() {
    let bench = Bench::with(0).await;
    people(&bench, 1).await;
    bench.rig.exec("insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'EMAIL', true)").await;
    let old = unsubscribed(1, "EMAIL", None);
    let new = ConsentSeen { record: "new address".to_owned(), ..lifted(&old) };
    assert_eq!(consents(&bench, vec![old.clone(), new.clone()]).await, 1);
    bench.rig.exec("update ems.contact_preference set opted_in = true").await;
    for seen in [vec![new.clone()], vec![old.clone()], vec![old.clone(), new.clone()]] {
        assert_eq!(consents(&bench, seen).await, 0);
    }
    assert_eq!(preferences(&bench).await, ["1 EMAIL t chatwoot: unsubscribed"]);
}

/// Remotes cut their times to seconds: what was said in the second of the opt-in may have been said after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_words_within_a_second_the_one_that_restricts_counts() {
    let bench = Bench::with(0).await;
    people(&bench, 1).await;
    bench.rig.exec("insert into ems.contact_preference (person_id, channel, opted_in) values (1, 'EMAIL', true)").await;
    let sql = "select floor(extract(epoch from modified_on))::bigint from ems.contact_preference";
    let second: i64 = bench.rig.ems.query_one(sql, &[]).await.unwrap().get(0);
    let said_on = Some(Timestamp::from_second(second).unwrap());
    let seen = vec![ConsentSeen { said_on, ..unsubscribed(1, "EMAIL", None) }];
    assert_eq!(consents(&bench, seen).await, 1);
}

/// The guard's limits on this bench: 20, or 2 in a hundred.
async fn crowd(bench: &Bench, n: i64) -> Vec<ConsentSeen> {
    people(bench, n).await;
    bench.rig.exec("insert into ems.list_membership (person_id, list_code, status) select id, 'news', 'SUBSCRIBED' from ems.person").await;
    let archived = |person| ConsentSeen {
        subject: Subject::List("news".to_owned()),
        ..unsubscribed(person, "", None)
    };
    (1..=n).map(archived).collect()
}

const OUT: &str = "select count(*) from ems.list_membership where status = 'UNSUBSCRIBED'";
const HELD: &str = "select count(*) from sync.consent_held where rejected_on is null";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_restrictions_is_kept_for_a_person_and_taken_when_approved() {
    let mut bench = Bench::with(0).await;
    bench.enabled();
    let burst = crowd(&bench, 40).await;
    assert_eq!(consents(&bench, burst[..5].to_vec()).await, 5, "a few are everyday business");
    bench.double.world().consents = burst.clone();
    let walked = bench.swept().await.streams[0];
    assert_eq!((walked.consents_taken, walked.consents_held), (0, 35));
    assert_eq!((bench.rig.count(OUT).await, bench.rig.count(HELD).await), (5, 35));
    let look = ["target", "approve", "chatwoot", "--dry-run", "--json"];
    let looked: serde_json::Value = serde_json::from_str(&bench.rig.run(&look).await.1).unwrap();
    // With every walk the same is shown, and is there once; who joins meanwhile waits with them.
    assert_eq!(consents(&bench, burst).await, 0);
    assert_eq!(consents(&bench, vec![unsubscribed(1, "SMS", None)]).await, 0);
    assert_eq!(bench.rig.count(HELD).await, 36);
    let (_, status) = bench.rig.run(&["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["needs_person"].to_string().contains("inbound_held"), "{status}");
    let (_, text) = bench.rig.run(&["status"]).await;
    assert!(text.contains("consents held 36"), "{text}");
    // One of them opted in anew meanwhile: the later word counts, also when the burst is approved.
    bench.rig.exec("update ems.list_membership set labels = '{again}' where person_id = 6").await;
    let seen = looked["seen"].as_str().unwrap();
    let approve = ["target", "approve", "chatwoot", "--seen", seen, "--json"];
    let (code, decided) = bench.rig.run(&approve).await;
    let decided: serde_json::Value = serde_json::from_str(&decided).unwrap();
    assert_eq!(
        (code, &decided["consents"], &decided["consents_taken"], &decided["undecided"]),
        (0, &35.into(), &34.into(), &1.into()),
        "who joined was not seen"
    );
    assert_eq!((bench.rig.count(OUT).await, bench.rig.count(HELD).await), (39, 1));
    let (code, decided) = bench.rig.run(&["target", "approve", "chatwoot", "--json"]).await;
    let decided: serde_json::Value = serde_json::from_str(&decided).unwrap();
    assert_eq!((code, &decided["consents"], &decided["undecided"]), (0, &1.into(), &0.into()));
    assert_eq!(bench.rig.count(HELD).await, 0);
    let audit = "select string_agg(decision || ' ' || deletes, ', ' order by decided_on) from sync.guard_decision";
    let audit: String = bench.rig.ems.query_one(audit, &[]).await.unwrap().get(0);
    assert_eq!(audit, "tripped 35, approved 35, approved 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_burst_is_not_taken_unless_it_changes_there() {
    let bench = Bench::with(0).await;
    let burst = crowd(&bench, 30).await;
    assert_eq!(consents(&bench, burst.clone()).await, 0);
    let (code, text) = bench.rig.run(&["target", "reject", "chatwoot"]).await;
    assert_eq!(code, 0);
    assert!(text.contains("30 consents"), "{text}");
    assert_eq!(consents(&bench, burst.clone()).await, 0);
    assert_eq!((bench.rig.count(OUT).await, bench.rig.count(HELD).await), (0, 0));
    // Two of them have a say of their own since: one came back and left again, one complains.
    assert_eq!(consents(&bench, vec![lifted(&burst[0])]).await, 0);
    let complained = ConsentSeen { state: ConsentState::Complained, ..burst[1].clone() };
    assert_eq!(consents(&bench, vec![burst[0].clone(), complained, burst[2].clone()]).await, 2);
    // The others are taken when a person thinks better of it.
    let (_, decided) = bench.rig.run(&["target", "approve", "chatwoot", "--kept", "--json"]).await;
    let decided: serde_json::Value = serde_json::from_str(&decided).unwrap();
    assert_eq!(decided["consents_taken"], 28, "{decided}");
    assert_eq!(bench.rig.count(OUT).await, 30);
}

/// A share of what there is may go; the window ends, and a new one begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_consents_a_share_may_be_taken_back_in_each_window() {
    let bench = Bench::with(0).await;
    let crowd = crowd(&bench, 1_500).await;
    assert_eq!(consents(&bench, crowd[..30].to_vec()).await, 30, "2 % of 1,500");
    assert_eq!(consents(&bench, crowd[30..31].to_vec()).await, 0, "and not one more");
    bench.rig.exec("delete from sync.consent_held; update sync.inbound_guard set window_started_on = now() - interval '1 day'").await;
    assert_eq!(consents(&bench, crowd[30..32].to_vec()).await, 2);
}

/// A row that a trigger or a constraint of the EMS does not like keeps no other out, and is told without a value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ems_refuses_stops_neither_the_others_nor_the_walk() {
    let bench = Bench::with(12).await;
    people(&bench, 4).await;
    bench
        .rig
        .exec(
            "create function pg_temp_refuse() returns trigger language plpgsql as $$ begin
               if new.person_id = 2 then raise exception 'canary'; end if;
               if new.person_id = 3 then raise exception using errcode = '23514'; end if;
               return new;
             end $$;
             create trigger refuses before insert on ems.contact_preference for each row execute function pg_temp_refuse()",
        )
        .await;
    bench.double.world().consents = (1..=4).map(|n| unsubscribed(n, "EMAIL", None)).collect();
    let walked = bench.swept().await.streams[0];
    assert_eq!((walked.pages, walked.consents_refused), (2, 4), "with each page");
    assert_eq!(walked.consents_taken, 2);
    assert_eq!(preferences(&bench).await.len(), 2);
    assert_eq!(bench.inbox("stands").await.len(), 12);
}
