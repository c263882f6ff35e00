//! The explanation of an entity: its state at every target, why, and what happens next.
//!
//! Reads Postgres only, some targets side by side, of each the outbox first, then the projection, then the record: whatever the relay and the
//! consumers do meanwhile, a change that is not pushed is never shown as synced. Holds no personal data: entities
//! are named by type and id.

mod situation;
mod verdict;

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::ops::status::state::Shown;
use crate::ops::status::state_of;
use crate::store::{AttemptRow, InboundOf, Projected, RecordRow, Store, StoreError, TargetState};
use crate::target::Target;

pub use situation::Situation;
pub use verdict::{Evidence, Verdict, judge};

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// One row per entity and target, all five targets.
    pub targets: Vec<ExplainRow>,
    /// What was searched for is known of more entities: these are the newest.
    pub more: bool,
    /// The events of what was found by a bib number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventOf>,
}

/// The event that an entity belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventOf {
    /// The entity's type.
    pub entity: EntityType,
    /// Its EMS id.
    pub id: i64,
    /// The EMS id of the event.
    pub event: i64,
    /// Its name, where the EMS shows one.
    pub name: Option<String>,
}

/// What a person means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The entities, the newest first where there are many.
    pub entities: Vec<EntityRef>,
    /// There are more.
    pub more: bool,
    /// The events of what was found by a bib number.
    pub events: Vec<EventOf>,
}

impl EventOf {
    /// The event in words.
    #[must_use]
    pub fn words(&self) -> String {
        let name = self.name.as_deref().map_or_else(String::new, |name| format!(", {name}"));
        format!("event {}{name}", self.event)
    }

    /// The one of this entity.
    #[must_use]
    pub fn of(events: &[Self], of: EntityRef) -> Option<&Self> {
        events.iter().find(|event| (event.entity, event.id) == (of.entity_type, of.id))
    }
}

/// An entity at a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainRow {
    /// The target.
    pub target: Target,
    /// The entity's type.
    pub entity: EntityType,
    /// The EMS id.
    pub id: i64,
    /// The state.
    pub state: Shown,
    /// Why, in `snake_case`.
    pub reason: String,
    /// What people are told, of a closed list ([`Situation::NAMES`]).
    pub situation: &'static str,
    /// The same in a few words, with whom, when or why.
    pub says: String,
    /// Its id at the target.
    pub remote_id: Option<String>,
    /// The version that the EMS shows to the target.
    pub last_change: Option<Timestamp>,
    /// The version that was pushed.
    pub pushed_version: Option<Timestamp>,
    /// The oldest change that is not pushed.
    pub owed_since: Option<Timestamp>,
    /// When it was last pushed.
    pub last_push: Option<Timestamp>,
    /// When it was last pulled.
    pub last_pull: Option<Timestamp>,
    /// What was pushed is what the target says it holds; `None` when one of them is not known.
    pub in_sync_hash: Option<bool>,
    /// A write may have happened that no answer confirmed.
    pub in_doubt: bool,
    /// What it waits for, as `type:id`.
    pub waiting_on: Option<String>,
    /// When it is due, if it is owed and not waiting for a person.
    pub due_on: Option<Timestamp>,
    /// When its open dead letter was written.
    pub dead_lettered_on: Option<Timestamp>,
    /// The last error.
    pub last_error: Option<String>,
    /// What comes back of it.
    pub inbound: InboundOf,
    /// The last attempts, newest first.
    pub attempts: Vec<Attempt>,
    /// What happens next, in a sentence.
    pub next: String,
    /// What a person can do.
    pub advice: Option<String>,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// When.
    pub attempted_on: Timestamp,
    /// The decision.
    pub decision: String,
    /// How it ended.
    pub outcome: String,
    /// The class of the failure.
    pub class: Option<String>,
    /// The failure, without anything personal.
    pub error: Option<String>,
    /// How long it took.
    pub duration_ms: i32,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            attempted_on: row.attempted_on,
            decision: row.decision,
            outcome: row.outcome,
            class: row.class,
            error: row.error,
            duration_ms: row.duration_ms,
        }
    }
}

/// Explains an entity; `None` when neither the EMS shows it to any target nor any target's record knows it.
///
/// # Errors
/// [`StoreError`].
pub async fn explain(
    store: &Store,
    enabled: &[Target],
    entity: EntityRef,
) -> Result<Option<Explanation>, StoreError> {
    let states = store.target_states().await?;
    let in_outbox = store.is_in_outbox(entity).await?;
    let rows = Target::ALL.map(|target| {
        let is_enabled = enabled.contains(&target);
        let states = &states;
        Box::pin(async move {
            at_target(store, state_of(states, target)?, is_enabled, entity, in_outbox).await
        })
    });
    let rows: Vec<_> =
        stream::iter(rows).buffered(limits::EXPLAIN_TARGETS_AT_ONCE).try_collect().await?;
    let is_known = rows.iter().any(|(is_known, _)| *is_known);
    let targets = rows.into_iter().map(|(_, row)| row).collect();
    Ok(is_known.then_some(Explanation { targets, more: false, events: Vec::new() }))
}

