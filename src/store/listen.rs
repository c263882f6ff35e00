//! The relay's own connection: LISTEN, the wake-up lock, and the lock of the leading relay.
//!
//! Never in a transaction, never pooled. Its driver runs in a task that only sets a flag, since a driver that
//! blocks stalls every query of its client.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::AsyncMessage;

use super::{Store, StoreError};
use crate::limits;

/// The advisory lock that is held exclusively exactly while the relay sleeps; shared by the capture triggers
/// (`sql/functions/capture.sql`, "Wake-up").
const SLEEP_LOCK: (i32, i32) = (4_541_779, 1);
/// The advisory lock of the relay that leads.
const LEADER_LOCK: (i32, i32) = (4_541_779, 2);

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A writer notified.
    Notified,
    /// Nothing happened for that long.
    TimedOut,
    /// The connection is gone: make a new one, and drain.
    Lost,
}

/// A connection that LISTENs.
pub struct Listener {
    client: tokio_postgres::Client,
    notified: Arc<Notify>,
    lost: Arc<Notify>,
    driver: JoinHandle<()>,
    /// The database lets capture triggers notify (it can't prepare transactions).
    notifies: bool,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Store {
    /// Connects, listens, and proves by a notification to itself that they arrive (a pooler in transaction mode
    /// would swallow them).
    ///
    /// # Errors
    /// [`StoreError`] when it can't listen.
    pub async fn listen(&self) -> Result<Listener, StoreError> {
        let (client, mut connection) = self.connect().await?;
        let (notified, lost) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (notified_in, lost_in) = (Arc::clone(&notified), Arc::clone(&lost));
        let driver = tokio::spawn(async move {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(_))) => notified_in.notify_one(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        let error = StoreError::from(error);
                        tracing::warn!(error = %error, "The listener's connection was lost");
                        break;
                    }
                    None => break,
                }
            }
            lost_in.notify_one();
        });
        let mut listener = Listener { client, notified, lost, driver, notifies: true };
        let listen = "listen ems_sync_outbox; notify ems_sync_outbox";
        listener.bounded(listener.client.batch_execute(listen)).await?;
        match listener.wait(limits::LISTENER_PING_TIMEOUT).await {
            Wake::Notified => {}
            Wake::TimedOut | Wake::Lost => {
                return Err(StoreError::Unexpected(
                    "a notification to itself did not arrive; connect to Postgres directly, or set capture.wake = \"poll\"",
                ));
            }
        }
        let setting = "select current_setting('max_prepared_transactions')::integer";
        let row = listener.bounded(listener.client.query_one(setting, &[])).await?;
        listener.notifies = row.try_get::<_, i32>(0)? == 0;
        Ok(listener)
    }
}

impl Listener {
    /// Whether the capture triggers notify at all on this server: not where transactions can be prepared.
    #[must_use]
    pub const fn is_notified(&self) -> bool {
        self.notifies
    }

    /// Tries to become (or stay) the relay that leads. The lock goes with the connection.
    ///
    /// # Errors
    /// [`StoreError`] when the connection is gone.
    pub async fn try_lead(&self) -> Result<bool, StoreError> {
        self.try_lock(LEADER_LOCK).await
    }

    /// Tries to take the wake-up lock: from then on writers notify. Fails while a writer's transaction holds it.
    ///
    /// # Errors
    /// [`StoreError`] when the connection is gone.
    pub async fn try_sleep(&self) -> Result<bool, StoreError> {
        self.try_lock(SLEEP_LOCK).await
    }

    /// Gives the wake-up lock back: writers need not notify.
    ///
    /// # Errors
    /// [`StoreError`] when the connection is gone.
    pub async fn wake_up(&self) -> Result<(), StoreError> {
        let (class, object) = SLEEP_LOCK;
        let sql = "select pg_advisory_unlock($1, $2)";
        self.bounded(self.client.query_one(sql, &[&class, &object])).await?;
        Ok(())
    }

    /// Waits for a notification, the loss of the connection, or that long.
    pub async fn wait(&self, at_most: Duration) -> Wake {
        tokio::select! {
            biased;
            () = self.lost.notified() => Wake::Lost,
            () = self.notified.notified() => Wake::Notified,
            () = tokio::time::sleep(at_most) => Wake::TimedOut,
        }
    }

    /// Proves the connection by a round trip: a half-open socket shows no error.
    ///
    /// # Errors
    /// [`StoreError`] when there was no answer in time.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.bounded(self.client.query_one("select 1", &[])).await?;
        Ok(())
    }

    async fn try_lock(&self, (class, object): (i32, i32)) -> Result<bool, StoreError> {
        let sql = "select pg_try_advisory_lock($1, $2)";
        Ok(self.bounded(self.client.query_one(sql, &[&class, &object])).await?.try_get(0)?)
    }

    async fn bounded<T>(
        &self,
        query: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        match timeout(limits::LISTENER_PING_TIMEOUT, query).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(StoreError::NoAnswer),
        }
    }
}
