//! A whole system for one test: EMS database, queues, simulated TagServer, and ems-sync on top.

use std::collections::BTreeMap;
use std::time::Duration;

use ems_sync::config::Config;
use ems_sync::entity::EntityRef;
use ems_sync::process::Role;
use ems_sync::store::Store;
use ems_sync_remotes::Simulator;
use ems_sync_remotes::tagserver::{TagServer, TagServerOptions};
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::database::{self, Services};

/// Nothing in these tests takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Rig {
    pub(crate) services: Services,
    pub(crate) url: String,
    pub(crate) prefix: String,
    /// The EMS's own connection.
    pub(crate) ems: Client,
    pub(crate) store: Store,
    pub(crate) sim: Simulator<TagServer>,
    /// Settings besides the usual ones.
    pub(crate) settings: BTreeMap<String, String>,
}

/// ems-sync, running in this process.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("stops").unwrap().unwrap();
    }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(TagServerOptions::default()).await
    }

    pub(crate) async fn with(options: TagServerOptions) -> Self {
        Self::on(Services::get(), options).await
    }

    pub(crate) async fn on(services: Services, options: TagServerOptions) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        init_logs();
        let url = database::create(&services).await;
        let ems = database::connect(&url).await;
        let store = Store::new(&SecretString::from(url.clone()), "test").unwrap();
        let prefix = format!("t-{}", uuid::Uuid::new_v4().simple());
        let (username, password) = (options.username.clone(), options.password.clone());
        let sim = TagServer::start(options).await.unwrap();
        let settings = BTreeMap::from(
            [
                ("DATABASE__URL", url.clone()),
                ("BROKER__URL", services.amqp_url.clone()),
                ("BROKER__PREFIX", prefix.clone()),
                ("OPS__LISTEN", "127.0.0.1:0".to_owned()),
                ("SWEEP__OUTBOUND_EVERY", "1h".to_owned()),
                // Deletes flow; the tests of the guard set limits of their own.
                ("GUARD__MAX_DELETES", "1000000".to_owned()),
                ("TARGETS__TAGSERVER__ENABLED", "true".to_owned()),
                ("TARGETS__TAGSERVER__BASE_URL", sim.base_url()),
                ("TARGETS__TAGSERVER__ALLOW_HTTP", "true".to_owned()),
                ("TARGETS__TAGSERVER__USERNAME", username),
                ("TARGETS__TAGSERVER__PASSWORD", password),
                ("TARGETS__TAGSERVER__TIMEOUT", "5s".to_owned()),
                ("TARGETS__TAGSERVER__SETTLE", "1s".to_owned()),
            ]
            .map(|(key, value)| (format!("EMS_SYNC__{key}"), value)),
        );
        Self { services, url, prefix, ems, store, sim, settings }
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(format!("EMS_SYNC__{key}"), value.to_owned());
    }

    pub(crate) fn config(&self) -> Config {
        Config::load(None, &self.settings).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn start(&self, roles: &[Role]) -> Running {
        let stop = CancellationToken::new();
        let (config, roles, token) = (self.config(), roles.to_vec(), stop.clone());
        let task = tokio::spawn(async move { ems_sync::process::run(config, &roles, token).await });
        Running { stop, task }
    }

    pub(crate) fn start_all(&self) -> Running {
        self.start(&[Role::Relay, Role::Consume, Role::Sweep])
    }

    /// A child process of the real binary.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> tokio::process::Child {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ems-sync"));
        command.args(arguments).kill_on_drop(true);
        for (key, value) in &self.settings {
            command.env(key, value);
        }
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    }

    /// Runs the binary to its end: exit code and standard output.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = tokio::time::timeout(PATIENCE, self.spawn(arguments).wait_with_output());
        let output = output.await.expect("ends").unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
    }

    /// Waits until nothing is owed that can still be pushed and the outbox is empty. Level-triggered.
    pub(crate) async fn settled(&self) {
        let sql = "select (select count(*) from sync.outbox)
                        + (select count(*) from sync.record where owed_gen > done_gen and due_on < 'infinity')";
        self.until(sql, "settled").await;
    }

    /// Waits until a count is zero.
    pub(crate) async fn until(&self, sql: &str, what: &str) {
        let wait = async {
            loop {
                let left: i64 = self.ems.query_one(sql, &[]).await.unwrap().get(0);
                if left == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("Not {what} in time; owed: {:#?}", self.owed().await);
        }
    }

    /// What is owed, for a message.
    pub(crate) async fn owed(&self) -> Vec<String> {
        let rows = self
                .ems
                .query(
                    "select concat_ws(' ', count(*), entity_type, state, state_reason, 'due', min(due_on), max(last_error))
                     from sync.record where owed_gen > done_gen group by entity_type, state, state_reason
                     union all
                     select concat_ws(' ', 'the breaker is', breaker, 'until', breaker_until, 'pause', throttled_until)
                     from sync.target where target = 'tagserver'
                     union all
                     select concat_ws(' ', 'the outbox has', count(*), 'since', min(changed_on)) from sync.outbox
                     union all
                     select concat_ws(' ', application_name, state, 'since', state_change, wait_event, left(query, 120))
                     from pg_stat_activity where datname = current_database() and application_name like 'ems-sync%'",
                    &[],
                )
                .await
                .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.ems.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn exec(&self, sql: &str) {
        self.ems.batch_execute(sql).await.unwrap();
    }

    pub(crate) async fn state_of(&self, entity: EntityRef) -> Option<String> {
        let record = self.store.record(ems_sync::target::Target::TagServer, entity).await.unwrap();
        record.map(|record| record.state)
    }

    /// Rows that were written, bulk rows counted one by one.
    pub(crate) fn writes_applied(&self) -> usize {
        usize::try_from(self.sim.counters().writes_applied()).unwrap()
    }

    /// The writes that the simulator has seen so far, of all resources.
    pub(crate) fn writes(&self) -> usize {
        self.sim.journal().iter().filter(|entry| entry.operation.is_write()).count()
    }
}

fn init_logs() {
    let filter = std::env::var("EMS_SYNC_LOG").unwrap_or_else(|_| "warn,lapin=off".to_owned());
    tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init().ok();
}
