//! One row of the inbox in its transaction: what is known is read under locks, the table decides, the EMS takes what it is to
//! take, and the outcome is written last.

use std::panic::AssertUnwindSafe;

use serde_json::{Map, Value, json};

use super::taking::{
    self, Showing, Taking, decided, forgotten_there, later, moved, rejected, waits_for_parent,
};
use super::{Applier, Done, Step};
use crate::config::MergeMode;
use crate::entity::EntityRef;
use crate::failpoint;
use crate::hash::ContentHash;
use crate::inbound::decision::{
    self, Decision, Ems, Input, Known, Mapping, Pushing, Reason, SkipReason,
};
use crate::inbound::merge;
use crate::remote::{Remote, Standing as StandsThere, Wire};
use crate::store::inbound::{
    FOR_REMOVAL, Inbound, InboundRecord, InboxRow, Outcome, RecordOutcome, RowOutcome, Standing,
    Taken,
};
use crate::store::{InboxRef, StoreError};

/// The content of a snapshot that stands.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) body: &'a Value,
    pub(super) extra: &'a Map<String, Value>,
    pub(super) hash: ContentHash,
}

/// What is to be written, and what it is called.
pub(super) struct Verdict {
    pub(super) decision: &'static str,
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
}

impl<R: Remote> Applier<R> {
    /// Decides about one row. `is_last`: what the EMS has from somebody else this very moment is not waited for any more.
    pub(super) async fn decide(
        &self,
        row: i64,
        alone: bool,
        is_last: bool,
    ) -> Result<Step, StoreError> {
        let target = self.remote.target();
        let mut session = self.store.inbound().await?;
        let inbound = session.begin(target, alone).await?;
        let Some(row) = inbound.row(row).await? else {
            inbound.roll_back().await?;
            return Ok(Step::Locked);
        };
        let verdict = match (row.known, row.forgotten, &row.shape) {
            (Some(id), _, _) => self.known(&inbound, &row, id).await?,
            (None, Some(id), shape)
                if row.chosen.is_empty()
                    && row.wanted_by.is_none()
                    && (row.carries_another().is_none()
                        || !matches!(shape, Standing::Stands { .. })) =>
            {
                self.forgotten(&inbound, &row, id).await?
            }
            (None, _, Standing::Stands { .. }) if row.lacks_parent => Some(Verdict {
                decision: "match",
                name: "waiting_for_parent",
                outcome: waits_for_parent(&row, None),
            }),
            (None, _, Standing::Stands { .. }) if !alone => {
                inbound.roll_back().await?;
                return Ok(Step::Alone);
            }
            (None, _, Standing::Stands { body, extra, hash }) => {
                let content = Content { body, extra, hash: *hash };
                self.unknown(&inbound, &row, content).await?
            }
            (None, _, Standing::Removed { .. } | Standing::Gone) => Some(not_ours("deleted")),
        };
        let Some(Verdict { decision, name, outcome }) = verdict else {
            inbound.roll_back().await?;
            let row_ref = InboxRef { entity_type: row.entity_type, inbox_id: row.inbox_id };
            return Ok(Step::Reread(row_ref, row.remote_id));
        };
        // Another one may have come in between: with a new look at the database it is found.
        if !is_last && outcome.row.error.as_deref().is_some_and(|e| e.contains(UNIQUE_VIOLATION)) {
            inbound.roll_back().await?;
            return Ok(Step::Again);
        }
        let followed = inbound.write(row.inbox_id, &outcome).await?;
        failpoint!("inbound.applied");
        inbound.commit().await?;
        failpoint!("inbound.committed");
        let successor = match (&row.shape, decision) {
            (Standing::Removed { successor: Some(successor), .. }, "move") => {
                Some((row.entity_type, successor.clone()))
            }
            _ => None,
        };
        Ok(Step::Done(Done {
            entity_type: row.entity_type,
            waits: matches!(outcome.row.state, "pending" | "waiting").then_some(row.inbox_id),
            begins_to_wait: outcome.row.reason == Some(FOR_REMOVAL) && !row.waits_for_removal,
            decision,
            outcome: name,
            conflict: outcome.conflict.map(|conflict| conflict.reason),
            followed,
            successor,
        }))
    }

    /// What is known of an entity is locked, in the order in which everybody locks: EMS rows, then the record.
    pub(super) async fn locked(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        entity: EntityRef,
    ) -> Result<(Option<InboundRecord>, Showing), StoreError> {
        let is_there = inbound.lock(entity).await?;
        let record = inbound.record(entity, row.requested_on).await?;
        let showing = self.show(inbound, entity).await?;
        Ok((record, Showing { is_there, ..showing }))
    }

