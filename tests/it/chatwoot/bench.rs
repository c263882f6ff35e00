//! A client, a simulator, and short words for what is pushed and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::chatwoot::Chatwoot;
use ems_sync::remote::{
    Action, Fields, HttpSettings, Look, Push, PushResult, Remote as _, RemoteIds, Results,
    SendBefore, Wire,
};
use ems_sync_remotes::chatwoot::{Chatwoot as Sim, ChatwootOptions, Resource};
use ems_sync_remotes::{Fault, Operation, Simulator};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Nothing here takes this long unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Bench {
    pub(super) sim: Arc<Simulator<Sim>>,
    pub(super) settings: HttpSettings,
    pub(super) client: Chatwoot,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(ChatwootOptions::default(), |_| {}).await
    }

    /// One that gives up after 300 ms.
    pub(super) async fn impatient() -> Self {
        Self::with(ChatwootOptions::default(), |http| http.timeout = Duration::from_millis(300))
            .await
    }

    pub(super) async fn with(
        options: ChatwootOptions,
        change: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        let sim = Sim::start(options).await.unwrap();
        let mut settings = HttpSettings {
            budget: None,
            base_url: sim.base_url(),
            ca_pem: None,
            allow_http: true,
            concurrency: 4,
            requests_per_second: None,
            timeout: Duration::from_secs(5),
        };
        change(&mut settings);
        let client = client(&settings, "ems-sync-token", 1);
        Self { sim: Arc::new(sim), settings, client }
    }

    /// The same simulator and another client.
    pub(super) fn with_client(&self, token: &str, account_id: u64) -> Self {
        let settings = self.settings.clone();
        Self { sim: Arc::clone(&self.sim), client: client(&settings, token, account_id), settings }
    }

    /// The same simulator and a client that waits as long as it takes on a busy machine, and has been asked for no pause.
    pub(super) fn patient(mut self) -> Self {
        self.settings.timeout = PATIENCE;
        self.with_client("ems-sync-token", 1)
    }

    pub(super) fn wire(&self, id: i64, fields: Value) -> Wire {
        let Value::Object(fields) = fields else { panic!("a projection is an object") };
        self.client.wire(person(id), &Fields::new(fields), &RemoteIds::new()).unwrap()
    }

    pub(super) fn create(&self, id: i64, fields: Value) -> Push {
        push(id, Action::Create { wire: self.wire(id, fields), look: Look::IfRefused })
    }

    /// A create after one that may have been applied.
    pub(super) fn create_again(&self, id: i64, fields: Value, absence_is_proof: bool) -> Push {
        let look = Look::First { absence_is_proof };
        push(id, Action::Create { wire: self.wire(id, fields), look })
    }

    pub(super) fn update(&self, id: i64, contact: i64, fields: Value) -> Push {
        let remote_id = contact.to_string();
        push(id, Action::Update { remote_id, wire: self.wire(id, fields) })
    }

    pub(super) async fn one(&self, push: Push) -> PushResult {
        let id = push.entity.id;
        self.many(vec![push]).await.remove(&id).unwrap()
    }

    /// Every push is answered exactly once (obligation 1).
    pub(super) async fn many(&self, batch: Vec<Push>) -> BTreeMap<i64, PushResult> {
        let n = batch.len();
        let (sender, mut receiver) = Results::channel();
        tokio::time::timeout(PATIENCE, self.client.push(batch, sender)).await.expect("ends");
        let mut results = Vec::new();
        receiver.recv_many(&mut results, usize::MAX).await;
        assert_eq!(results.len(), n, "a result per push");
        let results: BTreeMap<_, _> = results.into_iter().map(|(e, r)| (e.id, r)).collect();
        assert_eq!(results.len(), n, "each entity once");
        results
    }

    /// A contact made by an agent; its id.
    pub(super) fn plant(&self, contact: Value) -> i64 {
        self.sim.plant(Resource::Contact, contact).unwrap().id
    }

    pub(super) fn contact(&self, id: i64) -> Value {
        self.sim.row_by_id(Resource::Contact, id).unwrap().body
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        self.sim.journal().iter().map(|entry| entry.operation).collect()
    }

    /// Writes so far that changed something, and those that did not.
    pub(super) fn writes(&self) -> (u64, u64) {
        let writes = self.sim.counters().writes_to("contacts");
        (writes.applied() - writes.unchanged, writes.unchanged)
    }

    pub(super) fn assert_no_violation(&self) {
        assert_eq!(self.sim.violations(), []);
    }
}

fn client(settings: &HttpSettings, token: &str, account_id: u64) -> Chatwoot {
    rustls::crypto::ring::default_provider().install_default().ok();
    Chatwoot::new(settings, SecretString::from(token.to_owned()), account_id).unwrap()
}

pub(super) const fn person(id: i64) -> EntityRef {
    EntityRef::new(EntityType::Person, id)
}

/// A lease that outlasts every test.
pub(super) fn in_time() -> SendBefore {
    SendBefore::from(Instant::now() + PATIENCE)
}

pub(super) fn push(id: i64, action: Action) -> Push {
    Push {
        entity: person(id),
        action,
        besides: Look::IfRefused,
        former: None,
        by_itself: false,
        send_before: in_time(),
        expected: None,
    }
}

pub(super) fn delete(id: i64, contact: i64) -> Push {
    push(id, Action::Delete { remote_id: contact.to_string() })
}

pub(super) fn delete_by_key(id: i64) -> Push {
    push(id, Action::DeleteByKey)
}

/// A person with everything.
pub(super) fn thandi() -> Value {
    json!({"first_name": "Thandi", "last_name": "Nkosi", "email": "thandi@example.org", "phone": "+27821234567",
           "city": "Durban", "country": "ZA", "language": "zu"})
}

/// Somebody of that number, with an e-mail address and nothing else.
pub(super) fn runner(n: i64) -> Value {
    json!({"first_name": "Runner", "last_name": n.to_string(), "email": format!("runner{n}@example.org")})
}

/// The same, but for some fields.
pub(super) fn but(mut fields: Value, other: Value) -> Value {
    let Value::Object(other) = other else { panic!("an object") };
    fields.as_object_mut().unwrap().extend(other);
    fields
}

/// How a push ended, in one word: `held`, `adopted`, `gone`, `unsettled`, `not_sent`, or the class of its failure.
pub(super) fn word(result: &PushResult) -> &'static str {
    match result {
        PushResult::Held { written: true, .. } => "held",
        PushResult::Held { written: false, .. } => "adopted",
        PushResult::Differs(_) => "differs",
        PushResult::Gone => "gone",
        PushResult::Unsettled => "unsettled",
        PushResult::NotSent => "not_sent",
        PushResult::Failed(failure) => failure.class.name(),
    }
}

pub(super) fn remote_id(result: &PushResult) -> i64 {
    let PushResult::Held { remote_id, .. } = result else { panic!("not held: {result:?}") };
    remote_id.parse().unwrap()
}

/// Whether the remote says that it holds exactly what was wanted.
pub(super) fn holds(result: &PushResult, wire: &Wire) -> bool {
    matches!(result, PushResult::Held { remote_hash, .. } if *remote_hash == wire.hash)
}

/// The text of a failure.
pub(super) fn text(result: &PushResult) -> &str {
    let PushResult::Failed(failure) = result else { panic!("not failed: {result:?}") };
    &failure.text
}

/// An answer with this status and body, not applied.
pub(super) fn answers(code: u16, body: Value) -> Fault {
    Fault::Status { code, headers: Vec::new(), body: Some(body), applied: false }
}
