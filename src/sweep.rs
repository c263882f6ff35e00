//! What was missed: the periodic scan of the EMS against the records. It should find nothing; it exists to find
//! what no trigger told (disabled triggers, restores, replica role, truncation, our own bugs), deletions included.
//!
//! It takes no input from any event and does no work itself: what it finds it owes and publishes, and the same
//! consumers do the rest. Four legs (`docs/design.md` section 4):
//!
//! 1. versions: `modified_on` of a projection is another than the one that was looked at, read through a
//!    watermark, so that the cost follows the changes; and what was out of scope at the target and no longer is
//! 2. what is owed and not moving: dead letters get another attempt, seldom and ever seldomer, and everything that is due is published
//! 3. orphans: records with a remote id or an open intent whose projection row is gone
//! 4. audit: the hash of a projection against the record's, the only leg that needs no timestamp
//!
//! The periodic sweep runs 1 and 2, and a slice of 3 and 4 that goes round at least once a day; on demand all four
//! run in full. One process at a time sweeps a target; two would only do the work twice.

pub mod resync;
pub mod schedule;
pub mod verify;
pub mod walk;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::broker::{BrokerError, Outgoing, Publisher, Queue};
use crate::deliver::retry::RetryPolicy;
use crate::delivery::Cause;
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::ops::progress::Beat;
use crate::remote::{Remote, RemoteIds, Standing};
use crate::route::Owing;
use crate::store::{DutyLease, Projection, Store, StoreError, SweepWatermark};
use crate::target::Target;
use crate::target_watch::TargetWatch;

/// How much of the rolling legs a sweep runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Legs 1 and 2, and the slice of 3 and 4 that goes round once a day when run this often.
    Periodic {
        /// The interval of the sweep.
        every: Duration,
    },
    /// All four legs over everything.
    Full,
}

/// What a sweep found, by leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Found {
    /// Leg 1: versions that no event told of.
    pub changed: usize,
    /// Leg 2: owed and due.
    pub owed: usize,
    /// Leg 3: records whose entity is gone.
    pub orphaned: usize,
    /// Leg 4: contents that differ from what was pushed.
    pub different: usize,
}

impl Found {
    /// All legs together.
    #[must_use]
    pub const fn total(self) -> usize {
        self.changed + self.owed + self.orphaned + self.different
    }
}

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker: what was found is owed, and published later.
    #[error("What was found is owed, but could not be published; the republish scan will")]
    Broker(#[from] BrokerError),
    /// Another process sweeps this target now.
    #[error("Another process has taken this sweep over")]
    TakenOver,
}

impl SweepError {
    /// Whether it ends by itself once the database or the broker answers again.
    fn is_outage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_outage(),
            Self::Broker(error) => error.is_outage(),
            Self::TakenOver => false,
        }
    }
}

/// The sweeper of one target.
pub struct Sweeper<R> {
    /// The database.
    pub store: Store,
    /// A publisher.
    pub publisher: Arc<Publisher>,
    /// The target's client, for its mapping only: a sweep sends nothing.
    pub remote: Arc<R>,
    /// How many attempts a cycle has.
    pub policy: RetryPolicy,
    /// The shared state of the targets.
    pub watch: TargetWatch,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Where it shows that it makes progress.
    pub beat: Beat,
}

impl<R: Remote> Sweeper<R> {
    /// One outbound sweep.
    ///
    /// # Errors
    /// [`SweepError`]; what was found until then is owed.
    pub async fn outbound(
        &self,
        extent: Extent,
        duty: Option<&DutyLease>,
    ) -> Result<Found, SweepError> {
        let target = self.remote.target();
        let safe = self.store.safe_watermark().await?;
        let mut found = Found::default();
        // Published together: the guard weighs what is owed, and children come before their parents.
        let mut orphans = Vec::new();
        for entity_type in target.outbound_types() {
            self.tell(*entity_type, extent).await?;
            let mut mark = self.store.watermark(target, *entity_type).await?;
            found.changed += self.changed(*entity_type, extent, mark, duty).await?;
            orphans.extend(self.orphaned(*entity_type, extent, &mut mark, duty).await?);
            found.different += self.different(*entity_type, extent, &mut mark, duty).await?;
            crate::failpoint!("sweep.compared");
            // The watermark moves only after everything before it was compared.
            mark.modified_on = safe.max(mark.modified_on);
            self.store.set_watermark(target, *entity_type, mark).await?;
        }
        found.orphaned = self.publish(orphans).await?;
        found.owed = self.owed().await?;
        for (leg, n) in [
            ("changed", found.changed),
            ("owed", found.owed),
            ("orphaned", found.orphaned),
            ("different", found.different),
        ] {
            self.metrics.sweep_found(target, leg, n);
        }
        Ok(found)
    }

