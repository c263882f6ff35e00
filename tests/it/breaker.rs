//! The shared state of a target under several judges and several operators: no change is lost, each stands in the audit
//! trail once, and the last one is the state.

use std::collections::BTreeSet;
use std::time::Duration;

use ems_sync::deliver::breaker::rule::{Order, Patience};
use ems_sync::deliver::breaker::{Breaker, order};
use ems_sync::deliver::settle::Verdict;
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::store::Store;
use ems_sync::target::Target;
use ems_sync::target_watch::{self, TargetWatch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::rig::Rig;

const PATIENCE: Patience = Patience { disable_after: Duration::from_secs(3_600) };

/// A process, as far as it judges: a pool, a watch and a breaker of its own.
struct Judge {
    breaker: Breaker,
    watch: TargetWatch,
    stop: CancellationToken,
}

impl Judge {
    async fn new(rig: &Rig, n: usize) -> Self {
        let store = Store::new(&secrecy::SecretString::from(rig.url.clone()), "judge").unwrap();
        let stop = CancellationToken::new();
        let (watch, watcher) = target_watch::start(store.clone(), stop.clone()).await.unwrap();
        tokio::spawn(watcher.run(stop.clone()));
        let by = format!("judge {n}");
        let breaker = Breaker::new(store, Target::TagServer, watch.clone(), PATIENCE, by);
        Self { breaker, watch, stop }
    }

    async fn many(rig: &Rig, n: usize) -> Vec<Self> {
        let mut judges = Vec::new();
        for n in 0..n {
            judges.push(Self::new(rig, n).await);
        }
        judges
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn person(id: i64) -> EntityRef {
    EntityRef::new(EntityType::Person, id)
}

async fn events(rig: &Rig, condition: &str) -> i64 {
    rig.count(&format!("select count(*) from sync.target_event where {condition}")).await
}

/// Eight processes see one failure each, at the same moment: together that is an outage, told once, and all of them know
/// (F105).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_judges_have_one_threshold_one_opening_and_one_alert() {
    let rig = Rig::new().await;
    let judges = Judge::many(&rig, 8).await;
    let watches: Vec<_> = judges.iter().map(|judge| judge.watch.clone()).collect();
    let gates: Vec<_> = watches.iter().map(|watch| watch.gate(Target::TagServer)).collect();
    assert!(gates.iter().all(|gate| !gate.is_closed()));
    let mut judging = JoinSet::new();
    for (n, judge) in judges.into_iter().enumerate() {
        judging.spawn(async move {
            judge.breaker.judge(vec![(person(n as i64), Verdict::Unreachable)]).await;
            judge
        });
    }
    let judges = judging.join_all().await;
    assert_eq!(events(&rig, "event = 'opened'").await, 1);
    assert_eq!(
        rig.count("select breaker_failures::bigint from sync.target where target = 'tagserver'")
            .await,
        1
    );
    for mut watch in watches {
        let closes = watch.until(Target::TagServer, false);
        tokio::time::timeout(Duration::from_secs(30), closes).await.expect("everybody knows");
    }
    assert!(gates.iter().all(ems_sync::target_watch::Gate::is_closed));
    drop(judges);
}

/// Waits until a process has read the target as it stands now.
async fn sees_all(rig: &Rig, judge: &Judge) {
    let newest = rig.count("select version from sync.target where target = 'tagserver'").await;
    let sees = async {
        while judge.watch.state(Target::TagServer).is_none_or(|state| state.version < newest) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), sees).await.expect("is read");
}

/// The gates of other processes close when the state changes, not when it is looked at next (twice a second).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_one_process_was_told_shuts_the_gate_of_another_at_once() {
    let rig = Rig::new().await;
    let (one, other) = (Judge::new(&rig, 1).await, Judge::new(&rig, 2).await);
    let gate = other.watch.gate(Target::TagServer);
    let mut took = Vec::new();
    for _ in 0..20 {
        // Nobody still stands before the last round.
        sees_all(&rig, &one).await;
        sees_all(&rig, &other).await;
        assert!(!gate.is_closed());
        let (closes, asked) = (gate.token(), Duration::from_secs(60));
        one.breaker.judge(vec![(person(1), Verdict::Pause(Some(asked)))]).await;
        let written = tokio::time::Instant::now();
        tokio::time::timeout(Duration::from_secs(30), closes.cancelled()).await.expect("closes");
        took.push(written.elapsed().as_millis());
        assert!(one.watch.gate(Target::TagServer).is_closed(), "before anybody else's");
        order(&rig.store, Target::TagServer, Order::Enable, "test", PATIENCE).await.unwrap();
    }
    took.sort_unstable();
    eprintln!("the other gate closed after (ms) {took:?}");
    // Who only looks twice a second is that quick once in ten times.
    let at_once = took.iter().filter(|ms| **ms <= 50).count();
    assert!(at_once >= 10, "{took:?}");
}

