//! What the guard holds for a person, and a person's decision about it: deletes, what records would lose, and what was taken out or
//! taken back at the target. The same for the command line and the console.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::broker::{Outgoing, Publisher, Queue};
use crate::delivery::{Cause, Delivery};
use crate::entity::{EntityRef, EntityType};
use crate::error_chain::chain;
use crate::limits;
use crate::ops::status::state_of;
use crate::store::{
    ConsentRefused, HeldCount, HeldDecided, HeldItem, HeldNow, HoldDecision, Store, StoreError,
};
use crate::target::Target;

/// What is held of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The target.
    pub target: Target,
    /// How much that nobody has decided about.
    pub undecided: i64,
    /// A word for all that is held: who decides about exactly this says so with it.
    pub seen: String,
    /// How much of which kind and type, the undecided first.
    pub counts: Vec<HeldCount>,
    /// What it is; of each kind and type at most [`crate::limits::HELD_SHOWN`], the undecided first.
    pub rows: Vec<HeldItem>,
}

/// Reads what is held.
///
/// # Errors
/// [`StoreError`].
pub async fn held(store: &Store, target: Target) -> Result<Held, StoreError> {
    let HeldNow { undecided, counts, rows, seen } = store.held(target).await?;
    Ok(Held { target, undecided, seen, counts, rows })
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// The target.
    pub target: Target,
    /// `approve` or `reject`.
    pub order: &'static str,
    /// How many deletes it concerned.
    pub deletes: usize,
    /// How many records it concerned that lose a consent or the content of a field.
    pub lessens: usize,
    /// Both by type, parents first.
    pub by_type: Vec<OfType>,
    /// How many removals there it concerned: they are decided about within seconds.
    pub removals: u64,
    /// How many consents it concerned that were taken back there.
    pub consents: u64,
    /// How many rows of the EMS that changed.
    pub consents_taken: u64,
    /// So much joined after they looked: it is held yet, and nobody has decided about it.
    pub undecided: i64,
}

/// How many of a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfType {
    /// The type.
    pub entity: EntityType,
    /// Deletes.
    pub deletes: usize,
    /// Records that lose something.
    pub lessens: usize,
}

/// Decides about what is held, in one transaction with its lines of the audit trail, and tells the consumers. What joined after the
/// person looked stays held. `None`: what they saw is held no more, or has changed, and nothing was decided.
///
/// # Errors
/// [`StoreError`]; then nothing was decided.
pub async fn decide(
    store: &Store,
    publisher: &Publisher,
    enabled: &[Target],
    decision: HoldDecision<'_>,
) -> Result<Option<Decided>, StoreError> {
    let target = decision.target;
    let Some(done) = store.decide_held(&decision).await? else { return Ok(None) };
    for refused in &done.consents.refused {
        let ConsentRefused { person, sqlstate } = refused;
        tracing::warn!(target.name = %target, person, sqlstate, "The EMS refuses a consent that was taken back");
    }
    let decided = decided(decision, &done);
    if decision.approves && enabled.contains(&target) {
        let entities = done.records.into_iter().map(|record| record.entity).collect();
        publish(store, publisher, target, entities).await;
    }
    Ok(Some(decided))
}

/// What a person is told whose decision was about something that is not held any more as they saw it.
#[must_use]
pub fn not_as_seen(target: Target) -> String {
    format!(
        "Nothing was decided: something that was looked at has changed at `{target}`, or is not held any more. This is held now."
    )
}

/// Tells the consumers at once. What does not fit, or a broker that is away, is left to the republish scan.
async fn publish(
    store: &Store,
    publisher: &Publisher,
    target: Target,
    mut entities: Vec<EntityRef>,
) {
    let states = store.target_states().await;
    let is_open = states.and_then(|states| Ok(state_of(&states, target)?.is_open_for_business()));
    if entities.is_empty() || !is_open.unwrap_or(false) {
        return;
    }
    // Children first, as they are deleted.
    entities.sort_unstable_by(|a, b| b.cmp(a));
    entities.truncate(usize::try_from(limits::REPUBLISH_BATCH_ROWS).unwrap_or_default());
    let queue = Queue::outbound(target);
    let now = jiff::Timestamp::now();
    let messages: Vec<_> = entities
        .into_iter()
        .map(|entity| Outgoing {
            queue,
            delivery: Delivery::new(target, entity, Cause::Change, now),
        })
        .collect();
    if let Err(error) = publisher.publish(&messages).await {
        tracing::warn!(error = %chain(&error), "Decided, but not published now: it begins within seconds");
    }
}

fn decided(decision: HoldDecision<'_>, done: &HeldDecided) -> Decided {
    let HeldDecided { records, removals, consents, undecided } = done;
    let mut by_type: BTreeMap<EntityType, (usize, usize)> = BTreeMap::new();
    for record in records {
        let (deletes, lessens) = by_type.entry(record.entity.entity_type).or_default();
        *if record.is_gone { deletes } else { lessens } += 1;
    }
    let of_type = |(entity, (deletes, lessens))| OfType { entity, deletes, lessens };
    let by_type: Vec<OfType> = by_type.into_iter().map(of_type).collect();
    Decided {
        target: decision.target,
        order: if decision.approves { "approve" } else { "reject" },
        deletes: by_type.iter().map(|of| of.deletes).sum(),
        lessens: by_type.iter().map(|of| of.lessens).sum(),
        by_type,
        removals: *removals,
        consents: consents.decided,
        consents_taken: consents.changed,
        undecided: *undecided,
    }
}

