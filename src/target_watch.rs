//! The shared state of the targets as this process sees it: read from Postgres twice a second, and at once when another
//! process has changed it (LISTEN; behind a pooler in transaction mode the half second remains).
//!
//! Whoever consumes, publishes or probes asks here; what is about to be sent asks the [`Gate`]. While Postgres can't be
//! read, the last state stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod gate;

pub use gate::Gate;

use crate::broker::Pause;
use crate::deliver::bound::Clearance;
use crate::error_chain::chain;
use crate::limits;
use crate::store::{Heard, Store, StoreError, TargetListener, TargetState, TargetVoice};
use crate::target::Target;

type States = HashMap<Target, TargetState>;

/// A handle on the state of all targets.
#[derive(Clone)]
pub struct TargetWatch {
    store: Store,
    states: watch::Receiver<Arc<States>>,
    gates: Arc<HashMap<Target, Gate>>,
    stop: CancellationToken,
    /// Where this process must have found that a target is where it belongs: for which database it was.
    clearance: Option<watch::Receiver<Clearance>>,
    voice: Voice,
    pause: Pause,
}

/// The connection that tells the other processes at once, while there is one.
type Voice = Arc<Mutex<Option<TargetVoice>>>;

/// The side that reads Postgres.
pub struct TargetWatcher {
    store: Store,
    sender: watch::Sender<Arc<States>>,
    gates: Arc<HashMap<Target, Gate>>,
    voice: Voice,
    pause: Pause,
}

/// Reads the state once, and returns the handle and the side that keeps it fresh. While Postgres is away no target
/// is open for business; after `stop` no gate is open.
///
/// # Errors
/// [`StoreError`] when Postgres answers, but not as it must: schema `sync` is missing, the login is refused.
pub async fn start(
    store: Store,
    stop: CancellationToken,
) -> Result<(TargetWatch, TargetWatcher), StoreError> {
    let gates = Target::ALL.map(|target| (target, Gate::new(stop.clone())));
    let gates = Arc::new(HashMap::from(gates));
    let states = match read(&store, &gates, &States::new()).await {
        Err(error) if error.is_outage() => {
            tracing::warn!(error = %chain(&error), "Postgres is away; beginning without it");
            States::new()
        }
        states => states?,
    };
    let (sender, receiver) = watch::channel(Arc::new(states));
    let (voice, pause) = (Voice::default(), Pause::default());
    let watch = TargetWatch {
        store: store.clone(),
        states: receiver,
        gates: Arc::clone(&gates),
        stop,
        clearance: None,
        voice: Arc::clone(&voice),
        pause: pause.clone(),
    };
    Ok((watch, TargetWatcher { store, sender, gates, voice, pause }))
}

/// Reads, and moves the gates first: they are what stops requests.
async fn read(
    store: &Store,
    gates: &HashMap<Target, Gate>,
    before: &States,
) -> Result<States, StoreError> {
    let states = store.target_states().await?;
    for state in &states {
        if let Some(gate) = gates.get(&state.target) {
            if before.get(&state.target).is_some_and(|before| before.database != state.database) {
                gate.forget();
            }
            gate.see(state.version, state.is_open_for_business());
        }
    }
    Ok(states.into_iter().map(|state| (state.target, state)).collect())
}

impl TargetWatcher {
    /// Keeps the state fresh until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut ears = Ears { voice: self.voice, pause: self.pause, ..Ears::default() };
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = ears.wait(&self.store, &self.gates) => ended,
            };
            if ended.is_err() {
                // Whoever it is that does not let us listen, reading twice a second goes on.
                tracing::debug!("Changes of the targets are not heard of at once");
            }
            let before = Arc::clone(&self.sender.borrow());
            match read(&self.store, &self.gates, &before).await {
                Ok(states) => {
                    self.sender.send_if_modified(|current| {
                        let differs = **current != states;
                        if differs {
                            *current = Arc::new(states);
                        }
                        differs
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "The state of the targets can't be read; the last one stands");
                }
            }
        }
    }
}

/// The connection that hears of changes, made anew when it is lost.
#[derive(Default)]
struct Ears {
    listener: Option<TargetListener>,
    tried: Option<Instant>,
    voice: Voice,
    pause: Pause,
}

