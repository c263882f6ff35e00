//! The breaker of one target: it carries what this process learns to the state that all processes share, and back.
//!
//! What follows from what is decided by [`rule`], which is pure; here a change is written by compare-and-swap on the
//! version of the row, so that of several processes that saw the same one moves it, says so in the log and stands in
//! the audit trail (`sync.target_event`). A healthy target costs no statement: only failures are told at once, and
//! successes only while there is something to forgive.
//!
//! Whatever stops requests is told before anything else: the gate of this process is shut when the answer arrives, the
//! other processes are hushed on a connection that is open already, then the shared state is written.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub mod evidence;
pub mod pause;
pub mod rule;

use self::evidence::Evidence;
use self::rule::{Effect, Event, Order, Patience, Probed};
use crate::deliver::settle::Verdict;
use crate::entity::EntityRef;
use crate::error_chain::chain;
use crate::limits;
use crate::remote::{Alarms, Failure, FailureClass, Remote};
use crate::store::{Change, Store, StoreError};
use crate::target::Target;
use crate::target_watch::{Gate, TargetWatch};

/// What this process knows and does about one target.
pub struct Breaker {
    store: Store,
    target: Target,
    watch: TargetWatch,
    gate: Gate,
    patience: Patience,
    /// Who we are, in `sync.target` and the audit trail.
    by: String,
    held: Mutex<Held>,
}

/// Served pushes that are not told yet.
#[derive(Default)]
struct Held {
    evidence: Evidence,
    told: Option<Instant>,
}

/// How the shared state stands after an event.
struct Applied {
    effects: Vec<Effect>,
    version: i64,
    is_open: bool,
}

impl Breaker {
    /// The breaker of `target`, as this process sees it. `by` names the process.
    #[must_use]
    pub fn new(
        store: Store,
        target: Target,
        watch: TargetWatch,
        patience: Patience,
        by: String,
    ) -> Self {
        let gate = watch.gate(target);
        Self { store, target, watch, gate, patience, by, held: Mutex::default() }
    }

    /// Takes the verdicts of some pushes, in the order in which they ended, and tells the other processes what follows.
    pub async fn judge(&self, verdicts: Vec<(EntityRef, Verdict)>) {
        for (_, verdict) in &verdicts {
            match verdict {
                Verdict::Refused(failure) => return self.tell_closing(failure).await,
                // The client has told it when the answer came; what it could not know, a row of a bulk call, is told here.
                Verdict::Pause(pause) if !self.gate.is_closed() && !self.is_throttled() => {
                    let text = "The target asked for a pause";
                    let failure = Failure::new(FailureClass::Throttled, text);
                    self.tell_closing(&failure.with_retry_after(*pause)).await;
                }
                Verdict::Pause(_) | Verdict::Served | Verdict::Unreachable | Verdict::Neutral => {}
            }
        }
        let evidence = Evidence::of(verdicts.iter().map(|(entity, verdict)| (*entity, verdict)));
        if let Some(evidence) = self.to_be_told(evidence) {
            self.tell(&Event::Judged(evidence)).await;
        }
    }

    /// Takes the failure of a request that concerned no entity, while the target was open for business.
    pub async fn met(&self, failure: &Failure) {
        if failure.class.closes_target() {
            self.tell_closing(failure).await;
        } else {
            self.tell(&Event::Met(failure.to_string())).await;
        }
    }

    fn is_throttled(&self) -> bool {
        self.watch.state(self.target).is_some_and(|state| state.throttled_until.is_some())
    }

    /// The evidence that is worth a statement now, with what was held back before it. Of a healthy target nothing is.
    fn to_be_told(&self, evidence: Evidence) -> Option<Evidence> {
        if evidence.is_empty() {
            return None;
        }
        let state = self.watch.state(self.target);
        let is_on_trial = state.as_ref().is_none_or(|state| state.on_trial);
        let has_blemish = state.is_none_or(|state| state.has_blemish);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let evidence = std::mem::take(&mut held.evidence).and_then(evidence);
        if evidence.failed.is_empty() && !is_on_trial {
            if !has_blemish {
                return None;
            }
            if held.told.is_some_and(|told| told.elapsed() < limits::EVIDENCE_EVERY) {
                held.evidence = evidence;
                return None;
            }
        }
        held.told = Some(Instant::now());
        Some(evidence)
    }

    /// Follows the alarms of the client and probes the target whenever that is due, until `stop`.
    pub async fn run<R: Remote>(&self, remote: &R, stop: CancellationToken) {
        tokio::join!(self.heed(remote.alarms(), &stop), self.probe(remote, &stop));
    }

    async fn heed(&self, alarms: &Alarms, stop: &CancellationToken) {
        let mut alarms = alarms.listen();
        loop {
            let failure = tokio::select! {
                () = stop.cancelled() => return,
                failure = Alarms::heard(&mut alarms) => failure,
            };
            self.tell_closing(&failure).await;
        }
    }

    /// Closes the target for everybody, this process first.
    async fn tell_closing(&self, failure: &Failure) {
        let event = match failure.class {
            FailureClass::Throttled => Event::Throttled(failure.retry_after),
            FailureClass::Authentication | FailureClass::Configuration => {
                Event::Refused(failure.to_string())
            }
            FailureClass::Transient
            | FailureClass::Ambiguous
            | FailureClass::Postponed
            | FailureClass::Rejected
            | FailureClass::StaleMapping
            | FailureClass::MissingParent
            | FailureClass::OurFault => return,
        };
        self.gate.shut();
        // Said while it is written, which takes two statements and a connection from the pool.
        tokio::join!(self.watch.hush(self.target), self.tell(&event));
    }

