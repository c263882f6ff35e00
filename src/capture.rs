//! What changed: from the outbox to what each target is owed, then to the broker.

pub mod change;
pub mod relay;
mod republish;

use crate::broker::{Outgoing, Queue};
use crate::delivery::Delivery;
use crate::trace::Span;

/// The messages of deliveries, and what goes on in the traces that these belong to until the messages are out.
fn traced(queue: Queue, deliveries: impl Iterator<Item = Delivery>) -> (Vec<Outgoing>, Vec<Span>) {
    deliveries
        .map(|delivery| {
            let traceparent = delivery.traceparent.as_deref();
            let span = Span::publish(queue.target, delivery.entity_ref(), traceparent);
            let delivery = Delivery { traceparent: span.place().traceparent(), ..delivery };
            (Outgoing { queue, delivery }, span)
        })
        .unzip()
}
