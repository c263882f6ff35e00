//! A whole system for one test: EMS database, queues, simulated Chatwoot, and ems-sync on top.

use std::collections::BTreeMap;
use std::time::Duration;

use ems_sync::config::Config;
use ems_sync::process::Role;
use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Chatwoot, ChatwootOptions};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::support::database::{self, Services};
use crate::support::rig::PATIENCE;

pub(super) struct Rig {
    /// The EMS's own connection.
    pub(super) ems: Client,
    pub(super) sim: Simulator<Chatwoot>,
    settings: BTreeMap<String, String>,
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

impl Rig {
    pub(super) async fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let services = Services::get();
        let url = database::create(&services).await;
        let ems = database::connect(&url).await;
        let mut options = ChatwootOptions::default();
        // What the limits do has a test of its own.
        options.settings.safelisted = true;
        let token = options.token.clone();
        let sim = Chatwoot::start(options).await.unwrap();
        let settings = [
            ("DATABASE__URL", url),
            ("BROKER__URL", services.amqp_url),
            ("BROKER__PREFIX", format!("t-{}", uuid::Uuid::new_v4().simple())),
            ("OPS__LISTEN", "127.0.0.1:0".to_owned()),
            ("SWEEP__OUTBOUND_EVERY", "1h".to_owned()),
            ("SWEEP__INBOUND_EVERY", "1h".to_owned()),
            ("GUARD__MAX_DELETES", "1000000".to_owned()),
            ("TARGETS__CHATWOOT__ENABLED", "true".to_owned()),
            ("TARGETS__CHATWOOT__BASE_URL", sim.base_url()),
            ("TARGETS__CHATWOOT__ALLOW_HTTP", "true".to_owned()),
            ("TARGETS__CHATWOOT__API_TOKEN", token),
            ("TARGETS__CHATWOOT__ACCOUNT_ID", "1".to_owned()),
            ("TARGETS__CHATWOOT__TIMEOUT", "2s".to_owned()),
            ("TARGETS__CHATWOOT__SETTLE", "500ms".to_owned()),
        ];
        let settings = settings.map(|(key, value)| (format!("EMS_SYNC__{key}"), value)).into();
        Self { ems, sim, settings }
    }

    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(format!("EMS_SYNC__{key}"), value.to_owned());
    }

    pub(super) fn start(&self) -> Running {
        let stop = CancellationToken::new();
        let config = Config::load(None, &self.settings).unwrap_or_else(|error| panic!("{error}"));
        let (roles, token) = ([Role::Relay, Role::Consume, Role::Sweep], stop.clone());
        let task = tokio::spawn(async move { ems_sync::process::run(config, &roles, token).await });
        Running { stop, task }
    }

    /// Runs the binary to its end: exit code and standard output.
    pub(super) async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ems-sync"));
        command.args(arguments).kill_on_drop(true).envs(&self.settings);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("ends").unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
    }

    pub(super) async fn exec(&self, sql: &str) {
        self.ems.batch_execute(sql).await.unwrap();
    }

    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.ems.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until nothing is owed that can still be pushed and the outbox is empty. Level-triggered.
    pub(super) async fn settled(&self) {
        let sql = "select (select count(*) from sync.outbox)
                        + (select count(*) from sync.record where owed_gen > done_gen and due_on < 'infinity')";
        self.until(sql).await;
    }

    /// Waits until a count is zero.
    pub(super) async fn until(&self, sql: &str) {
        let wait = async {
            while self.count(sql).await != 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let owed =
                "select concat_ws(' ', count(*), state, state_reason, min(due_on), max(last_error))
                        from sync.record where owed_gen > done_gen group by state, state_reason";
            let rows = self.ems.query(owed, &[]).await.unwrap();
            let owed: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            panic!("Not in time; owed: {owed:#?}");
        }
    }
}
