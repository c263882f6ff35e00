//! The status document: per target what is owed, waiting and failed, and what needs a person.
//!
//! Reads Postgres and asks the broker for the lengths of the queues; changes nothing. A broker that can't be
//! reached makes the lengths unknown and nothing else. The outbox is read before the records: a change that the
//! relay moves meanwhile is then seen twice, never not at all.

mod needs;
pub mod state;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::broker::{BrokerError, Publisher, Queue, QueueKind};
use crate::config::Sweep;
use crate::deliver::{binding, bound};
use crate::entity::EntityType;
use crate::store::{
    BreakerState, Duty, DutyRow, InboundCounts, StateCount, Store, StoreError, TargetState,
};
use crate::target::Target;

pub use needs::needs;
pub(in crate::ops) use needs::reasons;
use state::{Obstacle, Shown};

/// How long the broker is asked while a page or a program waits. One that is not there takes as long to find out at most; one that is
/// busy must not look like one that is not there.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// One row per target, all five.
    pub targets: Vec<StatusRow>,
    /// What waits in the outbox.
    pub outbox: OutboxBacklog,
    /// Watched tables whose changes are not all captured.
    pub capture_problems: Vec<CaptureProblem>,
    /// What needs a person; empty when all is well.
    pub needs_person: Vec<NeedsPerson>,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusRow {
    /// The target.
    pub target: Target,
    /// The most urgent of what there is to say about it.
    pub state: Shown,
    /// Why, in `snake_case`.
    pub reason: &'static str,
    /// Why, in words, where somebody or something gave any.
    pub detail: Option<String>,
    /// `closed`, `open`, `half_open` or `disabled`.
    pub breaker: &'static str,
    /// Messages in its queues.
    pub queues: Queues,
    /// Open dead letters.
    pub dead_letters: i64,
    /// Age of the oldest change that is not pushed and still can be.
    pub oldest_unsynced_seconds: Option<f64>,
    /// When its last sweeps came to their end.
    pub last_sweep: LastSweep,
    /// Its sync records.
    pub records: i64,
    /// Those that the target is behind on.
    pub owed: i64,
    /// Those that wait for another entity.
    pub waiting: i64,
    /// Those whose content the target refuses.
    pub rejected: i64,
    /// Those that are held: a person must decide about them, or has decided that they stay at the target.
    pub held: i64,
    /// Those of the held ones whose deletion a person rejected.
    pub kept: i64,
    /// What comes back from it.
    pub inbound: InboundCounts,
}

/// Messages in a target's queues; `None` when they are not known or there is no such queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Queues {
    /// Deliveries.
    pub outbound: Option<u64>,
    /// Inbox references; only bi-directional targets have them.
    pub inbound: Option<u64>,
    /// All delay queues together.
    pub retry: Option<u64>,
    /// Dead letters.
    pub dead: Option<u64>,
    /// Why the others are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

impl Queues {
    /// Each queue by its name.
    #[must_use]
    pub const fn by_name(self) -> [(&'static str, Option<u64>); 4] {
        [
            ("outbound", self.outbound),
            ("inbound", self.inbound),
            ("retry", self.retry),
            ("dead", self.dead),
        ]
    }

    /// For people: messages by queue, without the empty queues, or why they are not known.
    #[must_use]
    pub fn words(self) -> String {
        if let Some(reason) = self.reason {
            return reason.replace('_', " ");
        }
        let filled = self
            .by_name()
            .into_iter()
            .filter_map(|(name, length)| length.filter(|n| *n > 0).map(|n| format!("{name} {n}")));
        let filled: Vec<_> = filled.collect();
        if filled.is_empty() { "empty".to_owned() } else { filled.join(", ") }
    }
}

/// When the last sweeps came to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LastSweep {
    /// From the EMS to the target.
    pub outbound: Option<Timestamp>,
    /// From the target to the EMS.
    pub inbound: Option<Timestamp>,
}

/// What waits in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct OutboxBacklog {
    /// Rows.
    pub rows: i64,
    /// Age of the oldest.
    pub oldest_seconds: Option<f64>,
}

