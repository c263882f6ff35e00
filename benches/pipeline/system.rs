//! Databases, and whole systems on top: an EMS, queues, a simulated remote, and ems-sync as a child process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};
use tokio_postgres::{Client, NoTls};

use crate::args::Args;
use crate::cpu::{Meter, Used};
use crate::remote::RemoteProcess;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a database is cloned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    /// The reference EMS alone: `modified_on` triggers, no schema `sync`.
    Ems,
    /// The same after `ems-sync migrate`: capture triggers.
    Sync,
}

/// The servers of the launcher, and this run's templates on them.
pub(crate) struct Services {
    database_url: String,
    amqp_url: String,
    run: String,
    admin: Client,
}

impl Services {
    /// Makes the templates.
    pub(crate) async fn prepare(args: &Args) -> anyhow::Result<Self> {
        let admin = connect(&args.database_url).await?;
        let services = Self {
            database_url: args.database_url.clone(),
            amqp_url: args.amqp_url.clone(),
            run: format!("b_{}", uuid::Uuid::new_v4().simple()),
            admin,
        };
        let ems = services.template_name(Template::Ems);
        services.admin.batch_execute(&format!("create database {ems}")).await?;
        let client = connect(&services.url_of(&ems)?).await?;
        for sql in sql_files("sql/ems")? {
            client.batch_execute(&sql).await?;
        }
        drop(client);
        let sync = services.template_name(Template::Sync);
        services.clone_database(&sync, &ems).await?;
        let settings = services.settings(&services.url_of(&sync)?, &services.run);
        let migrated = ems_sync(&settings, &["migrate"]).stdout(Stdio::null()).status().await?;
        anyhow::ensure!(migrated.success(), "`ems-sync migrate` failed");
        Ok(services)
    }

    fn template_name(&self, template: Template) -> String {
        let suffix = match template {
            Template::Ems => "ems",
            Template::Sync => "sync",
        };
        format!("{}_{suffix}", self.run)
    }

    fn url_of(&self, database: &str) -> anyhow::Result<String> {
        let (server, _) = self.database_url.rsplit_once('/').context("No database in the URL")?;
        Ok(format!("{server}/{database}"))
    }

    pub(crate) fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// A database of its own, and its URL.
    pub(crate) async fn database(&self, template: Template) -> anyhow::Result<String> {
        let name =
            format!("{}_{}", self.run, uuid::Uuid::new_v4().simple().to_string().split_at(8).0);
        self.clone_database(&name, &self.template_name(template)).await?;
        self.url_of(&name)
    }

    async fn clone_database(&self, name: &str, of: &str) -> anyhow::Result<()> {
        // A template must have no connection; they end a moment after their client is dropped.
        let ended =
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1";
        self.admin.query(ended, &[&of]).await?;
        let sql = format!("create database {name} template {of} strategy wal_log");
        Ok(self.admin.batch_execute(&sql).await?)
    }

    fn settings(&self, url: &str, prefix: &str) -> BTreeMap<String, String> {
        let settings = [
            ("DATABASE__URL", url),
            ("BROKER__URL", &self.amqp_url),
            ("BROKER__PREFIX", prefix),
            ("OPS__LISTEN", "127.0.0.1:0"),
        ];
        settings.map(|(key, value)| (format!("EMS_SYNC__{key}"), value.to_owned())).into()
    }

    /// Drops the databases of this run.
    pub(crate) async fn tidy(&self) -> anyhow::Result<()> {
        let all = "select datname from pg_database where starts_with(datname, $1)";
        for row in self.admin.query(all, &[&self.run]).await? {
            let name: &str = row.try_get(0)?;
            self.admin.batch_execute(&format!("drop database {name} with (force)")).await?;
        }
        Ok(())
    }
}

/// A connection with its driver in the background.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn sql_files(folder: &str) -> anyhow::Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    paths.iter().map(|path| Ok(std::fs::read_to_string(path)?)).collect()
}

/// The program under test, of the same build. It ends when this process does, however that ends.
fn ems_sync(settings: &BTreeMap<String, String>, arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", env!("CARGO_BIN_EXE_ems-sync")]).args(arguments);
    command.env("EMS_SYNC_LOG", "warn,lapin=off").envs(settings).kill_on_drop(true);
    command
}

