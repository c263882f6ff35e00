//! Records that are read by themselves because a web hook named them.

use ems_sync::entity::EntityType;
use ems_sync::inbound::hook::Hint;
use ems_sync::limits;
use ems_sync::remote::inbound::Stream;
use ems_sync::remote::{Failure, FailureClass};
use ems_sync::target::Target;

use super::double::Bench;

async fn heed(bench: &Bench, digest: u8, record: Option<i64>) -> bool {
    let record = record.map(|id| (EntityType::Person, id.to_string()));
    let hint = Hint { stream: Stream::Contacts, record };
    bench.rig.store.heed_hook(Target::Chatwoot, &[vec![digest]], &hint).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_a_web_hook_names_is_read_soon_without_a_walk() {
    let bench = Bench::with(3).await;
    bench.swept().await;
    bench.double.world().records.insert(2, ("edited".to_owned(), None));
    let puller = bench.puller().await;
    let stop = puller.stop.clone();
    bench.rig.exec("delete from sync.inbox").await;
    bench.rig.exec("insert into sync.duty (duty, target, started_on) values ('sweep_inbound', 'chatwoot', now())").await;
    let running =
        tokio::spawn(async move { puller.run(std::time::Duration::from_secs(3_600)).await });
    assert!(heed(&bench, 1, Some(2)).await);
    bench.rig.until("select count(*) - 1 from sync.inbox where remote_id = '2'", "read").await;
    assert!(!heed(&bench, 1, Some(2)).await, "it was heeded before");
    assert_eq!(bench.double.world().asked.len(), 1, "nothing was walked");
    assert_eq!(bench.double.world().read, [2]);

    // One that names nothing makes the stream be walked.
    assert!(heed(&bench, 2, None).await);
    bench.rig.until("select count(*) - 3 from sync.inbox", "walked").await;
    bench.rig.until("select count(*) from sync.cursor where hinted_on is not null", "heeded").await;
    stop.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(10), running)
        .await
        .expect("stops")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_beyond_a_bound_are_one_walk() {
    let bench = Bench::with(0).await;
    let most = limits::HINTS_WAITING_MAX;
    bench
        .rig
        .exec(&format!(
            "insert into sync.to_read (target, entity_type, remote_id, stream, cause)
             select 'chatwoot', 'person', n::text, 'contacts', 'hinted' from generate_series(1, {most}) n"
        ))
        .await;
    assert!(heed(&bench, 1, Some(1_000_000)).await);
    assert_eq!(bench.rig.count("select count(*) from sync.to_read").await, most);
    assert_eq!(bench.cursor("hinted_on is not null").await, "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_read_is_tried_again_later_and_asking_again_is_not_lost() {
    let bench = Bench::with(3).await;
    bench.swept().await;
    heed(&bench, 1, Some(2)).await;
    let away = Failure::new(FailureClass::Transient, "away");
    bench.double.world().reads_fail = Some(away);
    bench.sweep().await.1.unwrap_err();
    let waits = "select count(*) from sync.to_read where attempts = 1 and due_on > now()";
    assert_eq!(bench.rig.count(waits).await, 1);
    bench.double.world().reads_fail = None;
    // Asked for again: at once, and a read that began before does not settle it.
    let taken = bench.rig.store.take_to_read(Target::Chatwoot).await.unwrap();
    assert!(taken.is_empty());
    heed(&bench, 2, Some(2)).await;
    let taken = bench.rig.store.take_to_read(Target::Chatwoot).await.unwrap();
    heed(&bench, 3, Some(2)).await;
    let now = bench.rig.store.now().await.unwrap();
    let guard = bench.puller().await.guard;
    bench.rig.store.settle_read(Target::Chatwoot, now, None, &[], &taken, guard).await.unwrap();
    assert_eq!(bench.rig.count("select count(*) from sync.to_read where due_on <= now()").await, 1);
    assert_eq!(bench.swept().await.read, 1);
    assert_eq!(bench.rig.count("select count(*) from sync.to_read").await, 0);
}
