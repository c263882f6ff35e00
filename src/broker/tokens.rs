//! The queue of dead letters: tokens in, and a walk through what it holds.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};
use serde::Serialize;

use super::{Broker, BrokerError, Queue, bounded};
use crate::delivery::{BODY_VERSION, Cause};
use crate::entity::{EntityRef, EntityType};
use crate::target::Target;

/// The token of a dead letter: the delivery that failed, with what became of it in its headers
/// (`docs/design.md` section 5, **fixed**).
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The number of the dead letter.
    pub number: i64,
    /// The target.
    pub target: Target,
    /// The entity; `None` for a message that could not be decoded.
    pub entity: Option<EntityRef>,
    /// Why it was owed.
    pub cause: Cause,
    /// The change that is not pushed.
    pub changed_on: Timestamp,
    /// Trace context of its EMS transaction.
    pub traceparent: Option<String>,
    /// The failure class.
    pub reason: String,
    /// The error, without anything personal.
    pub error: Option<String>,
    /// When the first attempt of its first cycle had failed.
    pub first_failed_on: Timestamp,
    /// When its last cycle had failed.
    pub last_failed_on: Timestamp,
    /// Attempts of all its cycles.
    pub attempts: i32,
}

/// A delivery's body, whose entity may be unknown.
#[derive(Serialize)]
struct Body {
    v: u32,
    target: Target,
    entity: Option<EntityType>,
    id: Option<i64>,
    cause: Cause,
    changed_on: Timestamp,
}

impl Token {
    pub(super) fn body(&self) -> Vec<u8> {
        let body = Body {
            v: BODY_VERSION,
            target: self.target,
            entity: self.entity.map(|entity| entity.entity_type),
            id: self.entity.map(|entity| entity.id),
            cause: self.cause,
            changed_on: self.changed_on,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    pub(super) fn properties(&self) -> BasicProperties {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut headers = FieldTable::default();
        headers.insert("x-dead-letter-id".into(), AMQPValue::LongLongInt(self.number));
        headers.insert("x-reason".into(), text(&self.reason));
        headers.insert("x-error".into(), text(self.error.as_deref().unwrap_or_default()));
        headers.insert("x-first-failed-on".into(), text(&self.first_failed_on.to_string()));
        headers.insert("x-last-failed-on".into(), text(&self.last_failed_on.to_string()));
        headers.insert("x-attempts".into(), AMQPValue::LongInt(self.attempts));
        headers.insert("x-attempt".into(), AMQPValue::LongUInt(0));
        if let Some(traceparent) = &self.traceparent {
            headers.insert("traceparent".into(), text(traceparent));
        }
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(format!("dead-letter-{}", self.number).into())
            .with_headers(headers)
    }
}

/// The messages of a queue of dead letters, in hand. Dropped, they go back.
pub struct Walk {
    connection: Connection,
    channel: Channel,
    queue: String,
    messages: Vec<BasicGetMessage>,
    numbers: Vec<Option<i64>>,
}

impl Broker {
    /// Begins to take the messages of the target's queue of dead letters in hand.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn walk_tokens(&self, target: Target) -> Result<Walk, BrokerError> {
        let connection = self.connect(&format!("dead letters {target}")).await?;
        let channel = bounded("opening a channel", connection.create_channel()).await?;
        let queue = Queue::dead(target).name(self.prefix());
        Ok(Walk { connection, channel, queue, messages: Vec::new(), numbers: Vec::new() })
    }
}

impl Walk {
    /// Takes at most so many more; whether there may be others.
    ///
    /// # Errors
    /// [`BrokerError`]; then all are in the queue again.
    pub async fn take(&mut self, most: usize) -> Result<bool, BrokerError> {
        for _ in 0..most {
            let options = BasicGetOptions { no_ack: false };
            let get = self.channel.basic_get(self.queue.as_str().into(), options);
            let Some(mut message) = bounded("taking a dead letter in hand", get).await? else {
                return Ok(false);
            };
            self.numbers.push(number(&message));
            message.delivery.data = Vec::new();
            message.delivery.properties = BasicProperties::default();
            self.messages.push(message);
        }
        Ok(true)
    }

    /// The number that each message carries, if it is a token.
    #[must_use]
    pub fn numbers(&self) -> &[Option<i64>] {
        &self.numbers
    }

    /// Removes the messages at these places, and puts all others back.
    ///
    /// # Errors
    /// [`BrokerError`]; then some that were to be removed may be in the queue again.
    pub async fn remove(self, places: &BTreeSet<usize>) -> Result<(), BrokerError> {
        let mut kept = None;
        for (place, message) in self.messages.iter().enumerate() {
            if places.contains(&place) {
                let ack = message.delivery.ack(BasicAckOptions { multiple: false });
                bounded("removing a token", ack).await?;
            } else {
                kept = Some(message.delivery.delivery_tag);
            }
        }
        if let Some(last) = kept {
            let options = BasicNackOptions { multiple: true, requeue: true };
            bounded("putting tokens back", self.channel.basic_nack(last, options)).await?;
        }
        bounded("closing", self.channel.close(200, "done".into())).await?;
        bounded("closing", self.connection.close(200, "done".into())).await
    }
}

fn number(message: &BasicGetMessage) -> Option<i64> {
    let headers = message.delivery.properties.headers().as_ref()?;
    let header = headers.inner().get("x-dead-letter-id")?;
    if let AMQPValue::LongLongInt(number) = header { Some(*number) } else { None }
}
