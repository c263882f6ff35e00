//! What is written down of a content that the EMS took, in part or not at all. Pure.

use serde_json::{Map, Value, json};

use super::deciding::Content;
use crate::entity::EntityRef;
use crate::hash::ContentHash;
use crate::inbound::decision::Reason;
use crate::inbound::merge::{self, Agreed, LosingField, Merged};
use crate::limits;
use crate::remote::Wire;
use crate::store::Projection;
use crate::store::inbound::{
    AgreedOutcome, ConflictOutcome, Contents, InboundRecord, InboxRow, Outcome, RecordOutcome,
    RowOutcome, Shown, Standing,
};
use crate::target::Target;

/// What the EMS shows to the target.
pub(super) struct Showing {
    /// The EMS has the entity.
    pub(super) is_there: bool,
    /// The target is told of entities of this type.
    pub(super) is_covered: bool,
    pub(super) projection: Option<Projection>,
    pub(super) wire: Option<Wire>,
}

impl Showing {
    pub(super) fn body(&self) -> Option<&Value> {
        self.wire.as_ref().map(|wire| &wire.body)
    }

    /// As the record keeps it.
    pub(super) fn kept(&self) -> Option<Shown> {
        let projection = self.projection.as_ref()?;
        let holds = projection.fields.holds();
        let hex = ContentHash::to_hex;
        Some(Shown {
            data_hash: self.wire.as_ref().map(|wire| hex(wire.hash)),
            modified_on: projection.modified_on,
            parents: projection.parents.iter().map(EntityRef::to_string).collect(),
            holds: holds.columns,
            consents: holds.consents,
            match_key: self.wire.as_ref().and_then(|wire| wire.match_key).map(hex),
        })
    }
}

/// What of a content is taken and what loses.
pub(super) struct Taking {
    pub(super) taken: Map<String, Value>,
    pub(super) losing: Vec<LosingField>,
    /// Why those lose.
    pub(super) reason: Reason,
    /// The EMS has no change of its own: what it shows afterwards is what the remote is to hold.
    pub(super) takes_all: bool,
    /// The record was nobody's: what it leaves blank is no value that could be lost.
    pub(super) is_new: bool,
    /// The entity was there before its record was: only what it lacks is taken.
    pub(super) completes: bool,
}

impl Taking {
    pub(super) fn of(merged: Merged) -> Self {
        let Merged { taken, losing } = merged;
        Self {
            taken,
            losing,
            reason: Reason::Refused,
            takes_all: true,
            is_new: false,
            completes: false,
        }
    }

    /// All of it.
    pub(super) fn whole(content: Content<'_>) -> Self {
        let mut taken = content.body.as_object().cloned().unwrap_or_default();
        taken.remove(Wire::ASIDE);
        Self::of(Merged { taken, losing: Vec::new() })
    }
}

/// Everything that the EMS may take of it, with whose it is or says that it is.
pub(super) fn all_fields(row: &InboxRow, content: Content<'_>) -> Map<String, Value> {
    let mut fields = fields(row, content, &Taking::whole(content), &row.parents);
    let carried = row.carried.map(|id| (row.entity_type.name().to_owned(), json!(id)));
    fields.extend(carried);
    fields
}

/// What the EMS takes: fields of the content, what comes with it, and `parents` by their types.
pub(super) fn fields(
    row: &InboxRow,
    content: Content<'_>,
    taking: &Taking,
    parents: &[EntityRef],
) -> Map<String, Value> {
    let mut fields = taking.taken.clone();
    fields.extend(content.extra.clone());
    fields.extend(parents.iter().map(|p| (p.entity_type.name().to_owned(), json!(p.id))));
    if taking.completes {
        fields.insert(COMPLETES.to_owned(), Value::Bool(true));
    }
    let chosen = row.chosen.iter().filter(|(name, _)| *name != row.entity_type.name());
    fields.extend(chosen.map(|(name, id)| (name.clone(), id.clone())));
    fields
}

/// Tells the EMS's functions that only what is missing is taken.
const COMPLETES: &str = "completes";

/// The remote holds this.
pub(super) fn held(row: &InboxRow, content: Content<'_>) -> RecordOutcome {
    RecordOutcome {
        remote_id: Some(row.remote_id.clone()),
        remote_hash: Some(content.hash.to_hex()),
        synced_on: Some(row.modified_on.unwrap_or(row.requested_on)),
        ..RecordOutcome::default()
    }
}

