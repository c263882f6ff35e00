//! Consent that was taken back elsewhere: it becomes the EMS's own, only ever restricts, and the later word counts.

use ems_sync::remote::inbound::{ConsentSeen, ConsentState, Subject};
use jiff::{SignedDuration, Timestamp};

use super::double::Bench;

const NOW: SignedDuration = SignedDuration::ZERO;

fn unsubscribed(person: i64, channel: &str, ago: Option<SignedDuration>) -> ConsentSeen {
    ConsentSeen {
        person,
        subject: Subject::Channel(channel.to_owned()),
        state: ConsentState::Unsubscribed,
        said_on: ago.map(|ago| Timestamp::now() - ago),
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
