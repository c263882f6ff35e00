//! What of each claimed entity is to be done: read for all of a batch at once, then decided one by one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Turn, Worker};
use crate::deliver::decision::{self, Ems, Known};
use crate::deliver::record::Claim;
use crate::deliver::settle::{self, Seen, Times};
use crate::delivery::Cause;
use crate::entity::{EntityRef, EntityType};
use crate::remote::{Remote, RemoteIds, Standing, Wire};
use crate::store::{MatchKey, Projection, StoreError};
use crate::trace::Span;

/// The turns of a batch, decided at one moment of the database's clock, which is carried on by ours.
pub(super) struct Decided {
    pub(super) turns: Vec<Turn>,
    /// By the database's clock, and by ours right after it was read.
    pub(super) now: Timestamp,
    pub(super) at: Instant,
    /// The target is on trial: what it fails burns no attempt.
    pub(super) on_trial: bool,
}

impl Decided {
    /// The database's clock as it must be by now.
    pub(super) fn now(&self) -> Timestamp {
        self.now.checked_add(self.at.elapsed()).unwrap_or(self.now)
    }
}

/// Other entities that may have to come first.
struct Related {
    /// A child whose record still has a remote id.
    child: Option<EntityRef>,
    /// An older one of its kind and parent that is owed.
    older: Option<EntityRef>,
    /// Who else has its match key.
    key: MatchKey,
}

/// What is to be shown to the target of an entity that is there.
#[derive(Clone)]
enum Shown {
    /// The content.
    Content(Wire),
    /// Nothing, and why.
    Nothing(Ems),
    /// It can't be written down, in words that hold nothing personal.
    Unmappable(String),
}

impl<R: Remote> Worker<R> {
    /// Reads what the decisions need, and decides.
    pub(super) async fn decide(&self, claims: Vec<Claim>) -> Result<Decided, StoreError> {
        let target = self.remote.target();
        let moment = self.store.moment(target).await?;
        let at = Instant::now();
        // What another process was told counts here before anything is sent.
        self.gate.see(moment.version, moment.is_open);
        let now = moment.now;
        let projections = self.read_projections(&claims).await?;
        let parents: BTreeSet<EntityRef> =
            projections.values().flat_map(|p| p.parents.iter().copied()).collect();
        let gone: Vec<EntityRef> = claims
            .iter()
            .map(|claim| claim.entity)
            .filter(|entity| !projections.contains_key(entity))
            .collect();
        let parents: Vec<_> = parents.into_iter().collect();
        let new: Vec<EntityRef> = claims
            .iter()
            .filter(|claim| claim.remote_id.is_none())
            .map(|claim| claim.entity)
            .filter(|entity| self.remote.wants_older_first(entity.entity_type))
            .filter(|entity| projections.contains_key(entity))
            .collect();
        let older = projections.values().filter(|p| new.contains(&p.entity));
        let older =
            older.flat_map(|p| p.parents.iter().map(|parent| (p.entity, *parent))).collect();
        let (remote_ids, children, older) = tokio::try_join!(
            self.store.remote_ids(target, &parents),
            self.store.children_at_remote(target, &gone),
            self.store.owed_siblings(target, older),
        )?;
        let shown: HashMap<EntityRef, Shown> = projections
            .values()
            .map(|projection| (projection.entity, self.shown(projection, &remote_ids)))
            .collect();
        let keys = self.match_keys(&claims, &shown).await?;
        let turns = claims
            .into_iter()
            .map(|claim| {
                let projection = projections.get(&claim.entity);
                let shown = projection.and_then(|_| shown.get(&claim.entity)).cloned();
                let related = Related {
                    child: children.get(&claim.entity).copied(),
                    older: older.get(&claim.entity).copied(),
                    key: keys.get(&claim.entity).cloned().unwrap_or_default(),
                };
                self.turn(claim, projection, shown, related, now)
            })
            .collect();
        Ok(Decided { turns: self.guarded(turns).await?, now, at, on_trial: moment.on_trial })
    }

    async fn read_projections(
        &self,
        claims: &[Claim],
    ) -> Result<HashMap<EntityRef, Projection>, StoreError> {
        let mut by_type: BTreeMap<EntityType, Vec<i64>> = BTreeMap::new();
        for claim in claims {
            by_type.entry(claim.entity.entity_type).or_default().push(claim.entity.id);
        }
        let target = self.remote.target();
        let reads = by_type.iter().map(|(entity_type, ids)| async move {
            self.store.projections(target, *entity_type, ids).await
        });
        let projections = futures_util::future::try_join_all(reads).await?;
        Ok(projections.into_iter().flatten().map(|p| (p.entity, p)).collect())
    }

