//! An EMS, the simulated Chatwoot, and appliers that are told what to decide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ems_sync::broker::{Broker, Publisher};
use ems_sync::config::{Config, MergeMode};
use ems_sync::deliver::tokens::Tokens;
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::inbound::apply::Applier;
use ems_sync::ops::metrics::Metrics;
use ems_sync::process::Role;
use ems_sync::remote::chatwoot::Chatwoot;
use ems_sync::remote::inbound::{Shape, Snapshot};
use ems_sync::remote::{HttpSettings, Remote as _, RemoteIds, Wire};
use ems_sync::store::{Conflict, ConflictFilter, InboxRef, Store};
use ems_sync::target::Target;
use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Chatwoot as Sim, ChatwootOptions, Resource};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::support::database::{self, Services};
use crate::support::rig::PATIENCE;

pub(super) const TARGET: Target = Target::Chatwoot;

pub(super) struct Bench {
    pub(super) ems: Client,
    pub(super) store: Store,
    pub(super) sim: Simulator<Sim>,
    settings: BTreeMap<String, String>,
    broker: Broker,
    http: HttpSettings,
    token: String,
    pub(super) applier: Applier<Chatwoot>,
}

/// ems-sync, running in this process.
pub(super) struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(super) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("stops").unwrap().unwrap();
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let services = Services::get();
        let url = database::create(&services).await;
        let ems = database::connect(&url).await;
        let store = Store::new(&SecretString::from(url.clone()), "test").unwrap();
        let mut options = ChatwootOptions::default();
        options.settings.safelisted = true;
        let token = options.token.clone();
        let sim = Sim::start(options).await.unwrap();
        let prefix = format!("t-{}", uuid::Uuid::new_v4().simple());
        let settings = [
            ("DATABASE__URL", url),
            ("BROKER__URL", services.amqp_url.clone()),
            ("BROKER__PREFIX", prefix.clone()),
            ("OPS__LISTEN", "127.0.0.1:0".to_owned()),
            ("SWEEP__OUTBOUND_EVERY", "1h".to_owned()),
            ("SWEEP__INBOUND_EVERY", "1h".to_owned()),
            ("GUARD__MAX_DELETES", "1000000".to_owned()),
            ("TARGETS__CHATWOOT__ENABLED", "true".to_owned()),
            ("TARGETS__CHATWOOT__BASE_URL", sim.base_url()),
            ("TARGETS__CHATWOOT__ALLOW_HTTP", "true".to_owned()),
            ("TARGETS__CHATWOOT__API_TOKEN", token.clone()),
            ("TARGETS__CHATWOOT__ACCOUNT_ID", "1".to_owned()),
            ("TARGETS__CHATWOOT__TIMEOUT", "2s".to_owned()),
            ("TARGETS__CHATWOOT__SETTLE", "500ms".to_owned()),
        ];
        let settings = settings.map(|(key, value)| (format!("EMS_SYNC__{key}"), value)).into();
        let http = HttpSettings {
            budget: None,
            base_url: sim.base_url(),
            ca_pem: None,
            allow_http: true,
            concurrency: 4,
            requests_per_second: None,
            timeout: Duration::from_secs(5),
        };
        let broker = Broker::new(SecretString::from(services.amqp_url), prefix);
        let client = Chatwoot::new(&http, SecretString::from(token.clone()), 1).unwrap();
        let applier = applier(&store, &broker, client, MergeMode::Entity);
        Self { ems, store, sim, settings, broker, http, token, applier }
    }

    pub(super) fn applier(&self, merge: MergeMode) -> Applier<Chatwoot> {
        let client = Chatwoot::new(&self.http, SecretString::from(self.token.clone()), 1).unwrap();
        applier(&self.store, &self.broker, client, merge)
    }

    pub(super) fn start(&self, roles: &[Role]) -> Running {
        let stop = CancellationToken::new();
        let config = Config::load(None, &self.settings).unwrap_or_else(|error| panic!("{error}"));
        let (roles, token) = (roles.to_vec(), stop.clone());
        let task = tokio::spawn(async move { ems_sync::process::run(config, &roles, token).await });
        Running { stop, task }
    }

    /// A child process of the real binary that dies at a named point.
    pub(super) fn spawn_to_die_at(&self, point: &str) -> tokio::process::Child {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ems-sync"));
        command.args(["run", "--roles", "relay,consume"]).kill_on_drop(true).envs(&self.settings);
        command.env("FAILPOINTS", format!("{point}=return"));
        command.spawn().unwrap()
    }

    pub(super) async fn exec(&self, sql: &str) {
        self.ems.batch_execute(sql).await.unwrap();
    }

    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.ems.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(super) async fn text(&self, sql: &str) -> Option<String> {
        self.ems.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until a count is zero.
    pub(super) async fn until(&self, sql: &str) {
        let wait = async {
            while self.count(sql).await != 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let all = "select (select jsonb_agg(to_jsonb(r)) from sync.record r)::text
                           || (select jsonb_agg(to_jsonb(i)) from sync.inbox i)::text";
            panic!("Not in time: {sql}: {:?}", self.text(all).await);
        }
    }

    /// A person of the EMS, of whom nothing is relayed.
    pub(super) async fn person(&self, first: &str, last: &str, email: &str) -> i64 {
        let sql = "insert into ems.person (first_name, last_name, email, city, country)
                   values ($1, $2, $3, 'Durban', 'ZA') returning id";
        self.ems.query_one(sql, &[&first, &last, &email]).await.unwrap().get(0)
    }

    /// What Chatwoot should hold of a person.
    pub(super) async fn wire(&self, id: i64) -> Wire {
        let shown = self.store.projections(TARGET, EntityType::Person, &[id]).await.unwrap();
        let shown = shown.first().expect("the person is shown");
        self.applier.remote.wire(shown.entity, &shown.fields, &RemoteIds::new()).unwrap()
    }

    /// A person that Chatwoot holds as contact `remote_id`, as both sides have agreed.
    pub(super) async fn synced(&self, name: &str, remote_id: &str) -> i64 {
        let email = format!("{}@example.org", name.to_lowercase());
        let id = self.person(name, "Nkosi", &email).await;
        self.sync(id, remote_id).await;
        id
    }

    /// Both sides agree on what the EMS has now.
    pub(super) async fn sync(&self, id: i64, remote_id: &str) {
        let wire = self.wire(id).await;
        let hash = wire.hash.to_bytes();
        let digests = json!(ems_sync::inbound::merge::digests(TARGET, &wire.body));
        let sql = "insert into sync.record as r
                       (target, entity_type, entity_id, remote_id, data_hash, remote_hash, entity_modified_on, owed_gen, done_gen,
                        state, due_on, remote_synced_on)
                   select 'chatwoot', 'person', p.id, $2, $3, $3, p.modified_on, 1, 1, 'synced', 'infinity',
                          clock_timestamp() - interval '1 hour'
                   from ems.person p where p.id = $1
                   on conflict (target, entity_type, entity_id) do update set
                       data_hash = excluded.data_hash, remote_hash = excluded.remote_hash, done_gen = r.owed_gen, state = 'synced',
                       in_doubt = false, due_on = 'infinity'";
        self.ems.execute(sql, &[&id, &remote_id, &hash]).await.unwrap();
        let sql = "insert into sync.agreed (target, entity_type, entity_id, ems, remote) values ('chatwoot', 'person', $1, $2, $2)
                   on conflict (target, entity_type, entity_id) do update set ems = excluded.ems, remote = excluded.remote";
        self.ems.execute(sql, &[&id, &digests]).await.unwrap();
        self.exec("delete from sync.outbox").await;
    }

    /// The contact of a person as people have changed it there.
    pub(super) async fn changed(&self, id: i64, changes: Value) -> Value {
        with(self.wire(id).await.body, changes)
    }

    /// It is pulled, by a request that begins now.
    pub(super) async fn pulled(&self, remote_id: &str, body: Value) -> i64 {
        let now = self.store.now().await.unwrap();
        self.taken_in(snapshot(remote_id, body), now).await.expect("there is something to decide")
    }

    pub(super) async fn taken_in(
        &self,
        snapshot: Snapshot,
        requested_on: jiff::Timestamp,
    ) -> Option<i64> {
        let taken = self.store.take_in(TARGET, requested_on, None, &[snapshot]).await.unwrap();
        taken.first().map(|row: &InboxRef| row.inbox_id)
    }

    /// It is pulled and decided.
    pub(super) async fn comes_back(&self, remote_id: &str, body: Value) {
        let row = self.pulled(remote_id, body).await;
        self.applier.work(&[row]).await.unwrap();
    }

    pub(super) async fn open_conflicts(&self) -> Vec<Conflict> {
        self.store.conflicts(ConflictFilter::default(), 100).await.unwrap()
    }

    pub(super) async fn owed(&self) -> i64 {
        self.count("select count(*) from sync.record where owed_gen > done_gen").await
    }

    pub(super) async fn inbox(&self) -> i64 {
        self.count("select count(*) from sync.inbox").await
    }

    pub(super) fn plant(&self, contact: Value) -> i64 {
        self.sim.plant(Resource::Contact, contact).unwrap().id
    }
}

