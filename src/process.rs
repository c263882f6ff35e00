//! One process: the roles that it plays, started together and stopped in order.
//!
//! Stopping: nothing new is taken, what is in flight is finished or left to the others, and after a deadline what is left
//! is left to its leases.

use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::broker::{Broker, Publisher};
use crate::capture::relay::Relay;
use crate::clients::{self, Job};
use crate::config::{Config, MergeMode};
use crate::deliver::batch::Worker;
use crate::deliver::bound::Binding;
use crate::deliver::breaker::Breaker;
use crate::deliver::consumer::Consumer;
use crate::deliver::guard;
use crate::deliver::tokens::Tokens;
use crate::error_chain::chain;
use crate::inbound::apply::Applier;
use crate::inbound::pull::Puller;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::ops::progress::Progress;
use crate::ops::server::{self, OpsContext};
use crate::remote::Remote;
use crate::store::Store;
use crate::sweep::Sweeper;
use crate::target::Target;
use crate::target_watch::{self, TargetWatch};

/// The roles that a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Drains the outbox and publishes.
    Relay,
    /// Pushes to the targets.
    Consume,
    /// Scans for what was missed.
    Sweep,
    /// Serves health, metrics and the API.
    Ops,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Relay, Self::Consume, Self::Sweep, Self::Ops];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Consume => "consume",
            Self::Sweep => "sweep",
            Self::Ops => "ops",
        }
    }
}

/// A name that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Not a role; one of {}", Role::ALL.map(Role::name).join(", "))]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.name() == s).ok_or(UnknownRole)
    }
}

/// What all roles of a process share.
struct Shared {
    config: Config,
    store: Store,
    broker: Broker,
    watch: TargetWatch,
    metrics: Arc<Metrics>,
    progress: Progress,
    targets: Vec<Target>,
    tasks: TaskTracker,
    stop: CancellationToken,
    failed: Arc<OnceLock<&'static str>>,
}

/// Plays the roles until `stop`, then ends within a deadline.
///
/// # Errors
/// When the process can't begin and waiting would not help: schema `sync` is missing, the database or the broker
/// refuses us, the address is taken.
pub async fn run(config: Config, roles: &[Role], stop: CancellationToken) -> anyhow::Result<()> {
    let store = Store::new(&config.database.url, "run")?;
    let (watch, watcher) = target_watch::start(store.clone(), stop.clone())
        .await
        .context("The state of the targets can't be read from schema `sync`")?;
    let broker =
        Broker::new(config.broker.url.clone(), config.broker.prefix.clone()).pausing(watch.pause());
    let shared = Shared {
        targets: config.targets.enabled(),
        metrics: Arc::new(Metrics::new()?),
        progress: Progress::default(),
        tasks: TaskTracker::new(),
        config,
        store,
        broker,
        watch,
        stop,
        failed: Arc::default(),
    };
    // Proves the broker's configuration and declares every queue before anything runs. An outage is no reason not
    // to begin: every part connects by itself when the broker is back, and `/readyz` says so meanwhile.
    let publisher = Publisher::new(shared.broker.clone(), "start");
    match publisher.connect().await {
        Err(error) if error.is_outage() => {
            tracing::warn!(error = %chain(&error), "The broker is away; beginning without it");
        }
        connected => connected.context("The broker can't be used")?,
    }
    shared.spawn("target watch", watcher.run(shared.stop.clone()));
    if roles.contains(&Role::Ops) {
        shared.start_ops(publisher).await?;
    }
    if roles.contains(&Role::Relay) {
        shared.start_relay();
    }
    shared.start_targets(roles).await?;
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        roles = names.join(","),
        targets = shared.targets.iter().map(|t| t.name()).collect::<Vec<_>>().join(","),
        "ems-sync runs"
    );
    shared.stop.cancelled().await;
    tracing::info!("Stopping: nothing new is taken, what is in flight is finished");
    shared.tasks.close();
    if tokio::time::timeout(limits::SHUTDOWN_DEADLINE, shared.tasks.wait()).await.is_err() {
        tracing::warn!("Not everything ended in time; what was claimed is left to its leases");
    }
    if let Some(part) = shared.failed.get() {
        anyhow::bail!("The part `{part}` ended by itself, which is a bug: it is in the log above");
    }
    Ok(())
}

/// Starts the consumer and the sweeper of a target.
struct StartTarget<'a> {
    shared: &'a Shared,
    roles: &'a [Role],
}

