//! A client, a simulator, and short words for what is pushed and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::mautic::{Credentials, Mautic};
use ems_sync::remote::{
    Action, Fields, HttpSettings, Look, Push, PushResult, Remote as _, RemoteIds, Results,
    SendBefore, Wire,
};
use ems_sync_remotes::mautic::{Contact, Mautic as Sim, MauticOptions, MauticSettings};
use ems_sync_remotes::{Entry, Fault, Operation, Simulator};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Nothing here takes this long unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Bench {
    pub(super) sim: Arc<Simulator<Sim>>,
    pub(super) settings: HttpSettings,
    pub(super) client: Mautic,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut MauticSettings)) -> Self {
        Self::start(change, |_| {}).await
    }

    /// One that gives up after 300 ms.
    pub(super) async fn impatient() -> Self {
        Self::start(|_| {}, |http| http.timeout = Duration::from_millis(300)).await
    }

    pub(super) async fn start(
        change: impl FnOnce(&mut MauticSettings),
        change_http: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut options = MauticOptions::default();
        change(&mut options.settings);
        let sim = Sim::start(options).await.unwrap();
        let mut settings = HttpSettings {
            budget: None,
            base_url: sim.base_url(),
            ca_pem: None,
            allow_http: true,
            concurrency: 16,
            requests_per_second: None,
            timeout: Duration::from_secs(10),
        };
        change_http(&mut settings);
        let client = Mautic::new(&settings, oauth("ems-sync-secret")).unwrap();
        Self { sim: Arc::new(sim), settings, client }
    }

    /// The same simulator and a client that has not logged in yet.
    pub(super) fn as_client(&self, credentials: Credentials) -> Self {
        let settings = self.settings.clone();
        let client = Mautic::new(&settings, credentials).unwrap();
        Self { sim: Arc::clone(&self.sim), settings, client }
    }

    pub(super) fn wire_of(&self, id: i64, fields: Value) -> Wire {
        let Value::Object(fields) = fields else { panic!("a projection is an object") };
        self.client.wire(person(id), &Fields::new(fields), &RemoteIds::new()).unwrap()
    }

    pub(super) fn wire(&self, id: i64, last_name: &str) -> Wire {
        self.wire_of(id, runner(id, last_name))
    }

    pub(super) fn create(&self, id: i64, last_name: &str) -> Push {
        create(id, self.wire(id, last_name))
    }

    /// A create after one that may have been applied.
    pub(super) fn create_again(&self, id: i64, last_name: &str, absence_is_proof: bool) -> Push {
        let look = Look::First { absence_is_proof };
        push(id, Action::Create { wire: self.wire(id, last_name), look })
    }

    pub(super) fn update(&self, id: i64, remote_id: i64, last_name: &str) -> Push {
        update(id, remote_id, self.wire(id, last_name))
    }

    pub(super) async fn one(&self, push: Push) -> PushResult {
        let id = push.entity.id;
        self.many(vec![push]).await.remove(&id).unwrap()
    }

    /// Every push is answered exactly once (obligation 1).
    pub(super) async fn many(&self, batch: Vec<Push>) -> BTreeMap<i64, PushResult> {
        let pushes = batch.len();
        let (sender, mut receiver) = Results::channel();
        tokio::time::timeout(PATIENCE, self.client.push(batch, sender)).await.expect("ends");
        let mut results = Vec::new();
        receiver.recv_many(&mut results, usize::MAX).await;
        assert_eq!(results.len(), pushes, "a result per push");
        let results: BTreeMap<i64, PushResult> =
            results.into_iter().map(|(entity, result)| (entity.id, result)).collect();
        assert_eq!(results.len(), pushes, "each entity once");
        results
    }

    /// Creates the person's contact; its id.
    pub(super) async fn made(&self, id: i64, last_name: &str) -> i64 {
        remote_id(&self.one(self.create(id, last_name)).await)
    }

    /// A contact that carries an EMS id, made behind the client's back; its id.
    pub(super) fn plant(&self, id: i64, last_name: &str) -> i64 {
        self.plant_row(json!({
            "ems_person_id": id.to_string(), "email": email(id), "firstname": "Thandi",
            "lastname": last_name,
        }))
    }

    pub(super) fn plant_row(&self, row: Value) -> i64 {
        self.sim.plant(row).unwrap().id
    }

    pub(super) fn contact(&self, id: i64) -> Contact {
        self.sim.contact(id).unwrap_or_else(|| panic!("contact {id} is not there"))
    }

    /// The last name that the simulator holds for a person.
    pub(super) fn name_of(&self, id: i64) -> Option<String> {
        self.sim.contact_of(&id.to_string())?.text("lastname").map(str::to_owned)
    }

    /// The requests so far, logins apart.
    pub(super) fn requests(&self) -> Vec<Entry> {
        let mut entries = self.sim.journal();
        entries.retain(|entry| entry.operation != Operation::Login);
        entries
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        self.requests().iter().map(|entry| entry.operation).collect()
    }

    pub(super) fn routes(&self) -> Vec<String> {
        self.requests().iter().map(|entry| entry.route.clone()).collect()
    }

    pub(super) fn writes(&self) -> usize {
        self.operations().into_iter().filter(|operation| operation.is_write()).count()
    }

    pub(super) fn assert_no_violation(&self) {
        assert_eq!(self.sim.violations(), []);
    }
}