    /// What the EMS shows of an entity to the target, within the transaction.
    pub(super) async fn show(
        &self,
        inbound: &Inbound<'_>,
        entity: EntityRef,
    ) -> Result<Showing, StoreError> {
        if !self.remote.target().covers(entity.entity_type) {
            return Ok(Showing { is_there: true, is_covered: false, projection: None, wire: None });
        }
        let projection = inbound.projection(entity).await?;
        let wire = match &projection {
            Some(projection) if !projection.is_odd => {
                let remote_ids = inbound.remote_ids(&projection.parents).await?;
                // A mapping that panics, which is a bug, costs its own entity only.
                let map = || self.remote.wire(entity, &projection.fields, &remote_ids);
                let wire = std::panic::catch_unwind(AssertUnwindSafe(map));
                wire.ok().and_then(Result::ok)
            }
            Some(_) | None => None,
        };
        Ok(Showing { is_there: true, is_covered: true, projection, wire })
    }

    /// A record of an entity that is known. `None`: it is to be read again.
    async fn known(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        id: i64,
    ) -> Result<Option<Verdict>, StoreError> {
        let entity = EntityRef::new(row.entity_type, id);
        let (record, showing) = self.locked(inbound, row, entity).await?;
        let record = record.ok_or(StoreError::Unexpected("a record went under its lock"))?;
        let input = self.input(row, &record, &showing);
        let decision = decision::decide(&input);
        let content = match &row.shape {
            Standing::Stands { body, extra, hash } => Some(Content { body, extra, hash: *hash }),
            Standing::Removed { .. } | Standing::Gone => None,
        };
        let verdict = |name, outcome| Some(Verdict { decision: decision.name(), name, outcome });
        Ok(match (decision, content) {
            (Decision::Reread, _) => None,
            (Decision::Later, _) => verdict("pushed_now", later(entity)),
            (Decision::Skip(reason), Some(content)) => verdict(
                reason.name(),
                self.skipped(row, entity, reason, content, &record, &showing),
            ),
            (Decision::Conflict(reason), Some(content)) => {
                let by_fields = self.merge == MergeMode::Fields && reason != Reason::Tombstone;
                if by_fields && row.lacks_parent {
                    return Ok(verdict("waiting_for_parent", waits_for_parent(row, Some(id))));
                }
                let target = self.remote.target();
                let ems = showing.body();
                let merged = if by_fields {
                    merge::three_way(target, ems, content.body, record.agreed.as_ref())
                } else {
                    let losing = merge::losing(target, ems, content.body, record.agreed.as_ref());
                    merge::Merged { losing, ..merge::Merged::default() }
                };
                let taking = Taking { reason, takes_all: false, ..Taking::of(merged) };
                let mut outcome = if taking.taken.is_empty() {
                    taking::lost(target, row, entity, content, &record, &showing, taking)
                } else {
                    self.take(inbound, row, entity, content, Some(&record), &showing, taking)
                        .await?
                };
                if self.remote.standing(row.entity_type) == StandsThere::Pulled {
                    // Nothing is pushed there, so that this is settled: a later change there is taken again.
                    outcome.reassert = false;
                    if let Some(record) = &mut outcome.record {
                        record.projection = showing.kept();
                    }
                }
                verdict(reason.name(), outcome)
            }
            (Decision::Apply, Some(_)) if row.lacks_parent => {
                verdict("waiting_for_parent", waits_for_parent(row, Some(id)))
            }
            (Decision::Apply, Some(content)) => {
                let taking = self.changed_there(content, &record, &showing);
                let outcome = self
                    .take(inbound, row, entity, content, Some(&record), &showing, taking)
                    .await?;
                verdict("applied", outcome)
            }
            (Decision::Remove, _) => {
                verdict("removed", self.remove(inbound, row, entity, &record).await?)
            }
            (Decision::Move, _) => verdict("moved", moved(row, entity, &record)),
            (Decision::Forget, _) => verdict("gone", forgotten_there(entity)),
            (Decision::Match | Decision::Skip(_) | Decision::Conflict(_) | Decision::Apply, _) => {
                Some(not_ours("deleted"))
            }
        })
    }

    fn input(&self, row: &InboxRow, record: &InboundRecord, showing: &Showing) -> Input {
        let is_hidden = showing.is_covered && showing.projection.is_none();
        let known = Known {
            pushing: pushing(record),
            // Where the EMS never showed it, it has not gone: an event without races.
            tombstone: is_hidden
                && (record.tombstoned || record.gone || record.data_hash.is_some()),
            owed: record.owed,
            in_doubt: record.in_doubt,
            data_hash: record.data_hash,
            remote_hash: record.remote_hash,
            sent: record.sent.clone(),
            remote_synced_on: record.remote_synced_on,
        };
        Input {
            snapshot: match &row.shape {
                Standing::Stands { hash, .. } => {
                    decision::Snapshot::Stands { hash: *hash, modified_on: row.modified_on }
                }
                Standing::Removed { successor, .. } => {
                    decision::Snapshot::Removed { has_successor: successor.is_some() }
                }
                Standing::Gone => decision::Snapshot::Gone,
            },
            mapping: Mapping::Known(known),
            ems: match &showing.projection {
                Some(projection) => Ems::Shown {
                    hash: showing.wire.as_ref().map(|wire: &Wire| wire.hash),
                    changed_on: Some(projection.modified_on)
                        .filter(|on| Some(*on) != record.taken_modified_on),
                },
                None => Ems::Nothing,
            },
            precision: self.remote.clock_precision(),
        }
    }