impl Decided {
    /// What was decided, a line per kind.
    #[must_use]
    pub fn words(&self) -> String {
        let kinds =
            [self.deletes(), self.lessens(), self.removals(), self.consents(), self.joined()];
        let told: Vec<_> = kinds.into_iter().flatten().collect();
        if told.is_empty() {
            return format!("Nothing is held at `{}` that is not decided about", self.target);
        }
        told.join("\n")
    }

    fn is_approved(&self) -> bool {
        self.order == "approve"
    }

    fn of_types(&self, count: impl Fn(&OfType) -> usize) -> String {
        let types = self.by_type.iter().filter(|of| count(of) > 0);
        types.map(|of| format!("{} {}", count(of), of.entity)).collect::<Vec<_>>().join(", ")
    }

    fn deletes(&self) -> Option<String> {
        let Self { target, deletes, .. } = self;
        let what = match (self.is_approved(), *deletes) {
            (true, 1) => "delete is sent to",
            (true, _) => "deletes are sent to",
            (false, 1) => "delete is rejected: it stays at",
            (false, _) => "deletes are rejected: these stay at",
        };
        let types = self.of_types(|of| of.deletes);
        (*deletes > 0).then(|| format!("{deletes} {what} `{target}`: {types}"))
    }

    fn lessens(&self) -> Option<String> {
        let Self { target, lessens, .. } = self;
        let what = match (self.is_approved(), *lessens) {
            (true, 1) => "record that loses consents or fields is pushed to",
            (true, _) => "records that lose consents or fields are pushed to",
            (false, 1) => "record keeps what the EMS has no more of its consents and fields at",
            (false, _) => "records keep what the EMS has no more of their consents and fields at",
        };
        let types = self.of_types(|of| of.lessens);
        (*lessens > 0).then(|| format!("{lessens} {what} `{target}`: {types}"))
    }

    fn removals(&self) -> Option<String> {
        let Self { target, removals, .. } = self;
        let what = if self.is_approved() { "taken in" } else { "rejected: the EMS keeps them" };
        (*removals > 0)
            .then(|| format!("{removals} records that were taken out at `{target}` are {what}"))
    }

    fn consents(&self) -> Option<String> {
        let Self { target, consents, consents_taken, .. } = self;
        let text = if self.is_approved() {
            format!(
                "{consents} consents were taken back at `{target}`: {consents_taken} rows of the EMS changed"
            )
        } else {
            format!(
                "{consents} consents that were taken back at `{target}` are rejected: the EMS keeps them"
            )
        };
        (*consents > 0).then_some(text)
    }

    fn joined(&self) -> Option<String> {
        let Self { target, undecided, .. } = self;
        (*undecided > 0).then(|| {
            format!(
                "{undecided} more joined since at `{target}`, and nothing was decided about them: look again"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{ConsentsDecided, DecidedHold};

    fn of(target: Target, approves: bool, done: &HeldDecided) -> Decided {
        decided(HoldDecision { target, approves, kept: false, by: "somebody", seen: None }, done)
    }

    #[test]
    fn how_many_of_which_types_is_told() {
        let gone = |entity_type, id| DecidedHold {
            entity: EntityRef::new(entity_type, id),
            is_gone: true,
        };
        let records =
            vec![gone(EntityType::Tag, 1), gone(EntityType::Person, 2), gone(EntityType::Tag, 3)];
        let done = HeldDecided { records, ..HeldDecided::default() };
        let approved = of(Target::TagServer, true, &done);
        assert_eq!(approved.words(), "3 deletes are sent to `tagserver`: 1 person, 2 tag");
        assert_eq!(
            serde_json::to_value(&approved).unwrap(),
            json!({"target": "tagserver", "order": "approve", "deletes": 3, "lessens": 0,
                   "by_type": [{"entity": "person", "deletes": 1, "lessens": 0},
                               {"entity": "tag", "deletes": 2, "lessens": 0}],
                   "removals": 0, "consents": 0, "consents_taken": 0, "undecided": 0})
        );
        let rejected = of(Target::TagServer, false, &done);
        assert_eq!(
            rejected.words(),
            "3 deletes are rejected: these stay at `tagserver`: 1 person, 2 tag"
        );
        let nothing = of(Target::TagServer, true, &HeldDecided::default());
        assert_eq!(nothing.words(), "Nothing is held at `tagserver` that is not decided about");
        let consents = ConsentsDecided { decided: 3, changed: 2, refused: Vec::new() };
        let inbound = HeldDecided { removals: 2, consents, undecided: 4, ..HeldDecided::default() };
        assert_eq!(
            of(Target::MailChimp, true, &inbound).words(),
            "2 records that were taken out at `mailchimp` are taken in\n3 consents were taken back at `mailchimp`: 2 rows of the EMS changed\n\
             4 more joined since at `mailchimp`, and nothing was decided about them: look again"
        );
    }

    #[test]
    fn an_opt_out_is_called_no_delete() {
        let person = EntityRef::new(EntityType::Person, 2);
        let records = vec![DecidedHold { entity: person, is_gone: false }];
        let done = HeldDecided { records, ..HeldDecided::default() };
        for approves in [true, false] {
            let decided = of(Target::Mautic, approves, &done);
            assert_eq!((decided.deletes, decided.lessens), (0, 1));
            let words = decided.words();
            assert!(!words.contains("delete") && words.contains("1 person"), "{words}");
        }
    }
}
