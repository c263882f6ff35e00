//! `ems-sync target approve|reject`: a person decides about what the guard holds: deletes, and what was taken back or taken out at
//! the target.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::{ApproveArgs, TargetArgs};
use super::target::by_of;
use super::{Exit, adapters, output};
use crate::broker::{Outgoing, Publisher, Queue};
use crate::config::Config;
use crate::delivery::{Cause, Delivery};
use crate::entity::{EntityRef, EntityType};
use crate::error_chain::chain;
use crate::limits;
use crate::ops::status::state_of;
use crate::store::{ConsentRefused, ConsentsDecided, Store, StoreError};
use crate::target::Target;

/// What was decided.
#[derive(Debug, PartialEq, Serialize)]
struct Document {
    target: Target,
    /// What was ordered.
    order: &'static str,
    /// How many deletes it concerned; 0 when none was held.
    deletes: usize,
    /// The same by type, parents first.
    by_type: Vec<OfType>,
    /// How many removals there it concerned: they are decided about within seconds.
    removals: u64,
    /// How many consents it concerned that were taken back there.
    consents: u64,
    /// How many rows of the EMS that changed.
    consents_taken: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct OfType {
    entity: EntityType,
    deletes: usize,
}

pub(super) async fn approve(config: &Config, args: ApproveArgs) -> anyhow::Result<Exit> {
    let (store, publisher) = adapters(config, "target")?;
    let target = args.target.target;
    let by = by_of(&args.target);
    let approved = store.decide_deletes(target, true, args.kept, &by).await?;
    let removals = store.decide_removals(target, true, args.kept, &by).await?;
    let consents = store.decide_consents(target, true, args.kept, &by).await?;
    for refused in &consents.refused {
        let ConsentRefused { person, sqlstate } = refused;
        tracing::warn!(target.name = %target, person, sqlstate, "The EMS refuses a consent that was taken back");
    }
    show(&document(target, "approve", &approved, removals, &consents), &args.target)?;
    if config.targets.enabled().contains(&target) {
        publish(&store, &publisher, target, approved).await?;
    }
    Ok(Exit::Fine)
}

pub(super) async fn reject(config: &Config, args: TargetArgs) -> anyhow::Result<Exit> {
    let (store, _) = adapters(config, "target")?;
    let by = by_of(&args);
    let rejected = store.decide_deletes(args.target, false, false, &by).await?;
    let removals = store.decide_removals(args.target, false, false, &by).await?;
    let consents = store.decide_consents(args.target, false, false, &by).await?;
    show(&document(args.target, "reject", &rejected, removals, &consents), &args)?;
    Ok(Exit::Fine)
}

/// Tells the consumers at once. What does not fit, or a broker that is away, is left to the republish scan.
async fn publish(
    store: &Store,
    publisher: &Publisher,
    target: Target,
    mut entities: Vec<EntityRef>,
) -> Result<(), StoreError> {
    if entities.is_empty()
        || !state_of(&store.target_states().await?, target)?.is_open_for_business()
    {
        return Ok(());
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
    Ok(())
}

fn document(
    target: Target,
    order: &'static str,
    entities: &[EntityRef],
    removals: u64,
    consents: &ConsentsDecided,
) -> Document {
    let mut by_type: BTreeMap<EntityType, usize> = BTreeMap::new();
    for entity in entities {
        *by_type.entry(entity.entity_type).or_default() += 1;
    }
    let of_type = |(entity, deletes)| OfType { entity, deletes };
    Document {
        target,
        order,
        deletes: entities.len(),
        by_type: by_type.into_iter().map(of_type).collect(),
        removals,
        consents: consents.decided,
        consents_taken: consents.changed,
    }
}

fn show(document: &Document, args: &TargetArgs) -> anyhow::Result<()> {
    if args.json { output::json(document) } else { output::text(&shown(document)) }
}

fn shown(document: &Document) -> String {
    let told: Vec<_> =
        [deletes(document), removals(document), consents(document)].into_iter().flatten().collect();
    if told.is_empty() {
        return format!("Nothing is held at `{}` that is not decided about", document.target);
    }
    told.join("\n")
}

fn deletes(document: &Document) -> Option<String> {
    let target = document.target;
    let types: Vec<_> =
        document.by_type.iter().map(|of| format!("{} {}", of.deletes, of.entity)).collect();
    let what =
        if document.order == "approve" { "are sent to" } else { "are rejected: these stay at" };
    let plural = if document.deletes == 1 { "delete" } else { "deletes" };
    let text = format!("{} {plural} {what} `{target}`: {}", document.deletes, types.join(", "));
    (document.deletes > 0).then_some(text)
}

fn removals(document: &Document) -> Option<String> {
    let Document { target, removals, .. } = document;
    let what =
        if document.order == "approve" { "taken in" } else { "rejected: the EMS keeps them" };
    (*removals > 0)
        .then(|| format!("{removals} records that were taken out at `{target}` are {what}"))
}

fn consents(document: &Document) -> Option<String> {
    let Document { target, consents, consents_taken, .. } = document;
    let text = if document.order == "approve" {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_many_of_which_types_is_told() {
        let entities = [
            EntityRef::new(EntityType::Tag, 1),
            EntityRef::new(EntityType::Person, 2),
            EntityRef::new(EntityType::Tag, 3),
        ];
        let no_consent = ConsentsDecided::default();
        let approved = document(Target::TagServer, "approve", &entities, 0, &no_consent);
        assert_eq!(shown(&approved), "3 deletes are sent to `tagserver`: 1 person, 2 tag");
        assert_eq!(
            serde_json::to_value(&approved).unwrap(),
            json!({"target": "tagserver", "order": "approve", "deletes": 3,
                   "by_type": [{"entity": "person", "deletes": 1}, {"entity": "tag", "deletes": 2}],
                   "removals": 0, "consents": 0, "consents_taken": 0})
        );
        let rejected = document(Target::TagServer, "reject", &entities, 0, &no_consent);
        let text = "3 deletes are rejected: these stay at `tagserver`: 1 person, 2 tag";
        assert_eq!(shown(&rejected), text);
        let none = document(Target::TagServer, "approve", &[], 0, &no_consent);
        assert_eq!(shown(&none), "Nothing is held at `tagserver` that is not decided about");
        let some = ConsentsDecided { decided: 3, changed: 2, refused: Vec::new() };
        assert_eq!(
            shown(&document(Target::MailChimp, "approve", &[], 2, &some)),
            "2 records that were taken out at `mailchimp` are taken in\n3 consents were taken back at `mailchimp`: 2 rows of the EMS changed"
        );
    }
}
