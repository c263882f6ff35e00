//! A batch whose client answers as a script says: what can't be sent is not tried again at once, and on trial one push follows the
//! other until one says something about the target.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ems_sync::broker::{Broker, Publisher};
use ems_sync::deliver::batch::{Slot, Worker};
use ems_sync::deliver::breaker::rule::Order;
use ems_sync::deliver::breaker::{Breaker, order};
use ems_sync::deliver::guard::Limits;
use ems_sync::deliver::tokens::Tokens;
use ems_sync::deliver::unacked::Unacked;
use ems_sync::delivery::{Cause, Delivery};
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::hash::ContentHash;
use ems_sync::ops::metrics::Metrics;
use ems_sync::process::Role;
use ems_sync::remote::{
    Account, Action, Alarms, Failure, FailureClass, Fields, Page, Push, PushResult, Remote,
    RemoteIds, Results, Unmappable, Wire,
};
use ems_sync::target::Target;
use ems_sync::target_watch;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::rig::Rig;

const TARGET: Target = Target::TagServer;

/// How the client answers one push.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Held,
    NotSent,
    Fails(FailureClass),
    Panics,
}

/// What was pushed together, when.
type Call = (Instant, Vec<EntityRef>);

/// A remote that answers as it is told, and holds everything after that.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    calls: Arc<Mutex<Vec<Call>>>,
    alarms: Alarms,
}

impl Scripted {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Self { answers, ..Self::default() }
    }

    /// What was pushed together.
    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn answer(&self, push: &Push) -> Option<PushResult> {
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Held);
        match answer {
            Answer::Held => {
                let Action::Create { wire, .. } = &push.action else { panic!("{push:?}") };
                Some(PushResult::Held {
                    remote_id: push.entity.id.to_string(),
                    remote_hash: wire.hash,
                    written: true,
                    carried: Vec::new(),
                    left_to: None,
                    held: None,
                })
            }
            Answer::NotSent => Some(PushResult::NotSent),
            Answer::Fails(class) => Some(PushResult::Failed(Failure::new(class, "no"))),
            Answer::Panics => None,
        }
    }
}

impl Remote for Scripted {
    fn target(&self) -> Target {
        TARGET
    }

    fn request_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn wire(
        &self,
        entity: EntityRef,
        _fields: &Fields,
        _parents: &RemoteIds,
    ) -> Result<Wire, Unmappable> {
        Ok(Wire::new(TARGET, 1, json!({ "id": entity.id })))
    }

    fn wants_older_first(&self, _entity_type: EntityType) -> bool {
        false
    }

    async fn push(&self, batch: Vec<Push>, results: Results) {
        let entities = batch.iter().map(|push| push.entity).collect();
        self.calls.lock().unwrap().push((Instant::now(), entities));
        for push in batch {
            results.put(push.entity, self.answer(&push).expect("the script says so"));
        }
    }

    async fn list(&self, _entity_type: EntityType, _from: Option<&str>) -> Result<Page, Failure> {
        Ok(Page { records: Vec::new(), next: None })
    }

    fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    async fn account(&self) -> Result<Account, Failure> {
        Ok(Account { login: ContentHash::of(TARGET, 1, &json!("us")), instance: None })
    }

    fn stay_with(&self, _account: Account) {}

    async fn changed(&self) {
        std::future::pending().await
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Persons who are owed, and nobody consumes.
async fn owed(n: i64) -> (Rig, Vec<EntityRef>) {
    let rig = Rig::new().await;
    let relay = rig.start(&[Role::Relay]);
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name) select 'Thandi', 'Runner ' || n from generate_series(1, {n}) n"
    ))
    .await;
    rig.until(
        &format!("select {n} - count(*) from sync.record where target = 'tagserver'"),
        "owed",
    )
    .await;
    relay.stop().await;
    let rows = rig.ems.query("select id from ems.person order by id", &[]).await.unwrap();
    let persons = rows.iter().map(|row| EntityRef::new(EntityType::Person, row.get(0)));
    let persons = persons.collect();
    (rig, persons)
}

/// Works on one batch of these, as a consumer does.
async fn work(rig: &Rig, remote: &Scripted, entities: &[EntityRef]) {
    let config = rig.config();
    let stop = CancellationToken::new();
    let store = rig.store.clone();
    let (watch, _watcher) = target_watch::start(store.clone(), stop.clone()).await.unwrap();
    let broker = Broker::new(config.broker.url.clone(), config.broker.prefix.clone());
    let breaker =
        Breaker::new(store.clone(), TARGET, watch.clone(), config.breaker, "test".to_owned());
    let publisher = Arc::new(Publisher::new(broker.clone(), "test"));
    let worker = Worker {
        tokens: Tokens::new(store.clone(), broker, Arc::clone(&publisher), TARGET),
        store,
        publisher,
        remote: remote.clone(),
        owner: Uuid::new_v4(),
        policy: config.retry,
        guard: Limits::new(config.guard, Duration::from_secs(600)),
        settle: Duration::from_secs(1),
        breaker: Arc::new(breaker),
        metrics: Arc::new(Metrics::new().unwrap()),
        gate: watch.gate(TARGET),
        stop,
    };
    let delivery =
        |entity: &EntityRef| Delivery::new(TARGET, *entity, Cause::Change, Timestamp::now());
    let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let deliveries = entities.iter().map(delivery).collect();
    let (unacked, slot) = (Unacked::new([]), Slot::from(slot));
    Box::pin(worker.work(deliveries, &unacked, slot)).await.unwrap();
}

