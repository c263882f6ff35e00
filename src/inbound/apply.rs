//! Rows of the inbox, decided and applied: each in a transaction of its own, several at once. What must be read again is read
//! between two transactions, so no lock is held while the remote is waited for.
//!
//! **If the process dies** at any point, a row is either as it was, and is published again when it is due, or it is decided and
//! everything that belongs to it is written.

mod deciding;
mod taking;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::broker::{Outgoing, Publisher, Queue};
use crate::config::MergeMode;
use crate::deliver::tokens::Tokens;
use crate::delivery::{Cause, Delivery};
use crate::entity::{EntityRef, EntityType};
use crate::error_chain::chain;
use crate::failpoint;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::remote::inbound::Snapshot;
use crate::remote::{Failure, FailureClass, Remote};
use crate::store::inbound::Followed;
use crate::store::{InboxRef, PutOff, Store, StoreError};
use crate::target::Target;

/// What rows of the inbox are applied with. One per bi-directional target and process.
pub struct Applier<R> {
    /// The database.
    pub store: Store,
    /// For what follows from a decision.
    pub publisher: Arc<Publisher>,
    /// The target's client.
    pub remote: R,
    /// Whether a change that meets one of the EMS loses as a whole, or by fields.
    pub merge: MergeMode,
    /// What can't be read as a message.
    pub tokens: Tokens,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// We are told to stop.
    pub stop: CancellationToken,
}

/// How far a row got.
enum Step {
    /// It waits, or somebody else is at it.
    Nothing,
    /// It is not due, or locked: by whoever decides it, or for a moment by somebody who makes it due.
    Locked,
    /// Nobody else may make something new meanwhile: once more, alone.
    Alone,
    /// The EMS had something that came just now: once more.
    Again,
    /// It is to be read again.
    Reread(InboxRef, String),
    /// It is decided.
    Done(Done),
}

/// A decision that is committed.
struct Done {
    entity_type: EntityType,
    decision: &'static str,
    outcome: &'static str,
    conflict: Option<&'static str>,
    followed: Followed,
    /// The row, if it waits for something.
    waits: Option<i64>,
    /// For the removal of its entity's other record, and it did not before.
    begins_to_wait: bool,
    /// The record that stands in the place of the one that was taken out.
    successor: Option<(EntityType, String)>,
}

/// A remote record that is to be read, and the row that asks for it, if one does.
struct Read {
    entity_type: EntityType,
    remote_id: String,
    for_row: Option<i64>,
}

impl<R: Remote> Applier<R> {
    fn target(&self) -> Target {
        self.remote.target()
    }

