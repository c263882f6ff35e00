//! `ems-sync resync`: brings a target up to date as if nothing had ever been told: reads what it holds, says what would
//! change, and owes it in the bulk lane, so that live changes go first.
//!
//! A plan is a walk of [`super::walk`]. What it found missing or different is owed in doubt, since no hash proves
//! anything of it; everything else that the EMS shows is owed too, and costs no request where nothing differs. Nothing is
//! deleted: orphans are only counted (`verify --repair` owes them).

use super::SweepError;
use super::walk::{VerifyError, Walked};
use crate::broker::{Outgoing, Publisher, Queue};
use crate::delivery::Cause;
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::remote::Remote;
use crate::route::Owing;
use crate::store::{Store, StoreError};
use crate::sweep::walk::Verifier;
use crate::target::Target;

/// Which entities of a target are brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// All that it covers.
    All,
    /// Those of one type.
    Type(EntityType),
    /// One.
    One(EntityRef),
}

impl Selection {
    /// Whether a type is concerned.
    #[must_use]
    pub fn covers(self, entity_type: EntityType) -> bool {
        match self {
            Self::All => true,
            Self::Type(only) => only == entity_type,
            Self::One(entity) => entity.entity_type == entity_type,
        }
    }

    /// The one entity that is meant, if it is one.
    #[must_use]
    pub const fn one(self) -> Option<EntityRef> {
        match self {
            Self::One(entity) => Some(entity),
            Self::All | Self::Type(_) => None,
        }
    }
}

/// Publishes the first of what is owed, bulk lane included, where the target's queue is short: what was just owed need
/// not wait for the republish scan, which goes on with the rest. A failure is no loss.
pub async fn begin(store: &Store, publisher: &Publisher, target: Target) {
    if let Err(error) = try_begin(store, publisher, target).await {
        tracing::warn!(target.name = %target, error = %error, "Owed, but not published now: the republish scan will");
    }
}

async fn try_begin(store: &Store, publisher: &Publisher, target: Target) -> Result<(), SweepError> {
    let queue = Queue::outbound(target);
    if publisher.queue_length(queue).await? < limits::QUEUE_SHORT {
        let due = store.due(target, limits::REPUBLISH_BATCH_ROWS, true).await?;
        let mut messages: Vec<_> =
            due.into_iter().map(|delivery| Outgoing { queue, delivery }).collect();
        messages.sort_by_key(|message| message.delivery.entity_ref());
        publisher.publish(&messages).await?;
    }
    Ok(())
}

impl<R: Remote> Verifier<R> {
    /// Walks over the types of a selection. [`crate::store::Store::verify_end`] takes away what it wrote.
    ///
    /// # Errors
    /// [`VerifyError`]; what was written until then is taken away.
    pub async fn plan(&self, selection: Selection) -> Result<Walked, VerifyError> {
        self.walk_types(|entity_type| selection.covers(entity_type)).await
    }

    /// Owes what a plan is about. `force`: also what differs in nothing is pushed again. Returns how much.
    ///
    /// # Errors
    /// [`StoreError`]; what was owed until then is owed, and doing it again does no harm.
    pub async fn resync(
        &self,
        walked: Walked,
        selection: Selection,
        force: bool,
    ) -> Result<u64, StoreError> {
        let target = self.remote.target();
        let mut owed = 0;
        for entity_type in target.outbound_types().iter().copied() {
            if !selection.covers(entity_type) {
                continue;
            }
            self.tell("owing", entity_type).await?;
            let mut after = i64::MIN;
            loop {
                let ids = match selection.one() {
                    Some(one) if after == i64::MIN => vec![one.id],
                    Some(_) => Vec::new(),
                    None => {
                        let rows = limits::VERIFY_REPAIR_ROWS;
                        let chunk =
                            self.store.projections_after(target, entity_type, after, rows).await?;
                        chunk.into_iter().map(|projection| projection.entity.id).collect()
                    }
                };
                let Some(last) = ids.last().copied() else { break };
                let read = ids.len();
                let differs = self.store.verify_differs(walked.run, entity_type, &ids).await?;
                let (doubted, trusted): (Vec<i64>, Vec<i64>) =
                    ids.into_iter().partition(|id| force || differs.contains(id));
                owed += self.owe_bulk(entity_type, doubted, true).await?;
                owed += self.owe_bulk(entity_type, trusted, false).await?;
                self.beat.add(read);
                after = last;
            }
        }
        Ok(owed)
    }

    /// Owes in the bulk lane; how many there were to owe.
    pub(super) async fn owe_bulk(
        &self,
        entity_type: EntityType,
        ids: Vec<i64>,
        in_doubt: bool,
    ) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let now = self.store.now().await?;
        let owing = Owing {
            target: self.remote.target(),
            entity_type,
            entities: ids.into_iter().map(|id| (id, now, None)).collect(),
            cause: Cause::Resync,
            bulk: true,
            in_doubt,
        };
        let owed = self.store.owe(vec![owing]).await?;
        let owed = owed.iter().map(|owing| owing.entities.len()).sum::<usize>();
        Ok(u64::try_from(owed).unwrap_or(u64::MAX))
    }
}
