//! The rows and their indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::resource::Resource;
use super::rows::{Event, Race, Reason, Registration, Removal, User};
use crate::Reimage;

/// All rows. Ids are those of four sequences, as RunSignup's are.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) races: BTreeMap<i64, Race>,
    pub(super) events: BTreeMap<i64, Event>,
    pub(super) users: BTreeMap<i64, User>,
    registrations: BTreeMap<i64, Registration>,
    by_event: HashMap<i64, BTreeSet<i64>>,
    by_ems_id: HashMap<String, BTreeSet<i64>>,
    next_ids: HashMap<Resource, i64>,
}

impl Store {
    /// No rows.
    pub(super) fn new() -> Self {
        let first = |resource| match resource {
            Resource::Race => 40_001,
            Resource::Event => 120_001,
            Resource::User => 5_000_001,
            Resource::Registration => 2_600_001,
        };
        Self {
            races: BTreeMap::new(),
            events: BTreeMap::new(),
            users: BTreeMap::new(),
            registrations: BTreeMap::new(),
            by_event: HashMap::new(),
            by_ems_id: HashMap::new(),
            next_ids: Resource::ALL
                .into_iter()
                .map(|resource| (resource, first(resource)))
                .collect(),
        }
    }

    /// The next id of a sequence; never one that a planted row has.
    pub(super) fn next_id(&mut self, resource: Resource) -> i64 {
        let next = self.next_ids.entry(resource).or_insert(1);
        let id = *next;
        *next = next.saturating_add(1);
        id
    }

    /// A row has this id, so the sequence goes on behind it.
    pub(super) fn skip_id(&mut self, resource: Resource, id: i64) {
        let next = self.next_ids.entry(resource).or_insert(1);
        *next = (*next).max(id.saturating_add(1));
    }

    /// A registration.
    pub(super) fn registration(&self, id: i64) -> Option<&Registration> {
        self.registrations.get(&id)
    }

    /// All registrations, by id.
    pub(super) fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.registrations.values()
    }

    /// The registrations of an event between two ids, both excluded.
    pub(super) fn of_event(
        &self,
        event: i64,
        after: i64,
        before: i64,
    ) -> impl Iterator<Item = &Registration> {
        let ids = self.by_event.get(&event).into_iter().flat_map(move |ids| {
            let range = (after.saturating_add(1) < before).then(|| ids.range(after + 1..before));
            range.into_iter().flatten()
        });
        ids.filter_map(|id| self.registrations.get(id))
    }

    /// The registrations that carry our id.
    pub(super) fn of_ems_id(&self, ems_id: &str) -> impl Iterator<Item = &Registration> {
        let ids = self.by_ems_id.get(ems_id).into_iter().flatten();
        ids.filter_map(|id| self.registrations.get(id))
    }

    /// Our id that a registration carries in the race's question.
    pub(super) fn ems_id<'r>(&self, registration: &'r Registration) -> Option<&'r str> {
        let question = self.race_of(registration.event_id)?.ems_question()?;
        registration.responses.get(&question).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The race of an event.
    pub(super) fn race_of(&self, event: i64) -> Option<&Race> {
        self.races.get(&self.events.get(&event)?.race_id)
    }

    /// Puts a registration in its place, new or changed.
    pub(super) fn put(&mut self, registration: Registration) {
        self.take(registration.id);
        self.skip_id(Resource::Registration, registration.id);
        self.index(&registration);
        self.registrations.insert(registration.id, registration);
    }

    /// Takes a registration out, without a trace.
    pub(super) fn take(&mut self, id: i64) -> Option<Registration> {
        let registration = self.registrations.remove(&id)?;
        if let Some(ids) = self.by_event.get_mut(&registration.event_id) {
            ids.remove(&id);
        }
        if let Some(ems_id) = self.ems_id(&registration).map(str::to_owned)
            && let Some(ids) = self.by_ems_id.get_mut(&ems_id)
        {
            ids.remove(&id);
        }
        Some(registration)
    }

    /// Builds the indexes anew: a race has got or lost the question, or an event has moved.
    pub(super) fn reindex(&mut self) {
        self.by_event.clear();
        self.by_ems_id.clear();
        let registrations = std::mem::take(&mut self.registrations);
        registrations.values().for_each(|registration| self.index(registration));
        self.registrations = registrations;
    }

    /// Ends a registration; `false` if it did not stand.
    pub(super) fn end(&mut self, id: i64, removal: Removal) -> bool {
        let Some(mut registration) = self.registrations.get(&id).cloned() else { return false };
        if !registration.active {
            return false;
        }
        registration.active = false;
        registration.last_modified = removal.at;
        registration.removal = Some(removal);
        self.put(registration);
        true
    }

    /// Moves a registration to another event: it ends, and a new one begins there.
    pub(super) fn transfer(&mut self, id: i64, event: i64, with_bib: bool, at: i64) -> Option<i64> {
        let old = self.registrations.get(&id).filter(|old| old.active)?.clone();
        let new_id = self.next_id(Resource::Registration);
        let new = Registration {
            id: new_id,
            event_id: event,
            last_modified: at,
            bib_num: old.bib_num.filter(|_| with_bib),
            chip_num: old.chip_num.clone().filter(|_| with_bib),
            removal: None,
            ..old
        };
        self.put(new);
        let removal =
            Removal { reason: Reason::Transferred, at, new_registration_id: Some(new_id) };
        self.end(id, removal);
        Some(new_id)
    }

    /// Everything is gone; ids begin again.
    pub(super) fn wipe(&mut self) {
        *self = Self::new();
    }

    /// Comes back from a new installation.
    pub(super) fn reimage(&mut self, how: Reimage) {
        match how {
            Reimage::Empty => self.wipe(),
            Reimage::Shuffled => self.shuffle(),
        }
    }

    /// Every registration is under the id of the next one, the last under the first's.
    fn shuffle(&mut self) {
        let old = std::mem::take(&mut self.registrations);
        let ids: Vec<i64> = old.keys().copied().cycle().skip(1).take(old.len()).collect();
        self.registrations = old
            .into_values()
            .zip(ids)
            .map(|(registration, id)| (id, Registration { id, ..registration }))
            .collect();
        self.reindex();
    }

    fn index(&mut self, registration: &Registration) {
        self.by_event.entry(registration.event_id).or_default().insert(registration.id);
        if let Some(ems_id) = self.ems_id(registration).map(str::to_owned) {
            self.by_ems_id.entry(ems_id).or_default().insert(registration.id);
        }
    }
}