    /// Says to whoever watches how many are compared: leg 4 of a full sweep is by far the longest.
    async fn tell(&self, entity_type: EntityType, extent: Extent) -> Result<(), StoreError> {
        if self.beat.is_watched() && extent == Extent::Full {
            let target = self.remote.target();
            let all = self.store.projection_rows(target, entity_type).await?;
            self.beat.begin(&format!("{target}: comparing {entity_type}"), Some(all));
        }
        Ok(())
    }

    /// Leg 1.
    async fn changed(
        &self,
        entity_type: EntityType,
        extent: Extent,
        mark: SweepWatermark,
        duty: Option<&DutyLease>,
    ) -> Result<usize, SweepError> {
        let target = self.remote.target();
        let mut found = 0;
        match (extent, mark.modified_on) {
            (Extent::Periodic { .. }, Some(since)) => {
                let mut keyset = Some((since, i64::MIN));
                while let Some((since, after)) = keyset {
                    let (changed, next) =
                        self.store.changed_since(target, entity_type, since, after).await?;
                    found += self.owe(entity_type, changed).await?;
                    keyset = next;
                    self.keep(duty).await?;
                }
            }
            (Extent::Full, _) | (Extent::Periodic { .. }, None) => {
                let mut keyset = Some(i64::MIN);
                while let Some(after) = keyset {
                    let (changed, next) =
                        self.store.changed_after(target, entity_type, after).await?;
                    found += self.owe(entity_type, changed).await?;
                    keyset = next;
                    self.keep(duty).await?;
                }
            }
        }
        found += self.in_scope(entity_type, duty).await?;
        Ok(found)
    }

    /// Leg 1, too: what was skipped because the target's own record of a parent was not known, which it is by now (a pull has found
    /// the race, or a person has mapped it).
    async fn in_scope(
        &self,
        entity_type: EntityType,
        duty: Option<&DutyLease>,
    ) -> Result<usize, SweepError> {
        if self.remote.standing(entity_type) != Standing::Pushed {
            return Ok(0);
        }
        let target = self.remote.target();
        let own = EntityType::ALL.into_iter();
        let own =
            own.filter(|of| self.remote.standing(*of) == Standing::Pulled).collect::<Vec<_>>();
        let (mut found, mut keyset) = (0, Some(i64::MIN));
        while let Some(after) = keyset {
            let (in_scope, next) =
                self.store.in_scope_after(target, entity_type, &own, after).await?;
            if !in_scope.is_empty() {
                // They may be many, and live changes go first: leg 2 and the republish scan tell of them.
                let owing = sweep_owing(target, entity_type, in_scope);
                let owed = self.store.owe(vec![Owing { bulk: true, ..owing }]).await?;
                found += owed.iter().map(|owing| owing.entities.len()).sum::<usize>();
            }
            keyset = next;
            self.keep(duty).await?;
        }
        Ok(found)
    }

    /// Leg 2.
    async fn owed(&self) -> Result<usize, SweepError> {
        let target = self.remote.target();
        self.store.begin_next_cycle(target, self.policy.attempts()).await?;
        crate::failpoint!("sweep.next_cycle");
        let due = self.store.due(target, limits::REPUBLISH_BATCH_ROWS, true).await?;
        let found = due.len();
        let queue = Queue::outbound(target);
        if self.watch.is_open(target)
            && self.publisher.queue_length(queue).await? < limits::QUEUE_SHORT
        {
            let mut messages: Vec<_> =
                due.into_iter().map(|delivery| Outgoing { queue, delivery }).collect();
            messages.sort_by_key(|message| message.delivery.entity_ref());
            self.publisher.publish(&messages).await?;
        }
        Ok(found)
    }