/// A watched table whose changes are not all captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaptureProblem {
    /// The table.
    pub table: String,
    /// What is wrong.
    pub problem: String,
}

/// Something that needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NeedsPerson {
    /// At which target; `None` for what concerns all.
    pub target: Option<Target>,
    /// What, in `snake_case`.
    pub reason: &'static str,
}

/// What is counted for one target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// Records by the state that stands in them, and how many of them are owed.
    pub by_state: BTreeMap<String, (i64, i64)>,
    /// Held ones whose deletion a person rejected.
    pub kept: i64,
    /// Open dead letters.
    pub dead_letters: i64,
    /// Changes in the outbox that may concern it.
    pub in_outbox: i64,
    /// Age of its oldest change that is not pushed.
    pub oldest_seconds: Option<f64>,
    /// What comes back from it.
    pub inbound: InboundCounts,
    /// Age of the oldest change in the outbox that may concern it.
    pub outbox_seconds: Option<f64>,
    /// For how long the record that has waited longest could have been pushed.
    pub due_seconds: Option<f64>,
    /// How long ago anything was settled, with or without a write.
    pub settled_seconds: Option<f64>,
    /// A sweep has not come to its end for several intervals.
    pub sweep_silent: bool,
}

impl Counts {
    fn records(&self, state: &str) -> i64 {
        self.by_state.get(state).map_or(0, |counts| counts.0)
    }

    fn owed(&self, state: &str) -> i64 {
        self.by_state.get(state).map_or(0, |counts| counts.1)
    }

    /// Those that a person has yet to decide about.
    fn undecided(&self) -> i64 {
        self.records("held") - self.kept
    }

    fn age(&mut self, seconds: Option<f64>) {
        if let Some(seconds) = seconds.map(|seconds| seconds.max(0.0)) {
            self.oldest_seconds = Some(self.oldest_seconds.unwrap_or(0.0).max(seconds));
        }
    }
}

/// What was read of Postgres.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    outbox: Vec<(EntityType, i64, f64)>,
    states: Vec<StateCount>,
    dead_letters: Vec<(Target, i64)>,
    targets: Vec<TargetState>,
    duties: Vec<DutyRow>,
    inbound: Vec<(Target, InboundCounts)>,
    capture_problems: Vec<(String, String)>,
}

impl Reading {
    /// Reads Postgres.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            outbox: store.outbox_by_type().await?,
            states: store.state_counts().await?,
            dead_letters: store.open_dead_letters().await?,
            targets: store.target_states().await?,
            duties: store.duties().await?,
            inbound: store.inbound_counts().await?,
            capture_problems: store.capture_problems().await?,
        })
    }

    /// What is counted for a target. A change in the outbox concerns only those that the configuration enables.
    #[must_use]
    pub fn counts(&self, target: Target, is_enabled: bool, sweep: Sweep) -> Counts {
        let mut counts =
            Counts { sweep_silent: self.is_sweep_silent(target, sweep), ..Counts::default() };
        for count in self.states.iter().filter(|count| count.target == target) {
            counts.by_state.insert(count.state.clone(), (count.records, count.owed));
            counts.kept += count.kept;
            counts.age(count.oldest_seconds);
            counts.due_seconds =
                [counts.due_seconds, count.due_seconds].into_iter().flatten().reduce(f64::max);
            counts.settled_seconds = [counts.settled_seconds, count.settled_seconds]
                .into_iter()
                .flatten()
                .reduce(f64::min);
        }
        for (entity_type, rows, oldest_seconds) in &self.outbox {
            if is_enabled && target.covers(*entity_type) {
                counts.in_outbox += rows;
                counts.age(Some(*oldest_seconds));
                counts.outbox_seconds = [counts.outbox_seconds, Some(*oldest_seconds)]
                    .into_iter()
                    .flatten()
                    .reduce(f64::max);
            }
        }
        let dead = self.dead_letters.iter().find(|dead| dead.0 == target);
        counts.dead_letters = dead.map_or(0, |dead| dead.1);
        let inbound = self.inbound.iter().find(|inbound| inbound.0 == target);
        counts.inbound = inbound.map(|inbound| inbound.1.clone()).unwrap_or_default();
        counts
    }

    /// The shared state of the targets.
    pub(in crate::ops) fn targets(&self) -> &[TargetState] {
        &self.targets
    }

    /// What waits in the outbox, of whatever type.
    pub(in crate::ops) fn outbox_backlog(&self) -> OutboxBacklog {
        let oldest = self.outbox.iter().map(|row| row.2.max(0.0)).reduce(f64::max);
        OutboxBacklog { rows: self.outbox.iter().map(|row| row.1).sum(), oldest_seconds: oldest }
    }

    /// How many watched tables there are whose changes are not all captured.
    pub(in crate::ops) fn capture_problems(&self) -> usize {
        self.capture_problems.len()
    }

    /// When the last sweeps of a target came to their end.
    pub(in crate::ops) fn last_sweep(&self, target: Target) -> LastSweep {
        let finished_on = |duty: Duty| {
            let row =
                self.duties.iter().find(|d| d.duty == duty.name() && d.target == target.name());
            row.and_then(|row| row.finished_on)
        };
        LastSweep {
            outbound: finished_on(Duty::SweepOutbound),
            inbound: finished_on(Duty::SweepInbound),
        }
    }
}

