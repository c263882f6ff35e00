//! Records that are read by themselves: what a webhook named, what a walk over everything has not shown, and what another record of the
//! same entity seems to stand for now.
//!
//! Whatever the remote says of such a record is taken in. That it was missing from a list says nothing: lists leave out what
//! they think nobody wants to see.

use futures_util::future::join_all;

use super::{Extent, PullError, Puller};
use crate::inbound::apply::corrected;
use crate::limits;
use crate::remote::inbound::Snapshot;
use crate::remote::{Failure, FailureClass, Remote};
use crate::store::{RemovalsWeighed, ToRead};

impl<R: Remote> Puller<R> {
    /// Reads some of what is to be read by itself, or all of it where everything is read anew. How many were read, and how
    /// many of them are to be decided about.
    ///
    /// # Errors
    /// [`PullError`]; what was not read is tried again later.
    pub async fn read_asked(&self, extent: Extent) -> Result<(u64, u64), PullError> {
        let mut total = (0, 0);
        loop {
            if !self.is_open() {
                return Err(PullError::Closed);
            }
            let asked = self.store.take_to_read(self.remote.target()).await?;
            let is_last = i64::try_from(asked.len()).is_ok_and(|n| n < limits::INBOUND_READS_MAX);
            let mut chunks = asked.chunks(limits::INBOUND_READS_AT_ONCE);
            while let Some(chunk) = chunks.next() {
                match self.read_chunk(chunk).await {
                    Ok((read, taken)) => total = (total.0 + read, total.1 + taken),
                    Err(error) => {
                        // The others are not to blame, and need not wait for their lease.
                        let unread: Vec<_> = chunks.flatten().cloned().collect();
                        self.store.read_later(self.remote.target(), &unread).await?;
                        return Err(error);
                    }
                }
            }
            if is_last || !extent.anew {
                return Ok(total);
            }
        }
    }

    async fn read_chunk(&self, asked: &[ToRead]) -> Result<(u64, u64), PullError> {
        let target = self.remote.target();
        let requested_on = self.store.now().await?;
        let reads = asked.iter().map(|read| self.remote.read(read.entity_type, &read.remote_id));
        let answers = tokio::select! {
            answers = self.beat.while_waiting(join_all(reads)) => answers,
            () = self.stop.cancelled() => {
                self.store.read_later(target, asked).await?;
                return Err(PullError::Closed);
            }
        };
        let (mut snapshots, mut settled, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        let mut closing: Option<Failure> = None;
        for (read, answer) in asked.iter().zip(answers) {
            match answer {
                Ok(snapshot) => {
                    snapshots.push(snapshot);
                    settled.push(read.clone());
                }
                Err(failure) if ends_here(&failure) => {
                    closing.get_or_insert(failure);
                    unread.push(read.clone());
                }
                Err(failure) => {
                    let is_given_up = read.attempts >= limits::INBOUND_READ_TRIES;
                    tracing::warn!(
                        target.name = %target, entity_type = %read.entity_type, failure = %failure, is_given_up,
                        "A record can't be read by itself"
                    );
                    let of = if is_given_up { &mut settled } else { &mut unread };
                    of.push(read.clone());
                }
            }
        }
        let read = snapshots.len();
        let snapshots = self.corrected(snapshots).await?;
        let nothing = self.remote.nothing();
        let (store, guard) = (&self.store, self.guard);
        let settling =
            store.settle_read(target, requested_on, nothing, &snapshots, &settled, guard);
        let RemovalsWeighed { taken, tripped, .. } = settling.await?;
        self.note_removals(tripped);
        self.tell(&taken).await;
        self.store.read_later(target, &unread).await?;
        match closing {
            Some(failure) => Err(self.met(failure).await),
            None => Ok((count(read), count(taken.len()))),
        }
    }
}

impl<R: Remote> Puller<R> {
    /// The same with times of the database's clock.
    async fn corrected(&self, snapshots: Vec<Snapshot>) -> Result<Vec<Snapshot>, PullError> {
        if snapshots.iter().any(|snapshot| snapshot.modified_on.is_some()) {
            let ahead = self.store.clock_ahead(self.remote.target()).await?;
            return Ok(snapshots.into_iter().map(|one| corrected(one, ahead)).collect());
        }
        Ok(snapshots)
    }
}

/// The target serves nobody now: what else is to be read need not be tried.
const fn ends_here(failure: &Failure) -> bool {
    failure.class.closes_target()
        || matches!(failure.class, FailureClass::Transient | FailureClass::Ambiguous)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
