//! The republish scan: what is owed and due, and perhaps in no queue, is published again.
//!
//! At start, when the next record will be due by itself but at least every 30 s, and soon again while it finds full
//! batches and the queue has become short, or when the relay could not publish. It publishes
//! only into short queues: a long one holds what is owed already, and doubles are harmless but useless. This is
//! what makes queues expendable: purge them, wipe the broker, and everything still arrives.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::relay::Relay;
use crate::broker::{BrokerError, Queue};
use crate::error_chain::chain;
use crate::inbound::apply::message;
use crate::limits;
use crate::ops::progress::Beat;
use crate::store::StoreError;
use crate::target::Target;

/// When the next scan of one target is due.
struct Schedule {
    target: Target,
    next: Instant,
    was_ours: bool,
    /// When the target's breaker had been closed last, at the last look.
    closed_on: Option<Timestamp>,
    beat: Beat,
}

/// Scans until `stop`.
pub(super) async fn run(relay: &Relay, stop: CancellationToken) {
    let mut schedules: Vec<Schedule> = relay
        .targets
        .iter()
        .map(|target| Schedule {
            target: *target,
            next: Instant::now(),
            was_ours: false,
            closed_on: None,
            beat: relay.progress.part(format!("republish {target}")),
        })
        .collect();
    let mut watch = relay.watch.clone();
    while !stop.is_cancelled() {
        if relay.unpublished.swap(false, Ordering::Relaxed) {
            let soon = Instant::now() + limits::REPUBLISH_SOON * 4;
            schedules.iter_mut().for_each(|schedule| schedule.next = schedule.next.min(soon));
        }
        let is_due = |schedule: &mut Schedule| schedule.is_due(relay);
        look(&mut schedules, is_due, |target, beat| scan(relay, target, beat)).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch.changed() => {}
            () = tokio::time::sleep(limits::REPUBLISH_SOON / 2) => {}
        }
    }
}

impl Schedule {
    fn is_due(&mut self, relay: &Relay) -> bool {
        let is_open = relay.watch.is_open(self.target);
        // A target that takes deliveries again is caught up at once, also when nobody has seen it closed, and a new
        // leader looks at once.
        let is_ours = is_open && relay.leads.load(Ordering::Relaxed);
        let closed_on = relay.watch.state(self.target).and_then(|state| state.closed_on);
        if is_ours && (!self.was_ours || self.closed_on != closed_on) {
            self.next = Instant::now();
        }
        (self.was_ours, self.closed_on) = (is_ours, closed_on);
        is_open && self.next <= Instant::now()
    }
}

/// Scans those that are due, one after the other. While one is scanned the others rightly wait, however long that takes.
async fn look<F: Future<Output = Duration>>(
    schedules: &mut [Schedule],
    mut is_due: impl FnMut(&mut Schedule) -> bool,
    scan: impl Fn(Target, Beat) -> F,
) {
    schedules.iter().for_each(|schedule| schedule.beat.waits());
    for n in 0..schedules.len() {
        let Some(schedule) = schedules.get_mut(n) else { continue };
        if !is_due(schedule) {
            continue;
        }
        let next = scan(schedule.target, schedule.beat.clone()).await;
        schedule.next = Instant::now() + next;
        schedules.iter().for_each(|schedule| schedule.beat.waits());
    }
}

/// One scan; when the next is due.
async fn scan(relay: &Relay, target: Target, beat: Beat) -> Duration {
    let leads = relay.leads.load(Ordering::Relaxed);
    let scanned = try_scan(relay, target).await;
    match &scanned {
        Ok(Some(_)) => beat.well(),
        Ok(None) => beat.waits(),
        // That the database or the broker is away is told by `/readyz` itself.
        Err(error) if error.is_outage() => beat.waits(),
        Err(_) => beat.failed(),
    }
    match scanned {
        Ok(_) if !leads => limits::REPUBLISH_STANDBY_EVERY,
        Ok(Some(next)) => next,
        Ok(None) => {
            tracing::warn!(target.name = %target, "How long a queue is was not told in time; it is asked again");
            limits::REPUBLISH_SOON * 4
        }
        Err(error) => {
            tracing::warn!(target.name = %target, error = %chain(&error), "The republish scan failed; it is tried again");
            limits::REPUBLISH_SOON * 4
        }
    }
}