/// The lengths of the queues by target; `None` when the broker can't be asked in time.
pub type Lengths = Option<HashMap<Target, Queues>>;

/// Asks the broker for the lengths of all queues, for at most `patience`.
pub async fn lengths(publisher: &Publisher, patience: Duration) -> Lengths {
    match tokio::time::timeout(patience, ask_lengths(publisher)).await {
        Ok(Ok(lengths)) => Some(lengths),
        Ok(Err(error)) => {
            tracing::debug!(error = crate::error_chain::chain(&error), "The broker can't be asked");
            None
        }
        Err(_) => None,
    }
}

async fn ask_lengths(publisher: &Publisher) -> Result<HashMap<Target, Queues>, BrokerError> {
    let mut lengths: HashMap<Target, Queues> = HashMap::new();
    let all: Vec<Queue> = Queue::all().into_iter().collect();
    for (queue, length) in all.iter().zip(publisher.queue_lengths(&all).await?) {
        let length = u64::from(length);
        let queues = lengths.entry(queue.target).or_default();
        match queue.kind {
            QueueKind::Outbound => queues.outbound = Some(length),
            QueueKind::Inbound => queues.inbound = Some(length),
            QueueKind::Delay(_) => queues.retry = Some(queues.retry.unwrap_or(0) + length),
            QueueKind::Dead => queues.dead = Some(length),
        }
    }
    Ok(lengths)
}

/// Reads Postgres, asks the broker for at most `patience`, and puts the document together.
///
/// # Errors
/// [`StoreError`] when Postgres can't be read.
pub async fn document(
    store: &Store,
    publisher: &Publisher,
    enabled: &[Target],
    sweep: Sweep,
    patience: Duration,
) -> Result<Status, StoreError> {
    let (reading, lengths) = tokio::join!(Reading::of(store), lengths(publisher, patience));
    put_together(&reading?, lengths.as_ref(), enabled, sweep)
}

/// Puts the document together.
///
/// # Errors
/// [`StoreError::Unexpected`] when the state of a target was not among what was read.
pub fn put_together(
    reading: &Reading,
    lengths: Option<&HashMap<Target, Queues>>,
    enabled: &[Target],
    sweep: Sweep,
) -> Result<Status, StoreError> {
    let mut targets = Vec::new();
    let mut needs_person = Vec::new();
    for target in Target::ALL {
        let state = state_of(&reading.targets, target)?;
        let is_enabled = enabled.contains(&target);
        let counts = reading.counts(target, is_enabled, sweep);
        if is_enabled {
            let needs = needs(state, &counts).into_iter();
            needs_person.extend(needs.map(|reason| NeedsPerson { target: Some(target), reason }));
        }
        let queues = match lengths {
            Some(lengths) => lengths.get(&target).copied().unwrap_or_default(),
            None => Queues { reason: Some("broker_unreachable"), ..Queues::default() },
        };
        targets.push(row(state, &counts, is_enabled, queues, reading.last_sweep(target)));
    }
    if !reading.capture_problems.is_empty() {
        needs_person.push(NeedsPerson { target: None, reason: "changes_not_captured" });
    }
    if lengths.is_none() {
        needs_person.push(NeedsPerson { target: None, reason: "broker_unreachable" });
    }
    let problem = |(table, problem): &(String, String)| CaptureProblem {
        table: table.clone(),
        problem: problem.clone(),
    };
    Ok(Status {
        targets,
        outbox: reading.outbox_backlog(),
        capture_problems: reading.capture_problems.iter().map(problem).collect(),
        needs_person,
    })
}

