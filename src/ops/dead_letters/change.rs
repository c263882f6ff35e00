//! Putting dead letters back and discarding them: page by page, with what was done to each in the audit trail of the same
//! transaction. The same for the command line and the console.

use std::collections::BTreeSet;

use crate::broker::{Outgoing, Publisher, Queue};
use crate::delivery::{Cause, Delivery};
use crate::error_chain::chain;
use crate::store::{DeadLetter, Filter, Replayed, Store, StoreError};

/// What matches, page by page, by number: what is closed meanwhile moves no page.
pub struct Pages<'a> {
    store: &'a Store,
    filter: Filter,
    left: Option<u32>,
    after: i64,
}

impl<'a> Pages<'a> {
    /// What matches `filter`, `limit` at most.
    #[must_use]
    pub const fn new(store: &'a Store, filter: Filter, limit: Option<u32>) -> Self {
        Self { store, filter, left: limit, after: 0 }
    }

    /// Only those with numbers greater than this.
    #[must_use]
    pub const fn after(mut self, number: i64) -> Self {
        self.after = number;
        self
    }

    /// The next page, of `most` at most; `None` after the last one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next(&mut self, most: u32) -> Result<Option<Vec<DeadLetter>>, StoreError> {
        let most = self.left.map_or(most, |left| left.min(most));
        if most == 0 {
            return Ok(None);
        }
        let page = self.store.dead_letters(&self.filter, self.after, i64::from(most)).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = last.number;
        let read = u32::try_from(page.len()).unwrap_or(u32::MAX);
        self.left = self.left.map(|left| left.saturating_sub(read));
        Ok(Some(page))
    }
}

/// Puts these back and tells the consumers; the numbers of those that were. It is committed before it is told, so whoever
/// repeats this after an interruption goes on where it ended.
///
/// # Errors
/// [`StoreError`]; then none was put back.
pub async fn put_back(
    store: &Store,
    publisher: &Publisher,
    numbers: &[i64],
    by: &str,
) -> Result<BTreeSet<i64>, StoreError> {
    let replayed = store.replay(numbers, by).await?;
    if let Err(error) = tell(store, publisher, &replayed).await {
        tracing::warn!(
            error,
            "Put back, but not published now: a running relay finds it within half a minute"
        );
    }
    Ok(replayed.iter().map(|replayed| replayed.number).collect())
}

/// Tells the consumers. What can't be published now is owed, and found by the republish scan.
async fn tell(store: &Store, publisher: &Publisher, replayed: &[Replayed]) -> Result<(), String> {
    let states = store.target_states().await.map_err(|error| chain(&error))?;
    let now = store.now().await.map_err(|error| chain(&error))?;
    let is_open = |replayed: &&Replayed| {
        states.iter().any(|s| s.target == replayed.target && s.is_open_for_business())
    };
    let messages: Vec<Outgoing> = replayed
        .iter()
        .filter(is_open)
        .map(|Replayed { target, entity, .. }| Outgoing {
            queue: Queue::outbound(*target),
            delivery: Delivery::new(*target, *entity, Cause::Replay, now),
        })
        .collect();
    publisher.publish(&messages).await.map_err(|error| chain(&error))
}

/// Discards these; the numbers of those that were: one that is tried at this moment is left as it is.
///
/// # Errors
/// [`StoreError`]; then none was.
pub async fn discard(
    store: &Store,
    numbers: &[i64],
    by: &str,
) -> Result<BTreeSet<i64>, StoreError> {
    Ok(store.discard(numbers, by).await?.into_iter().collect())
}
