//! The handle of a running simulator.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::control::Control;
use crate::exchange::{Core, Run};
use crate::ledger::Ledger;
use crate::listening::{Door, Listening};
use crate::sync::lock;
use crate::tls::Tls;
use crate::{
    Certificate, Counters, Entry, Faults, Offline, Overlap, Progress, Remote, Upheaval, Violation,
};

/// Where and how a simulator serves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where the remote listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the control API listens; port 0 takes a free one.
    pub control: SocketAddr,
    /// TLS with such a certificate, or plain HTTP.
    pub tls: Option<Certificate>,
    /// How long every request takes.
    pub latency: Duration,
    /// The seed of the dice of the fault scripts.
    pub seed: u64,
    /// How many journal entries are kept; all without a limit.
    pub journal_limit: Option<usize>,
    /// How large a body may be.
    pub max_body_bytes: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: free,
            control: free,
            tls: None,
            latency: Duration::ZERO,
            seed: 1,
            journal_limit: None,
            max_body_bytes: 1 << 20,
        }
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be had.
    #[error("The simulator cannot listen")]
    Listen(#[from] io::Error),
    /// A certificate cannot be made.
    #[error("The certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take the certificate.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// What becomes of the rows on a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They are as before.
    Kept,
    /// They are gone.
    Wiped,
}

/// A running simulator of the remote `R`. Dropping it stops it.
pub struct Simulator<R: Remote> {
    remote: Arc<R>,
    core: Arc<Core>,
    control: Control,
    ca_pem: Option<String>,
}

impl<R: Remote> Simulator<R> {
    /// Starts to serve `remote` and the control API on the current Tokio runtime.
    ///
    /// # Errors
    /// If a port is taken or a certificate cannot be made.
    pub async fn start(remote: R, options: ServerOptions) -> Result<Self, StartError> {
        let remote = Arc::new(remote);
        let tls = options.tls.map(Tls::new).transpose()?;
        let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
        let core = Arc::new(Core {
            remote: Arc::<R>::clone(&remote),
            ledger: Arc::new(Ledger::new(options.journal_limit)),
            faults: Faults::new(options.seed),
            latency_us: AtomicU64::new(0),
            max_body_bytes: options.max_body_bytes,
            listening: Listening::new(options.listen, acceptor),
            run: Mutex::new(Run::default()),
        });
        let control = Control::new(options.control);
        let simulator = Self { remote, core, control, ca_pem: tls.map(|tls| tls.ca_pem) };
        simulator.set_latency(options.latency);
        simulator.open().await?;
        Ok(simulator)
    }

    /// The host root, without a slash at the end.
    pub fn base_url(&self) -> String {
        let scheme = if self.ca_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", reachable(self.address()))
    }

    /// The control API's host root, without a slash at the end.
    pub fn control_url(&self) -> String {
        format!("http://{}", reachable(self.control.address()))
    }

    /// The authority that a client has to trust, when the simulator speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Where the remote listens.
    pub fn address(&self) -> SocketAddr {
        self.core.listening.address()
    }

    /// The remote and its state.
    pub fn remote(&self) -> &R {
        &self.remote
    }

    /// How long every request takes from now on.
    pub fn set_latency(&self, latency: Duration) {
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.core.latency_us.store(latency_us, Ordering::Relaxed);
    }

    /// Cuts all connections and takes no new ones; the control API stays.
    ///
    /// # Errors
    /// If the port is lost.
    pub async fn go_offline(&self, offline: Offline) -> io::Result<()> {
        self.core.listening.turn(&self.core, Door::Offline(offline)).await
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// If the port is lost.
    pub async fn go_online(&self) -> io::Result<()> {
        self.core.listening.turn(&self.core, Door::Open).await
    }

    /// Stops serving: connections are cut, delayed requests are not applied, the ports are free.
    pub async fn shutdown(&self) {
        let run = lock(&self.core.run).clone();
        run.stop.cancel();
        if let Err(error) = self.core.listening.turn(&self.core, Door::Stopped).await {
            tracing::error!(%error, "Stopping to listen failed");
        }
        run.tasks.close();
        run.tasks.wait().await;
        self.control.stop().await;
    }

    /// Starts again on the same ports; stops first if that was not done. Journal, counters and
    /// fault scripts go on.
    ///
    /// # Errors
    /// If a port has been taken meanwhile.
    pub async fn restart(&self, state: State) -> Result<(), StartError> {
        self.shutdown().await;
        if state == State::Wiped {
            self.wipe();
        }
        *lock(&self.core.run) = Run::default();
        self.open().await
    }

    /// Removes all rows.
    pub fn wipe(&self) {
        self.remote.upheave(Upheaval::Wipe, None);
    }

    /// The fault script.
    pub fn faults(&self) -> &Faults {
        &self.core.faults
    }

    /// All requests so far, in the order of arrival.
    pub fn journal(&self) -> Vec<Entry> {
        self.journal_since(0)
    }

    /// The requests after the one with this number.
    pub fn journal_since(&self, sequence: u64) -> Vec<Entry> {
        self.core.ledger.since(sequence, usize::MAX)
    }

    /// The writes that touched one entity, bulk included.
    pub fn writes_of(&self, resource: impl AsRef<str>, external_id: &str) -> Vec<Entry> {
        self.core.ledger.writes_of(resource.as_ref(), external_id)
    }

    /// The totals.
    pub fn counters(&self) -> Counters {
        self.core.ledger.counters()
    }

    /// Every breach of the contract so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.counters().violations
    }

    /// Every pair of writes of one entity that was in flight at the same moment.
    pub fn overlaps(&self) -> Vec<Overlap> {
        self.core.ledger.overlaps()
    }

    /// Watches the journal grow.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.core.ledger.progress()
    }

    /// Waits until `count` requests are over, counted from the simulator's start.
    pub async fn wait_for_requests(&self, count: u64) {
        self.wait_until(|progress, _| progress.finished >= count).await;
    }

    /// Waits until `test` holds; it is tested whenever the journal moves, and may ask anything of
    /// the simulator: `sim.wait_for(|| sim.counters().logins == 2)`.
    pub async fn wait_for(&self, test: impl FnMut() -> bool) {
        self.core.ledger.wait_for(test).await;
    }

    /// Waits until `test` holds for the journal; it is tested whenever the journal moves. The
    /// journal is lent to it, not copied: it must not ask the simulator for more.
    pub async fn wait_until(&self, test: impl FnMut(Progress, &[Entry]) -> bool) {
        self.core.ledger.wait_until(test).await;
    }

    async fn open(&self) -> Result<(), StartError> {
        self.core.listening.turn(&self.core, Door::Open).await?;
        self.control.start(&self.core).await?;
        Ok(())
    }
}

impl<R: Remote> Drop for Simulator<R> {
    fn drop(&mut self) {
        lock(&self.core.run).stop.cancel();
        self.core.listening.abandon();
        self.control.abandon();
    }
}

/// An address that a client on this host can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
    } else {
        address
    }
}