impl Ears {
    /// Waits for a change, at most as long as a state may be old.
    async fn wait(
        &mut self,
        store: &Store,
        gates: &Arc<HashMap<Target, Gate>>,
    ) -> Result<(), StoreError> {
        self.listener = self.listener.take().filter(|listener| !listener.is_lost());
        let is_due = self.tried.is_none_or(|tried| tried.elapsed() >= limits::RECONNECT_MAX);
        if self.listener.is_none() && is_due {
            self.tried = Some(Instant::now());
            let (gates, pause) = (Arc::clone(gates), self.pause.clone());
            let listening = store.listen_to_targets(move |target, heard| {
                if let Some(gate) = gates.get(&target) {
                    match heard {
                        Heard::Closed(version) => gate.see(version, false),
                        Heard::Hush => gate.hush(),
                        Heard::Leaving => pause.begin(target),
                    }
                }
            });
            let listening = tokio::time::timeout(limits::LISTENER_PING_TIMEOUT, listening).await;
            let too_late = |_| StoreError::Unexpected("no connection to listen on, in time");
            let listener = listening.map_err(too_late)??;
            *self.voice.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener.voice());
            self.listener = Some(listener);
            // What happened before it listened is read now.
            return Ok(());
        }
        let change = async {
            match &self.listener {
                Some(listener) => listener.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::time::timeout(limits::TARGET_STATE_EVERY, change).await.ok();
        Ok(())
    }
}

impl TargetWatch {
    /// Whether deliveries may be consumed and published now.
    #[must_use]
    pub fn is_open(&self, target: Target) -> bool {
        let states = self.states.borrow();
        let Some(state) = states.get(&target) else { return false };
        let is_cleared = |clearance: &watch::Receiver<Clearance>| {
            clearance.borrow().as_ref() == Some(&state.database)
        };
        state.is_open_for_business() && self.clearance.as_ref().is_none_or(is_cleared)
    }

    /// A handle for whoever writes to a target: open only while it is cleared for the database that is there.
    #[must_use]
    pub fn cleared_by(&self, clearance: watch::Receiver<Clearance>) -> Self {
        Self { clearance: Some(clearance), ..self.clone() }
    }

    /// The state, as read last.
    #[must_use]
    pub fn state(&self, target: Target) -> Option<TargetState> {
        self.states.borrow().get(&target).cloned()
    }

    /// Has all processes leave the target alone for a moment, before the reason is written down. As far as it can be said
    /// at once: what is written down is what counts.
    pub async fn hush(&self, target: Target) {
        let voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(voice) = voice else { return };
        if !matches!(tokio::time::timeout(limits::HUSH, voice.hush(target)).await, Ok(Ok(()))) {
            tracing::debug!(target.name = %target, "The others hear of it when it is written down");
        }
    }

    /// Has all processes publish nothing to the target's queues for a moment, since a consumer leaves. As far as it can be said:
    /// nothing depends on it but that no message is delivered a second time.
    pub async fn leave(&self, target: Target) {
        let said = tokio::time::timeout(limits::HUSH, self.store.say_leaving(target)).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::debug!(target.name = %target, "The others do not hear that a consumer leaves");
        }
    }

    /// What is not published to while a consumer leaves.
    #[must_use]
    pub fn pause(&self) -> Pause {
        self.pause.clone()
    }

    /// What is about to be sent to the target asks this.
    #[must_use]
    pub fn gate(&self, target: Target) -> Gate {
        let gate = self.gates.get(&target).cloned();
        gate.unwrap_or_else(|| Gate::new(self.stop.clone()))
    }

    /// Waits until the state of any target changes.
    pub async fn changed(&mut self) {
        if self.states.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the target is open, or not open, for business.
    pub async fn until(&mut self, target: Target, open: bool) {
        loop {
            self.states.borrow_and_update();
            if let Some(clearance) = &mut self.clearance {
                clearance.borrow_and_update();
            }
            if self.is_open(target) == open {
                return;
            }
            let cleared = async {
                match &mut self.clearance {
                    Some(clearance) => clearance.changed().await,
                    None => std::future::pending().await,
                }
            };
            let moved = tokio::select! {
                moved = self.states.changed() => moved,
                moved = cleared => moved,
            };
            if moved.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the database is another one than `database`, or was restarted, or the target is closed for business
    /// for more than a pause that it asked for: whatever was found out about its place must be found out again.
    pub async fn until_place_is_doubtful(&mut self, target: Target, database: &str) {
        let is = |states: &Arc<States>| {
            states.get(&target).is_some_and(|state| {
                let is_paused_only = state.throttled_until.is_some()
                    && TargetState { throttled_until: None, ..state.clone() }
                        .is_open_for_business();
                state.database != database || !(state.is_open_for_business() || is_paused_only)
            })
        };
        if self.states.wait_for(is).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the breaker of the target is open (or was left half open) and its pause is over.
    pub async fn until_probe_is_due(&mut self, target: Target) {
        let is =
            |states: &Arc<States>| states.get(&target).is_some_and(|state| state.breaker_is_due);
        if self.states.wait_for(is).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