/// The records in this state, by entity.
async fn records(rig: &Rig, condition: &str) -> i64 {
    rig.count(&format!(
        "select count(*) from sync.record where target = 'tagserver' and {condition}"
    ))
    .await
}

async fn put_on_trial(rig: &Rig) {
    let patience = rig.config().breaker;
    order(&rig.store, TARGET, Order::Enable, "test", patience).await.unwrap();
}

/// The client may want to be quiet, or be at another remote, before this is known to all: to ask it again and again helps nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_sent_is_tried_again_after_a_while_and_has_lost_nothing() {
    let (rig, persons) = owed(3).await;
    let remote = Scripted::answering([Answer::NotSent; 6]);
    work(&rig, &remote, &persons).await;
    let calls = remote.calls();
    assert_eq!(calls.len(), 3, "twice in vain");
    for pair in calls.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_secs(1), "not at once");
    }
    assert_eq!(records(&rig, "state = 'synced' and attempts = 0 and not in_doubt").await, 3);
}

/// What concerns one entity only ends no trial.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_trial_a_served_push_ends_it_and_the_rest_is_left_to_the_next_batch() {
    let (rig, persons) = owed(8).await;
    put_on_trial(&rig).await;
    let remote = Scripted::answering([
        Answer::Fails(FailureClass::Rejected),
        Answer::Fails(FailureClass::OurFault),
        Answer::Held,
    ]);
    work(&rig, &remote, &persons).await;
    let calls = remote.calls();
    assert!(calls.iter().all(|(_, entities)| entities.len() == 1), "one at a time: {calls:?}");
    assert_eq!(calls.len(), 3, "until one is served: {calls:?}");
    assert_eq!(
        rig.count("select count(*) from sync.target where target = 'tagserver' and on_trial").await,
        0
    );
    assert_eq!(records(&rig, "state = 'synced'").await, 1);
    assert_eq!(records(&rig, "state in ('rejected', 'dead_letter')").await, 2);
    assert_eq!(
        records(&rig, "state = 'pending' and owed_gen > done_gen and not in_doubt").await,
        5
    );
    // Off trial the next batch sends all of them together.
    work(&rig, &remote, &persons).await;
    assert_eq!(remote.calls().pop().unwrap().1.len(), 5);
    assert_eq!(records(&rig, "state = 'synced'").await, 6);
}

/// What fails on trial opens the breaker; what has failed for a whole cycle says nothing, and another one follows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_trial_a_failure_ends_the_batch_but_not_that_of_a_dead_letter() {
    let (rig, persons) = owed(5).await;
    let gave_up = "update sync.record set attempts = 4, state = 'dead_letter', dead_lettered_on = now(), due_on = now()";
    rig.exec(gave_up).await;
    put_on_trial(&rig).await;
    let remote = Scripted::answering([Answer::Fails(FailureClass::Transient); 5]);
    work(&rig, &remote, &persons).await;
    assert_eq!(remote.calls().len(), 5, "each is asked");
    let opened = "select count(*) from sync.target_event where event = 'opened'";
    assert_eq!(rig.count(opened).await, 0);

    rig.exec("update sync.record set attempts = 0, state = 'pending', dead_lettered_on = null, due_on = now()").await;
    let remote = Scripted::answering([Answer::Fails(FailureClass::Transient); 5]);
    work(&rig, &remote, &persons).await;
    assert_eq!(remote.calls().len(), 1, "the first that fails");
    assert_eq!(rig.count(opened).await, 1);
}

/// A client that panics, which is a bug, leaves its push in doubt, and the others as they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_trial_a_client_that_panics_leaves_one_in_doubt() {
    let (rig, persons) = owed(4).await;
    put_on_trial(&rig).await;
    let remote = Scripted::answering([Answer::Panics]);
    work(&rig, &remote, &persons).await;
    assert_eq!(remote.calls().len(), 1);
    assert_eq!(records(&rig, "in_doubt and owed_gen > done_gen").await, 1);
    assert_eq!(
        records(&rig, "not in_doubt and owed_gen > done_gen and state = 'pending'").await,
        3
    );
}
