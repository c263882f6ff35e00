//! The queues, as data (`docs/design.md` section 5, names **fixed**). Declared idempotently by whoever connects first.
//!
//! Every property that matters is set here; nothing rests on a broker's default or on a redelivery count.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use crate::limits;
use crate::target::Target;

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// Deliveries.
    Outbound,
    /// Inbox references; bi-directional targets only.
    Inbound,
    /// A delay queue: its index in [`limits::DELAY_QUEUES`].
    Delay(usize),
    /// Dead letters.
    Dead,
}

/// One of our queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Queue {
    /// Whose.
    pub target: Target,
    /// What for.
    pub kind: QueueKind,
}

impl Queue {
    /// The queue of `target` for deliveries.
    #[must_use]
    pub const fn outbound(target: Target) -> Self {
        Self { target, kind: QueueKind::Outbound }
    }

    /// The queue of `target` for what comes back from it.
    #[must_use]
    pub const fn inbound(target: Target) -> Self {
        Self { target, kind: QueueKind::Inbound }
    }

    /// The queue of `target` for the tokens of its dead letters.
    #[must_use]
    pub const fn dead(target: Target) -> Self {
        Self { target, kind: QueueKind::Dead }
    }

    /// The delay queue of `target` for a pause of about `delay`: the longest that is not longer, so that a message
    /// is never later than what it waits for.
    #[must_use]
    pub fn delay(target: Target, delay: Duration) -> Self {
        let index = limits::DELAY_QUEUES.iter().rposition(|(_, ttl)| *ttl <= delay).unwrap_or(0);
        Self { target, kind: QueueKind::Delay(index) }
    }

    /// Every queue of every target.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Target::ALL.into_iter().flat_map(Self::of).collect()
    }

    /// Every queue of one target.
    #[must_use]
    pub fn of(target: Target) -> Vec<Self> {
        let mut kinds = vec![QueueKind::Outbound, QueueKind::Dead];
        if target.is_bidirectional() {
            kinds.push(QueueKind::Inbound);
        }
        kinds.extend((0..limits::DELAY_QUEUES.len()).map(QueueKind::Delay));
        kinds.into_iter().map(|kind| Self { target, kind }).collect()
    }

    /// The queue's name at the broker.
    #[must_use]
    pub fn name(self, prefix: &str) -> String {
        let suffix = match self.kind {
            QueueKind::Outbound => "outbound",
            QueueKind::Inbound => "inbound",
            QueueKind::Dead => "dead",
            QueueKind::Delay(index) => limits::DELAY_QUEUES.get(index).map_or("retry.30s", |q| q.0),
        };
        format!("{prefix}.{}.{suffix}", self.target)
    }
}

pub(super) const fn options() -> QueueDeclareOptions {
    QueueDeclareOptions {
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
    }
}

pub(super) fn arguments(queue: Queue, prefix: &str) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
        .insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limits::BROKER_DELIVERY_LIMIT));
    if let QueueKind::Delay(index) = queue.kind {
        let ttl = limits::DELAY_QUEUES.get(index).map_or(Duration::from_secs(30), |q| q.1);
        let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        // The message is a hint; at-least-once dead-lettering would buy nothing that Postgres does not hold.
        arguments.insert("x-dead-letter-strategy".into(), text("at-most-once"));
        let back = Queue::outbound(queue.target).name(prefix);
        arguments.insert("x-dead-letter-routing-key".into(), text(&back));
    }
    arguments
}

/// The queue of the epoch (`super::epoch`).
pub(super) fn epoch_queue(prefix: &str) -> String {
    format!("{prefix}.epoch")
}

/// One message: a new one pushes the old one out.
pub(super) fn epoch_arguments() -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-overflow".into(), text("drop-head"));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments
        .insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limits::BROKER_DELIVERY_LIMIT));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_names_are_the_fixed_ones() {
        let names = |target| -> Vec<String> {
            Queue::of(target).into_iter().map(|queue| queue.name("ems-sync")).collect()
        };
        assert_eq!(
            names(Target::TagServer),
            [
                "ems-sync.tagserver.outbound",
                "ems-sync.tagserver.dead",
                "ems-sync.tagserver.retry.1s",
                "ems-sync.tagserver.retry.2s",
                "ems-sync.tagserver.retry.4s",
                "ems-sync.tagserver.retry.30s",
            ]
        );
        assert!(names(Target::Chatwoot).contains(&"ems-sync.chatwoot.inbound".to_owned()));
    }

    #[test]
    fn a_delay_queue_is_never_later_than_what_waits() {
        for (millis, expected) in
            [(1, 0), (1_000, 0), (1_999, 0), (2_000, 1), (4_000, 2), (29_999, 2), (90_000, 3)]
        {
            let queue = Queue::delay(Target::Mautic, Duration::from_millis(millis));
            assert_eq!(queue.kind, QueueKind::Delay(expected), "{millis} ms");
        }
    }
}