/// The entity at one target, and whether the projection or a record knows it.
async fn at_target(
    store: &Store,
    state: &TargetState,
    is_enabled: bool,
    entity: EntityRef,
    in_outbox: bool,
) -> Result<(bool, ExplainRow), StoreError> {
    let target = state.target;
    let projected = projected(store, target, entity).await?;
    let record = store.record(target, entity).await?;
    let attempts = store.attempts(target, entity, limits::EXPLAIN_ATTEMPTS).await?;
    let inbound = store.inbound_of(target, entity).await?;
    let is_known = projected.is_some() || record.is_some();
    let evidence = Evidence {
        entity,
        state,
        is_enabled,
        version: projected.as_ref().map(|projected| projected.version),
        consents: projected.as_ref().and_then(|projected| projected.consents.as_deref()),
        record: record.as_ref(),
        in_outbox,
    };
    let verdict = judge(&evidence);
    let situation = Situation::of(&evidence, &verdict);
    let attempts = attempts.into_iter().map(Attempt::from).collect();
    let row = row(target, entity, projected, record, verdict, &situation);
    Ok((is_known, ExplainRow { inbound, attempts, ..row }))
}

/// What the projection shows.
async fn projected(
    store: &Store,
    target: Target,
    entity: EntityRef,
) -> Result<Option<Projected>, StoreError> {
    if target.covers(entity.entity_type) { store.projected(target, entity).await } else { Ok(None) }
}

fn row(
    target: Target,
    entity: EntityRef,
    projected: Option<Projected>,
    record: Option<RecordRow>,
    verdict: Verdict,
    situation: &Situation,
) -> ExplainRow {
    let known = record.as_ref();
    ExplainRow {
        target,
        entity: entity.entity_type,
        id: entity.id,
        state: verdict.state,
        reason: verdict.reason,
        situation: situation.name(),
        says: situation.words(),
        last_change: projected.map(|projected| projected.version),
        pushed_version: known.and_then(|r| r.entity_modified_on),
        owed_since: known.filter(|r| r.is_owed).and_then(|r| r.owed_on),
        last_push: known.and_then(|r| r.entity_synced_on),
        last_pull: known.and_then(|r| r.remote_synced_on),
        in_sync_hash: known.and_then(|r| r.hashes_agree),
        in_doubt: known.is_some_and(|r| r.in_doubt),
        due_on: known.and_then(|r| r.due_on),
        dead_lettered_on: known.and_then(|r| r.dead_lettered_on),
        waiting_on: known.and_then(|r| r.waiting_on.clone()),
        last_error: known.and_then(|r| r.last_error.clone()),
        remote_id: record.and_then(|r| r.remote_id),
        inbound: InboundOf::default(),
        attempts: Vec::new(),
        next: verdict.next,
        advice: verdict.advice,
    }
}

/// How a person names entities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By type and EMS id.
    Entity(EntityRef),
    /// By e-mail address.
    Email(String),
    /// By bib number.
    Bib(String),
    /// By the id at a target.
    Remote(Target, String),
}

impl Named {
    /// What a person means by one line: `person 42`, an address, `mautic:17` (the id at a target), or a bib number.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut words = text.split_whitespace();
        if let (Some(entity_type), Some(id), None) = (words.next(), words.next(), words.next())
            && let (Ok(entity_type), Ok(id)) = (entity_type.parse(), id.parse())
        {
            return Some(Self::Entity(EntityRef::new(entity_type, id)));
        }
        if let Some((target, id)) = text.split_once(':')
            && let Ok(target) = target.trim().parse()
        {
            return Some(Self::Remote(target, id.trim().to_owned()));
        }
        if let Ok(entity) = text.parse() {
            return Some(Self::Entity(entity));
        }
        if text.contains('@') {
            return Some(Self::Email(text.to_owned()));
        }
        (!text.is_empty()).then(|| Self::Bib(text.to_owned()))
    }
}

/// The entities that are meant.
///
/// # Errors
/// [`StoreError`].
pub async fn find(store: &Store, named: &Named) -> Result<Found, StoreError> {
    let mut entities = match named {
        Named::Entity(entity) => vec![*entity],
        Named::Email(email) => store.entities_by_email(email).await?,
        Named::Bib(bib) => store.entities_by_bib(bib).await?,
        Named::Remote(target, id) => store.entities_by_remote_id(*target, id).await?,
    };
    let more = entities.len() > limits::EXPLAIN_FOUND_MAX;
    entities.truncate(limits::EXPLAIN_FOUND_MAX);
    // The same number is worn at many events.
    let events =
        if matches!(named, Named::Bib(_)) { events(store, &entities).await? } else { Vec::new() };
    Ok(Found { entities, more, events })
}

async fn events(store: &Store, entities: &[EntityRef]) -> Result<Vec<EventOf>, StoreError> {
    let mut by_type: BTreeMap<EntityType, Vec<i64>> = BTreeMap::new();
    for of in entities {
        by_type.entry(of.entity_type).or_default().push(of.id);
    }
    let mut events = Vec::new();
    for (entity, ids) in by_type {
        let found = store.events_of(entity, &ids).await?.into_iter();
        events.extend(found.map(|(id, event, name)| EventOf { entity, id, event, name }));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_enough_to_name_an_entity() {
        let person = Named::Entity(EntityRef::new(EntityType::Person, 42));
        for text in ["person 42", " person  42 ", "person:42"] {
            assert_eq!(Named::from_text(text), Some(person.clone()), "{text}");
        }
        let email = Named::Email("thandi@ems.example".to_owned());
        assert_eq!(Named::from_text(" thandi@ems.example "), Some(email));
        let remote = Named::Remote(Target::Mautic, "17".to_owned());
        assert_eq!(Named::from_text("mautic: 17"), Some(remote));
        let json = Named::Remote(Target::MailChimp, r#"{"news":"1"}"#.to_owned());
        assert_eq!(Named::from_text(r#"mailchimp:{"news":"1"}"#), Some(json));
        for bib in ["0042", "A 17", "nobody:5"] {
            assert_eq!(Named::from_text(bib), Some(Named::Bib(bib.to_owned())));
        }
        assert_eq!(Named::from_text(" "), None);
    }
}
