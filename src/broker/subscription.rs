//! Consuming one queue: deliveries in, acks out, all on one channel of one connection.

use std::collections::VecDeque;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery as Raw;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{Broker, BrokerError, Queue, bounded};
use crate::delivery::{Delivery, DeliveryError};
use crate::limits;

/// A message that is no delivery: what may be kept of it.
#[derive(Debug, thiserror::Error)]
#[error("A message of {bytes} bytes can't be read")]
pub struct Undecodable {
    /// What is wrong with it.
    #[source]
    pub error: DeliveryError,
    /// SHA-256 of its body.
    pub digest: [u8; 32],
    /// Size of its body.
    pub bytes: usize,
}

/// A message that was taken and not acked yet.
pub struct Message {
    /// What it says; an error when it is no delivery.
    pub delivery: Result<Delivery, Undecodable>,
    /// Emptied of its body; what is left acks.
    raw: Raw,
}

/// A consumer of one queue, on a connection of its own.
pub struct Subscription {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    queue: String,
    /// When something came last, or the broker said last that it has this consumer.
    heard: Instant,
    /// The broker had messages, though none has come since.
    passed_over: bool,
    /// The stream of messages has ended.
    ended: bool,
    /// What came while it was waited for what was on its way.
    settled: VecDeque<Message>,
}

impl Broker {
    /// Connects, declares every queue, and consumes `queue` with a bounded number of unacked messages.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn subscribe(&self, queue: Queue, name: &str) -> Result<Subscription, BrokerError> {
        let connection = self.connect(name).await?;
        self.declare(&connection).await?;
        let channel = bounded("opening a channel", connection.create_channel()).await?;
        let qos = channel.basic_qos(limits::PREFETCH, BasicQosOptions { global: false });
        bounded("setting the prefetch", qos).await?;
        let queue = queue.name(self.prefix());
        let consume = channel.basic_consume(
            queue.as_str().into(),
            "".into(),
            BasicConsumeOptions { no_local: false, no_ack: false, exclusive: false, nowait: false },
            FieldTable::default(),
        );
        let consumer = bounded("consuming", consume).await?;
        let heard = Instant::now();
        Ok(Subscription {
            connection,
            channel,
            consumer,
            queue,
            heard,
            passed_over: false,
            ended: false,
            settled: VecDeque::new(),
        })
    }
}

impl Subscription {
    /// The next message. `None` when the consumer is lost: the queue was deleted, the channel or the connection
    /// closed. Then everything that was taken and not acked comes again.
    pub async fn next(&mut self) -> Option<Message> {
        if self.ended {
            return None;
        }
        let next = self.consumer.next().await;
        self.taken(next)
    }

    /// A message that has arrived already, without waiting.
    pub fn arrived(&mut self) -> Option<Message> {
        let settled = self.settled.pop_front();
        if settled.is_some() || self.ended {
            return settled;
        }
        let next = self.consumer.next().now_or_never()?;
        self.taken(next)
    }

    /// The end is told once only, and whoever hears it may have asked for something else.
    fn taken(&mut self, next: Option<Result<Raw, lapin::Error>>) -> Option<Message> {
        match next {
            Some(Ok(raw)) => {
                (self.heard, self.passed_over) = (Instant::now(), false);
                return Some(message(raw));
            }
            Some(Err(error)) => tracing::warn!(error = %error, "A consumer was lost"),
            None => {}
        }
        self.ended = true;
        None
    }

    /// Whether something may still come, for one that waits. Silence proves nothing: a consumer can be lost without a
    /// word, so after a while the broker is asked what it knows of it. Whoever waits has room for more, so messages
    /// that stay in the queue from one question to the next are kept from us.
    pub async fn is_alive(&mut self) -> bool {
        if self.ended
            || !(self.connection.status().connected() && self.channel.status().connected())
        {
            return false;
        }
        if self.heard.elapsed() < limits::CONSUMER_PROVEN_EVERY {
            return true;
        }
        let options = QueueDeclareOptions { passive: true, ..super::topology::options() };
        let ask =
            self.channel.queue_declare(self.queue.as_str().into(), options, FieldTable::default());
        let Ok(found) = bounded("asking for the consumer", ask).await else { return false };
        let waiting = found.message_count() > 0;
        if found.consumer_count() == 0 || (waiting && self.passed_over) {
            tracing::warn!("The broker does not have this consumer any more, and has not said so");
            return false;
        }
        (self.heard, self.passed_over) = (Instant::now(), waiting);
        true
    }

