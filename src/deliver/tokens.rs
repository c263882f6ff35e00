//! The tokens of one target's dead letters: published when a cycle has failed, and kept in agreement with Postgres.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{Broker, BrokerError, Publisher, Queue, Token};
use crate::deliver::dead_letter::{Extent, reconcile};
use crate::entity::EntityRef;
use crate::error_chain::chain;
use crate::failpoint;
use crate::limits;
use crate::store::{DeadLetter, Duty, DutyLease, OddMessage, Store, StoreError};
use crate::target::Target;

/// The tokens of one target.
#[derive(Clone)]
pub struct Tokens {
    store: Store,
    broker: Broker,
    publisher: Arc<Publisher>,
    target: Target,
    owner: Uuid,
}

/// Why the queue could not be tidied.
#[derive(Debug, thiserror::Error)]
enum TidyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("Another process tidies it now")]
    TakenOver,
}

impl Tokens {
    /// The tokens of `target`.
    #[must_use]
    pub fn new(store: Store, broker: Broker, publisher: Arc<Publisher>, target: Target) -> Self {
        Self { store, broker, publisher, target, owner: Uuid::new_v4() }
    }

    /// Publishes the tokens of these entities' dead letters. A failure is no loss: the rows stand, and [`Self::keep_tidy`]
    /// finds that their tokens are missing.
    pub async fn publish(&self, dead: &[EntityRef]) {
        if dead.is_empty() {
            return;
        }
        failpoint!("dead_letter.committed");
        let published = async {
            let letters = self.store.dead_letters_without_token(self.target, dead).await?;
            self.publish_letters(&letters).await
        };
        if let Err(error) = published.await {
            tracing::warn!(target.name = %self.target, error = %chain(&error), "The tokens of dead letters come later");
        }
    }

    /// Opens dead letters for messages that could not be decoded, and publishes their tokens.
    ///
    /// # Errors
    /// [`StoreError`] when there is no row: the messages must not be acked.
    pub async fn undecodable(&self, messages: &[OddMessage]) -> Result<(), StoreError> {
        let letters = self.store.undecodable(self.target, messages).await?;
        let letters: Vec<DeadLetter> =
            letters.into_iter().filter(|letter| !letter.has_token).collect();
        for letter in &letters {
            tracing::error!(
                target.name = %self.target,
                dead_letter = letter.number,
                "A message that is no delivery was taken from the queue: see `ems-sync dead-letters show`"
            );
        }
        if let Err(error) = self.publish_letters(&letters).await {
            tracing::warn!(target.name = %self.target, error = %chain(&error), "The tokens of dead letters come later");
        }
        Ok(())
    }

    async fn publish_letters(&self, letters: &[DeadLetter]) -> Result<(), TidyError> {
        let tokens: Vec<Token> = letters.iter().map(token).collect();
        self.publisher.publish_tokens(&tokens).await?;
        failpoint!("dead_letter.published");
        let numbers: Vec<i64> = letters.iter().map(|letter| letter.number).collect();
        self.store.tokens_published(&numbers).await?;
        Ok(())
    }

    /// Brings rows and tokens into agreement again and again, one process at a time, until `stop`.
    pub async fn keep_tidy(self, stop: CancellationToken) {
        let mut walked = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(limits::TIDY_TOKENS_EVERY / 2) => {}
            }
            match self.tidy_in_turn(walked.elapsed() > limits::WALK_TOKENS_EVERY).await {
                Ok(true) => walked = Instant::now(),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(target.name = %self.target, error = %chain(&error), "The queue of dead letters can't be tidied now");
                }
            }
        }
    }

    async fn tidy_in_turn(&self, walk_anyway: bool) -> Result<bool, TidyError> {
        let every = limits::TIDY_TOKENS_EVERY / 2;
        let taken = self.store.take_duty(Duty::TidyTokens, self.target, self.owner, every).await?;
        let Some(duty) = taken else { return Ok(false) };
        let tidied = self.tidy(&duty, walk_anyway).await;
        self.store.end_duty(&duty, 0, tidied.is_ok()).await?;
        tidied
    }

    /// One look at the queue, and a walk through it if something is odd; whether it was gone through.
    async fn tidy(&self, duty: &DutyLease, walk_anyway: bool) -> Result<bool, TidyError> {
        let to_tidy = self.store.tokens_to_tidy(self.target).await?;
        let messages = self.publisher.queue_length(Queue::dead(self.target)).await?;
        if !to_tidy.needs_a_walk(messages) && !walk_anyway {
            return Ok(false);
        }
        let began: Timestamp = self.store.now().await?;
        let mut walk = self.broker.walk_tokens(self.target).await?;
        let mut more = true;
        while more && walk.numbers().len() < limits::TOKENS_MAX {
            more = walk.take(limits::TOKENS_AT_ONCE).await?;
            if !self.store.keep_duty(duty).await? {
                return Err(TidyError::TakenOver);
            }
        }
        // Read after the messages: whose token was seen has its row.
        let open = self.store.open_tokens(self.target).await?;
        let extent = Extent {
            all_open: open.len() < limits::OPEN_DEAD_LETTERS_MAX,
            // What somebody else has in hand at this moment is not in the queue.
            all_messages: !more && u32::try_from(walk.numbers().len()).is_ok_and(|n| n >= messages),
        };
        let plan = reconcile(&open, walk.numbers(), extent);
        walk.remove(&plan.remove).await?;
        self.store.tokens_published(&plan.mark).await?;
        for numbers in plan.publish.chunks(limits::TOKENS_AT_ONCE) {
            let letters = self.store.dead_letters_by_number(numbers).await?;
            self.publish_letters(&letters).await?;
        }
        if extent.all_open && extent.all_messages {
            self.store.tokens_removed(self.target, began).await?;
        }
        if !plan.publish.is_empty() || !plan.remove.is_empty() {
            tracing::info!(
                target.name = %self.target, published = plan.publish.len(), removed = plan.remove.len(),
                "The queue of dead letters agrees with Postgres again"
            );
        }
        Ok(true)
    }
}

fn token(letter: &DeadLetter) -> Token {
    Token {
        number: letter.number,
        target: letter.target,
        entity: letter.entity,
        cause: letter.cause,
        changed_on: letter.changed_on.unwrap_or(letter.first_failed_on),
        traceparent: letter.traceparent.clone(),
        reason: letter.reason.clone(),
        error: letter.error.clone(),
        first_failed_on: letter.first_failed_on,
        last_failed_on: letter.last_failed_on,
        attempts: letter.attempts,
    }
}