/// Every second push fails, wherever it is judged: that is bad, but no outage, and nothing flaps (F105).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn successes_and_failures_in_turn_move_nothing_and_a_healthy_target_costs_no_statement() {
    let rig = Rig::new().await;
    let judges = Judge::many(&rig, 8).await;
    let version = "select version from sync.target where target = 'tagserver'";
    for round in 0..50 {
        judges[round % 8].breaker.judge(vec![(person(1), Verdict::Served)]).await;
    }
    assert_eq!(rig.count(version).await, 0, "nothing is written");
    let began = jiff::Timestamp::now();
    let mut judging = JoinSet::new();
    for (n, judge) in judges.into_iter().enumerate() {
        judging.spawn(async move {
            for round in 0..30 {
                let verdicts = vec![
                    (person((n * 100 + round) as i64), Verdict::Unreachable),
                    (person(1), Verdict::Served),
                ];
                judge.breaker.judge(verdicts).await;
            }
        });
    }
    judging.join_all().await;
    assert_eq!(events(&rig, "true").await, 0);
    assert!(rig.count(version).await > 0, "the failures were told");
    // A window is counted for half a minute; on a slow machine another one has begun.
    let lost = "select 1 - count(*) from sync.target
                where target = 'tagserver' and breaker = 'closed'
                  and (window_failed = 240 or updated_on - failed_at > interval '25 seconds')"
        .replace("failed_at", &format!("'{began}'::timestamptz"));
    assert_eq!(rig.count(&lost).await, 0, "none is lost, whoever wrote at the same moment");
}

/// Two operators who do not know of each other (F106).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_operators_who_enable_and_disable_at_once_the_last_one_is_named() {
    let rig = Rig::new().await;
    let mut operators = JoinSet::new();
    for name in ["thandi", "sipho"] {
        let store = rig.store.clone();
        operators.spawn(async move {
            for round in 0..50 {
                let what = if round % 2 == 0 {
                    Order::Disable(Some(format!("round {round}")))
                } else {
                    Order::Enable
                };
                order(&store, Target::TagServer, what, name, PATIENCE).await.unwrap();
            }
        });
    }
    operators.join_all().await;
    assert_eq!(events(&rig, "event in ('enable', 'disable')").await, 100);
    let versions = rig
        .ems
        .query("select version from sync.target_event order by target_event_id", &[])
        .await
        .unwrap();
    let versions: BTreeSet<i64> = versions.iter().map(|row| row.get(0)).collect();
    assert_eq!(versions.len(), 100, "each change has a version of its own");
    let last = "select count(*) from sync.target t
        join (select * from sync.target_event order by version desc limit 1) e on e.target = t.target
        where t.version = e.version and t.updated_by = e.by
          and (t.disabled_on is not null) = (e.event = 'disable')
          and t.disabled_reason is not distinct from e.reason";
    assert_eq!(rig.count(last).await, 1, "the state is what the last one ordered");
}