    /// Waits for a moment in which nothing comes. To be called before [`Self::cancel`], and with no ack meanwhile, since an ack makes
    /// room for more: what is on its way when a quorum queue hears of a cancellation, the broker takes back, and delivers again
    /// though nobody has had it.
    pub async fn settle(&mut self) {
        let until = Instant::now() + limits::ON_ITS_WAY_MAX;
        while self.settled.len() < usize::from(limits::PREFETCH) && Instant::now() < until {
            match tokio::time::timeout(limits::ON_ITS_WAY_FOR, self.next()).await {
                Ok(Some(message)) => self.settled.push_back(message),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Asks for no more messages. Those that were taken may still be acked, and what had arrived may still be taken with
    /// [`Self::arrived`].
    pub async fn cancel(&mut self) {
        let tag = self.consumer.tag();
        let cancel = self.channel.basic_cancel(tag, BasicCancelOptions { nowait: false });
        if bounded("cancelling the consumer", cancel).await.is_err() {
            // Nothing that has arrived can be acked: it comes again.
            self.settled.clear();
            self.ended = true;
        }
    }

    /// What has arrived and was not taken. To be called after [`Self::cancel`], otherwise more arrives.
    pub fn rest(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.arrived()).collect()
    }

    /// Closes the channel and the connection.
    pub async fn close(self) {
        bounded("closing", self.channel.close(200, "done".into())).await.ok();
        bounded("closing", self.connection.close(200, "done".into())).await.ok();
    }
}

/// Acks messages together, each by itself: one that can't be acked holds no other. An ack that is not sent belongs
/// to a channel that is gone; the message comes again, which does no harm.
pub async fn ack_all(messages: impl IntoIterator<Item = Message>) {
    let acks = messages.into_iter().map(|message| async move {
        bounded("acking", message.raw.ack(BasicAckOptions { multiple: false })).await
    });
    let refused = futures_util::future::join_all(acks)
        .await
        .into_iter()
        .filter(|ack| !matches!(ack, Ok(true)))
        .count();
    if refused > 0 {
        tracing::debug!(refused, "Messages could not be acked; they come again");
    }
}

/// Acks messages of one subscription in one, and with them all that came before and is not acked yet. A broker forgets some of
/// many acks when their channel is closed right after.
pub async fn ack_up_to(messages: Vec<Message>) {
    let Some(last) = messages.into_iter().next_back() else { return };
    let ack = last.raw.ack(BasicAckOptions { multiple: true });
    if !matches!(bounded("acking", ack).await, Ok(true)) {
        tracing::debug!("Messages could not be acked; they come again");
    }
}

/// Gives messages back to their queue, unprocessed.
pub async fn hand_back_all(messages: impl IntoIterator<Item = Message>) {
    let nacks = messages.into_iter().map(|message| async move {
        let options = BasicNackOptions { multiple: false, requeue: true };
        bounded("handing back", message.raw.nack(options)).await
    });
    futures_util::future::join_all(nacks).await;
}

fn message(mut raw: Raw) -> Message {
    let headers = raw.properties.headers().as_ref();
    let header = |name: &str| headers.and_then(|headers| headers.inner().get(name));
    let attempt =
        if let Some(AMQPValue::LongUInt(attempt)) = header("x-attempt") { *attempt } else { 0 };
    let traceparent = if let Some(AMQPValue::LongString(text)) = header("traceparent") {
        std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned)
    } else {
        None
    };
    let delivery = if raw.data.len() > limits::MESSAGE_BYTES_MAX {
        Err(DeliveryError::Malformed { category: serde_json::error::Category::Data, column: 0 })
    } else {
        Delivery::from_body(&raw.data)
    };
    let delivery = match delivery {
        Ok(delivery) => Ok(Delivery { attempt, traceparent, ..delivery }),
        Err(error) => Err(Undecodable {
            error,
            digest: Sha256::digest(&raw.data).into(),
            bytes: raw.data.len(),
        }),
    };
    raw.data = Vec::new();
    Message { delivery, raw }
}
