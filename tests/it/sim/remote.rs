//! A model of TagServer (`tests/remotes/contracts/tagserver.md`): ids are assigned, a key is unique per resource, a
//! relation must exist, a record that others name can't be deleted, a replace of an unknown id is refused.
//!
//! `is_unique` off is a remote as others are: it keeps no key unique, but no request is under way for longer than the
//! time-out. What the rules know of a create must not lean on the remote's uniqueness alone.

use std::collections::BTreeMap;
use std::time::Duration;

use ems_sync::entity::EntityRef;
use ems_sync::hash::ContentHash;

use super::ems::REFUSED;

/// What a record holds: its content and the remote ids that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) content: u8,
    pub(super) parents: Vec<i64>,
}

impl Body {
    /// Its hash. Only equality matters, so it is the content itself.
    pub(super) fn hash(&self) -> ContentHash {
        let mut bytes = [0; 32];
        bytes[0] = self.content;
        for (i, parent) in self.parents.iter().enumerate() {
            bytes[8 * (i + 1)..8 * (i + 2)].copy_from_slice(&parent.to_be_bytes());
        }
        ContentHash::from_bytes(&bytes).unwrap()
    }
}

/// A record at the remote.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) entity: EntityRef,
    pub(super) body: Body,
    /// A look-up by key does not show it before.
    visible_on: i64,
}

#[derive(Debug, Clone)]
pub(super) enum Request {
    Find(EntityRef),
    Post(EntityRef, Body),
    Get(i64),
    Put(i64, EntityRef, Body),
    Delete(i64, EntityRef),
}

impl Request {
    pub(super) const fn is_write(&self) -> bool {
        match self {
            Self::Find(_) | Self::Get(_) => false,
            Self::Post(..) | Self::Put(..) | Self::Delete(..) => true,
        }
    }

    pub(super) const fn entity(&self) -> Option<EntityRef> {
        match self {
            Self::Find(entity)
            | Self::Post(entity, _)
            | Self::Put(_, entity, _)
            | Self::Delete(_, entity) => Some(*entity),
            Self::Get(_) => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// 200 or 201: the record.
    Row(i64, EntityRef, ContentHash),
    /// 200: the records that carry the key.
    Rows(Vec<(i64, EntityRef, ContentHash)>),
    /// 204.
    Done,
    /// 404.
    NotFound,
    /// 400 `error.idnotfound`.
    IdNotFound,
    /// 500 "Failure during data access": a constraint is violated.
    Violation,
    /// 400 naming a relation that does not exist.
    MissingRelation,
    /// 422.
    Refused,
    /// 503.
    Unavailable,
    /// 504: it may have been passed on.
    GatewayGaveUp,
    /// 429.
    TooMany(Option<Duration>),
}

/// A request on its way, and its answer on its way back.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) number: u64,
    pub(super) request: Request,
    /// When the remote gets it; `None` when it has, or never will.
    pub(super) lands_on: Option<i64>,
    pub(super) answer: Option<Answer>,
    /// When the answer arrives; never when it is lost.
    pub(super) arrives_on: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) records: BTreeMap<i64, Held>,
    pub(super) flights: Vec<Flight>,
    pub(super) is_unique: bool,
    /// How long a new record is not shown by look-ups.
    pub(super) lag: i64,
    pub(super) applied: u64,
    pub(super) next_id: i64,
    pub(super) next_flight: u64,
}

impl Remote {
    pub(super) const fn new(is_unique: bool, lag: i64) -> Self {
        Self {
            records: BTreeMap::new(),
            flights: Vec::new(),
            is_unique,
            lag,
            applied: 0,
            next_id: 100,
            next_flight: 0,
        }
    }

    pub(super) fn of(&self, entity: EntityRef) -> impl Iterator<Item = (i64, &Held)> {
        self.records.iter().filter(move |(_, held)| held.entity == entity).map(|(id, h)| (*id, h))
    }

    fn has_children(&self, id: i64) -> bool {
        self.records.values().any(|held| held.body.parents.contains(&id))
    }

    /// Does what a request asks for, if the contract allows it; whether something was written.
    pub(super) fn apply(&mut self, now: i64, request: &Request) -> (Answer, bool) {
        match request {
            Request::Find(entity) => {
                let shown = self.of(*entity).filter(|(_, held)| held.visible_on <= now);
                let rows = shown.map(|(id, held)| (id, held.entity, held.body.hash()));
                (Answer::Rows(rows.collect()), false)
            }
            Request::Get(id) => match self.records.get(id) {
                Some(held) => (Answer::Row(*id, held.entity, held.body.hash()), false),
                None => (Answer::NotFound, false),
            },
            Request::Post(entity, body) => match self.refusal(body) {
                Some(refusal) => (refusal, false),
                None if self.is_unique && self.of(*entity).next().is_some() => {
                    (Answer::Violation, false)
                }
                None => {
                    let id = self.next_id;
                    self.next_id += 1;
                    self.put(id, *entity, body, now + self.lag);
                    (Answer::Row(id, *entity, body.hash()), true)
                }
            },
            Request::Put(id, entity, body) => match (self.records.get(id), self.refusal(body)) {
                (None, _) => (Answer::IdNotFound, false),
                (Some(_), Some(refusal)) => (refusal, false),
                (Some(held), None) => {
                    let visible_on = held.visible_on;
                    self.put(*id, *entity, body, visible_on);
                    (Answer::Row(*id, *entity, body.hash()), true)
                }
            },
            Request::Delete(id, _) if self.has_children(*id) => (Answer::Violation, false),
            Request::Delete(id, _) => {
                let was_there = self.records.remove(id).is_some();
                self.applied += u64::from(was_there);
                (Answer::Done, was_there)
            }
        }
    }

    fn put(&mut self, id: i64, entity: EntityRef, body: &Body, visible_on: i64) {
        self.applied += 1;
        self.records.insert(id, Held { entity, body: body.clone(), visible_on });
    }

    fn refusal(&self, body: &Body) -> Option<Answer> {
        if body.content == REFUSED {
            return Some(Answer::Refused);
        }
        let is_missing = |parent: &i64| !self.records.contains_key(parent);
        body.parents.iter().any(is_missing).then_some(Answer::MissingRelation)
    }
}
