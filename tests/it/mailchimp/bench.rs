//! A client, a simulator with two lists, and short words for what is pushed and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::mailchimp::MailChimp;
use ems_sync::remote::{
    Action, Fields, HttpSettings, Look, Push, PushResult, Remote as _, RemoteIds, Results,
    SendBefore, Wire,
};
use ems_sync_remotes::mailchimp::{
    Act, ListOptions, MailChimp as Sim, MailChimpOptions, Row, Status,
};
use ems_sync_remotes::{Entry, Operation, Simulator};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Nothing here takes this long unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The audiences of list codes `news` and `club`; the latter asks people to confirm.
pub(super) const NEWS: &str = "a1b2c3d4e5";
pub(super) const CLUB: &str = "f6a7b8c9d0";

pub(super) const EMAIL: &str = "thandi@club.org";

pub(super) struct Bench {
    pub(super) sim: Arc<Simulator<Sim>>,
    pub(super) settings: HttpSettings,
    pub(super) client: MailChimp,
}

pub(super) fn options() -> MailChimpOptions {
    let club = ListOptions { double_optin: true, ..ListOptions::named(CLUB) };
    MailChimpOptions { lists: vec![ListOptions::named(NEWS), club], ..MailChimpOptions::default() }
}

impl Bench {
    /// The lists have our merge fields.
    pub(super) async fn new() -> Self {
        Self::with(options(), |_| {}).await
    }

    pub(super) async fn with(
        options: MailChimpOptions,
        change: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        let bench = Self::bare(options).await;
        let account = bench.client.account().await.unwrap();
        let mut settings = bench.settings.clone();
        change(&mut settings);
        let client = client(&settings, bench.sim.api_key());
        client.stay_with(account);
        Self { client, settings, ..bench }
    }

    /// Nobody has asked the account yet.
    pub(super) async fn bare(options: MailChimpOptions) -> Self {
        let sim = Arc::new(Sim::start(options).await.unwrap());
        let settings = settings(&sim);
        let client = client(&settings, sim.api_key());
        Self { sim, settings, client }
    }

    pub(super) fn wire(&self, id: i64, row: &Value) -> Wire {
        let Value::Object(fields) = row.clone() else { panic!("a projection is an object") };
        self.client.wire(person(id), &Fields::new(fields), &RemoteIds::new()).unwrap()
    }

    pub(super) fn create(&self, id: i64, row: &Value) -> Push {
        push(id, Action::Create { wire: self.wire(id, row), look: Look::IfRefused })
    }

    /// A create after one that may have been applied.
    pub(super) fn create_again(&self, id: i64, row: &Value, absence_is_proof: bool) -> Push {
        let look = Look::First { absence_is_proof };
        push(id, Action::Create { wire: self.wire(id, row), look })
    }

    pub(super) fn update(&self, id: i64, remote_id: &str, row: &Value) -> Push {
        let remote_id = remote_id.to_owned();
        push(id, Action::Update { remote_id, wire: self.wire(id, row) })
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
        let results: BTreeMap<i64, PushResult> =
            results.into_iter().map(|(entity, result)| (entity.id, result)).collect();
        assert_eq!(results.len(), n, "each entity once");
        results
    }

    /// Person 42 is brought there; their remote id.
    pub(super) async fn brought(&self, row: &Value) -> String {
        remote_id(&self.one(self.create(42, row)).await)
    }

    /// Person 42, known as `remote_id`, is brought up to date; their remote id.
    pub(super) async fn updated(&self, remote_id: &str, row: &Value) -> String {
        self::remote_id(&self.one(self.update(42, remote_id, row)).await)
    }

    /// Their member of a list.
    pub(super) fn member(&self, list: &str, email: &str) -> Row {
        self.sim.member(list, email).unwrap_or_else(|| panic!("no member"))
    }

    pub(super) fn status(&self, list: &str, email: &str) -> Option<Status> {
        self.sim.member(list, email).map(|row| row.status)
    }

    pub(super) fn act(&self, list: &str, email: &str, act: &Act) {
        self.sim.act(list, email, act).unwrap();
    }

    /// The requests since `mark`, as method and route.
    pub(super) fn calls_since(&self, mark: usize) -> Vec<String> {
        let short = |entry: &Entry| {
            let route = entry.route.trim_start_matches("/3.0/lists/{list_id}").to_owned();
            format!("{} {route}", entry.method)
        };
        self.sim.journal().iter().skip(mark).map(short).collect()
    }

    /// The number of requests so far.
    pub(super) fn mark(&self) -> usize {
        self.sim.journal().len()
    }

    pub(super) fn writes_since(&self, mark: usize) -> usize {
        let reads = [Operation::Read, Operation::List, Operation::Info, Operation::Probe];
        let journal = self.sim.journal();
        journal.iter().skip(mark).filter(|entry| !reads.contains(&entry.operation)).count()
    }

    pub(super) fn assert_clean(&self) {
        assert_eq!(self.sim.violations(), []);
        assert_eq!(self.sim.overlaps(), []);
    }
}

pub(super) fn settings(sim: &Simulator<Sim>) -> HttpSettings {
    HttpSettings {
        budget: None,
        base_url: format!("{}/3.0", sim.base_url()),
        ca_pem: sim.ca_pem().map(|pem| pem.as_bytes().to_vec()),
        allow_http: true,
        concurrency: 5,
        requests_per_second: None,
        timeout: Duration::from_secs(20),
    }
}

pub(super) fn client(settings: &HttpSettings, key: &str) -> MailChimp {
    rustls::crypto::ring::default_provider().install_default().ok();
    let lists = BTreeMap::from([
        ("news".to_owned(), NEWS.to_owned()),
        ("club".to_owned(), CLUB.to_owned()),
    ]);
    MailChimp::new(settings, SecretString::from(key.to_owned()), lists).unwrap()
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

pub(super) fn delete(id: i64, remote_id: &str) -> Push {
    push(id, Action::Delete { remote_id: remote_id.to_owned() })
}

/// Second `n` of the EMS's clock.
pub(super) fn at(n: i64) -> String {
    jiff::Timestamp::from_second(1_767_225_600 + n).unwrap().to_string()
}

/// A membership that was changed at second `n`.
pub(super) fn in_list(status: &str, n: i64) -> Value {
    json!({"status": status, "labels": [], "modified_on": at(n)})
}

/// A row of the projection.
pub(super) fn row(email: &str, memberships: Value) -> Value {
    json!({"first_name": "Thandi", "last_name": "Nkosi", "email": email, "language": "en-ZA",
           "memberships": memberships, "email_opted_in": null, "email_opted_in_on": null})
}

/// A row of somebody who is only in `news`.
pub(super) fn reader(status: &str, n: i64) -> Value {
    row(EMAIL, json!({"news": in_list(status, n)}))
}

/// The same with a wish for e-mail as such.
pub(super) fn wishing(mut row: Value, opted_in: bool, n: i64) -> Value {
    row["email_opted_in"] = json!(opted_in);
    row["email_opted_in_on"] = json!(at(n));
    row
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

pub(super) fn remote_id(result: &PushResult) -> String {
    let PushResult::Held { remote_id, .. } = result else { panic!("not held: {result:?}") };
    remote_id.clone()
}
