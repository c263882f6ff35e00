//! A client, a simulator, and short words for what is pushed and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::tagserver::TagServer;
use ems_sync::remote::{
    Action, Fields, HttpSettings, Look, Push, PushResult, Remote as _, RemoteIds, Results,
    SendBefore, Wire,
};
use ems_sync_remotes::tagserver::{Resource, TagServer as Sim, TagServerOptions};
use ems_sync_remotes::{Entry, Fault, Operation, Simulator};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;

pub(crate) use crate::support::results::{PATIENCE, word, words};

pub(crate) struct Bench {
    pub(crate) sim: Arc<Simulator<Sim>>,
    pub(crate) settings: HttpSettings,
    pub(crate) client: TagServer,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(TagServerOptions::default(), |_| {}).await
    }

    /// One that gives up after 300 ms.
    pub(crate) async fn impatient() -> Self {
        Self::with(TagServerOptions::default(), |http| http.timeout = Duration::from_millis(300))
            .await
    }

    pub(crate) async fn with(
        options: TagServerOptions,
        change: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        let sim = Sim::start(options).await.unwrap();
        let mut settings = settings(&sim);
        change(&mut settings);
        let client = client(&settings, "ems-sync-password");
        Self { sim: Arc::new(sim), settings, client }
    }

    /// The same simulator and a client that has not logged in yet.
    pub(crate) fn fresh(&self) -> Self {
        self.with_password("ems-sync-password")
    }

    /// The same simulator and a client that waits as long as it takes on a busy machine.
    pub(crate) fn patient(mut self) -> Self {
        self.settings.timeout = PATIENCE;
        self.fresh()
    }

    pub(crate) fn with_password(&self, password: &str) -> Self {
        let settings = self.settings.clone();
        Self { sim: Arc::clone(&self.sim), client: client(&settings, password), settings }
    }

    /// The same, but it never uses the bulk endpoint.
    pub(crate) fn without_bulk(self) -> Self {
        Self { client: self.client.without_bulk(), ..self }
    }

    pub(crate) fn wire(&self, id: i64, name: &str) -> Wire {
        self.wire_of(organisation(id), json!({ "name": name }), &RemoteIds::new())
    }

    pub(crate) fn wire_of(&self, entity: EntityRef, fields: Value, parents: &RemoteIds) -> Wire {
        let Value::Object(fields) = fields else { panic!("a projection is an object") };
        self.client.wire(entity, &Fields::new(fields), parents).unwrap()
    }

    pub(crate) fn create(&self, id: i64, name: &str) -> Push {
        push(id, Action::Create { wire: self.wire(id, name), look: Look::IfRefused })
    }

    /// A create after one that may have been applied.
    pub(crate) fn create_again(&self, id: i64, name: &str, absence_is_proof: bool) -> Push {
        let look = Look::First { absence_is_proof };
        push(id, Action::Create { wire: self.wire(id, name), look })
    }

    pub(crate) fn update(&self, id: i64, remote_id: i64, name: &str) -> Push {
        let remote_id = remote_id.to_string();
        push(id, Action::Update { remote_id, wire: self.wire(id, name) })
    }

    pub(crate) async fn one(&self, push: Push) -> PushResult {
        let id = push.entity.id;
        let mut results = self.many(vec![push]).await;
        results.remove(&id).unwrap()
    }

    /// Every push is answered exactly once (obligation 1).
    pub(crate) async fn many(&self, batch: Vec<Push>) -> BTreeMap<i64, PushResult> {
        let entities: Vec<_> = batch.iter().map(|push| push.entity).collect();
        let (sender, mut receiver) = Results::channel();
        tokio::time::timeout(PATIENCE, self.client.push(batch, sender)).await.expect("ends");
        let mut results = Vec::new();
        receiver.recv_many(&mut results, usize::MAX).await;
        assert_eq!(results.len(), entities.len(), "a result per push");
        let results: BTreeMap<i64, PushResult> =
            results.into_iter().map(|(entity, result)| (entity.id, result)).collect();
        assert_eq!(results.len(), entities.len(), "each entity once");
        results
    }

    /// A row of the simulator, made behind the client's back; its id.
    pub(crate) fn plant(&self, id: i64, name: &str) -> i64 {
        let row = json!({ "externalId": id.to_string(), "name": name });
        self.sim.plant(Resource::Organisation, row).unwrap().id
    }

    /// The name that the simulator holds under an EMS id.
    pub(crate) fn name_of(&self, id: i64) -> Option<String> {
        let row = self.sim.row(Resource::Organisation, &id.to_string())?;
        row.body["name"].as_str().map(str::to_owned)
    }

    /// The requests so far, logins apart.
    pub(crate) fn requests(&self) -> Vec<Entry> {
        let mut entries = self.sim.journal();
        entries.retain(|entry| entry.operation != Operation::Login);
        entries
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.requests().iter().map(|entry| entry.operation).collect()
    }

    pub(crate) fn requests_of(&self, operation: Operation) -> usize {
        self.sim.journal().iter().filter(|entry| entry.operation == operation).count()
    }

    pub(crate) fn assert_no_violation(&self) {
        assert_eq!(self.sim.violations(), []);
    }
}

pub(crate) fn settings(sim: &Simulator<Sim>) -> HttpSettings {
    HttpSettings {
        base_url: sim.base_url(),
        ca_pem: sim.ca_pem().map(|pem| pem.as_bytes().to_vec()),
        allow_http: true,
        concurrency: 16,
        requests_per_second: None,
        timeout: Duration::from_secs(5),
        budget: None,
    }
}

pub(crate) fn client(settings: &HttpSettings, password: &str) -> TagServer {
    rustls::crypto::ring::default_provider().install_default().ok();
    TagServer::new(settings, "ems-sync".to_owned(), SecretString::from(password.to_owned()))
        .unwrap()
}

pub(crate) const fn organisation(id: i64) -> EntityRef {
    EntityRef::new(EntityType::Organisation, id)
}

/// A lease that outlasts every test.
pub(crate) fn in_time() -> SendBefore {
    SendBefore::from(Instant::now() + PATIENCE)
}

pub(crate) fn push(id: i64, action: Action) -> Push {
    Push {
        entity: organisation(id),
        action,
        besides: Look::IfRefused,
        former: None,
        by_itself: false,
        send_before: in_time(),
        expected: None,
    }
}

pub(crate) fn delete(id: i64, remote_id: i64) -> Push {
    push(id, Action::Delete { remote_id: remote_id.to_string() })
}

pub(crate) fn delete_by_key(id: i64) -> Push {
    push(id, Action::DeleteByKey)
}

pub(crate) fn remote_id(result: &PushResult) -> i64 {
    let PushResult::Held { remote_id, .. } = result else { panic!("not held: {result:?}") };
    remote_id.parse().unwrap()
}

/// 200 with this body, not applied.
pub(crate) fn answers(body: Value) -> Fault {
    Fault::Status { code: 200, headers: Vec::new(), body: Some(body), applied: false }
}