impl Job for StartTarget<'_> {
    type Output = ();

    async fn run<R: Remote>(
        self,
        build: impl Fn() -> anyhow::Result<R> + Send,
    ) -> anyhow::Result<()> {
        self.shared.start_target(build, self.roles)
    }
}

/// A part of the process that must run until it is told to stop. If it ends before, by a panic or otherwise, the
/// whole process stops, so that whoever supervises it starts it anew: half a worker looks healthy and is not.
struct Part {
    name: &'static str,
    stop: CancellationToken,
    failed: Arc<OnceLock<&'static str>>,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(part = self.name, "A part ended by itself: the process stops");
            self.failed.set(self.name).ok();
            self.stop.cancel();
        }
    }
}

impl Shared {
    /// Runs a part of the process.
    fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let (stop, failed) = (self.stop.clone(), Arc::clone(&self.failed));
        self.tasks.spawn(async move {
            let _part = Part { name, stop, failed };
            work.await;
        });
    }

    async fn start_ops(&self, publisher: Publisher) -> anyhow::Result<()> {
        let listen = self.config.ops.listen;
        let listener = server::bind(listen)
            .await
            .with_context(|| format!("`ops.listen` {listen} can't be bound"))?;
        let context = OpsContext {
            store: self.store.clone(),
            publisher: Arc::new(publisher),
            enabled: self.targets.clone(),
            sweep: self.config.sweep,
            watch: self.watch.clone(),
            metrics: Arc::clone(&self.metrics),
            progress: self.progress.clone(),
            access: server::Tokens::of(&self.config.ops),
            patience: self.config.breaker,
            hook_secrets: self.hook_secrets(),
        };
        let stop = self.stop.clone();
        self.spawn("operations endpoints", async move {
            if let Err(error) = server::serve(listener, context, stop).await {
                tracing::error!(error = %error, "The operations endpoints ended");
            }
        });
        Ok(())
    }

    /// What web hooks may be signed with.
    fn hook_secrets(&self) -> Vec<SecretString> {
        let chatwoot = &self.config.targets.chatwoot;
        if !self.targets.contains(&Target::Chatwoot) {
            return Vec::new();
        }
        [&chatwoot.webhook_secret, &chatwoot.webhook_secret_previous]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    fn start_relay(&self) {
        let relay = Relay {
            store: self.store.clone(),
            publisher: Publisher::new(self.broker.clone(), "relay"),
            targets: self.targets.clone(),
            watch: self.watch.clone(),
            wake: self.config.capture.wake,
            metrics: Arc::clone(&self.metrics),
            leads: AtomicBool::new(false),
            unpublished: AtomicBool::new(false),
            queue_full: limits::QUEUE_FULL,
            beat: self.progress.part("relay"),
            progress: self.progress.clone(),
        };
        self.spawn("relay", relay.run(self.stop.clone()));
    }

    async fn start_targets(&self, roles: &[Role]) -> anyhow::Result<()> {
        if !roles.contains(&Role::Consume) && !roles.contains(&Role::Sweep) {
            return Ok(());
        }
        // A pool of its own: a lease is prolonged, however busy the other connections are.
        let store = Store::new(&self.config.database.url, "budget")?;
        for target in &self.targets {
            let (budget, keeper) = clients::budget(&self.config, store.clone(), *target);
            self.spawn("budget", keeper.run());
            let start = StartTarget { shared: self, roles };
            clients::with_client(&self.config, budget, *target, start).await?;
        }
        Ok(())
    }

    /// The parts of one target: the consumer and the sweeper, each with a client of its own, and those of what comes back, which
    /// share one: where the puller has seen a record, the applier need not look for it.
    fn start_target<R: Remote>(
        &self,
        client: impl Fn() -> anyhow::Result<R>,
        roles: &[Role],
    ) -> anyhow::Result<()> {
        let mut watch = self.watch.clone();
        let inbound = Arc::new(client()?);
        if roles.contains(&Role::Consume) {
            let (tokens, cleared) = self.start_consumer(client()?);
            if let Some(merge) = self.config.targets.merge(inbound.target()) {
                self.start_applier(Arc::clone(&inbound), merge, tokens, cleared.clone());
            }
            watch = cleared;
        }
        if roles.contains(&Role::Sweep) {
            self.start_puller(Arc::clone(&inbound), watch);
            let sweeper = Sweeper {
                beat: self.progress.part(format!("sweep {}", inbound.target())),
                store: self.store.clone(),
                publisher: Arc::new(Publisher::new(self.broker.clone(), "sweep")),
                remote: Arc::new(client()?),
                policy: self.config.retry,
                watch: self.watch.clone(),
                metrics: Arc::clone(&self.metrics),
            };
            let (every, stop) = (self.config.sweep.outbound_every, self.stop.clone());
            self.spawn("sweeper", async move { sweeper.run(every, stop).await });
        }
        Ok(())
    }

    /// Pulls what comes back from a target, if anything does. `watch`: open only while the target is where it was bound, as far
    /// as this process looks after that.
    fn start_puller<R: Remote>(&self, remote: Arc<R>, watch: TargetWatch) {
        let target = remote.target();
        if remote.streams().is_empty() {
            return;
        }
        let owner = Uuid::new_v4();
        let by = format!("ems-sync {owner}");
        let (store, patience) = (self.store.clone(), self.config.breaker);
        let puller = Puller {
            store: self.store.clone(),
            publisher: Arc::new(Publisher::new(self.broker.clone(), format!("pull {target}"))),
            remote,
            breaker: Arc::new(Breaker::new(store, target, watch.clone(), patience, by)),
            watch,
            guard: guard::Limits::new(self.config.guard, self.config.sweep.inbound_every),
            owner,
            metrics: Arc::clone(&self.metrics),
            beat: self.progress.part(format!("pull {target}")),
            stop: self.stop.clone(),
        };
        let every = self.config.sweep.inbound_every;
        self.spawn("puller", async move { puller.run(every).await });
    }

    /// The consumer of what comes back from a target, while it is as open as the other one needs it.
    fn start_applier<R: Remote>(
        &self,
        remote: R,
        merge: MergeMode,
        tokens: Tokens,
        watch: TargetWatch,
    ) {
        let target = remote.target();
        let applier = Applier {
            store: self.store.clone(),
            publisher: Arc::new(Publisher::new(self.broker.clone(), format!("inbound {target}"))),
            remote,
            merge,
            tokens,
            metrics: Arc::clone(&self.metrics),
            stop: self.stop.clone(),
        };
        let beat = self.progress.part(format!("inbound {target}"));
        let consumer = Consumer::new(Arc::new(applier), self.broker.clone(), watch, beat);
        self.spawn("inbound consumer", consumer.run(self.stop.clone()));
    }

    /// Returns a handle that is open only while the target is cleared for this database.
    fn start_consumer<R: Remote>(&self, remote: R) -> (Tokens, TargetWatch) {
        let target = remote.target();
        let owner = Uuid::new_v4();
        let breaker = Arc::new(Breaker::new(
            self.store.clone(),
            target,
            self.watch.clone(),
            self.config.breaker,
            format!("ems-sync {owner}"),
        ));
        let publisher =
            Arc::new(Publisher::new(self.broker.clone(), format!("follow-up {target}")));
        let (store, broker) = (self.store.clone(), self.broker.clone());
        // A publisher of its own: a walk through a long queue holds up no batch.
        let of_tokens = Arc::new(Publisher::new(self.broker.clone(), format!("tokens {target}")));
        let tokens = Tokens::new(store, broker, of_tokens, target);
        self.spawn("tokens", tokens.clone().keep_tidy(self.stop.clone()));
        let owner = Uuid::new_v4();
        tracing::info!(target.name = %target, lease.owner = %owner, "Consuming");
        let worker = Arc::new(Worker {
            store: self.store.clone(),
            publisher,
            breaker: Arc::clone(&breaker),
            tokens,
            remote,
            owner,
            policy: self.config.retry,
            guard: guard::Limits::new(self.config.guard, self.config.sweep.outbound_every),
            settle: self.config.targets.common(target).settle,
            metrics: Arc::clone(&self.metrics),
            gate: self.watch.gate(target),
            stop: self.stop.clone(),
        });
        let (clearance, cleared) = tokio::sync::watch::channel(None);
        let binding = Binding {
            worker: Arc::clone(&worker),
            broker: self.broker.clone(),
            breaker: Arc::clone(&breaker),
            watch: self.watch.clone(),
            clearance,
        };
        self.spawn("binding", binding.run(self.stop.clone()));
        let watch = self.watch.cleared_by(cleared);
        let beat = self.progress.part(format!("consumer {target}"));
        let tokens = worker.tokens.clone();
        let consumer = Consumer::new(Arc::clone(&worker), self.broker.clone(), watch.clone(), beat);
        let stop = self.stop.clone();
        self.spawn("probe", async move { breaker.run(&worker.remote, stop).await });
        self.spawn("consumer", consumer.run(self.stop.clone()));
        (tokens, watch)
    }
}
