//! Publishing with confirms and `mandatory`: a message counts as published only when the broker says that a queue
//! holds it. Whatever is not confirmed is still owed in Postgres, and the republish scan finds it.
//!
//! A connection that an alarm of the broker blocks is kept: a new one would be blocked too, and by its first message
//! only, while the old one is told when the alarm is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Mutex;

use super::{Broker, BrokerError, Queue, Token, bounded};
use crate::delivery::Delivery;
use crate::limits;

/// A message and where it goes.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The queue.
    pub queue: Queue,
    /// The message.
    pub delivery: Delivery,
}

/// A message as it goes out.
struct Raw {
    queue: Queue,
    body: Vec<u8>,
    properties: BasicProperties,
}

/// A publisher with a connection of its own, made anew after any error.
pub struct Publisher {
    broker: Broker,
    name: String,
    live: Mutex<Option<Live>>,
    lengths: Mutex<HashMap<Queue, (Instant, u32)>>,
}

struct Live {
    connection: Arc<Connection>,
    channel: Channel,
}

impl Live {
    fn is_usable(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }
}

/// What `call` brings, or that an alarm blocks the connection: then nothing more is sent or answered.
async fn unless_blocked<T>(
    connection: &Connection,
    call: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    let blocked = async {
        while !connection.status().blocked() {
            tokio::time::sleep(limits::BROKER_BLOCKED_NOTICED).await;
        }
    };
    tokio::select! {
        biased;
        () = blocked => Err(BrokerError::Blocked),
        result = call => result,
    }
}

impl Publisher {
    /// A publisher; connects when it is first used.
    #[must_use]
    pub fn new(broker: Broker, name: impl Into<String>) -> Self {
        Self {
            broker,
            name: name.into(),
            live: Mutex::new(None),
            lengths: Mutex::new(HashMap::new()),
        }
    }

    /// Publishes all of them, a window of confirms at a time.
    ///
    /// # Errors
    /// [`BrokerError`] when not every message was confirmed. Those that were not may be in their queue or not.
    pub async fn publish(&self, messages: &[Outgoing]) -> Result<(), BrokerError> {
        self.broker.pause.over(messages.iter().map(|message| message.queue.target)).await;
        let raw = messages.iter().map(|message| Raw {
            queue: message.queue,
            body: message.delivery.to_body(),
            properties: properties(&message.delivery),
        });
        self.publish_raw(raw).await
    }

    /// Publishes the tokens of dead letters, each into its target's queue.
    ///
    /// # Errors
    /// [`BrokerError`], as [`Self::publish`].
    pub async fn publish_tokens(&self, tokens: &[Token]) -> Result<(), BrokerError> {
        let raw = tokens.iter().map(|token| Raw {
            queue: Queue::dead(token.target),
            body: token.body(),
            properties: token.properties(),
        });
        self.publish_raw(raw).await
    }

    async fn publish_raw(
        &self,
        messages: impl ExactSizeIterator<Item = Raw> + Send,
    ) -> Result<(), BrokerError> {
        if messages.len() == 0 {
            return Ok(());
        }
        let mut slot = self.live.lock().await;
        let live = self.connected(&mut slot).await?;
        let result =
            unless_blocked(&live.connection, self.publish_on(&live.channel, messages)).await;
        keep_or_abandon(&mut slot, result)
    }

    /// Proves that the broker takes messages now, by one that no queue wants: it comes back, and leaves nothing.
    ///
    /// # Errors
    /// [`BrokerError`] when it does not come back.
    pub async fn prove(&self) -> Result<(), BrokerError> {
        let mut slot = self.live.lock().await;
        let live = self.connected(&mut slot).await?;
        let result = unless_blocked(&live.connection, self.round_trip(&live.channel)).await;
        keep_or_abandon(&mut slot, result)
    }

    async fn round_trip(&self, channel: &Channel) -> Result<(), BrokerError> {
        let nowhere = format!("{}.no-queue", self.broker.prefix());
        let publish = channel.basic_publish(
            ShortString::default(),
            nowhere.into(),
            BasicPublishOptions { mandatory: true, immediate: false },
            &[],
            BasicProperties::default(),
        );
        let confirm = bounded("publishing", publish).await?;
        bounded("awaiting a confirm", confirm).await.map(|_| ())
    }

    async fn publish_on(
        &self,
        channel: &Channel,
        messages: impl ExactSizeIterator<Item = Raw> + Send,
    ) -> Result<(), BrokerError> {
        let all = messages.len();
        let mut unconfirmed = 0;
        let mut confirms = FuturesUnordered::new();
        for message in messages {
            if confirms.len() >= limits::CONFIRM_WINDOW {
                unconfirmed += usize::from(!next_is_stored(&mut confirms).await?);
            }
            let queue = message.queue.name(self.broker.prefix());
            let publish = channel.basic_publish(
                ShortString::default(),
                queue.into(),
                BasicPublishOptions { mandatory: true, immediate: false },
                &message.body,
                message.properties,
            );
            confirms.push(bounded("publishing", publish).await?);
        }
        while !confirms.is_empty() {
            unconfirmed += usize::from(!next_is_stored(&mut confirms).await?);
        }
        if unconfirmed > 0 {
            return Err(BrokerError::Unconfirmed { unconfirmed, all });
        }
        Ok(())
    }