/// A whole system.
pub(crate) struct System {
    pub(crate) url: String,
    pub(crate) prefix: String,
    /// The EMS's own connection.
    pub(crate) ems: Client,
    pub(crate) remote: RemoteProcess,
    /// Looks whether all is done: often, so never by reading a whole table.
    watch: Client,
    settings: BTreeMap<String, String>,
    worker: Option<Child>,
}

impl System {
    /// A system without ems-sync running yet.
    pub(crate) async fn new(services: &Services, has_bulk: bool) -> anyhow::Result<Self> {
        let url = services.database(Template::Sync).await?;
        let remote = RemoteProcess::start(has_bulk).await?;
        let prefix = format!("b-{}", uuid::Uuid::new_v4().simple());
        let mut settings = services.settings(&url, &prefix);
        for (key, value) in [
            ("ENABLED", "true"),
            ("BASE_URL", remote.base_url()),
            ("ALLOW_HTTP", "true"),
            ("USERNAME", "ems-sync"),
            ("PASSWORD", "ems-sync-password"),
        ] {
            settings.insert(format!("EMS_SYNC__TARGETS__TAGSERVER__{key}"), value.to_owned());
        }
        let (ems, watch) = (connect(&url).await?, connect(&url).await?);
        watch.batch_execute("set enable_seqscan = off").await?;
        Ok(Self { url, prefix, ems, remote, watch, settings, worker: None })
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(format!("EMS_SYNC__{key}"), value.to_owned());
    }

    /// Starts ems-sync with these roles.
    pub(crate) fn start(&mut self, roles: &str) -> anyhow::Result<()> {
        let mut command = ems_sync(&self.settings, &["run", "--roles", roles]);
        let child = command.stdin(Stdio::null()).spawn().context("ems-sync can't be started")?;
        self.worker = Some(child);
        Ok(())
    }

    /// Starts relay and consumer, and waits until they have shown that they work.
    pub(crate) async fn start_and_warm_up(&mut self) -> anyhow::Result<()> {
        self.start("relay,consume")?;
        self.ems.batch_execute("insert into ems.organisation (name) values ('Warm-up')").await?;
        self.settled().await?;
        self.analyze().await
    }

    /// What autovacuum does within a minute or two: plans for tables of the size that they have.
    pub(crate) async fn analyze(&self) -> anyhow::Result<()> {
        Ok(self.ems.batch_execute("analyze sync.record").await?)
    }

    /// Stops ems-sync as an operator would.
    pub(crate) async fn stop_worker(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.worker.take() else { return Ok(()) };
        if let Some(pid) = child.id() {
            Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        }
        if tokio::time::timeout(Duration::from_secs(10), child.wait()).await.is_err() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Stops everything.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_worker().await?;
        self.remote.stop().await
    }

    pub(crate) fn used(&self, meter: &Meter) -> anyhow::Result<Used> {
        let pid = |child: &Child| child.id();
        let worker: Vec<u32> = self.worker.as_ref().and_then(pid).into_iter().collect();
        let remote: Vec<u32> = self.remote.pid().into_iter().collect();
        meter.read(&worker, &remote)
    }

    /// Gives an order for the target.
    pub(crate) async fn order(&self, order: &str) -> anyhow::Result<()> {
        let mut command = ems_sync(&self.settings, &["target", order, "tagserver"]);
        let given = command.stdout(Stdio::null()).status().await?;
        anyhow::ensure!(given.success(), "`ems-sync target {order}` failed");
        Ok(())
    }

    /// Waits until the outbox is empty and nothing is owed.
    pub(crate) async fn settled(&self) -> anyhow::Result<()> {
        self.until_none(
            "exists (select from sync.outbox)
             or exists (select from sync.record where owed_gen > done_gen)",
        )
        .await
    }

    /// Waits until a condition no longer holds.
    pub(crate) async fn until_none(&self, condition: &str) -> anyhow::Result<()> {
        let statement = self.watch.prepare(&format!("select {condition}")).await?;
        let wait = async {
            while self.watch.query_one(&statement, &[]).await?.try_get(0)? {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(result) => result,
            Err(_) => anyhow::bail!("After {} s still {condition}", PATIENCE.as_secs()),
        }
    }
}