/// The shared state of a target, of which there is always one.
///
/// # Errors
/// [`StoreError::Unexpected`] when there is none.
pub fn state_of(states: &[TargetState], target: Target) -> Result<&TargetState, StoreError> {
    let state = states.iter().find(|state| state.target == target);
    state.ok_or(StoreError::Unexpected("sync.target has no row for a target"))
}

fn row(
    state: &TargetState,
    counts: &Counts,
    is_enabled: bool,
    queues: Queues,
    last_sweep: LastSweep,
) -> StatusRow {
    let (shown, reason) = target_state(is_enabled, state, counts);
    StatusRow {
        target: state.target,
        state: shown,
        reason,
        detail: detail(state),
        breaker: state::breaker(is_enabled, state),
        queues,
        dead_letters: counts.dead_letters,
        oldest_unsynced_seconds: is_enabled.then(|| counts.oldest_seconds.unwrap_or(0.0)),
        last_sweep,
        records: counts.by_state.values().map(|c| c.0).sum(),
        owed: counts.by_state.values().map(|c| c.1).sum(),
        waiting: counts.owed("waiting"),
        rejected: counts.records("rejected"),
        held: counts.records("held"),
        kept: counts.kept,
        inbound: counts.inbound.clone(),
    }
}

/// What was said when the target was disabled, held, or its breaker opened.
fn detail(state: &TargetState) -> Option<String> {
    if state.disabled_reason.is_none() && !state.held_parts.is_empty() {
        let (what, advice) = (binding::words(&state.held_parts), bound::advice(state.target));
        return Some(format!("{what}. {advice}"));
    }
    match state.breaker {
        BreakerState::Closed => state.disabled_reason.clone(),
        BreakerState::Open | BreakerState::HalfOpen => {
            state.disabled_reason.clone().or_else(|| state.last_error.clone())
        }
    }
}

/// The most urgent of what there is to say about a target: what keeps all of it back, then what needs a person,
/// then what moves by itself.
#[must_use]
pub fn target_state(
    is_enabled: bool,
    state: &TargetState,
    counts: &Counts,
) -> (Shown, &'static str) {
    if let Some(obstacle) = Obstacle::of(is_enabled, state) {
        return (obstacle.state(), obstacle.reason());
    }
    let by_urgency = [
        (counts.records("dead_letter"), Shown::DeadLetter, "tries_failed"),
        (counts.records("rejected"), Shown::Rejected, "content_refused"),
        (counts.undecided(), Shown::Held, "person_must_decide"),
        (counts.owed("retrying"), Shown::Retrying, "attempts_failed"),
        (counts.owed("parked"), Shown::Parked, "postponed"),
        (counts.owed("waiting"), Shown::Waiting, "others_come_first"),
        (counts.owed("leased"), Shown::Leased, "in_flight"),
        (counts.by_state.values().map(|c| c.1).sum::<i64>() - counts.kept, Shown::Pending, "owed"),
        (counts.in_outbox, Shown::Pending, "in_outbox"),
        (counts.kept, Shown::Held, "deletes_rejected"),
    ];
    let most_urgent = by_urgency.into_iter().find(|(records, _, _)| *records > 0);
    most_urgent.map_or((Shown::Synced, "nothing_owed"), |(_, state, reason)| (state, reason))
}

#[cfg(test)]
pub(in crate::ops) mod tests;