/// What both sides agree on now. Of the EMS only the fields in which it holds the same: where it holds something else, what it held
/// when both agreed last still tells whether it has changed.
pub(super) fn agreed(
    target: Target,
    content: Content<'_>,
    showing: Option<&Showing>,
    before: Option<&Agreed>,
) -> AgreedOutcome {
    let remote = merge::digests(target, content.body);
    let ems = showing.and_then(Showing::body).map(|ems| {
        let now = merge::digests(target, ems);
        let mut agreed = before.map(|before| before.ems.clone()).unwrap_or_default();
        for (field, digest) in now {
            let same = remote.get(&field) == Some(&digest);
            if same {
                agreed.insert(field, digest);
            }
        }
        agreed
    });
    AgreedOutcome { ems, remote }
}

pub(super) fn conflict(
    reason: Reason,
    row: &InboxRow,
    hash: Option<ContentHash>,
) -> ConflictOutcome {
    ConflictOutcome {
        reason: reason.name(),
        fields: Vec::new(),
        candidates: Vec::new(),
        candidate_type: None,
        remote_hash: hash.map(ContentHash::to_hex),
        ems_modified_on: None,
        remote_modified_on: row.modified_on,
        ems: None,
    }
}

fn lost_fields(
    reason: Reason,
    row: &InboxRow,
    content: Content<'_>,
    showing: &Showing,
    fields: Vec<LosingField>,
) -> ConflictOutcome {
    ConflictOutcome {
        fields,
        ems_modified_on: showing.projection.as_ref().map(|p| p.modified_on),
        ems: showing.body().cloned().map(Contents),
        ..conflict(reason, row, Some(content.hash))
    }
}

/// The EMS wins: what lost is kept, and the EMS is pushed again, unless the remote is to lose its record.
#[expect(clippy::too_many_arguments, reason = "all that is known of one row")]
pub(super) fn lost(
    target: Target,
    row: &InboxRow,
    entity: EntityRef,
    content: Content<'_>,
    record: &InboundRecord,
    showing: &Showing,
    taking: Taking,
) -> Outcome {
    let Taking { losing, reason, .. } = taking;
    let is_tombstone = reason == Reason::Tombstone;
    Outcome {
        record: Some(held(row, content)),
        agreed: Some(agreed(target, content, None, record.agreed.as_ref())),
        conflict: (is_tombstone || !losing.is_empty())
            .then(|| lost_fields(reason, row, content, showing, losing)),
        reassert: !is_tombstone,
        ..decided(entity, RowOutcome::of("deleted", None))
    }
}

/// The EMS took it. Where it shows something else than what it was to take, that lost too.
#[expect(clippy::too_many_arguments, reason = "all that is known of one row")]
pub(super) fn taken(
    target: Target,
    row: &InboxRow,
    entity: EntityRef,
    content: Content<'_>,
    record: Option<&InboundRecord>,
    showing: &Showing,
    taking: Taking,
) -> Outcome {
    let Taking { taken, mut losing, reason, takes_all, is_new, completes } = taking;
    let not_taken = match showing.body() {
        Some(ems) => differing(ems, &taken),
        // Which of them it took can't be told in the target's words.
        None if completes => differing(&Value::Null, &taken),
        None => Vec::new(),
    };
    losing.extend(not_taken.into_iter().filter(|f| !is_new || !merge::is_blank(&f.remote_value)));
    let in_step = showing.wire.as_ref().is_some_and(|wire| wire.hash == content.hash);
    let keeps = takes_all || in_step;
    let before = record.and_then(|record| record.agreed.as_ref());
    let is_shown = showing.wire.is_some();
    Outcome {
        record: Some(RecordOutcome {
            projection: showing.kept().filter(|_| keeps),
            taken_on: showing.projection.as_ref().map(|p| p.modified_on).filter(|_| keeps),
            ..held(row, content)
        }),
        agreed: Some(agreed(target, content, Some(showing), before)),
        reassert: is_shown && !in_step && (is_new || !takes_all || !losing.is_empty()),
        conflict: (!losing.is_empty()).then(|| lost_fields(reason, row, content, showing, losing)),
        ..decided(entity, RowOutcome::of("deleted", None))
    }
}

