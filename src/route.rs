//! For whom a change matters: from changed entities to what each target is to be owed. Pure.
//!
//! Changes of one batch are coalesced by entity. The result stands in key order, so that two relays that owe the
//! same entities can't deadlock, and parents' types come before their children's.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::capture::change::{Change, Op};
use crate::delivery::{Cause, Delivery};
use crate::entity::{EntityRef, EntityType};
use crate::target::Target;

/// Entities of one type that one target is to be owed.
#[derive(Debug, Clone, PartialEq)]
pub struct Owing {
    /// The target.
    pub target: Target,
    /// Their type.
    pub entity_type: EntityType,
    /// Their ids, with when each changed and in which trace.
    pub entities: Vec<(i64, Timestamp, Option<String>)>,
    /// Why.
    pub cause: Cause,
    /// Published only while the queue is short.
    pub bulk: bool,
    /// No hash proves anything about them: push, whatever was pushed last.
    pub in_doubt: bool,
}

impl Owing {
    /// The deliveries that tell a consumer of it.
    pub fn deliveries(&self) -> impl Iterator<Item = Delivery> {
        self.entities.iter().map(|(id, changed_on, traceparent)| {
            let entity = EntityRef::new(self.entity_type, *id);
            let mut delivery = Delivery::new(self.target, entity, self.cause, *changed_on);
            delivery.traceparent.clone_from(traceparent);
            delivery
        })
    }
}

/// An entity type whose table was emptied: which entities are gone must be looked for.
pub type Truncated = EntityType;

/// What the changes make each of the `targets` owed.
#[must_use]
pub fn route(changes: &[Change], targets: &[Target]) -> Vec<Owing> {
    let mut coalesced: BTreeMap<(EntityType, i64), (Timestamp, Option<String>)> = BTreeMap::new();
    for change in changes {
        let Some(entity) = change.entity else { continue };
        if change.op == Op::Truncated {
            continue;
        }
        let latest = coalesced
            .entry((entity.entity_type, entity.id))
            .or_insert_with(|| (change.changed_on, None));
        latest.0 = latest.0.min(change.changed_on);
        if change.traceparent.is_some() {
            latest.1.clone_from(&change.traceparent);
        }
    }
    let mut owings: BTreeMap<(Target, EntityType), Owing> = BTreeMap::new();
    for ((entity_type, id), (changed_on, traceparent)) in coalesced {
        for target in targets.iter().copied().filter(|target| target.covers(entity_type)) {
            let owing = owings.entry((target, entity_type)).or_insert_with(|| Owing {
                target,
                entity_type,
                entities: Vec::new(),
                cause: Cause::Change,
                bulk: false,
                in_doubt: false,
            });
            owing.entities.push((id, changed_on, traceparent.clone()));
        }
    }
    owings.into_values().collect()
}

/// The entity types whose tables were emptied.
#[must_use]
pub fn truncated(changes: &[Change]) -> Vec<Truncated> {
    let mut types: Vec<_> = changes
        .iter()
        .filter(|change| change.op == Op::Truncated)
        .filter_map(|change| change.entity.map(|entity| entity.entity_type))
        .collect();
    types.sort_unstable();
    types.dedup();
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(position: i64, entity_type: EntityType, id: i64, op: Op) -> Change {
        Change {
            position,
            entity: Some(EntityRef::new(entity_type, id)),
            op,
            changed_on: Timestamp::from_second(1_000 + position).unwrap(),
            traceparent: Some(format!("trace-{position}")),
        }
    }

    #[test]
    fn changes_of_one_entity_are_one_with_the_oldest_time_and_the_newest_trace() {
        let changes = [
            change(1, EntityType::Person, 7, Op::Written),
            change(2, EntityType::Person, 7, Op::Deleted),
        ];
        let owings = route(&changes, &[Target::TagServer]);
        assert_eq!(owings.len(), 1);
        let expected = (7, Timestamp::from_second(1_001).unwrap(), Some("trace-2".to_owned()));
        assert_eq!(owings[0].entities, [expected]);
    }

    #[test]
    fn a_change_goes_to_the_targets_that_cover_its_type_parents_first_in_key_order() {
        let changes = [
            change(1, EntityType::Tag, 2, Op::Written),
            change(2, EntityType::Tag, 1, Op::Written),
            change(3, EntityType::Person, 9, Op::Written),
            change(4, EntityType::Conversation, 4, Op::Written),
        ];
        let owings = route(&changes, &Target::ALL);
        let keys: Vec<_> = owings.iter().map(|o| (o.target, o.entity_type)).collect();
        assert_eq!(
            keys,
            [
                (Target::TagServer, EntityType::Person),
                (Target::TagServer, EntityType::Tag),
                (Target::Mautic, EntityType::Person),
                (Target::MailChimp, EntityType::Person),
                (Target::RunSignup, EntityType::Person),
                (Target::Chatwoot, EntityType::Person),
            ]
        );
        let ids: Vec<_> = owings[1].entities.iter().map(|e| e.0).collect();
        assert_eq!(ids, [1, 2]);
        assert!(route(&changes, &[]).is_empty());
    }

    #[test]
    fn a_truncation_owes_nothing_by_itself_and_names_its_type() {
        let changes = [change(1, EntityType::Race, 0, Op::Truncated)];
        assert!(route(&changes, &Target::ALL).is_empty());
        assert_eq!(truncated(&changes), [EntityType::Race]);
    }

    #[test]
    fn a_type_that_this_version_does_not_know_is_left_out() {
        let mut unknown = change(1, EntityType::Tag, 1, Op::Written);
        unknown.entity = None;
        assert!(route(&[unknown], &Target::ALL).is_empty());
    }
}
