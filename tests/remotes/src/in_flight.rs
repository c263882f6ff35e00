//! Writes at work, per entity: proves "never two pushes of one entity in flight".
//!
//! A write is in flight from the moment it has arrived in full until its answer is handed to the
//! connection. A client that gives up does not stop the server: its write is then *abandoned*,
//! and what overlaps with it is recorded apart.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Two writes of one entity at the same moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The resource.
    pub resource: String,
    /// Our id.
    pub external_id: String,
    /// The request that was there already.
    pub first: u64,
    /// The request that came.
    pub second: u64,
    /// Whether the first one's client had given up.
    pub abandoned: bool,
}

/// How many requests a server was working on when one arrived, that one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Concurrency {
    /// All of them.
    pub at_work: u64,
    /// Those whose clients have not given up.
    pub awaited: u64,
}

/// One entity of one resource.
pub(crate) type Key = (&'static str, String);

#[derive(Debug)]
struct Write {
    sequence: u64,
    abandoned: bool,
}

/// Who is in flight, and what overlapped.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    writes: HashMap<Key, Vec<Write>>,
    /// Every request at work, and whether its client has given up.
    at_work: BTreeMap<u64, bool>,
    pub(crate) overlaps: Vec<Overlap>,
    pub(crate) max_of_one: u64,
}

impl InFlight {
    /// A request has arrived that writes `keys`, if any.
    pub(crate) fn begin(&mut self, sequence: u64, keys: &[Key]) -> Concurrency {
        self.at_work.insert(sequence, false);
        for key in keys {
            let writes = self.writes.entry(key.clone()).or_default();
            self.overlaps.extend(writes.iter().map(|first| Overlap {
                resource: key.0.to_owned(),
                external_id: key.1.clone(),
                first: first.sequence,
                second: sequence,
                abandoned: first.abandoned,
            }));
            writes.push(Write { sequence, abandoned: false });
            let live = writes.iter().filter(|write| !write.abandoned).count();
            self.max_of_one = self.max_of_one.max(u64::try_from(live).unwrap_or(u64::MAX));
        }
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let awaited = self.at_work.values().filter(|abandoned| !**abandoned).count();
        Concurrency { at_work: count(self.at_work.len()), awaited: count(awaited) }
    }

    /// The client of a request has given up.
    pub(crate) fn abandon(&mut self, sequence: u64, keys: &[Key]) {
        if let Some(abandoned) = self.at_work.get_mut(&sequence) {
            *abandoned = true;
        }
        for key in keys {
            let writes = self.writes.get_mut(key).into_iter().flatten();
            writes.filter(|write| write.sequence == sequence).for_each(|w| w.abandoned = true);
        }
    }

    /// A request is over.
    pub(crate) fn end(&mut self, sequence: u64, keys: &[Key]) {
        self.at_work.remove(&sequence);
        for key in keys {
            if let Some(writes) = self.writes.get_mut(key) {
                writes.retain(|write| write.sequence != sequence);
                if writes.is_empty() {
                    self.writes.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(external_id: &str) -> Key {
        ("races", external_id.to_owned())
    }

    #[test]
    fn writes_of_different_entities_do_not_overlap() {
        let mut in_flight = InFlight::default();
        in_flight.begin(1, &[key("1")]);
        in_flight.begin(2, &[key("2")]);
        assert!(in_flight.overlaps.is_empty());
        assert_eq!(in_flight.max_of_one, 1);
    }

    #[test]
    fn a_second_write_overlaps_until_the_first_has_ended() {
        let mut in_flight = InFlight::default();
        in_flight.begin(1, &[key("1")]);
        in_flight.begin(2, &[key("1")]);
        in_flight.end(1, &[key("1")]);
        in_flight.end(2, &[key("1")]);
        in_flight.begin(3, &[key("1")]);
        assert_eq!(in_flight.overlaps.len(), 1);
        assert_eq!(in_flight.max_of_one, 2);
    }

    #[test]
    fn requests_at_work_are_counted_with_and_without_the_abandoned() {
        let mut in_flight = InFlight::default();
        assert_eq!(in_flight.begin(1, &[]), Concurrency { at_work: 1, awaited: 1 });
        in_flight.abandon(1, &[]);
        assert_eq!(in_flight.begin(2, &[]), Concurrency { at_work: 2, awaited: 1 });
        in_flight.end(1, &[]);
        in_flight.end(2, &[]);
        assert_eq!(in_flight.begin(3, &[]), Concurrency { at_work: 1, awaited: 1 });
    }

    #[test]
    fn an_abandoned_write_is_told_apart() {
        let mut in_flight = InFlight::default();
        in_flight.begin(1, &[key("1")]);
        in_flight.abandon(1, &[key("1")]);
        in_flight.begin(2, &[key("1")]);
        assert!(in_flight.overlaps.iter().all(|overlap| overlap.abandoned));
        assert_eq!(in_flight.max_of_one, 1);
    }
}
