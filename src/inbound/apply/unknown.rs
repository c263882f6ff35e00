//! Remote records that nobody knows, or that were those of entities that the EMS has deleted: whose they are, and what becomes of
//! them.

use serde_json::{Map, Value, json};

use super::Applier;
use super::deciding::{Content, Verdict, not_ours, pushing};
use super::taking::{self, Showing, Taking, later, rejected, waits};
use crate::entity::EntityRef;
use crate::inbound::decision::{
    self, Candidate, Decision, Ems, Found, Input, Mapping, Pushing, Reason, Shows, Unknown,
};
use crate::inbound::merge;
use crate::limits;
use crate::remote::Remote;
use crate::remote::inbound::LET_GO;
use crate::store::StoreError;
use crate::store::inbound::{FOR_REMOVAL, Inbound, InboundRecord, InboxRow, Standing, Taken};

impl<R: Remote> Applier<R> {
    /// The record was that of an entity that the EMS has deleted.
    pub(super) async fn forgotten(
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

    /// A record that nobody knows: it is found out whose it is, and it becomes theirs, or something new. `None`: it is to be read
    /// again.
    pub(super) async fn unknown(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        content: Content<'_>,
    ) -> Result<Option<Verdict>, StoreError> {
        let verdict = |name, outcome| Ok(Some(Verdict { decision: "match", name, outcome }));
        let target = self.remote.target();
        let mut fields = taking::all_fields(row, content);
        let whose = self.whose(inbound, row, content, &mut fields).await?;
        let entity = match whose {
            Whose::Several(candidates) => {
                let outcome = taking::ambiguous(target, row, content, candidates);
                return verdict("ambiguous", outcome);
            }
            Whose::Nobody => {
                return self.create(inbound, row, content, fields).await.map(Some);
            }
            Whose::Forgotten(id) => return self.forgotten(inbound, row, id).await,
            Whose::Of(entity) => entity,
        };
        let (record, showing) = self.locked(inbound, row, entity).await?;
        let left_behind = self.left_behind(row, entity, content, record.as_ref(), &showing);
        let candidate = candidate(row, record.as_ref(), &showing, left_behind);
        let found = decision::unknown(Found::One(candidate));
        let taking = match found {
            Unknown::Later => return verdict("pushed_now", later(entity)),
            Unknown::Reread => return Ok(None),
            Unknown::Wait => {
                return verdict(FOR_REMOVAL, waits(Some(entity), Some(FOR_REMOVAL)));
            }
            Unknown::Tombstone => {
                let reason = Reason::Tombstone;
                let outcome = taking::of_nobody(target, row, content, reason, Some(entity.id));
                return verdict(reason.name(), outcome);
            }
            Unknown::LeftBehind => return Ok(Some(not_ours("done"))),
            Unknown::Ambiguous => {
                let outcome = taking::ambiguous(target, row, content, vec![entity]);
                return verdict("ambiguous", outcome);
            }
            // Where the EMS shows nothing, itself takes only what it lacks.
            Unknown::Adopt | Unknown::Complete => Taking {
                reason: Reason::Unpushed,
                takes_all: false,
                is_new: true,
                completes: true,
                ..Taking::of(self.fill(row, entity, content, record.as_ref(), &showing))
            },
            Unknown::AdoptWhole | Unknown::Create => {
                Taking { is_new: true, ..Taking::whole(content) }
            }
        };
        let outcome =
            self.take(inbound, row, entity, content, record.as_ref(), &showing, taking).await?;
        verdict("adopted", outcome)
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

    /// Whose it may be: as a person said, whose it was, or as the EMS's rules find. Those also say whether it is whose it says that
    /// it is: whoever registers somewhere may type any number.
    async fn whose(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        content: Content<'_>,
        fields: &mut Map<String, Value>,
    ) -> Result<Whose, StoreError> {
        if let Some(id) = row.chosen_itself() {
            return Ok(Whose::Of(EntityRef::new(row.entity_type, id)));
        }
        if let Some(entity) = self.wanting(inbound, row).await? {
            return Ok(Whose::Of(entity));
        }
        let of = Value::Object(fields.clone());
        if let Some(id) = row.forgotten.filter(|_| row.chosen.is_empty()) {
            let carried = self.carried_by(inbound, row, &of).await?;
            return Ok(carried.map_or(Whose::Forgotten(id), Whose::Of));
        }
        if let Some(id) = row.former {
            let carried = self.carried_by(inbound, row, &of).await?;
            return Ok(Whose::Of(carried.unwrap_or(EntityRef::new(row.entity_type, id))));
        }
        let found = inbound.matches(row.entity_type, &of, limits::INBOUND_CANDIDATES_MAX).await?;
        let (itself, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|entity| entity.entity_type == row.entity_type);
        match itself.as_slice() {
            [] => {}
            [entity] => return Ok(Whose::Of(*entity)),
            _ => return Ok(Whose::Several(itself)),
        }
        if let Some(entity) = self.being_made(inbound, row).await? {
            return Ok(Whose::Of(entity));
        }
        if let Some(id) = self.deleted_here(inbound, row, content).await? {
            return Ok(Whose::Forgotten(id));
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
}

impl<R: Remote> Applier<R> {
    /// What the EMS takes of a record that becomes an entity's, and what loses. What we wrote ourselves does neither, nor does what it
    /// held as somebody's; and of what it held as somebody else's nothing is taken.
    fn fill(
        &self,
        row: &InboxRow,
        entity: EntityRef,
        content: Content<'_>,
        record: Option<&InboundRecord>,
        showing: &Showing,
    ) -> merge::Merged {
        if record.is_some_and(|record| record.sent.contains(&content.hash)) {
            return merge::Merged::default();
        }
        let own = record.and_then(|record| record.agreed.as_ref()).map(|agreed| &agreed.remote);
        let agreed: Vec<_> = row.former_holds.iter().chain(own).collect();
        let takes = row.former.or(row.forgotten).is_none_or(|id| id == entity.id);
        let ems = showing.body().unwrap_or(&Value::Null);
        merge::fill(self.remote.target(), ems, content.body, &agreed, takes)
    }

    /// Whether it was the entity's own record, which was left behind, and nothing was entered there since that the entity could take. Where
    /// that one has another record, what we knew of this one is forgotten: its mark vouches for some of it, and of the rest a person is
    /// asked. One that carries an id was given back by people.
    fn left_behind(
        &self,
        row: &InboxRow,
        entity: EntityRef,
        content: Content<'_>,
        record: Option<&InboundRecord>,
        showing: &Showing,
    ) -> bool {
        let Some(vouched_for) = self.remote.leaves_behind() else { return false };
        if row.former != Some(entity.id) || row.carried.is_some() {
            return false;
        }
        let merge::Merged { taken, losing } = self.fill(row, entity, content, record, showing);
        let fields = losing.iter().map(|field| &field.field);
        let mut entered = taken.keys().chain(fields).map(String::as_str);
        let is_marked = content.extra.get(LET_GO) == Some(&Value::Bool(true));
        match record.is_some_and(|record| record.remote_id.is_some()) {
            true => is_marked && entered.all(|field| vouched_for.contains(&field)),
            false => entered.next().is_none(),
        }
    }

    /// Whose it says that it is, where it was somebody else's once: people have merged the record of another one into it. The EMS's
    /// rules must bear that out, as anybody may type a number.
    async fn carried_by(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        of: &Value,
    ) -> Result<Option<EntityRef>, StoreError> {
        let Some(entity) = row.carries_another() else { return Ok(None) };
        let found = inbound.matches(row.entity_type, of, limits::INBOUND_CANDIDATES_MAX).await?;
        let itself: Vec<_> =
            found.into_iter().filter(|found| found.entity_type == row.entity_type).collect();
        Ok((itself == [entity]).then_some(entity))
    }

    /// The entity whose create has found it, if that is there still and has found no other one.
    async fn wanting(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
    ) -> Result<Option<EntityRef>, StoreError> {
        let Some(id) = row.wanted_by else { return Ok(None) };
        let entity = EntityRef::new(row.entity_type, id);
        let (record, showing) = self.locked(inbound, row, entity).await?;
        let has_none = record.is_some_and(|record| record.remote_id.is_none());
        Ok((has_none && showing.is_there).then_some(entity))
    }

    /// Whose it says that it is, where that may well be a create of ours that is under way, or that nobody has heard the answer of
    /// while the EMS deleted the entity.
    async fn being_made(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
    ) -> Result<Option<EntityRef>, StoreError> {
        let Some(id) = row.carried else { return Ok(None) };
        let entity = EntityRef::new(row.entity_type, id);
        let (record, showing) = self.locked(inbound, row, entity).await?;
        let is_ours = |record: &InboundRecord| {
            record.remote_id.is_none()
                && (record.pushed_now || record.intended && !showing.is_there)
        };
        Ok(record.is_some_and(|record| is_ours(&record)).then_some(entity))
    }
}

impl<R: Remote> Applier<R> {
    /// Whose it says that it is, where the EMS has deleted that one since, and the record is still as it was in what identifies somebody:
    /// people there have moved what was left of it, under another id.
    async fn deleted_here(
        &self,
        inbound: &Inbound<'_>,
        row: &InboxRow,
        content: Content<'_>,
    ) -> Result<Option<i64>, StoreError> {
        let fields = self.remote.identifying_fields(row.entity_type);
        let Some(id) = row.carried.filter(|_| !fields.is_empty() && row.chosen.is_empty()) else {
            return Ok(None);
        };
        let (record, showing) =
            self.locked(inbound, row, EntityRef::new(row.entity_type, id)).await?;
        let agreed = record.filter(|_| !showing.is_there).and_then(|record| record.agreed);
        let target = self.remote.target();
        let is_theirs = agreed
            .is_some_and(|agreed| merge::has_kept_one_of(target, &agreed, content.body, fields));
        Ok(is_theirs.then_some(id))
    }
}

/// Whose a record is.
enum Whose {
    Nobody,
    /// Of an entity that the EMS has deleted since.
    Forgotten(i64),
    Of(EntityRef),
    Several(Vec<EntityRef>),
}

fn candidate(
    row: &InboxRow,
    record: Option<&InboundRecord>,
    showing: &Showing,
    left_behind: bool,
) -> Candidate {
    Candidate {
        pushing: record.map_or(Pushing::Quiet, pushing),
        has_another: record.is_some_and(|record| record.remote_id.is_some()),
        waited_long: row.age >= limits::SECOND_RECORD_WAITS.as_secs_f64(),
        tombstone: !showing.is_there,
        chosen: !row.chosen.is_empty(),
        left_behind,
        showing: match (&showing.wire, showing.is_covered) {
            (Some(_), _) => Shows::Comparable,
            (None, true) => Shows::Nothing,
            (None, false) => Shows::Never,
        },
    }
}