    /// The EMS takes what it is to take, and what came of it is written down.
    #[expect(clippy::too_many_arguments, reason = "all that is known of one row")]
    pub(super) async fn take(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        entity: EntityRef,
        content: Content<'_>,
        record: Option<&InboundRecord>,
        before: &Showing,
        taking: Taking,
    ) -> Result<Outcome, StoreError> {
        let target = self.remote.target();
        // Where nothing is said of a parent, the EMS's own stays.
        let said = |parent: &EntityRef| {
            let field = self.remote.parent_field(row.entity_type, parent.entity_type);
            field.is_none_or(|field| taking.taken.contains_key(field))
        };
        let parents: Vec<EntityRef> = row.parents.iter().copied().filter(said).collect();
        let fields = taking::fields(row, content, &taking, &parents);
        let taken =
            inbound.apply(row.entity_type, Some(entity.id), &Value::Object(fields), None).await?;
        match taken {
            Taken::As(_) => {}
            Taken::Nothing => {
                return Ok(taking::refused(target, row, entity, content, before, taking, None));
            }
            Taken::Refused(why) => {
                return Ok(taking::refused(
                    target,
                    row,
                    entity,
                    content,
                    before,
                    taking,
                    Some(why),
                ));
            }
        }
        let showing = self.show(inbound, entity).await?;
        Ok(taking::taken(target, row, entity, content, record, &showing, taking))
    }

    /// What the EMS takes of a change that meets none of its own: the fields that changed there, as far as that is known.
    fn changed_there(
        &self,
        content: Content<'_>,
        record: &InboundRecord,
        showing: &Showing,
    ) -> Taking {
        let Some(ems) = showing.body().filter(|_| record.agreed.is_some()) else {
            return Taking::whole(content);
        };
        let agreed = record.agreed.as_ref();
        let changed = merge::losing(self.remote.target(), Some(ems), content.body, agreed);
        let taken = changed.into_iter().map(|field| (field.field, field.remote_value)).collect();
        Taking { taken, ..Taking::whole(content) }
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of one row")]
    fn skipped(
        &self,
        row: &InboxRow,
        entity: EntityRef,
        reason: SkipReason,
        content: Content<'_>,
        record: &InboundRecord,
        showing: &Showing,
    ) -> Outcome {
        let agrees = reason == SkipReason::Agrees;
        let mut outcome = decided(entity, RowOutcome::of("deleted", None));
        outcome.record = Some(RecordOutcome {
            projection: showing.kept().filter(|_| agrees),
            ..taking::held(row, content)
        });
        let ems = agrees.then_some(showing);
        outcome.agreed =
            Some(taking::agreed(self.remote.target(), content, ems, record.agreed.as_ref()));
        outcome
    }

    async fn remove(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        entity: EntityRef,
        record: &InboundRecord,
    ) -> Result<Outcome, StoreError> {
        let Standing::Removed { reason, .. } = &row.shape else {
            return Ok(forgotten_there(entity));
        };
        let none = json!({});
        let taken = inbound.apply(row.entity_type, Some(entity.id), &none, Some(reason)).await?;
        let mut outcome = decided(entity, RowOutcome::of("deleted", None));
        if let Taken::Refused(why) = &taken {
            outcome.row = rejected(why.clone());
            outcome.conflict = Some(taking::conflict(Reason::Refused, row, record.remote_hash));
            return Ok(outcome);
        }
        outcome.record = Some(match taken {
            Taken::As(_) => RecordOutcome { ending: Some("removed"), ..RecordOutcome::default() },
            // It stays what it is in the EMS, and so whose record that is; what that holds is not known any more.
            Taken::Nothing | Taken::Refused(_) => {
                RecordOutcome { remote_id: record.remote_id.clone(), ..RecordOutcome::default() }
            }
        });
        if taken == Taken::Nothing {
            outcome.row = RowOutcome::of("done", Some("stays"));
        }
        Ok(outcome)
    }
}

/// The SQLSTATE of what is there already.
const UNIQUE_VIOLATION: &str = "SQLSTATE 23505";

pub(super) const fn pushing(record: &InboundRecord) -> Pushing {
    if record.pushed_now {
        Pushing::Now
    } else if record.pushed_since {
        Pushing::Since
    } else {
        Pushing::Quiet
    }
}

pub(super) fn not_ours(state: &'static str) -> Verdict {
    let row = RowOutcome::of(state, Some(SkipReason::NotOurs.name()));
    let outcome = Outcome {
        entity_id: None,
        row,
        record: None,
        agreed: None,
        conflict: None,
        reassert: false,
    };
    Verdict { decision: "skip", name: SkipReason::NotOurs.name(), outcome }
}
