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
use crate::broker::Queue;
use crate::error_chain::chain;
use crate::inbound::apply::message;
use crate::limits;
use crate::ops::progress::Beat;
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
        for schedule in &mut schedules {
            schedule.beat.waits();
            let is_open = relay.watch.is_open(schedule.target);
            // A target that takes deliveries again is caught up at once, also when nobody has seen it closed, and a new
            // leader looks at once.
            let is_ours = is_open && relay.leads.load(Ordering::Relaxed);
            let closed_on = relay.watch.state(schedule.target).and_then(|state| state.closed_on);
            if is_ours && (!schedule.was_ours || schedule.closed_on != closed_on) {
                schedule.next = Instant::now();
            }
            (schedule.was_ours, schedule.closed_on) = (is_ours, closed_on);
            if is_open && schedule.next <= Instant::now() {
                schedule.next = Instant::now() + scan(relay, schedule).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch.changed() => {}
            () = tokio::time::sleep(limits::REPUBLISH_SOON / 2) => {}
        }
    }
}

/// One scan; when the next is due.
async fn scan(relay: &Relay, schedule: &Schedule) -> Duration {
    let (target, leads) = (schedule.target, relay.leads.load(Ordering::Relaxed));
    let scanned = try_scan(relay, target).await;
    match &scanned {
        Ok(_) => schedule.beat.well(),
        Err(_) => schedule.beat.failed(),
    }
    match scanned {
        Ok(_) if !leads => limits::REPUBLISH_STANDBY_EVERY,
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(target.name = %target, error = %error, "The republish scan failed; it is tried again");
            limits::REPUBLISH_SOON * 4
        }
    }
}

/// Publishes rows of the inbox that are due, into a short queue.
async fn republish_inbox(
    relay: &Relay,
    target: Target,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if !target.is_bidirectional() {
        return Ok(());
    }
    let length =
        relay.publisher.queue_length(Queue::inbound(target)).await.map_err(|e| chain(&e))?;
    if length >= limits::QUEUE_SHORT {
        return Ok(());
    }
    let due = relay.store.inbox_due(target, limits::REPUBLISH_BATCH_ROWS).await?;
    let messages: Vec<_> = due.into_iter().map(|row| message(target, row)).collect();
    relay.publisher.publish(&messages).await.map_err(|e| chain(&e))?;
    Ok(())
}

/// Publishes what is due; when the next look is worth it: soon where more is due, else when the next record will be
/// (a lease runs out, a create has settled, a wait is over), at the latest after the usual interval.
async fn try_scan(
    relay: &Relay,
    target: Target,
) -> Result<Duration, Box<dyn std::error::Error + Send + Sync>> {
    republish_inbox(relay, target).await?;
    relay.store.read_back(target, limits::REPUBLISH_BATCH_ROWS).await?;
    crate::failpoint!("republish.read_back");
    let queue = Queue::outbound(target);
    let length = relay.publisher.queue_length(queue).await.map_err(|e| chain(&e))?;
    if length >= limits::QUEUE_SHORT {
        // What is in the queue may be all that is due, or not: look again when it has become short.
        return Ok(limits::REPUBLISH_SOON);
    }
    let due = relay.store.due(target, limits::REPUBLISH_BATCH_ROWS, true).await?;
    let found_all = i64::try_from(due.len()).is_ok_and(|n| n < limits::REPUBLISH_BATCH_ROWS);
    let (mut messages, _spans) = super::traced(queue, due.into_iter());
    messages.sort_by_key(|message| message.delivery.entity_ref());
    relay.metrics.republished(target, messages.len());
    crate::failpoint!("republish.found", !messages.is_empty());
    relay.publisher.publish(&messages).await.map_err(|e| chain(&e))?;
    crate::failpoint!("republish.published", !messages.is_empty());
    if !found_all {
        return Ok(limits::REPUBLISH_SOON);
    }
    let next = relay.store.next_due(target).await?.unwrap_or(limits::REPUBLISH_EVERY);
    Ok(next.clamp(limits::REPUBLISH_SOON, limits::REPUBLISH_EVERY))
}