    /// Leg 3: what is owed now.
    async fn orphaned(
        &self,
        entity_type: EntityType,
        extent: Extent,
        mark: &mut SweepWatermark,
        duty: Option<&DutyLease>,
    ) -> Result<Vec<Owing>, SweepError> {
        let target = self.remote.target();
        let slice = match extent {
            Extent::Full => return Ok(owe_orphans(&self.store, target, entity_type).await?),
            Extent::Periodic { .. } => limits::SWEEP_SLICE_ROWS / limits::SWEEP_CHUNK_ROWS,
        };
        let mut owed = Vec::new();
        for _ in 0..slice.max(1) {
            let (orphans, next) =
                self.store.orphans_after(target, entity_type, mark.orphan_id).await?;
            if !orphans.is_empty() {
                let now = Timestamp::now();
                let orphans = orphans.into_iter().map(|id| (id, now)).collect();
                owed.extend(self.store.owe(vec![sweep_owing(target, entity_type, orphans)]).await?);
            }
            mark.orphan_id = next.unwrap_or(i64::MIN);
            self.keep(duty).await?;
            if next.is_none() {
                break;
            }
        }
        Ok(owed)
    }

    /// Leg 4.
    async fn different(
        &self,
        entity_type: EntityType,
        extent: Extent,
        mark: &mut SweepWatermark,
        duty: Option<&DutyLease>,
    ) -> Result<usize, SweepError> {
        let target = self.remote.target();
        let (mut after, mut rows) = match extent {
            Extent::Full => (i64::MIN, i64::MAX),
            Extent::Periodic { every } => {
                let all = self.store.projection_rows(target, entity_type).await?;
                (mark.audit_id, slice_of(all, every))
            }
        };
        let mut found = 0;
        while rows > 0 {
            let chunk = self
                .store
                .projections_after(target, entity_type, after, limits::AUDIT_CHUNK_ROWS)
                .await?;
            rows = rows.saturating_sub(limits::AUDIT_CHUNK_ROWS);
            let last = chunk.last().map(|projection| projection.entity.id);
            self.beat.add(chunk.len());
            let is_full = i64::try_from(chunk.len()).is_ok_and(|n| n >= limits::AUDIT_CHUNK_ROWS);
            let different = self.compare(entity_type, chunk).await?;
            found += self.owe(entity_type, different).await?;
            self.keep(duty).await?;
            match last {
                Some(last) if is_full => after = last,
                Some(_) | None => {
                    after = i64::MIN;
                    break;
                }
            }
        }
        if matches!(extent, Extent::Periodic { .. }) {
            mark.audit_id = after;
        }
        Ok(found)
    }

    /// The projections whose content is not what their settled record says was pushed.
    async fn compare(
        &self,
        entity_type: EntityType,
        chunk: Vec<Projection>,
    ) -> Result<Vec<(i64, Timestamp)>, SweepError> {
        let target = self.remote.target();
        let ids: Vec<i64> = chunk.iter().map(|projection| projection.entity.id).collect();
        let mut parents: Vec<EntityRef> =
            chunk.iter().flat_map(|projection| projection.parents.iter().copied()).collect();
        parents.sort_unstable();
        parents.dedup();
        let held = self.store.held_hashes(target, entity_type, &ids).await?;
        let held: std::collections::HashMap<i64, _> = held.into_iter().map(|h| (h.id, h)).collect();
        let remote_ids = self.store.remote_ids(target, &parents).await?;
        let differs = |projection: &Projection| match held.get(&projection.entity.id) {
            None => true,
            Some(held) if !held.is_settled => false,
            Some(held) => {
                let wire = self.remote.wire(projection.entity, &projection.fields, &remote_ids);
                match wire {
                    // It has no record of its own there; only another key could change that.
                    Ok(wire) if held.is_skipped => held.wanted_key != wire.match_key,
                    Ok(wire) => held.data_hash != Some(wire.hash),
                    Err(_) => !held.is_skipped,
                }
            }
        };
        let different = chunk.iter().filter(|projection| differs(projection));
        Ok(different.map(|projection| (projection.entity.id, projection.modified_on)).collect())
    }

