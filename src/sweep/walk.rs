//! `ems-sync verify`: walks over everything that a target holds, page by page, and over everything that it should hold,
//! chunk by chunk, and says what differs. What was seen stands in a scratch table, so that memory stays bounded.
//!
//! Nothing is owed before the whole walk has come to its end: a list that is short, odd or ends early is an error, and
//! then nothing is repaired.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::is_in_scope;
use super::verify::{self, Finding, Known, Ours, Row};
use crate::deliver::record::State;
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::ops::progress::Beat;
use crate::remote::{Failure, Remote, RemoteIds, RemoteRecord, Standing, Wire};
use crate::store::{Found, Projection, Store, StoreError, VerifyRecord};

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target could not be read to the end.
    #[error("The {entity_type} records of the target can't be read to the end: {failure}")]
    Remote {
        /// What was read.
        entity_type: EntityType,
        /// What went wrong.
        failure: Failure,
    },
    /// The list did not move on.
    #[error("The list of {0} records does not move on: nothing is proven by it")]
    Stuck(EntityType),
}

/// What a walk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// Names its rows in the scratch table.
    pub run: Uuid,
    /// Records of the target that are not ours: they are counted and never touched.
    pub foreign: u64,
}

/// The comparison of one target.
pub struct Verifier<R> {
    /// The database.
    pub store: Store,
    /// The target's client; it is only read.
    pub remote: R,
    /// Where it shows how far it is.
    pub beat: Beat,
}

impl<R: Remote> Verifier<R> {
    /// Walks over all types. [`Store::verify_end`] takes away what it wrote.
    ///
    /// # Errors
    /// [`VerifyError`]; what was written until then is taken away.
    pub async fn walk(&self) -> Result<Walked, VerifyError> {
        self.walk_types(|_| true).await
    }

    pub(super) async fn walk_types(
        &self,
        wanted: impl Fn(EntityType) -> bool,
    ) -> Result<Walked, VerifyError> {
        let run = Uuid::now_v7();
        self.store.verify_begin().await?;
        let mut foreign = 0;
        // What others carry is seen there; what is only read is the target's own.
        let is_ours = |entity_type: &&EntityType| {
            wanted(**entity_type) && self.remote.standing(**entity_type) == Standing::Pushed
        };
        for entity_type in self.remote.target().outbound_types().iter().filter(is_ours) {
            match self.walk_type(run, *entity_type).await {
                Ok(of_type) => foreign += of_type,
                Err(error) => {
                    self.store.verify_end(run).await?;
                    return Err(error);
                }
            }
        }
        Ok(Walked { run, foreign })
    }

    async fn walk_type(&self, run: Uuid, entity_type: EntityType) -> Result<u64, VerifyError> {
        self.tell("reading", entity_type).await?;
        let began = self.store.now().await?;
        let (mut foreign, mut from) = (0, None);
        loop {
            let since = self.store.now().await?;
            let listed = self.remote.list(entity_type, from.as_deref()).await;
            let page = listed.map_err(|failure| VerifyError::Remote { entity_type, failure })?;
            let read = page.records.len();
            foreign += self.compare_page(run, entity_type, page.records, since).await?;
            self.beat.add(read);
            match page.next {
                None => break,
                Some(next) if Some(&next) == from.as_ref() => {
                    return Err(VerifyError::Stuck(entity_type));
                }
                Some(next) => from = Some(next),
            }
        }
        self.compare_rest(run, entity_type, began).await?;
        Ok(foreign)
    }

    /// Says to whoever watches what is done next, and of how many entities.
    pub(super) async fn tell(&self, what: &str, entity_type: EntityType) -> Result<(), StoreError> {
        if self.beat.is_watched() {
            let target = self.remote.target();
            let all = self.store.projection_rows(target, entity_type).await?;
            self.beat.begin(&format!("{target}: {what} {entity_type}"), Some(all));
        }
        Ok(())
    }

