//! A kit with a client, and short words for what is pushed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ems_sync::entity::EntityRef;
use ems_sync::remote::{
    Action, Failure, Fields, HttpSettings, Look, Push, PushResult, Remote as _, RemoteRecord,
    Results, SendBefore, Wire,
};
use ems_sync_remotes::{Entry, Fault, Operation, Rule, Simulator};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kit::{Content, Kit};
use crate::support::results::{PATIENCE, word};

/// Longer than any test takes, unless it hangs.
const TEST_ENDS: Duration = Duration::from_secs(240);

/// A simulator and a client.
pub(super) struct Bench<K: Kit> {
    pub(super) kit: Arc<K>,
    pub(super) client: K::Client,
}

/// Runs one test; whatever it did, it must have broken no rule of the remote.
pub(super) async fn run<K: Kit>(test: impl AsyncFnOnce(&Bench<K>)) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let bench = Bench::on(Arc::new(K::start().await), |_| {}).await;
    let ended = Box::pin(tokio::time::timeout(TEST_ENDS, test(&bench))).await;
    ended.expect("the test ends");
    assert_eq!(bench.sim().violations(), [], "breaches of the remote's contract");
}

impl<K: Kit> Bench<K> {
    /// A client of its own that stays with the account that it finds, as the engine tells it to.
    pub(super) async fn on(kit: Arc<K>, change: impl FnOnce(&mut HttpSettings)) -> Self {
        let bench = Self::stranger(kit, change);
        let account = bench.client.account().await.expect("the simulator is set up for it");
        bench.client.stay_with(account);
        // Whoever asks anew who the remote is after that has asked: what is struck next is about records.
        bench.client.list(K::ENTITY, None).await.ok();
        bench
    }

    /// A client that has not asked for anything yet.
    pub(super) fn stranger(kit: Arc<K>, change: impl FnOnce(&mut HttpSettings)) -> Self {
        let mut settings = HttpSettings {
            budget: None,
            base_url: kit.base_url(),
            ca_pem: None,
            allow_http: true,
            concurrency: kit.concurrency(),
            requests_per_second: None,
            timeout: PATIENCE,
        };
        change(&mut settings);
        let client = kit.client(&settings);
        Self { kit, client }
    }

    /// The same simulator and another client, as after a restart.
    pub(super) async fn fresh(&self) -> Self {
        Self::on(Arc::clone(&self.kit), |_| {}).await
    }

    /// The same simulator and a client that gives a request up soon.
    pub(super) async fn impatient(&self) -> Self {
        Self::on(Arc::clone(&self.kit), |http| http.timeout = Duration::from_millis(400)).await
    }

    pub(super) fn sim(&self) -> &Simulator<K::Sim> {
        self.kit.sim()
    }

    /// Lets the fault strike once, at the `nth` write from now on; the rule's number.
    pub(super) fn strike_write(&self, fault: &Fault, nth: u64) -> u64 {
        self.sim().faults().push(Rule::new(fault.clone()).writes().nth(nth))
    }

    /// Lets the fault strike every write from now on; the rule's number.
    pub(super) fn strike_writes(&self, fault: &Fault) -> u64 {
        self.sim().faults().push(Rule::new(fault.clone()).writes().unlimited())
    }

    /// Whether that rule has struck; it is gone in any case.
    pub(super) fn has_struck(&self, rule: u64) -> bool {
        !self.sim().faults().remove(rule)
    }

    /// Lets the fault strike every request from now on; the rule's number.
    pub(super) fn strike_all(&self, fault: &Fault) -> u64 {
        self.sim().faults().push(Rule::new(fault.clone()).unlimited())
    }

    pub(super) fn wire(&self, id: i64, content: Content) -> Wire {
        self.wire_of(id, self.kit.projection(id, content))
    }

    pub(super) fn wire_of(&self, id: i64, row: Value) -> Wire {
        let Value::Object(row) = row else { panic!("a projection is an object") };
        self.client.wire(entity::<K>(id), &Fields::new(row), &self.kit.parents()).unwrap()
    }

    pub(super) fn create(&self, id: i64, content: Content) -> Push {
        let wire = self.wire(id, content);
        push::<K>(id, Action::Create { wire, look: Look::IfRefused })
    }

    /// A create after one that may have been applied.
    pub(super) fn create_again(&self, id: i64, content: Content, absence_is_proof: bool) -> Push {
        let (wire, look) = (self.wire(id, content), Look::First { absence_is_proof });
        push::<K>(id, Action::Create { wire, look })
    }

    pub(super) fn update(&self, id: i64, remote_id: &str, content: Content) -> Push {
        let (wire, remote_id) = (self.wire(id, content), remote_id.to_owned());
        push::<K>(id, Action::Update { remote_id, wire })
    }