    /// Decides and applies these rows, as far as they are due. Whether any was decided, or asked for.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed; rows that are not decided are due still.
    pub async fn work(&self, rows: &[i64]) -> Result<bool, StoreError> {
        let (mut wanted, mut has_decided) = (rows.to_vec(), false);
        wanted.sort_unstable();
        wanted.dedup();
        for _ in 0..=limits::INBOUND_REREADS_MAX {
            if wanted.is_empty() || self.stop.is_cancelled() {
                return Ok(has_decided);
            }
            let due = self.store.inbox_due_of(self.target(), &wanted).await?;
            let steps: Vec<_> = futures_util::stream::iter(due)
                .map(|(row, may_be_new)| self.one(row, may_be_new))
                .buffer_unordered(limits::INBOUND_AT_ONCE)
                .collect()
                .await;
            let (mut reads, mut followed, mut failed) = (Vec::new(), Followed::default(), None);
            let (mut waiting, mut asking) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Ok(Step::Reread(row, remote_id)) => reads.push(Read {
                        entity_type: row.entity_type,
                        remote_id,
                        for_row: Some(row.inbox_id),
                    }),
                    Ok(Step::Done(done)) => {
                        has_decided = true;
                        waiting.extend(done.waits);
                        asking.extend(done.waits.filter(|_| done.begins_to_wait));
                        self.count(done, &mut followed, &mut reads);
                    }
                    Ok(Step::Nothing | Step::Locked | Step::Alone | Step::Again) => {}
                    Err(error) => failed = Some(error),
                }
            }
            // What they wait for may have come in the same moment, and have seen nobody wait.
            if !waiting.is_empty() {
                match self.store.inbox_wait_is_over(self.target(), &waiting).await {
                    Ok(over) => followed.inbox.extend(over),
                    Err(error) => failed = Some(error),
                }
            }
            // The next walk over everything would tell of a removal. Asked for by itself the other record tells at once.
            if !asking.is_empty()
                && let Err(error) =
                    self.store.ask_for_removals(self.target(), &asking, self.remote.streams()).await
            {
                failed = Some(error);
            }
            self.follow_up(followed).await;
            if let Some(error) = failed {
                return Err(error);
            }
            wanted = self.read_again(reads).await?;
        }
        // Pushes of it end one after another: it makes way for others.
        let error = "It is pushed again and again";
        self.store.inbox_wait(self.target(), &wanted, error, PutOff::Soon).await?;
        Ok(has_decided)
    }

    /// What has made us panic is tried again, ever later.
    pub(super) async fn put_off(&self, rows: &[i64]) {
        if let Err(error) =
            self.store.inbox_wait(self.target(), rows, "It panicked", PutOff::Later).await
        {
            tracing::warn!(error = %chain(&error), "It can't be put off: it is tried again when it is due");
        }
    }

    fn count(&self, done: Done, followed: &mut Followed, reads: &mut Vec<Read>) {
        let target = self.target();
        self.metrics.decided(target, done.entity_type, done.decision, done.outcome);
        if let Some(reason) = done.conflict {
            self.metrics.conflicted(target, reason);
        }
        followed.owed.extend(done.followed.owed);
        followed.inbox.extend(done.followed.inbox);
        reads.extend(done.successor.map(|(entity_type, remote_id)| Read {
            entity_type,
            remote_id,
            for_row: None,
        }));
    }

    /// One row, until it is decided or cannot be now.
    async fn one(&self, row: i64, alone: bool) -> Result<Step, StoreError> {
        let (mut alone, mut tries) = (alone, 0);
        loop {
            tries += 1;
            let is_last = tries >= limits::TRANSACTION_TRIES_MAX;
            match Box::pin(self.decide(row, alone, is_last)).await {
                Ok(Step::Alone) => alone = true,
                Ok(Step::Again) => {}
                Ok(Step::Locked) => {
                    if is_last || !self.is_due(row).await? {
                        return Ok(Step::Nothing);
                    }
                    tokio::time::sleep(Duration::from_millis(u64::from(tries) * 20)).await;
                }
                Ok(step) => return Ok(step),
                Err(error) if error.lost_a_race() && !is_last => {
                    tokio::time::sleep(Duration::from_millis(u64::from(tries) * 20)).await;
                }
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => {
                    // What the database says of it may quote a value.
                    let why = code(&error);
                    let putting =
                        if error.is_of_values() { PutOff::Attempt } else { PutOff::Later };
                    tracing::warn!(
                        target.name = %self.target(), inbox.id = row, error = why,
                        "A row of the inbox could not be decided; it is tried again later"
                    );
                    self.store.inbox_wait(self.target(), &[row], &why, putting).await?;
                    return Ok(Step::Nothing);
                }
            }
        }
    }

    async fn is_due(&self, row: i64) -> Result<bool, StoreError> {
        Ok(!self.store.inbox_due_of(self.target(), &[row]).await?.is_empty())
    }

    /// Reads records again and takes in what they say now. Returns the rows that are to be decided then.
    async fn read_again(&self, reads: Vec<Read>) -> Result<Vec<i64>, StoreError> {
        if reads.is_empty() {
            return Ok(Vec::new());
        }
        let target = self.target();
        let requested_on = self.store.now().await?;
        let ahead = self.store.clock_ahead(target).await?;
        let answers: Vec<(Read, Result<Snapshot, Failure>)> = futures_util::stream::iter(reads)
            .map(|read| async move {
                let answer = self.remote.read(read.entity_type, &read.remote_id).await;
                (read, answer)
            })
            .buffer_unordered(limits::INBOUND_AT_ONCE)
            .collect()
            .await;
        let mut snapshots = Vec::new();
        for (read, answer) in answers {
            match (answer, read.for_row) {
                (Ok(snapshot), _) => snapshots.push(corrected(snapshot, ahead)),
                // A delete of ours took it along while it waited.
                (Err(failure), Some(row))
                    if failure.class == FailureClass::StaleMapping
                        && self.store.inbox_let_go(target, row).await? => {}
                (Err(failure), Some(row)) => {
                    let putting =
                        if is_its_own(failure.class) { PutOff::Later } else { PutOff::Soon };
                    self.store.inbox_wait(target, &[row], &failure.to_string(), putting).await?;
                }
                // The next walk shows it.
                (Err(failure), None) => {
                    tracing::warn!(target.name = %target, error = %failure, "A successor can't be read now");
                }
            }
        }
        let nothing = self.remote.nothing();
        let taken = self.store.take_in(target, requested_on, nothing, &snapshots).await?;
        Ok(taken.into_iter().map(|row| row.inbox_id).collect())
    }

    /// A failure is no loss: what is owed or due stands in Postgres, and is published again.
    async fn follow_up(&self, followed: Followed) {
        let target = self.target();
        let owed = followed.owed.into_iter().map(|entity| Outgoing {
            queue: Queue::outbound(target),
            delivery: Delivery::new(target, entity, Cause::Inbound, Timestamp::now()),
        });
        let messages: Vec<Outgoing> =
            owed.chain(followed.inbox.into_iter().map(|row| message(target, row))).collect();
        if messages.is_empty() {
            return;
        }
        if let Err(error) = self.publisher.publish(&messages).await {
            tracing::warn!(error = %chain(&error), "Due, but not published now");
        }
        failpoint!("inbound.published");
    }
}

/// The message that a row of the inbox is to be decided.
#[must_use]
pub fn message(target: Target, row: InboxRef) -> Outgoing {
    let entity = EntityRef::new(row.entity_type, row.inbox_id);
    let delivery = Delivery::new(target, entity, Cause::Inbound, Timestamp::now());
    Outgoing { queue: Queue::inbound(target), delivery }
}

/// The snapshot with its time by the database's clock; `ahead`: by how much the remote's is ahead of it.
#[must_use]
pub fn corrected(snapshot: Snapshot, ahead: jiff::SignedDuration) -> Snapshot {
    let modified_on = snapshot.modified_on.map(|on| on.checked_sub(ahead).unwrap_or(on));
    Snapshot { modified_on, ..snapshot }
}

/// Whether the failure says something about this record, not about the target.
const fn is_its_own(class: FailureClass) -> bool {
    match class {
        FailureClass::Transient
        | FailureClass::Ambiguous
        | FailureClass::Throttled
        | FailureClass::Postponed
        | FailureClass::Authentication
        | FailureClass::Configuration => false,
        FailureClass::Rejected
        | FailureClass::StaleMapping
        | FailureClass::MissingParent
        | FailureClass::OurFault => true,
    }
}

/// What went wrong, without what the database says of it.
fn code(error: &StoreError) -> String {
    if let StoreError::Database { code, .. } = error {
        format!("SQLSTATE {code}")
    } else {
        chain(error).to_string()
    }
}
