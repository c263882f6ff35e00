//! Postgres restarts, crashes, hangs, is cut off or only reads: the process heals by itself, `/readyz` tells the truth
//! meanwhile, and nothing is lost.

use std::time::Duration;

use tokio::process::Command;

use crate::support::binary;
use crate::support::database::Services;
use crate::support::load::{UnderLoad, times};
use crate::support::proxy::Proxy;
use crate::support::rig::Rig;
use crate::support::services::PrivateServices;
use ems_sync_remotes::tagserver::TagServerOptions;

/// The pooled connections of ems-sync, without the listener, which holds the lock of the leading relay.
const POOLED: &str = "select pid from pg_stat_activity a
    where datname = current_database() and application_name like 'ems-sync%'
      and not exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory' and l.objid = 2)";
const LISTENER: &str =
    "select pid from pg_locks where locktype = 'advisory' and classid = 4541779 and objid = 2
    and granted and database = (select oid from pg_database where datname = current_database())";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_restarted_and_crashed_again_and_again_at_load_loses_nothing() {
    let own = PrivateServices::start().await;
    // The broker is the shared one: it is not at stake.
    let services = Services { amqp_url: Services::get().amqp_url, ..own.services() };
    let mut rig = Rig::on(services, TagServerOptions::default()).await;
    let under_load = UnderLoad::start(&mut rig).await;
    for n in 0..times(3, 20) {
        match n % 3 {
            0 => drop(own.ctl(&["pg", "restart"]).await),
            1 => drop(own.ctl(&["pg", "kill", "start"]).await),
            // Away for so long that it is noticed, as when a standby takes over its address.
            _ => {
                own.ctl(&["pg", "stop"]).await;
                let red = under_load.turns(503).await;
                assert_ne!(red["database"], "ok");
                own.ctl(&["pg", "start"]).await;
            }
        }
        under_load.turns(200).await;
        under_load.load.commits(5).await;
    }
    under_load.moves(&rig).await;
    under_load.all_arrives(&mut rig).await;
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_that_are_terminated_at_load_cost_nothing() {
    let mut rig = Rig::new().await;
    let under_load = UnderLoad::start(&mut rig).await;
    for _ in 0..times(5, 40) {
        let ours = "from pg_stat_activity where datname = current_database()
            and application_name like 'ems-sync%'";
        rig.until(&format!("select greatest(0, 3 - count(*)) {ours}"), "connected").await;
        rig.exec(&format!("select pg_terminate_backend(pid) {ours}")).await;
        under_load.load.commits(3).await;
    }
    under_load.turns(200).await;
    under_load.moves(&rig).await;
    under_load.all_arrives(&mut rig).await;
}

/// Sends a signal to backends, by their ids.
async fn signal(pids: &[i32], name: &str) {
    let pids = pids.iter().map(ToString::to_string);
    let status = Command::new("kill").arg(format!("-{name}")).args(pids).status().await.unwrap();
    assert!(status.success());
}