    /// Writes down which match keys the batch's entities want, and reads who else has them.
    async fn match_keys(
        &self,
        claims: &[Claim],
        shown: &HashMap<EntityRef, Shown>,
    ) -> Result<HashMap<EntityRef, MatchKey>, StoreError> {
        let wanted: Vec<_> = claims
            .iter()
            .filter(|claim| self.remote.has_match_keys(claim.entity.entity_type))
            .map(|claim| match shown.get(&claim.entity) {
                Some(Shown::Content(wire)) => (claim.entity, wire.match_key),
                Some(Shown::Nothing(_) | Shown::Unmappable(_)) | None => (claim.entity, None),
            })
            .collect();
        let keys = self.store.match_keys(self.remote.target(), self.owner, &wanted).await?;
        self.publish_due(keys.due).await;
        Ok(keys.found)
    }

    fn turn(
        &self,
        claim: Claim,
        projection: Option<&Projection>,
        shown: Option<Shown>,
        related: Related,
        now: Timestamp,
    ) -> Turn {
        let mut unmappable = None;
        let (ems, wire) = match shown {
            None => (Ems::Gone { child: related.child }, None),
            Some(Shown::Nothing(ems)) => (ems, None),
            Some(Shown::Content(wire)) => match owned(claim.entity, &wire, &related) {
                Ok(ems) => (ems, Some(Wire { given_up_by: related.key.given_up_by, ..wire })),
                Err(why) => {
                    unmappable = Some(why);
                    (Ems::Unmappable, None)
                }
            },
            Some(Shown::Unmappable(why)) => {
                unmappable = Some(why);
                (Ems::Unmappable, None)
            }
        };
        if let Some(why) = &unmappable {
            tracing::warn!(entity = %claim.entity, error = why, "Not pushed until it changes");
        }
        let seen = Seen {
            modified_on: projection.map(|projection| projection.modified_on),
            hash: wire.as_ref().map(|wire: &Wire| wire.hash),
            parents: projection.map(|projection| projection.parents.clone()).unwrap_or_default(),
            unmappable,
            match_key: wire.as_ref().and_then(|wire| wire.match_key),
            holds: projection.map(|projection| projection.fields.holds()).unwrap_or_default(),
        };
        let claim = settle::taken_over(claim, self.times(now, now));
        let known = Known {
            has_remote_id: claim.remote_id.is_some(),
            has_intent: claim.intent_on.is_some(),
            intent_is_settled: settle::intent_is_settled(claim.intent_on, self.times(now, now)),
            gave_up: claim.gave_up,
            left_behind: related.key.left_behind,
            in_doubt: claim.in_doubt,
            data_hash: claim.data_hash,
            rejected_hash: claim.rejected_hash,
            insisted: matches!(claim.cause, Cause::Replay | Cause::Resync),
        };
        let decision = decision::decide(ems, known);
        let traceparent = claim.traceparent.as_deref();
        let span = Span::process(self.remote.target(), claim.entity, traceparent);
        Turn { claim, seen, decision, wire, span, took: Duration::ZERO }
    }

    /// What an entity that is there shows to the target.
    fn shown(&self, projection: &Projection, remote_ids: &RemoteIds) -> Shown {
        match self.remote.standing(projection.entity.entity_type) {
            Standing::Carried => return Shown::Nothing(Ems::Carried),
            Standing::Pulled => return Shown::Nothing(Ems::OutOfScope { parent: None }),
            Standing::Pushed => {}
        }
        let missing = projection.parents.iter().find(|parent| !remote_ids.contains_key(parent));
        if let Some(parent) = missing {
            return Shown::Nothing(match self.remote.standing(parent.entity_type) {
                Standing::Pulled => Ems::OutOfScope { parent: Some(*parent) },
                Standing::Pushed | Standing::Carried => Ems::Orphan { parent: *parent },
            });
        }
        if projection.is_odd {
            let why = "The projection's columns are not those that every projection has";
            return Shown::Unmappable(why.to_owned());
        }
        // A mapping that panics, which is a bug, costs its own entity only.
        let map = || self.remote.wire(projection.entity, &projection.fields, remote_ids);
        match std::panic::catch_unwind(AssertUnwindSafe(map)) {
            Ok(Ok(wire)) => Shown::Content(wire),
            Ok(Err(unmappable)) => Shown::Unmappable(unmappable.to_string()),
            Err(_panic) => {
                Shown::Unmappable("The mapping panicked, which is a bug: report it".to_owned())
            }
        }
    }

    pub(super) fn times(&self, now: Timestamp, decided: Timestamp) -> Times {
        let request_timeout = self.remote.request_timeout();
        Times { now, decided, request_timeout, settle: self.settle }
    }
}

/// Whether the entity may have its content at the target, as far as others with its match key leave it that.
fn owned(entity: EntityRef, wire: &Wire, related: &Related) -> Result<Ems, String> {
    let MatchKey { owner, holder, holder_waits_for_us, holds_another, .. } = related.key;
    if owner.is_some_and(|owner| owner != entity) {
        return Ok(Ems::Shared { holds_another });
    }
    match holder {
        // Each has what the other wants: nobody can begin.
        Some(holder) if holder_waits_for_us => Err(format!(
            "It and {holder} want each other's address: give one of them another address first, then this one"
        )),
        Some(holder) => Ok(Ems::KeyHeld { holder }),
        None => Ok(Ems::Present { hash: wire.hash, older: related.older }),
    }
}