pub(super) fn oauth(secret: &str) -> Credentials {
    Credentials::Client {
        id: "1_ems-sync".to_owned(),
        secret: SecretString::from(secret.to_owned()),
    }
}

pub(super) const fn person(id: i64) -> EntityRef {
    EntityRef::new(EntityType::Person, id)
}

pub(super) fn email(id: i64) -> String {
    format!("runner{id}+club@example.org")
}

/// A person's projection.
pub(super) fn runner(id: i64, last_name: &str) -> Value {
    json!({ "first_name": "Thandi", "last_name": last_name, "email": email(id) })
}

/// The same, with what it says of e-mail.
pub(super) fn says(id: i64, opted_in: Option<bool>, on: jiff::Timestamp) -> Value {
    let mut row = runner(id, "Nkosi");
    row["email_opted_in"] = json!(opted_in);
    row["email_preference_on"] = json!(on.to_string());
    row
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

pub(super) fn create(id: i64, wire: Wire) -> Push {
    push(id, Action::Create { wire, look: Look::IfRefused })
}

pub(super) fn update(id: i64, remote_id: i64, wire: Wire) -> Push {
    push(id, Action::Update { remote_id: remote_id.to_string(), wire })
}

pub(super) fn delete(id: i64, remote_id: i64) -> Push {
    push(id, Action::Delete { remote_id: remote_id.to_string() })
}

pub(super) fn delete_by_key(id: i64) -> Push {
    push(id, Action::DeleteByKey)
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

/// The words of many results, with how often each stands there.
pub(super) fn words(results: &BTreeMap<i64, PushResult>) -> BTreeMap<&'static str, usize> {
    let mut words = BTreeMap::new();
    for result in results.values() {
        *words.entry(word(result)).or_default() += 1;
    }
    words
}

pub(super) fn remote_id(result: &PushResult) -> i64 {
    let PushResult::Held { remote_id, .. } = result else { panic!("not held: {result:?}") };
    remote_id.parse().unwrap()
}

pub(super) fn remote_hash(result: &PushResult) -> ems_sync::hash::ContentHash {
    let PushResult::Held { remote_hash, .. } = result else { panic!("not held: {result:?}") };
    *remote_hash
}

/// The remote id that a failure has found.
pub(super) fn found(result: &PushResult) -> Option<i64> {
    let PushResult::Failed(failure) = result else { panic!("no failure: {result:?}") };
    failure.found.as_ref().map(|id| id.parse().unwrap())
}

/// This status with this body, not applied.
pub(super) fn answers(code: u16, body: Value) -> Fault {
    Fault::Status { code, headers: Vec::new(), body: Some(body), applied: false }
}