async fn pids(rig: &Rig, sql: &str) -> Vec<i32> {
    rig.ems.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Stops the backends that `which` finds, each while it waits for its client: one that is stopped within a statement may hold a lock of
/// the server's own, and then the server hangs, with all who use it.
async fn hang(rig: &Rig, which: &str) -> Vec<i32> {
    loop {
        let all = pids(rig, which).await;
        assert!(!all.is_empty());
        signal(&all, "STOP").await;
        let busy = format!(
            "select pid from pg_stat_activity where pid = any(array{all:?}) and wait_event is distinct from 'ClientRead'"
        );
        let busy = tokio::time::timeout(Duration::from_secs(2), pids(rig, &busy)).await;
        if busy.is_ok_and(|busy| busy.is_empty()) {
            return all;
        }
        signal(&all, "CONT").await;
    }
}

/// Their sockets live and nothing comes: only a deadline of ours tells. They hang to the end, so whoever used them
/// must have let go of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_that_hang_hold_up_nobody_for_longer_than_the_deadline() {
    let mut rig = Rig::new().await;
    let under_load = UnderLoad::start(&mut rig).await;
    under_load.load.commits(20).await;
    let stopped = hang(&rig, POOLED).await;
    under_load.moves(&rig).await;
    under_load.turns(200).await;
    let hanging =
        format!("select count(*) from pg_stat_activity where pid = any(array{stopped:?})");
    assert_eq!(rig.count(&hanging).await as usize, stopped.len(), "they hang still");
    // Rows that they have locked are free again, and their sockets are found closed.
    signal(&stopped, "CONT").await;
    under_load.all_arrives(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_backend_hangs_is_replaced() {
    let mut rig = Rig::new().await;
    let under_load = UnderLoad::start(&mut rig).await;
    rig.until(&format!("select 1 - count(*) from ({LISTENER}) l"), "led").await;
    let listener = hang(&rig, LISTENER).await;
    // It keeps the leader's lock, so its successor stands by, and drains what grows old.
    let replaced = format!(
        "select 1 - count(*) from pg_stat_activity where datname = current_database() and pid <> {}
         and application_name like 'ems-sync%' and query like 'select pg_try_advisory_lock%'",
        listener[0]
    );
    rig.until(&replaced, "replaced").await;
    under_load.moves(&rig).await;
    assert_eq!(pids(&rig, LISTENER).await, listener);
    signal(&listener, "CONT").await;
    let led = format!("select 1 - count(*) from ({LISTENER}) l where pid <> {}", listener[0]);
    rig.until(&led, "led by another").await;
    under_load.all_arrives(&mut rig).await;
}

/// Half-open sockets, old and new: nothing answers, nothing refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_before_postgres_is_noticed_and_left() {
    let mut rig = Rig::new().await;
    let (mut proxy, url) = Proxy::to_url(&rig.url).await;
    rig.set("DATABASE__URL", &url);
    let under_load = UnderLoad::start(&mut rig).await;
    for _ in 0..times(1, 3) {
        proxy.black_hole();
        let red = under_load.turns(503).await;
        assert_eq!(red["database"], "no answer in time");
        under_load.load.commits(10).await;
        proxy.heal();
        under_load.turns(200).await;
        under_load.moves(&rig).await;
    }
    // The old ones only, as after a firewall has forgotten them.
    proxy.strand_all();
    under_load.moves(&rig).await;
    under_load.all_arrives(&mut rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset_and_refused_are_made_anew() {
    let mut rig = Rig::new().await;
    let (mut proxy, url) = Proxy::to_url(&rig.url).await;
    rig.set("DATABASE__URL", &url);
    let under_load = UnderLoad::start(&mut rig).await;
    for n in 0..times(4, 20) {
        if n % 2 == 0 {
            proxy.reset_all();
        } else {
            proxy.refuse().await;
            proxy.reset_all();
            assert_eq!(under_load.turns(503).await["database"], "can't be reached");
            proxy.accept();
            under_load.turns(200).await;
        }
        under_load.load.commits(5).await;
    }
    under_load.moves(&rig).await;
    under_load.all_arrives(&mut rig).await;
}

/// A failover that leads us to a standby: nothing is done there, and its promotion is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_only_reads_is_waited_for() {
    let mut rig = Rig::new().await;
    let under_load = UnderLoad::start(&mut rig).await;
    let only_reads = |yes: &str| {
        format!(
            "do $$ begin execute format('alter role sync in database %I set default_transaction_read_only = {yes}',
                current_database()); end $$"
        )
    };
    rig.exec(&only_reads("on")).await;
    let ended = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name like 'ems-sync%'";
    rig.exec(ended).await;
    let red = under_load.turns(503).await;
    assert_eq!(red["database"], "can't be reached");
    let ended = binary::ended(binary::of(&rig, &["status", "--check"])).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("does not allow writes"), "{ended:?}");
    rig.exec(&format!("set default_transaction_read_only = off; {}", only_reads("off"))).await;
    under_load.turns(200).await;
    under_load.moves(&rig).await;
    under_load.all_arrives(&mut rig).await;
}