    /// Carries an event to the shared state. What can't be written, over a short outage of the database, is not known to
    /// the others; it will be found out again.
    async fn tell(&self, event: &Event) {
        let until = Instant::now() + limits::RECONNECT_MAX;
        let applied = loop {
            match apply(&self.store, self.target, event, &self.by, self.patience).await {
                Err(error) if error.is_outage() && Instant::now() < until => {
                    tokio::time::sleep(limits::RECONNECT_MIN).await;
                }
                applied => break applied,
            }
        };
        self.gate.release();
        match applied {
            Ok(applied) => self.gate.see(applied.version, applied.is_open),
            Err(error) => {
                tracing::warn!(target.name = %self.target, error = %chain(&error), "The target's state can't be written");
            }
        }
    }

    /// One process at a time asks an open target whether it is there.
    async fn probe<R: Remote>(&self, remote: &R, stop: &CancellationToken) {
        let mut watch = self.watch.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.until_probe_is_due(self.target) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                probed = self.probe_once(remote) => if let Err(error) = probed {
                    tracing::warn!(target.name = %self.target, error = %chain(&error), "The breaker can't be moved");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(limits::TARGET_STATE_EVERY) => {}
            }
        }
    }

    async fn probe_once<R: Remote>(&self, remote: &R) -> Result<(), StoreError> {
        // A login, the probe, and one to spare.
        let begins = Event::ProbeBegins(remote.request_timeout() * 3);
        let begun = apply(&self.store, self.target, &begins, &self.by, self.patience).await?;
        if !begun.effects.contains(&Effect::Probing) {
            return Ok(());
        }
        match remote.probe().await {
            Ok(()) => self.tell(&Event::Probed(Probed::Answered)).await,
            Err(failure) if failure.class == FailureClass::Throttled => {
                // It is there, and wants to be left alone.
                self.tell_closing(&failure).await;
                self.tell(&Event::Probed(Probed::Answered)).await;
            }
            Err(failure) if failure.class.closes_target() => self.tell_closing(&failure).await,
            Err(failure) => {
                tracing::info!(target.name = %self.target, failure = %failure, "The target does not answer yet");
                self.tell(&Event::Probed(Probed::Failed(failure.to_string()))).await;
            }
        }
        Ok(())
    }
}

/// Carries out a person's order. `by` says whose.
///
/// # Errors
/// [`StoreError`] when it could not be written.
pub async fn order(
    store: &Store,
    target: Target,
    order: Order,
    by: &str,
    patience: Patience,
) -> Result<(), StoreError> {
    apply(store, target, &Event::Ordered(order), by, patience).await?;
    Ok(())
}

/// Reads, decides and writes, again while others are quicker. What changes nothing is not written.
async fn apply(
    store: &Store,
    target: Target,
    event: &Event,
    by: &str,
    patience: Patience,
) -> Result<Applied, StoreError> {
    for _ in 0..limits::TARGET_CHANGE_TRIES {
        let before = store.standing(target).await?;
        let (after, effects) = rule::step(&before.standing, event, before.now, random(), patience);
        let is_open = rule::is_open_for_business(&after, before.now);
        if effects.is_empty() && after == before.standing {
            return Ok(Applied { effects, version: before.version, is_open });
        }
        let change = Change { by, effects: &effects };
        if let Some(version) = store.change_target(&before, &after, change).await? {
            effects.iter().for_each(|effect| announce(target, effect));
            return Ok(Applied { effects, version, is_open });
        }
        tokio::time::sleep(Duration::from_millis(20).mul_f64(random())).await;
    }
    Err(StoreError::Unexpected("the state of a target changes faster than it can be written"))
}

/// Said once, by the process that moved the state.
fn announce(target: Target, effect: &Effect) {
    match effect {
        Effect::Opened { pause, alert: true } => {
            tracing::error!(
                target.name = %target, pause = ?pause,
                advice = FailureClass::Transient.advice(),
                "The target can't be reached: its breaker is open"
            );
        }
        Effect::Opened { pause, alert: false } => {
            tracing::info!(target.name = %target, pause = ?pause, "The breaker is open again");
        }
        Effect::Probing => tracing::debug!(target.name = %target, "Asking the target"),
        Effect::Closed => {
            tracing::info!(target.name = %target, "The target answers again: its breaker is closed, on trial");
        }
        Effect::Recovered => tracing::info!(target.name = %target, "The target serves again"),
        Effect::Disabled(reason) => {
            tracing::error!(
                target.name = %target, reason, advice = advice(reason),
                "The target is disabled until a person enables it"
            );
        }
        Effect::Throttled(until) => {
            tracing::warn!(target.name = %target, until = %until, "The target asked for a pause");
        }
        Effect::Ordered(order) => {
            tracing::info!(target.name = %target, order = order.name(), "An order was carried out");
        }
    }
}

/// What helps against what disabled a target.
fn advice(reason: &str) -> &'static str {
    let class = FailureClass::ALL
        .into_iter()
        .find(|class| reason.strip_prefix(class.name()).is_some_and(|rest| rest.starts_with(':')));
    class.map_or(
        "See whether the target is up, then `ems-sync target enable`.",
        FailureClass::advice,
    )
}

/// A number in 0 to 1.
fn random() -> f64 {
    let (n, _) = Uuid::new_v4().as_u64_pair();
    let n = u32::try_from(n >> 32).unwrap_or(0);
    f64::from(n) / f64::from(u32::MAX)
}