    /// One push of every kind for an entity that has this record. Its content differs from `A`. The first is a create that
    /// knows of no record, which only a remote with our key can refuse.
    pub(super) fn of_every_kind(&self, id: i64, remote_id: &str) -> Vec<Push> {
        vec![
            self.create(id, Content::B),
            self.create_again(id, Content::B, true),
            self.update(id, remote_id, Content::B),
            delete::<K>(id, remote_id),
            delete_by_key::<K>(id),
        ]
    }

    /// Makes a record through the client; its remote id.
    pub(super) async fn made(&self, id: i64, content: Content) -> String {
        let result = self.one(self.create(id, content)).await;
        assert_eq!(word(&result), "held", "{result:?}");
        remote_id(&result)
    }

    pub(super) async fn one(&self, push: Push) -> PushResult {
        let id = push.entity.id;
        self.many(vec![push]).await.remove(&id).expect("a result")
    }

    /// Every push is answered exactly once (obligation 1).
    pub(super) async fn many(&self, batch: Vec<Push>) -> BTreeMap<i64, PushResult> {
        let expected = batch.len();
        let (sender, mut receiver) = Results::channel();
        tokio::time::timeout(PATIENCE, self.client.push(batch, sender)).await.expect("ends");
        let mut results = Vec::new();
        receiver.recv_many(&mut results, usize::MAX).await;
        assert_eq!(results.len(), expected, "a result per push");
        let results: BTreeMap<i64, PushResult> =
            results.into_iter().map(|(entity, result)| (entity.id, result)).collect();
        assert_eq!(results.len(), expected, "each entity once");
        results
    }

    /// All records that the client finds, page by page.
    pub(super) async fn walk(&self) -> Result<Vec<RemoteRecord>, Failure> {
        let mut records = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let page = self.client.list(K::ENTITY, from.as_deref()).await?;
            records.extend(page.records);
            let Some(next) = page.next else { return Ok(records) };
            assert_ne!(Some(&next), from.as_ref(), "the walk goes on");
            from = Some(next);
        }
    }

    /// The requests so far, logins apart.
    pub(super) fn requests(&self) -> Vec<Entry> {
        let mut entries = self.sim().journal();
        entries.retain(|entry| entry.operation != Operation::Login);
        entries
    }

    /// How many requests so far were to change something.
    pub(super) fn writes(&self) -> usize {
        self.requests().iter().filter(|entry| entry.operation.is_write()).count()
    }

    /// The simulator holds exactly this of the entity.
    #[track_caller]
    pub(super) fn assert_holds(&self, id: i64, content: Content) {
        let wanted = K::visible(&self.wire(id, content).body);
        assert_eq!(self.kit.held(id), Some(wanted), "entity {id}");
    }

    /// The result is no success, or what it says is so.
    #[track_caller]
    pub(super) fn assert_true(&self, id: i64, result: &PushResult, content: Content) {
        match result {
            PushResult::Held { remote_hash, .. } => {
                self.assert_holds(id, content);
                assert_eq!(*remote_hash, self.wire(id, content).hash, "entity {id}");
            }
            PushResult::Gone => {
                assert_eq!(self.kit.held(id), None, "entity {id} is not gone");
            }
            PushResult::Differs(_)
            | PushResult::Unsettled
            | PushResult::NotSent
            | PushResult::Failed(_) => {}
        }
    }
}

pub(super) const fn entity<K: Kit>(id: i64) -> EntityRef {
    EntityRef::new(K::ENTITY, id)
}

/// A push by itself, so that it shares no request with others, under a lease that outlasts every test.
pub(super) fn push<K: Kit>(id: i64, action: Action) -> Push {
    let send_before = SendBefore::from(Instant::now() + TEST_ENDS);
    Push {
        entity: entity::<K>(id),
        action,
        besides: Look::IfRefused,
        former: None,
        by_itself: true,
        send_before,
        expected: None,
    }
}

pub(super) fn delete<K: Kit>(id: i64, remote_id: &str) -> Push {
    push::<K>(id, Action::Delete { remote_id: remote_id.to_owned() })
}

pub(super) fn delete_by_key<K: Kit>(id: i64) -> Push {
    push::<K>(id, Action::DeleteByKey)
}

pub(super) fn remote_id(result: &PushResult) -> String {
    let PushResult::Held { remote_id, .. } = result else { panic!("not held: {result:?}") };
    remote_id.clone()
}

#[track_caller]
pub(super) fn failure(result: PushResult) -> Failure {
    let PushResult::Failed(failure) = result else { panic!("not failed: {result:?}") };
    failure
}

/// 200 with this body, not applied.
pub(super) fn answers(body: Value) -> Fault {
    Fault::Status { code: 200, headers: Vec::new(), body: Some(body), applied: false }
}

/// An error status with a page for people.
pub(super) fn page(code: u16) -> Fault {
    let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    let body = Some(json!("<html><body>nginx</body></html>"));
    Fault::Status { code, headers, body, applied: false }
}
