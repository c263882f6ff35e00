//! RabbitMQ: the only module that names lapin. It says who should look; what is owed stands in Postgres.
//!
//! lapin's own recovery is not used, since it hangs. A connection that shows any error is dropped whole and made
//! anew, every call is bounded in time, and publishers and consumers have connections of their own, so that a
//! memory alarm (which blocks publishers) stops no ack.

mod epoch;
mod pause;
mod publisher;
mod subscription;
mod tokens;
mod topology;

use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

pub use epoch::EpochLock;
pub use pause::Pause;
pub use publisher::{Outgoing, Publisher};
pub use subscription::{Message, Subscription, Undecodable, ack_all, ack_up_to, hand_back_all};
pub use tokens::{Token, Walk};
pub use topology::{Queue, QueueKind};

use crate::limits;

/// What can go wrong with the broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// `broker.url` can't be read. Its text is not kept: it holds a password.
    #[error("`broker.url` is not an AMQP URL")]
    Url,
    /// A call did not return in time; lapin would wait for ever.
    #[error("The broker did not answer in time ({0})")]
    Timeout(&'static str),
    /// A memory or disk alarm: the broker takes no messages until it is over. Consumers go on.
    #[error("The broker takes no messages now: it has a memory or disk alarm")]
    Blocked,
    /// The broker or the connection refused.
    #[error("The broker connection failed ({doing})")]
    Amqp {
        /// What was being done.
        doing: &'static str,
        /// What lapin says.
        #[source]
        source: lapin::Error,
    },
    /// A queue exists with other arguments.
    #[error(
        "Queue `{0}` exists with other arguments than ems-sync declares: delete it (nothing is lost, what is owed stands in Postgres) or choose another `broker.prefix`"
    )]
    OtherArguments(String),
    /// Some messages were not confirmed: they may or may not be in their queues.
    #[error("{unconfirmed} of {all} messages were not confirmed by the broker")]
    Unconfirmed {
        /// Messages without a confirm.
        unconfirmed: usize,
        /// Messages that were to be published.
        all: usize,
    },
}

impl BrokerError {
    /// Whether the broker is away or unwell, so that the same may succeed later without anybody's help. A refused
    /// login or virtual host, an unusable URL and a queue with other arguments are for a person.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Url | Self::OtherArguments(_) => false,
            Self::Timeout(_) | Self::Blocked | Self::Unconfirmed { .. } => true,
            Self::Amqp { source, .. } => !matches!(
                source.kind(),
                lapin::ErrorKind::ProtocolError(e) if matches!(e.get_id(), 403 | 530)
            ),
        }
    }
}

/// Where the broker is, and the prefix of our queues.
#[derive(Debug, Clone)]
pub struct Broker {
    url: SecretString,
    prefix: String,
    pause: Pause,
}

impl Broker {
    /// The broker at `url`, with queues named `<prefix>.<target>.…`.
    #[must_use]
    pub fn new(url: SecretString, prefix: String) -> Self {
        Self { url, prefix, pause: Pause::default() }
    }

    /// The same, not published to while there is a pause.
    #[must_use]
    pub fn pausing(self, pause: Pause) -> Self {
        Self { pause, ..self }
    }

    /// The prefix of the queues.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A connection of its own, named for the management interface.
    async fn connect(&self, name: &str) -> Result<Connection, BrokerError> {
        let mut uri: AMQPUri = self.url.expose_secret().parse().map_err(|_| BrokerError::Url)?;
        uri.query.heartbeat.get_or_insert(limits::BROKER_HEARTBEAT_SECONDS);
        let properties =
            ConnectionProperties::default().with_connection_name(format!("ems-sync {name}").into());
        let connect = Connection::connect_uri(uri, properties);
        bounded_by(limits::BROKER_CONNECT_TIMEOUT, "connecting", connect).await
    }

    /// Declares every queue of every target, each on a channel of its own, since a refusal ends its channel.
    ///
    /// # Errors
    /// [`BrokerError`] when one can't be declared.
    async fn declare(&self, connection: &Connection) -> Result<(), BrokerError> {
        let declare = Queue::all().into_iter().map(|queue| self.declare_one(connection, queue));
        futures_util::future::try_join_all(declare).await?;
        Ok(())
    }

    async fn declare_one(&self, connection: &Connection, queue: Queue) -> Result<(), BrokerError> {
        let name = queue.name(&self.prefix);
        let channel = bounded("opening a channel", connection.create_channel()).await?;
        let declared = channel.queue_declare(
            name.as_str().into(),
            topology::options(),
            topology::arguments(queue, &self.prefix),
        );
        match bounded("declaring a queue", declared).await {
            Ok(_) => {}
            Err(BrokerError::Amqp { source, .. }) if is_precondition_failed(&source) => {
                return Err(BrokerError::OtherArguments(name));
            }
            Err(error) => return Err(error),
        }
        bounded("closing a channel", channel.close(200, "done".into())).await
    }
}

fn is_precondition_failed(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(e) if e.get_id() == 406)
}

/// Awaits a broker call, but not for ever.
async fn bounded<T>(
    doing: &'static str,
    call: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BrokerError> {
    bounded_by(limits::BROKER_CALL_TIMEOUT, doing, call).await
}

async fn bounded_by<T>(
    at_most: Duration,
    doing: &'static str,
    call: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BrokerError> {
    match timeout(at_most, call).await {
        Ok(result) => result.map_err(|source| BrokerError::Amqp { doing, source }),
        Err(_) => Err(BrokerError::Timeout(doing)),
    }
}
