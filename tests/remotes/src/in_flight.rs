//! Writes at work, per entity: proves "never two pushes of one entity in flight".
//!
//! A write is in flight from the moment it has arrived in full until its answer is handed to the
//! connection. A client that gives up does not stop the server: its write is then *abandoned*,
//! and what overlaps with it is recorded apart.

use std::collections::HashMap;

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
    pub(crate) overlaps: Vec<Overlap>,
    pub(crate) max_of_one: u64,
}

impl InFlight {
    /// A write of `keys` has arrived.
    pub(crate) fn begin(&mut self, sequence: u64, keys: &[Key]) {
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
    }

    /// The client of a write has given up.
    pub(crate) fn abandon(&mut self, sequence: u64, keys: &[Key]) {
        for key in keys {
            let writes = self.writes.get_mut(key).into_iter().flatten();
            writes.filter(|write| write.sequence == sequence).for_each(|w| w.abandoned = true);
        }
    }

    /// A write is over.
    pub(crate) fn end(&mut self, sequence: u64, keys: &[Key]) {
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
    fn an_abandoned_write_is_told_apart() {
        let mut in_flight = InFlight::default();
        in_flight.begin(1, &[key("1")]);
        in_flight.abandon(1, &[key("1")]);
        in_flight.begin(2, &[key("1")]);
        assert!(in_flight.overlaps.iter().all(|overlap| overlap.abandoned));
        assert_eq!(in_flight.max_of_one, 1);
    }
}
