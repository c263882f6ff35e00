//! What this process remembers of registrations, bounded. Nothing rests on it alone: what is forgotten is looked up again, or
//! listed for a person.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::wire::Who;
use crate::entity::EntityRef;
use crate::limits;

/// Where a registration stands, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) race_id: i64,
    pub(super) entity: EntityRef,
    /// We added it then: lists may not show it yet.
    pub(super) added: Option<Instant>,
}

/// An add that was sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sent {
    pub(super) race_id: i64,
    pub(super) event_id: i64,
    pub(super) who: Who,
}

/// What is remembered.
#[derive(Default)]
pub(super) struct Memory {
    seats: Mutex<Bounded<i64, Seat>>,
    /// In which race a list has shown a registration.
    places: Mutex<Bounded<i64, i64>>,
    sent: Mutex<Bounded<EntityRef, Sent>>,
}

impl Memory {
    pub(super) fn seat(&self, registration: i64) -> Option<Seat> {
        lock(&self.seats).map.get(&registration).copied()
    }

    /// A list of this race has shown the registration.
    pub(super) fn is_listed(&self, registration: i64, race_id: i64) {
        lock(&self.places).put(registration, race_id);
    }

    /// The race in which it is known to have stood.
    pub(super) fn place(&self, registration: i64) -> Option<i64> {
        let listed = lock(&self.places).map.get(&registration).copied();
        listed.or_else(|| self.seat(registration).map(|seat| seat.race_id))
    }

    /// Another entity is known to have this registration.
    pub(super) fn is_taken(&self, registration: i64, by_others_than: EntityRef) -> bool {
        self.seat(registration).is_some_and(|seat| seat.entity != by_others_than)
    }

    /// The registration was added too lately for its absence to prove anything.
    pub(super) fn may_be_hidden(&self, registration: i64) -> bool {
        let added = self.seat(registration).and_then(|seat| seat.added);
        added.is_some_and(|added| added.elapsed() < limits::RUNSIGNUP_HIDDEN_MAX)
    }

    /// A list has shown it: from now on its absence proves that it is gone.
    pub(super) fn is_shown(&self, registration: i64) {
        if let Some(seat) = lock(&self.seats).map.get_mut(&registration) {
            seat.added = None;
        }
    }

    pub(super) fn stands(&self, registration: i64, race_id: i64, entity: EntityRef) {
        let added = self.seat(registration).and_then(|seat| seat.added);
        lock(&self.seats).put(registration, Seat { race_id, entity, added });
    }

    pub(super) fn was_added(&self, registration: i64, race_id: i64, entity: EntityRef) {
        let added = Some(Instant::now());
        lock(&self.seats).put(registration, Seat { race_id, entity, added });
    }

    pub(super) fn is_gone(&self, registration: i64) {
        lock(&self.seats).map.remove(&registration);
    }

    pub(super) fn add_sent(&self, entity: EntityRef, sent: Sent) {
        lock(&self.sent).put(entity, sent);
    }

    pub(super) fn sent(&self, entity: EntityRef) -> Option<Sent> {
        lock(&self.sent).map.get(&entity).cloned()
    }

    /// What became of the add is known.
    pub(super) fn add_ended(&self, entity: EntityRef) {
        lock(&self.sent).map.remove(&entity);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A map that forgets what was put in first.
struct Bounded<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Eq + Hash + Copy, V> Bounded<K, V> {
    fn put(&mut self, key: K, value: V) {
        if self.map.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > limits::RUNSIGNUP_REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.map.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut bounded = Bounded::default();
        for n in 0..=limits::RUNSIGNUP_REMEMBERED {
            bounded.put(n, n);
            bounded.put(n, n);
        }
        assert_eq!(bounded.map.len(), limits::RUNSIGNUP_REMEMBERED);
        assert!(!bounded.map.contains_key(&0) && bounded.map.contains_key(&1));
    }
}