/// Why a scan came to nothing.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl ScanError {
    fn is_outage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_outage(),
            Self::Broker(error) => error.is_outage(),
        }
    }
}

/// Whether a queue is short. `None`: nobody told in time, as where the broker is busy; then it is not given more.
fn is_short(asked: Result<u32, BrokerError>) -> Result<Option<bool>, BrokerError> {
    match asked {
        Ok(length) => Ok(Some(length < limits::QUEUE_SHORT)),
        Err(BrokerError::Timeout(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Publishes rows of the inbox that are due, into a short queue. Whether anybody told if it is.
async fn republish_inbox(relay: &Relay, target: Target) -> Result<bool, ScanError> {
    if !target.is_bidirectional() {
        return Ok(true);
    }
    let asked = relay.publisher.queue_length(Queue::inbound(target)).await;
    let is_short = is_short(asked)?;
    if is_short != Some(true) {
        return Ok(is_short.is_some());
    }
    let due = relay.store.inbox_due(target, limits::REPUBLISH_BATCH_ROWS).await?;
    let messages: Vec<_> = due.into_iter().map(|row| message(target, row)).collect();
    relay.publisher.publish(&messages).await?;
    Ok(true)
}

/// Publishes what is due; when the next look is worth it: soon where more is due, else when the next record will be
/// (a lease runs out, a create has settled, a wait is over), at the latest after the usual interval. `None`: it was not learnt whether
/// the target's queues are short.
async fn try_scan(relay: &Relay, target: Target) -> Result<Option<Duration>, ScanError> {
    if !republish_inbox(relay, target).await? {
        return Ok(None);
    }
    relay.store.read_back(target, limits::REPUBLISH_BATCH_ROWS).await?;
    crate::failpoint!("republish.read_back");
    let queue = Queue::outbound(target);
    match is_short(relay.publisher.queue_length(queue).await)? {
        Some(true) => {}
        // What is in the queue may be all that is due, or not: look again when it has become short.
        Some(false) => return Ok(Some(limits::REPUBLISH_SOON)),
        None => return Ok(None),
    }
    let due = relay.store.due(target, limits::REPUBLISH_BATCH_ROWS, true).await?;
    let found_all = i64::try_from(due.len()).is_ok_and(|n| n < limits::REPUBLISH_BATCH_ROWS);
    let (mut messages, _spans) = super::traced(queue, due.into_iter());
    messages.sort_by_key(|message| message.delivery.entity_ref());
    relay.metrics.republished(target, messages.len());
    crate::failpoint!("republish.found", !messages.is_empty());
    relay.publisher.publish(&messages).await?;
    crate::failpoint!("republish.published", !messages.is_empty());
    if !found_all {
        return Ok(Some(limits::REPUBLISH_SOON));
    }
    let next = relay.store.next_due(target).await?.unwrap_or(limits::REPUBLISH_EVERY);
    Ok(Some(next.clamp(limits::REPUBLISH_SOON, limits::REPUBLISH_EVERY)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::progress::Progress;

    #[tokio::test(start_paused = true)]
    async fn who_waits_while_others_are_scanned_is_not_silent() {
        let progress = Progress::default();
        let schedule = |target: Target| Schedule {
            target,
            next: Instant::now(),
            was_ours: false,
            closed_on: None,
            beat: progress.part(target.name()),
        };
        let mut schedules = Target::ALL.map(schedule);
        // Together they take longer than a part may be silent.
        let took = limits::READY_SILENCE_MAX * 2 / 5;
        let slow = async |beat: Beat| {
            tokio::time::sleep(took).await;
            beat.well();
            assert_eq!(progress.silent(), []);
            limits::REPUBLISH_EVERY
        };
        let began = Instant::now();
        look(&mut schedules, |_| true, |_, beat| slow(beat)).await;
        assert!(began.elapsed() > limits::READY_SILENCE_MAX);
        assert!(schedules.iter().all(|schedule| schedule.next > began));
    }

    #[test]
    fn a_length_that_is_not_told_in_time_is_no_failure() {
        assert_eq!(is_short(Ok(limits::QUEUE_SHORT - 1)).unwrap(), Some(true));
        assert_eq!(is_short(Ok(limits::QUEUE_SHORT)).unwrap(), Some(false));
        assert_eq!(is_short(Err(BrokerError::Timeout("asking"))).unwrap(), None);
        assert!(is_short(Err(BrokerError::Blocked)).is_err());
    }
}