    /// Owes and publishes what a leg found.
    async fn owe(
        &self,
        entity_type: EntityType,
        entities: Vec<(i64, Timestamp)>,
    ) -> Result<usize, SweepError> {
        if entities.is_empty() {
            return Ok(0);
        }
        let owing = sweep_owing(self.remote.target(), entity_type, entities);
        let owed = self.store.owe(vec![owing]).await?;
        crate::failpoint!("sweep.owed", !owed.is_empty());
        let found = self.publish(owed).await?;
        crate::failpoint!("sweep.published", found > 0);
        Ok(found)
    }

    /// Publishes where the target takes deliveries and its queue has room; how much is owed, published or not.
    async fn publish(&self, owed: Vec<Owing>) -> Result<usize, BrokerError> {
        let mut found = 0;
        for owing in owed {
            found += owing.entities.len();
            let queue = Queue::outbound(owing.target);
            let has_room = self.publisher.queue_length(queue).await? < limits::QUEUE_FULL;
            if has_room && self.watch.is_open(owing.target) {
                let messages: Vec<_> =
                    owing.deliveries().map(|delivery| Outgoing { queue, delivery }).collect();
                self.publisher.publish(&messages).await?;
            }
        }
        Ok(found)
    }

    async fn keep(&self, duty: Option<&DutyLease>) -> Result<(), SweepError> {
        self.beat.beat();
        match duty {
            Some(duty) if !self.store.keep_duty(duty).await? => Err(SweepError::TakenOver),
            Some(_) | None => Ok(()),
        }
    }
}

/// Owes every record of a type whose projection row is gone (leg 3 in full).
///
/// # Errors
/// [`StoreError`]; what was found until then is owed.
pub async fn owe_orphans(
    store: &Store,
    target: Target,
    entity_type: EntityType,
) -> Result<Vec<Owing>, StoreError> {
    let mut owed = Vec::new();
    let mut keyset = Some(i64::MIN);
    while let Some(after) = keyset {
        let (orphans, next) = store.orphans_after(target, entity_type, after).await?;
        if !orphans.is_empty() {
            let now = Timestamp::now();
            let orphans = orphans.into_iter().map(|id| (id, now)).collect();
            owed.extend(store.owe(vec![sweep_owing(target, entity_type, orphans)]).await?);
        }
        keyset = next;
    }
    Ok(owed)
}

fn sweep_owing(target: Target, entity_type: EntityType, entities: Vec<(i64, Timestamp)>) -> Owing {
    Owing {
        target,
        entity_type,
        entities: entities.into_iter().map(|(id, changed_on)| (id, changed_on, None)).collect(),
        cause: Cause::Sweep,
        bulk: false,
        in_doubt: false,
    }
}

/// The slice of a rolling leg that goes round once a day, and not less than a slice.
fn slice_of(all: i64, every: Duration) -> i64 {
    let sweeps = limits::AUDIT_ROUND.as_secs() / every.as_secs().max(1);
    let sweeps = i64::try_from(sweeps).unwrap_or(1).max(1);
    (all / sweeps + 1).max(limits::SWEEP_SLICE_ROWS)
}

/// Whether it is not out of scope: it is pushed by itself, and of each parent that is the target's own the record there is known
/// ([`crate::deliver::decision::Ems::OutOfScope`]).
fn is_in_scope<R: Remote>(remote: &R, projection: &Projection, remote_ids: &RemoteIds) -> bool {
    let is_known = |parent: &EntityRef| {
        remote.standing(parent.entity_type) != Standing::Pulled || remote_ids.contains_key(parent)
    };
    remote.standing(projection.entity.entity_type) == Standing::Pushed
        && projection.parents.iter().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slices_of_a_day_cover_everything() {
        let every = Duration::from_secs(5 * 60);
        for all in [0, 1, 10_000, 5_760_000, 50_000_000] {
            assert!(slice_of(all, every) * 288 >= all, "{all}");
        }
        assert_eq!(slice_of(0, every), limits::SWEEP_SLICE_ROWS);
        assert!(slice_of(1_000_000, Duration::from_secs(7 * 86_400)) >= 1_000_000);
    }
}