    /// One page of the target against the EMS; how many of its rows are foreign.
    async fn compare_page(
        &self,
        run: Uuid,
        entity_type: EntityType,
        rows: Vec<RemoteRecord>,
        since: Timestamp,
    ) -> Result<u64, VerifyError> {
        let target = self.remote.target();
        let keys: Vec<i64> = rows.iter().filter_map(|row| row.entity).map(|e| e.id).collect();
        let without_key: Vec<String> = rows
            .iter()
            .filter(|row| row.entity.is_none())
            .map(|row| row.remote_id.clone())
            .collect();
        let records =
            self.store.verify_records(target, entity_type, &keys, &without_key, since).await?;
        let by_remote_id: HashMap<&str, i64> = records
            .iter()
            .filter_map(|record| Some((record.remote_id.as_deref()?, record.id)))
            .collect();
        let (mut foreign, mut ours) = (0, Vec::with_capacity(rows.len()));
        for row in &rows {
            let known = || by_remote_id.get(row.remote_id.as_str()).copied();
            match row.entity.map_or_else(known, |entity| Some(entity.id)) {
                Some(id) => ours.push((id, row)),
                None => foreign += 1,
            }
        }
        let ids: Vec<i64> = ours.iter().map(|(id, _)| *id).collect();
        let wanted = self.wanted(entity_type, &ids).await?;
        let known: HashMap<i64, &VerifyRecord> = records.iter().map(|r| (r.id, r)).collect();
        let nothing = self.remote.nothing();
        let found = ours.into_iter().map(|(id, row)| {
            let record = known.get(&id).copied();
            let want = wanted.get(&id).and_then(Option::as_ref);
            let ours = Ours {
                is_shown: wanted.contains_key(&id),
                wanted: want.map(|want| want.hash),
                known: record.map(|record| known_of(record, nothing)),
            };
            let is_right = |want: &&Wire| self.remote.is_as_wanted(want, &row.wire);
            let hash = want.filter(is_right).map_or(row.wire.hash, |want| want.hash);
            let has_our_key = row.entity.is_some() || !self.remote.carries_keys();
            let remote_id = record.and_then(|record| self.named_so(record, row));
            let remote_id = remote_id.unwrap_or(&row.remote_id);
            let ignores = self.remote.ignores_in_silence();
            let there = Row { remote_id, hash, has_our_key, ignores };
            let (finding, reason) = verify::judge(&ours, Some(there));
            let mut found = found(id, record, Some(&row.remote_id), finding, reason);
            if finding == Finding::Different {
                found.fields = want
                    .map(|want| self.remote.differing_fields(want, &row.wire))
                    .unwrap_or_default();
            }
            found
        });
        self.store.verify_note(run, entity_type, &found.collect::<Vec<_>>()).await?;
        Ok(foreign)
    }

