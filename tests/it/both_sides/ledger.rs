//! What people typed at the remotes, each value once, and what became of it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::bench::Kept;

/// A field of a record there.
pub(super) type Place = (&'static str, i64, &'static str);

/// A value that people typed, and when.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) value: String,
    pub(super) on: Timestamp,
}

/// What people typed.
#[derive(Default)]
pub(super) struct Ledger {
    /// The last value of each field.
    last: BTreeMap<Place, Typed>,
    /// Values that somebody else has written over, be it ems-sync or nobody of whom we know.
    replaced: Vec<(Place, Typed)>,
    /// Edits by people.
    pub(super) edits: usize,
    /// Values that people wrote over themselves before anybody else did.
    pub(super) by_people: usize,
}

impl Ledger {
    /// People write `value` where `now` stands.
    pub(super) fn wrote(&mut self, place: Place, value: &str, now: Option<&str>) {
        self.left(place, now);
        self.last.insert(place, Typed { value: value.to_owned(), on: Timestamp::now() });
    }

    /// People write something there that is not remembered, or take the record away.
    pub(super) fn left(&mut self, place: Place, now: Option<&str>) {
        let Some(before) = self.last.remove(&place) else { return };
        if now.is_some_and(|now| same(now, &before.value)) {
            self.by_people += 1;
        } else {
            self.replaced.push((place, before));
        }
    }

    /// A record is another one from now on.
    pub(super) fn moved(&mut self, remote: &'static str, from: i64, to: i64) {
        let moved = self.last.extract_if(.., |place, _| (place.0, place.1) == (remote, from));
        let moved: Vec<_> = moved.collect();
        self.last
            .extend(moved.into_iter().map(|((_, _, field), value)| ((remote, to, field), value)));
    }

    /// The fields of a record of which a value is remembered.
    pub(super) fn fields(&self, remote: &'static str, id: i64) -> Vec<&'static str> {
        self.last
            .keys()
            .filter(|place| (place.0, place.1) == (remote, id))
            .map(|place| place.2)
            .collect()
    }

    /// Values that are neither where they were written, nor in the EMS now or before, nor kept as having lost.
    pub(super) fn lost(
        &self,
        kept: &Kept,
        stands: impl Fn(Place) -> Option<String>,
    ) -> Vec<(Place, Typed)> {
        let (mut had, mut lost, mut standing, mut missing) = (0, 0, 0, Vec::new());
        let all = self.replaced.iter().map(|(place, value)| (place, value)).chain(&self.last);
        for (place, typed) in all {
            let key = typed.value.to_lowercase();
            if kept.had.contains(&key) {
                had += 1;
            } else if kept.lost.contains(&key) {
                lost += 1;
            } else if stands(*place).is_some_and(|now| same(&now, &typed.value)) {
                standing += 1;
            } else {
                missing.push((*place, typed.clone()));
            }
        }
        eprintln!(
            "{} edits there; values: {had} taken, {lost} in conflicts, {standing} stand there only, {} overwritten by people, {} not found",
            self.edits,
            self.by_people,
            missing.len()
        );
        missing
    }
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}
