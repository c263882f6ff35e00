//! One row of the inbox in its transaction: what is known is read under locks, the table decides, the EMS takes what it is to
//! take, and the outcome is written last.

use std::panic::AssertUnwindSafe;

use serde_json::{Map, Value, json};

use super::taking::{self, Showing, Taking};
use super::{Applier, Done, Step};
use crate::config::MergeMode;
use crate::entity::EntityRef;
use crate::failpoint;
use crate::hash::ContentHash;
use crate::inbound::decision::{
    self, Candidate, Decision, Ems, Found, Input, Known, Mapping, Pushing, Reason, SkipReason,
    Unknown,
};
use crate::inbound::merge;
use crate::limits;
use crate::remote::{Remote, Wire};
use crate::store::inbound::{
    Inbound, InboundRecord, InboxRow, Outcome, RecordOutcome, RowOutcome, Standing, Taken,
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
        let Some(row) = inbound.row(row).await? else { return Ok(Step::Nothing) };
        let verdict = match (row.known, row.forgotten, &row.shape) {
            (Some(id), _, _) => self.known(&inbound, &row, id).await?,
            (None, Some(id), _) if row.chosen.is_empty() => {
                self.forgotten(&inbound, &row, id).await?
            }
            (None, _, Standing::Stands { .. }) if !alone => return Ok(Step::Alone),
            (None, _, Standing::Stands { body, extra, hash }) => {
                let content = Content { body, extra, hash: *hash };
                Some(self.unknown(&inbound, &row, content).await?)
            }
            (None, _, Standing::Removed { .. } | Standing::Gone) => Some(not_ours("deleted")),
        };
        let Some(Verdict { decision, name, outcome }) = verdict else {
            let row_ref = InboxRef { entity_type: row.entity_type, inbox_id: row.inbox_id };
            return Ok(Step::Reread(row_ref, row.remote_id));
        };
        // Another one may have come in between: with a new look at the database it is found.
        if !is_last && outcome.row.error.as_deref().is_some_and(|e| e.contains(UNIQUE_VIOLATION)) {
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
            decision,
            outcome: name,
            conflict: outcome.conflict.map(|conflict| conflict.reason),
            followed,
            successor,
        }))
    }

    /// What is known of an entity is locked, in the order in which everybody locks: EMS rows, then the record.
    async fn locked(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        entity: EntityRef,
    ) -> Result<(Option<InboundRecord>, Showing), StoreError> {
        inbound.lock(entity).await?;
        let record = inbound.record(entity, row.requested_on).await?;
        Ok((record, self.show(inbound, entity).await?))
    }

    /// What the EMS shows of an entity to the target, within the transaction.
    async fn show(&self, inbound: &Inbound<'_>, entity: EntityRef) -> Result<Showing, StoreError> {
        if !self.remote.target().covers(entity.entity_type) {
            return Ok(Showing { is_covered: false, projection: None, wire: None });
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
        Ok(Showing { is_covered: true, projection, wire })
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
                    return Ok(verdict("waiting_for_parent", waits_for_parent(Some(id))));
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
                let outcome = if taking.taken.is_empty() {
                    taking::lost(target, row, entity, content, &record, &showing, taking)
                } else {
                    self.take(inbound, row, entity, content, Some(&record), &showing, taking)
                        .await?
                };
                verdict(reason.name(), outcome)
            }
            (Decision::Apply, Some(_)) if row.lacks_parent => {
                verdict("waiting_for_parent", waits_for_parent(Some(id)))
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
            (Decision::Move, _) => verdict("moved", moved(row, entity)),
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

    /// The record was that of an entity that the EMS has deleted.
    async fn forgotten(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        id: i64,
    ) -> Result<Option<Verdict>, StoreError> {
        let entity = EntityRef::new(row.entity_type, id);
        let record = inbound.record(entity, row.requested_on).await?;
        let input = Input {
            mapping: Mapping::Forgotten(record.as_ref().map_or(Pushing::Quiet, pushing)),
            snapshot: match &row.shape {
                Standing::Stands { hash, .. } => {
                    decision::Snapshot::Stands { hash: *hash, modified_on: row.modified_on }
                }
                Standing::Removed { .. } => decision::Snapshot::Removed { has_successor: false },
                Standing::Gone => decision::Snapshot::Gone,
            },
            ems: Ems::Nothing,
            precision: self.remote.clock_precision(),
        };
        Ok(match (decision::decide(&input), &row.shape) {
            (Decision::Reread, _) => None,
            (Decision::Later, _) => {
                Some(Verdict { decision: "later", name: "pushed_now", outcome: later(entity) })
            }
            (Decision::Conflict(reason), Standing::Stands { body, extra, hash }) => {
                let content = Content { body, extra, hash: *hash };
                let outcome =
                    taking::of_nobody(self.remote.target(), row, content, reason, Some(id));
                Some(Verdict { decision: "conflict", name: reason.name(), outcome })
            }
            _ => Some(not_ours("deleted")),
        })
    }

    /// A record that nobody knows: it is found out whose it is, and it becomes theirs, or something new.
    async fn unknown(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        content: Content<'_>,
    ) -> Result<Verdict, StoreError> {
        let verdict = |name, outcome| Verdict { decision: "match", name, outcome };
        if row.lacks_parent {
            return Ok(verdict("waiting_for_parent", waits_for_parent(None)));
        }
        let target = self.remote.target();
        let mut fields = taking::all_fields(row, content);
        let whose = self.whose(inbound, row, &mut fields).await?;
        let entity = match whose {
            Whose::Several(candidates) => {
                let outcome = taking::ambiguous(target, row, content, candidates);
                return Ok(verdict("ambiguous", outcome));
            }
            Whose::Nobody => {
                return self.create(inbound, row, content, fields).await;
            }
            Whose::Of(entity) => entity,
        };
        let (record, showing) = self.locked(inbound, row, entity).await?;
        let candidate = candidate(row, record.as_ref(), &showing);
        let found = decision::unknown(Found::One(candidate));
        let taking = match found {
            Unknown::Later => return Ok(verdict("pushed_now", later(entity))),
            Unknown::Wait => {
                let reason = Some("waiting_for_removal");
                return Ok(verdict("waiting_for_removal", waits(Some(entity), reason)));
            }
            Unknown::Tombstone => {
                let reason = Reason::Tombstone;
                let outcome = taking::of_nobody(target, row, content, reason, Some(entity.id));
                return Ok(verdict(reason.name(), outcome));
            }
            Unknown::Ambiguous => {
                let outcome = taking::ambiguous(target, row, content, vec![entity]);
                return Ok(verdict("ambiguous", outcome));
            }
            Unknown::Adopt => Taking {
                reason: Reason::Unpushed,
                takes_all: false,
                is_new: true,
                ..Taking::of(merge::fill(showing.body().unwrap_or(&Value::Null), content.body))
            },
            Unknown::AdoptWhole | Unknown::Create => {
                Taking { is_new: true, ..Taking::whole(content) }
            }
        };
        let outcome =
            self.take(inbound, row, entity, content, record.as_ref(), &showing, taking).await?;
        Ok(verdict("adopted", outcome))
    }

    async fn create(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        content: Content<'_>,
        fields: Map<String, Value>,
    ) -> Result<Verdict, StoreError> {
        let target = self.remote.target();
        let verdict = |name, outcome| Verdict { decision: "match", name, outcome };
        let taken = inbound.apply(row.entity_type, None, &Value::Object(fields), None).await?;
        let id = match taken {
            Taken::As(id) => id,
            Taken::Nothing => return Ok(not_ours("done")),
            Taken::Refused(why) => {
                let mut outcome = taking::of_nobody(target, row, content, Reason::Refused, None);
                outcome.row = rejected(why);
                return Ok(verdict(Reason::Refused.name(), outcome));
            }
        };
        let entity = EntityRef::new(row.entity_type, id);
        let showing = self.show(inbound, entity).await?;
        let taking = Taking { is_new: true, ..Taking::whole(content) };
        let outcome = taking::taken(target, row, entity, content, None, &showing, taking);
        Ok(verdict("created", outcome))
    }

    /// Whose it may be: as it says itself, as a person said, or as the EMS's rules find.
    async fn whose(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        fields: &mut Map<String, Value>,
    ) -> Result<Whose, StoreError> {
        if let Some(id) = row.carried {
            return Ok(Whose::Of(EntityRef::new(row.entity_type, id)));
        }
        let of = Value::Object(fields.clone());
        let found = inbound.matches(row.entity_type, &of, limits::INBOUND_CANDIDATES_MAX).await?;
        let (itself, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|entity| entity.entity_type == row.entity_type);
        match itself.as_slice() {
            [] => {}
            [entity] => return Ok(Whose::Of(*entity)),
            _ => return Ok(Whose::Several(itself)),
        }
        for other in &others {
            if row.chosen.contains_key(other.entity_type.name()) {
                continue;
            }
            let same: Vec<EntityRef> = others
                .iter()
                .filter(|entity| entity.entity_type == other.entity_type)
                .copied()
                .collect();
            if same.len() > 1 {
                return Ok(Whose::Several(same));
            }
            fields.insert(other.entity_type.name().to_owned(), json!(other.id));
        }
        Ok(Whose::Nobody)
    }

    /// The EMS takes what it is to take, and what came of it is written down.
    #[expect(clippy::too_many_arguments, reason = "all that is known of one row")]
    async fn take(
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
        let fields = taking::fields(row, content, &taking);
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
        if let Taken::Refused(why) = taken {
            outcome.row = rejected(why);
            outcome.conflict = Some(taking::conflict(Reason::Refused, row, record.remote_hash));
            return Ok(outcome);
        }
        outcome.record =
            Some(RecordOutcome { ending: Some("removed"), ..RecordOutcome::default() });
        Ok(outcome)
    }
}

/// Whose a record is.
enum Whose {
    Nobody,
    Of(EntityRef),
    Several(Vec<EntityRef>),
}

/// The SQLSTATE of what is there already.
const UNIQUE_VIOLATION: &str = "SQLSTATE 23505";

const fn pushing(record: &InboundRecord) -> Pushing {
    if record.pushed_now {
        Pushing::Now
    } else if record.pushed_since {
        Pushing::Since
    } else {
        Pushing::Quiet
    }
}

fn candidate(row: &InboxRow, record: Option<&InboundRecord>, showing: &Showing) -> Candidate {
    let is_hidden = showing.is_covered && showing.projection.is_none();
    Candidate {
        pushed_now: record.is_some_and(|record| record.pushed_now),
        has_another: record.is_some_and(|record| record.remote_id.is_some()),
        waited_long: row.age >= limits::SECOND_RECORD_WAITS.as_secs_f64(),
        // It carries the id of something that the EMS does not have, or has deleted.
        tombstone: is_hidden && record.map_or(row.carried.is_some(), |record| record.tombstoned),
        chosen: !row.chosen.is_empty(),
        shown: showing.wire.is_some(),
    }
}

pub(super) const fn decided(entity: EntityRef, row: RowOutcome) -> Outcome {
    Outcome {
        entity_id: Some(entity.id),
        row,
        record: None,
        agreed: None,
        conflict: None,
        reassert: false,
    }
}

pub(super) fn rejected(why: String) -> RowOutcome {
    RowOutcome { error: Some(why), ..RowOutcome::of("rejected", Some("refused")) }
}

fn not_ours(state: &'static str) -> Verdict {
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

/// Its push's end makes it due.
fn later(entity: EntityRef) -> Outcome {
    let row = RowOutcome {
        due_ms: millis(limits::INBOUND_LATER_AFTER),
        waits_for: Some(entity.to_string()),
        ..RowOutcome::of("pending", Some("pushed_now"))
    };
    decided(entity, row)
}

fn waits(entity: Option<EntityRef>, reason: Option<&'static str>) -> Outcome {
    let row = RowOutcome {
        due_ms: millis(limits::WAITING_LOOKS_AGAIN_AFTER),
        waits_for: entity.map(|entity| entity.to_string()),
        ..RowOutcome::of("waiting", reason)
    };
    Outcome {
        entity_id: entity.map(|entity| entity.id),
        row,
        record: None,
        agreed: None,
        conflict: None,
        reassert: false,
    }
}

fn waits_for_parent(id: Option<i64>) -> Outcome {
    Outcome { entity_id: id, ..waits(None, Some("waiting_for_parent")) }
}

/// The entity has the successor's record from now on; what that one holds is taken as a change.
fn moved(row: &InboxRow, entity: EntityRef) -> Outcome {
    let mut outcome = decided(entity, RowOutcome::of("deleted", None));
    if let Standing::Removed { successor, .. } = &row.shape {
        outcome.record =
            Some(RecordOutcome { remote_id: successor.clone(), ..RecordOutcome::default() });
    }
    outcome
}

fn forgotten_there(entity: EntityRef) -> Outcome {
    let mut outcome = decided(entity, RowOutcome::of("deleted", None));
    outcome.record = Some(RecordOutcome { ending: Some("gone"), ..RecordOutcome::default() });
    outcome
}

fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