    /// The id by which we know this row, if it says what it said when it was pushed, and what else the id names is only kept in mind.
    fn named_so<'a>(&self, record: &'a VerifyRecord, row: &RemoteRecord) -> Option<&'a str> {
        let is_as_pushed = record.confirmed.is_some_and(|(_, held)| held == row.wire.hash);
        let known = record.remote_id.as_deref().filter(|_| is_as_pushed)?;
        self.remote.is_part_of(&row.remote_id, known).then_some(known)
    }

    /// What the target should hold of the entities that the EMS shows; `None` where that can't be said.
    async fn wanted(
        &self,
        entity_type: EntityType,
        ids: &[i64],
    ) -> Result<HashMap<i64, Option<Wire>>, StoreError> {
        let (projections, remote_ids) = self.projections(entity_type, ids).await?;
        let wanted = projections.iter().map(|projection| {
            let wire = self.remote.wire(projection.entity, &projection.fields, &remote_ids);
            (projection.entity.id, wire.ok().filter(|_| !projection.is_odd))
        });
        Ok(wanted.collect())
    }

    /// What the EMS shows and no page of the target had.
    async fn compare_rest(
        &self,
        run: Uuid,
        entity_type: EntityType,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let target = self.remote.target();
        let mut after = i64::MIN;
        loop {
            let rest = self.store.verify_unseen(run, target, entity_type, since, after).await?;
            let Some(last) = rest.last().map(|(id, _)| *id) else { return Ok(()) };
            let nothing = self.remote.nothing();
            let in_scope = self.in_scope_by_now(entity_type, &rest).await?;
            let found = rest.iter().map(|(id, record)| {
                let record = record.as_ref();
                let known = record.map(|record| known_of(record, nothing));
                let ours = Ours {
                    is_shown: true,
                    wanted: None,
                    known: known.map(|known| Known {
                        is_skipped: known.is_skipped && !in_scope.contains(id),
                        ..known
                    }),
                };
                let (finding, reason) = verify::judge(&ours, None);
                found(*id, record, None, finding, reason)
            });
            self.store.verify_note(run, entity_type, &found.collect::<Vec<_>>()).await?;
            after = last;
        }
    }

    /// Those of these that were skipped because the record of a parent was not known, which it is by now.
    async fn in_scope_by_now(
        &self,
        entity_type: EntityType,
        records: &[(i64, Option<VerifyRecord>)],
    ) -> Result<HashSet<i64>, StoreError> {
        let was_out = |record: &VerifyRecord| record.is_out_of_scope();
        let ids = records.iter().filter(|(_, record)| record.as_ref().is_some_and(was_out));
        let ids: Vec<i64> = ids.map(|(id, _)| *id).collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let (projections, remote_ids) = self.projections(entity_type, &ids).await?;
        let in_scope = projections.iter().filter(|p| is_in_scope(&self.remote, p, &remote_ids));
        Ok(in_scope.map(|projection| projection.entity.id).collect())
    }

    /// What the EMS shows of these, and the remote ids of their parents.
    async fn projections(
        &self,
        entity_type: EntityType,
        ids: &[i64],
    ) -> Result<(Vec<Projection>, RemoteIds), StoreError> {
        let target = self.remote.target();
        let projections = self.store.projections(target, entity_type, ids).await?;
        let parents: HashSet<EntityRef> =
            projections.iter().flat_map(|p| p.parents.iter().copied()).collect();
        let parents: Vec<EntityRef> = parents.into_iter().collect();
        let remote_ids = self.store.remote_ids(target, &parents).await?;
        Ok((projections, remote_ids))
    }

    /// Owes what a complete walk found to be missing, different or orphaned: in doubt and in the bulk lane, the normal
    /// way. It deletes nothing by itself. Returns how much.
    ///
    /// # Errors
    /// [`StoreError`]; what was owed until then is owed, and doing it again does no harm.
    pub async fn repair(&self, walked: Walked) -> Result<u64, StoreError> {
        let target = self.remote.target();
        let mut owed = 0;
        for entity_type in target.outbound_types().iter().copied() {
            owed += self.store.verify_owe_orphans(walked.run, target, entity_type).await?;
            let mut after = i64::MIN;
            loop {
                let ids = self.store.verify_to_owe(walked.run, entity_type, after).await?;
                let Some(last) = ids.last().copied() else { break };
                owed += self.owe_bulk(entity_type, ids, true).await?;
                after = last;
            }
        }
        Ok(owed)
    }
}

/// `nothing`: what a record holds of which the target has nothing, by a decision of people there.
fn known_of(record: &VerifyRecord, nothing: Option<ContentHash>) -> Known {
    let holds_nothing = record.confirmed.is_some_and(|(_, held)| Some(held) == nothing);
    Known {
        remote_id: record.remote_id.clone(),
        is_owed: record.is_owed,
        was_pushed_since: record.was_pushed_since,
        confirmed: record.confirmed,
        is_skipped: record.state == State::Skipped.name() || holds_nothing,
    }
}

fn found(
    id: i64,
    record: Option<&VerifyRecord>,
    remote_id: Option<&str>,
    finding: Finding,
    reason: &'static str,
) -> Found {
    let remote_id =
        remote_id.map(str::to_owned).or_else(|| record.and_then(|record| record.remote_id.clone()));
    let state = record.map_or("pending", |record| record.state.as_str()).to_owned();
    Found { id, remote_id, finding, state, reason: reason.to_owned(), fields: Vec::new() }
}