/// The EMS does not take it: `why` it raised, or its policy makes nothing of it. What was to be taken is kept with what lost.
#[expect(clippy::too_many_arguments, reason = "all that is known of one row")]
pub(super) fn refused(
    target: Target,
    row: &InboxRow,
    entity: EntityRef,
    content: Content<'_>,
    before: &Showing,
    taking: Taking,
    why: Option<String>,
) -> Outcome {
    let Taking { taken, mut losing, .. } = taking;
    losing.extend(differing(before.body().unwrap_or(&Value::Null), &taken));
    let is_policy = why.is_none();
    Outcome {
        record: Some(held(row, content)),
        agreed: Some(agreed(target, content, None, None)),
        conflict: (!losing.is_empty())
            .then(|| lost_fields(Reason::Refused, row, content, before, losing)),
        reassert: is_policy && before.wire.is_some(),
        ..decided(entity, why.map_or(RowOutcome::of("deleted", None), rejected))
    }
}

/// It is nobody's that there is: kept, and not decided again as long as it says the same.
pub(super) fn of_nobody(
    target: Target,
    row: &InboxRow,
    content: Content<'_>,
    reason: Reason,
    entity_id: Option<i64>,
) -> Outcome {
    let fields = merge::losing(target, None, content.body, None);
    Outcome {
        entity_id,
        row: RowOutcome::of("done", Some(reason.name())),
        record: None,
        agreed: None,
        conflict: Some(ConflictOutcome { fields, ..conflict(reason, row, Some(content.hash)) }),
        reassert: false,
    }
}

/// A person must say whose it is.
pub(super) fn ambiguous(
    target: Target,
    row: &InboxRow,
    content: Content<'_>,
    candidates: Vec<EntityRef>,
) -> Outcome {
    let outcome = of_nobody(target, row, content, Reason::Ambiguous, None);
    let candidate_type = candidates.first().map(|candidate| candidate.entity_type);
    let candidates = candidates.iter().map(|candidate| candidate.id).collect();
    Outcome {
        row: RowOutcome::of("held", Some(Reason::Ambiguous.name())),
        conflict: outcome.conflict.map(|conflict| ConflictOutcome {
            candidates,
            candidate_type,
            ..conflict
        }),
        ..outcome
    }
}

/// The fields of `wanted` that the EMS shows otherwise.
fn differing(ems: &Value, wanted: &Map<String, Value>) -> Vec<LosingField> {
    let of = |name: &String| ems.get(name).cloned().unwrap_or(Value::Null);
    wanted
        .iter()
        .filter(|(name, value)| of(name) != **value)
        .map(|(name, value)| LosingField {
            field: name.clone(),
            ems_value: of(name),
            remote_value: value.clone(),
        })
        .collect()
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

/// Its push's end makes it due.
pub(super) fn later(entity: EntityRef) -> Outcome {
    let row = RowOutcome {
        due_ms: millis(limits::INBOUND_LATER_AFTER),
        waits_for: Some(entity.to_string()),
        ..RowOutcome::of("pending", Some("pushed_now"))
    };
    decided(entity, row)
}

pub(super) fn waits(entity: Option<EntityRef>, reason: Option<&'static str>) -> Outcome {
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

/// It is looked at again ever later; that its parent has come makes it due.
pub(super) fn waits_for_parent(row: &InboxRow, id: Option<i64>) -> Outcome {
    let mut outcome = Outcome { entity_id: id, ..waits(None, Some("waiting_for_parent")) };
    let age = std::time::Duration::try_from_secs_f64(row.age).unwrap_or_default();
    let least = limits::INBOUND_WAITS_MIN;
    outcome.row.due_ms = millis(age.clamp(least, limits::INBOUND_WAITS_MAX));
    outcome
}

/// The entity has the successor's record from now on; what that one holds is taken as a change. Until it is, the record says what
/// the old one held: a push finds that the successor holds something else, and does not move anybody back.
pub(super) fn moved(row: &InboxRow, entity: EntityRef, record: &InboundRecord) -> Outcome {
    let mut outcome = decided(entity, RowOutcome::of("deleted", Some("moved")));
    if let Standing::Removed { successor, .. } = &row.shape {
        outcome.record = Some(RecordOutcome {
            remote_id: successor.clone(),
            remote_hash: record.remote_hash.map(ContentHash::to_hex),
            ..RecordOutcome::default()
        });
    }
    outcome
}

pub(super) fn forgotten_there(entity: EntityRef) -> Outcome {
    let mut outcome = decided(entity, RowOutcome::of("deleted", None));
    outcome.record = Some(RecordOutcome { ending: Some("gone"), ..RecordOutcome::default() });
    outcome
}

fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