fn applier(
    store: &Store,
    broker: &Broker,
    remote: Chatwoot,
    merge: MergeMode,
) -> Applier<Chatwoot> {
    let publisher = Arc::new(Publisher::new(broker.clone(), "test"));
    let tokens = Tokens::new(store.clone(), broker.clone(), Arc::clone(&publisher), TARGET);
    Applier {
        store: store.clone(),
        publisher,
        remote,
        merge,
        tokens,
        metrics: Arc::new(Metrics::new().unwrap()),
        stop: CancellationToken::new(),
    }
}

/// The same with other values.
pub(super) fn with(mut body: Value, changes: Value) -> Value {
    let changes: Map<String, Value> = changes.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(changes);
    body
}

pub(super) fn wire_of(body: Value) -> Wire {
    Wire::new(TARGET, 1, body)
}

pub(super) fn snapshot(remote_id: &str, body: Value) -> Snapshot {
    Snapshot {
        entity_type: EntityType::Person,
        remote_id: remote_id.to_owned(),
        entity: None,
        shape: Shape::Stands { wire: wire_of(body), extra: Map::new() },
        modified_on: None,
        parents: Vec::new(),
    }
}

/// A contact that carries no EMS id.
pub(super) fn foreign(name: &str, email: &str) -> Value {
    json!({"name": name, "email": email, "phone_number": null, "identifier": null, "ems_person_id": null,
           "city": null, "country": null, "country_code": null})
}

pub(super) fn person(id: i64) -> EntityRef {
    EntityRef::new(EntityType::Person, id)
}