    /// How many messages are ready in a queue; an answer is used for a moment.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn queue_length(&self, queue: Queue) -> Result<u32, BrokerError> {
        let known = self.lengths.lock().await.get(&queue).copied();
        if let Some((_, length)) = known.filter(|c| c.0.elapsed() < limits::QUEUE_LENGTH_CACHED) {
            return Ok(length);
        }
        let length = self.ask_lengths(&[queue]).await?.into_iter().sum();
        self.lengths.lock().await.insert(queue, (Instant::now(), length));
        Ok(length)
    }

    /// How many messages wait in each of these queues.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn queue_lengths(&self, queues: &[Queue]) -> Result<Vec<u32>, BrokerError> {
        let lengths = self.ask_lengths(queues).await?;
        let mut known = self.lengths.lock().await;
        let now = Instant::now();
        let told = queues.iter().zip(&lengths);
        known.extend(told.map(|(queue, length)| (*queue, (now, *length))));
        Ok(lengths)
    }

    /// Over a channel of its own, while others publish: an answer that is slow holds up nobody else, and says nothing about the
    /// connection, as long as it opens channels.
    async fn ask_lengths(&self, queues: &[Queue]) -> Result<Vec<u32>, BrokerError> {
        let connection = {
            let mut slot = self.live.lock().await;
            Arc::clone(&self.connected(&mut slot).await?.connection)
        };
        let names = queues.iter().map(|queue| queue.name(self.broker.prefix())).collect();
        let result = unless_blocked(&connection, passive_lengths(&connection, names)).await;
        if matches!(result, Ok(_) | Err(BrokerError::Timeout(ASKING))) {
            return result;
        }
        let mut slot = self.live.lock().await;
        let is_same = slot.as_ref().is_some_and(|live| Arc::ptr_eq(&live.connection, &connection));
        if is_same { keep_or_abandon(&mut slot, result) } else { result }
    }

    /// Connects now, declares every queue, and so proves the configuration.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn connect(&self) -> Result<(), BrokerError> {
        let mut slot = self.live.lock().await;
        self.connected(&mut slot).await.map(|_| ())
    }

    /// Whether the connection stands now; `false` also while another call is making it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.live.try_lock().map_or(true, |slot| slot.as_ref().is_some_and(Live::is_usable))
    }

    async fn connected<'a>(&self, slot: &'a mut Option<Live>) -> Result<&'a Live, BrokerError> {
        if !slot.as_ref().is_some_and(Live::is_usable) {
            if let Some(old) = slot.take() {
                abandon(old);
            }
            let connection = self.broker.connect(&self.name).await?;
            self.broker.declare(&connection).await?;
            let channel = bounded("opening a channel", connection.create_channel()).await?;
            let options = ConfirmSelectOptions { nowait: false };
            bounded("asking for confirms", channel.confirm_select(options)).await?;
            *slot = Some(Live { connection: Arc::new(connection), channel });
        }
        slot.as_ref().ok_or(BrokerError::Timeout("connecting"))
    }
}

/// The next confirm; whether a queue holds the message.
async fn next_is_stored<F>(confirms: &mut FuturesUnordered<F>) -> Result<bool, BrokerError>
where
    F: Future<Output = Result<Confirmation, lapin::Error>>,
{
    let next = async { confirms.next().await.unwrap_or(Ok(Confirmation::NotRequested)) };
    let confirmation = bounded("awaiting a confirm", next).await?;
    // With `mandatory` an unroutable message is acked too, and comes back with it.
    Ok(matches!(confirmation, Confirmation::Ack(None)))
}

/// What a question for a queue's length waits for.
const ASKING: &str = "asking a queue's length";

/// Asks over a channel of its own, which the broker closes where a queue is not there.
async fn passive_lengths(
    connection: &Connection,
    queues: Vec<String>,
) -> Result<Vec<u32>, BrokerError> {
    let channel = bounded("opening a channel", connection.create_channel()).await?;
    let options = QueueDeclareOptions { passive: true, ..super::topology::options() };
    let mut lengths = Vec::with_capacity(queues.len());
    for queue in queues {
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default());
        lengths.push(bounded(ASKING, declared).await?.message_count());
    }
    bounded("closing a channel", channel.close(200, "done".into())).await?;
    Ok(lengths)
}

/// Begins anew after an error: a queue may have been deleted, the channel closed, the connection half open.
fn keep_or_abandon<T>(
    slot: &mut Option<Live>,
    result: Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    if let Err(error) = &result
        && !matches!(error, BrokerError::Blocked)
        && let Some(live) = slot.take()
    {
        abandon(live);
    }
    result
}

/// Closes a connection in the background: it may hang.
fn abandon(live: Live) {
    tokio::spawn(async move {
        bounded("closing", live.connection.close(200, "done".into())).await.ok();
    });
}

fn properties(delivery: &Delivery) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("x-attempt".into(), AMQPValue::LongUInt(delivery.attempt));
    if let Some(traceparent) = &delivery.traceparent {
        headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.as_str().into()));
    }
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(uuid::Uuid::now_v7().to_string().into())
        .with_headers(headers)
}
