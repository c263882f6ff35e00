//! The whole engine in front of a simulated Mautic: EMS database, queues, and ems-sync in this process.

use std::collections::BTreeMap;

use ems_sync::config::Config;
use ems_sync::process::Role;
use ems_sync_remotes::Simulator;
use ems_sync_remotes::mautic::{Mautic as Sim, MauticOptions};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::support::database::{self, Services};
use crate::support::rig::PATIENCE;

pub(super) struct Rig {
    pub(super) ems: Client,
    pub(super) sim: Simulator<Sim>,
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
        let options = MauticOptions::default();
        let (client_id, secret) = (options.client_id.clone(), options.client_secret.clone());
        let sim = Sim::start(options).await.unwrap();
        let settings = BTreeMap::from(
            [
                ("DATABASE__URL", url.clone()),
                ("BROKER__URL", services.amqp_url.clone()),
                ("BROKER__PREFIX", format!("t-{}", uuid::Uuid::new_v4().simple())),
                ("OPS__LISTEN", "127.0.0.1:0".to_owned()),
                ("SWEEP__OUTBOUND_EVERY", "1h".to_owned()),
                ("GUARD__MAX_DELETES", "1000000".to_owned()),
                ("TARGETS__MAUTIC__ENABLED", "true".to_owned()),
                ("TARGETS__MAUTIC__BASE_URL", sim.base_url()),
                ("TARGETS__MAUTIC__ALLOW_HTTP", "true".to_owned()),
                ("TARGETS__MAUTIC__CLIENT_ID", client_id),
                ("TARGETS__MAUTIC__CLIENT_SECRET", secret),
                ("TARGETS__MAUTIC__TIMEOUT", "5s".to_owned()),
                ("TARGETS__MAUTIC__SETTLE", "1s".to_owned()),
            ]
            .map(|(key, value)| (format!("EMS_SYNC__{key}"), value)),
        );
        Self { ems: database::connect(&url).await, sim, settings }
    }

    pub(super) fn start(&self) -> Running {
        let config = Config::load(None, &self.settings).unwrap_or_else(|error| panic!("{error}"));
        let stop = CancellationToken::new();
        let token = stop.clone();
        let roles = [Role::Relay, Role::Consume, Role::Sweep];
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

    /// Waits until nothing is owed that can still be pushed, no write is in doubt, and the outbox is empty.
    pub(super) async fn settled(&self) {
        let left = "select (select count(*) from sync.outbox)
            + (select count(*) from sync.mautic_record
               where owed_gen > done_gen and due_on < 'infinity' or in_doubt)";
        self.until(left).await;
    }

    /// Waits until a count is zero.
    pub(super) async fn until(&self, left: &str) {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        let settled = async {
            while self.count(left).await > 0 {
                pace.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, settled).await.is_err() {
            panic!("Not settled in time: {:#?}", self.states().await);
        }
    }

    /// The records, by state, for a message.
    pub(super) async fn states(&self) -> Vec<String> {
        let sql = "select concat_ws(' ', count(*), state, state_reason, max(last_error), min(due_on), min(entity_id))
                   from sync.mautic_record group by state, state_reason
                   union all
                   select concat_ws(' ', 'breaker', breaker, breaker_until) from sync.target where target = 'mautic'";
        let rows = self.ems.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}
