//! The epoch that the broker keeps: the single message of `<prefix>.epoch`, beside what Postgres says of itself.
//!
//! A quorum queue that holds one message, read by one process at a time: whoever looks holds an exclusive queue as a
//! lock, takes the message, and puts the same or a newer one in its place before it acks the old one. So the queue is
//! never seen empty unless the broker lost it.

use std::time::Duration;

use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::time::Instant;

use super::{Broker, BrokerError, bounded, topology};
use crate::limits;

/// The broker's epoch, locked for us until it is dropped or kept.
pub struct EpochLock {
    connection: Option<Connection>,
    channel: Channel,
    queue: String,
    taken: Vec<BasicGetMessage>,
    kept: Option<i64>,
}

impl Broker {
    /// Takes the broker's epoch, waiting for whoever has it.
    ///
    /// # Errors
    /// [`BrokerError`]; the epoch is then as it was.
    pub async fn epoch(&self) -> Result<EpochLock, BrokerError> {
        let connection = self.connect("epoch").await?;
        let (channel, queue) = match self.locked(&connection).await {
            Ok(locked) => locked,
            Err(error) => {
                close(connection);
                return Err(error);
            }
        };
        let mut lock = EpochLock {
            connection: Some(connection),
            channel,
            queue,
            taken: Vec::new(),
            kept: None,
        };
        lock.take().await?;
        Ok(lock)
    }

    /// A channel with confirms, the queue declared, and the lock ours.
    async fn locked(&self, connection: &Connection) -> Result<(Channel, String), BrokerError> {
        let lock = format!("{}.epoch.lock", self.prefix());
        let until = Instant::now() + limits::BROKER_CALL_TIMEOUT;
        loop {
            let channel = bounded("opening a channel", connection.create_channel()).await?;
            let (options, arguments) = exclusive();
            let declared = channel.queue_declare(lock.as_str().into(), options, arguments);
            match bounded("locking the epoch", declared).await {
                Ok(_) => {
                    let queue = self.declare_epoch(&channel).await?;
                    let options = ConfirmSelectOptions { nowait: false };
                    bounded("asking for confirms", channel.confirm_select(options)).await?;
                    return Ok((channel, queue));
                }
                Err(BrokerError::Amqp { source, .. })
                    if is_locked(&source) && Instant::now() < until =>
                {
                    tokio::time::sleep(limits::EPOCH_LOCK_POLL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Declares the queue of the epoch; its name.
    async fn declare_epoch(&self, channel: &Channel) -> Result<String, BrokerError> {
        let name = topology::epoch_queue(self.prefix());
        let declared = channel.queue_declare(
            name.as_str().into(),
            topology::options(),
            topology::epoch_arguments(),
        );
        match bounded("declaring a queue", declared).await {
            Ok(_) => Ok(name),
            Err(BrokerError::Amqp { source, .. }) if super::is_precondition_failed(&source) => {
                Err(BrokerError::OtherArguments(name))
            }
            Err(error) => Err(error),
        }
    }
}

impl EpochLock {
    /// The epoch that the broker keeps; `None` when it keeps none.
    #[must_use]
    pub const fn kept(&self) -> Option<i64> {
        self.kept
    }

    /// Takes what is there: one message, or two after a process that died between publishing and acking.
    async fn take(&mut self) -> Result<(), BrokerError> {
        loop {
            let get = self
                .channel
                .basic_get(self.queue.as_str().into(), BasicGetOptions { no_ack: false });
            let Some(message) = bounded("reading the epoch", get).await? else { return Ok(()) };
            let epoch = std::str::from_utf8(&message.delivery.data)
                .ok()
                .and_then(|text| text.parse::<i64>().ok());
            self.kept = self.kept.max(epoch);
            self.taken.push(message);
        }
    }

    /// Puts `epoch` in the place of what was taken, or the same again, and lets go.
    ///
    /// # Errors
    /// [`BrokerError`]; then the broker keeps what it had, or the new one.
    pub async fn keep(mut self, epoch: Option<i64>) -> Result<(), BrokerError> {
        if let Some(epoch) = epoch.max(self.kept) {
            let body = epoch.to_string();
            let publish = self.channel.basic_publish(
                ShortString::default(),
                self.queue.as_str().into(),
                BasicPublishOptions { mandatory: true, immediate: false },
                body.as_bytes(),
                BasicProperties::default().with_delivery_mode(2),
            );
            let confirm = bounded("publishing", publish).await?;
            let confirmation = bounded("awaiting a confirm", confirm).await?;
            if !matches!(confirmation, Confirmation::Ack(None)) {
                return Err(BrokerError::Unconfirmed { unconfirmed: 1, all: 1 });
            }
        }
        for message in self.taken.drain(..) {
            bounded("acking", message.delivery.ack(BasicAckOptions { multiple: false })).await?;
        }
        if let Some(connection) = self.connection.take() {
            bounded("closing", connection.close(200, "done".into())).await.ok();
        }
        Ok(())
    }
}

impl Drop for EpochLock {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            close(connection);
        }
    }
}

/// Closes in the background: it may hang. What was taken goes back, and the lock goes.
fn close(connection: Connection) {
    tokio::spawn(async move {
        bounded("closing", connection.close(200, "done".into())).await.ok();
    });
}

/// A queue that only one connection may have: the lock. It goes with its connection.
fn exclusive() -> (QueueDeclareOptions, FieldTable) {
    let options = QueueDeclareOptions { durable: false, exclusive: true, ..topology::options() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    (options, arguments)
}

/// 405: another connection has it.
fn is_locked(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(e) if e.get_id() == 405)
}

const _: () = assert!(limits::EPOCH_LOCK_POLL.as_millis() < Duration::from_secs(1).as_millis());
