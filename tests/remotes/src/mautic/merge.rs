//! Two contacts become one, and one of them is deleted (section 3).

use hyper::StatusCode;
use jiff::Timestamp;

use super::audit;
use super::contact::{Contact, UNSUBSCRIBED};
use super::options::MergeWinner;
use super::store::Store;
use super::write::Desk;
use crate::Effect;

impl Desk<'_> {
    /// Merges an edited contact with the one that has its unique identifiers; the one that is
    /// left is returned, the other is gone.
    pub(super) fn merge(&mut self, edited: Contact, twin: i64) -> Contact {
        let (winner, loser) = match self.settings.merge_winner {
            MergeWinner::Edited => (edited.id, twin),
            MergeWinner::Matching => (twin, edited.id),
        };
        if let (Some(winner), Some(loser)) = (self.store.get(winner), self.store.get(loser)) {
            audit::merge(winner, loser, self.record);
        }
        let person = self.store.get(loser).and_then(Contact::ems_person_id).map(str::to_owned);
        if merge(self.store, winner, loser, self.now).is_none() {
            return edited;
        }
        self.note(person, Some(loser), Effect::Deleted, true, StatusCode::OK);
        self.store.get(winner).cloned().unwrap_or(edited)
    }
}

/// Merges `loser` into `winner`: points are summed, per field the newest value wins, segments,
/// tags and do-not-contact move. `None` if one of them is not there.
pub(super) fn merge(store: &mut Store, winner: i64, loser: i64, now: Timestamp) -> Option<()> {
    if winner == loser {
        return None;
    }
    let mut merged = store.get(winner)?.clone();
    let loser = store.take(loser)?;
    let loser_is_newer = last_change(&loser) > last_change(&merged);
    for (alias, value) in loser.values {
        if loser_is_newer || !merged.values.contains_key(&alias) {
            merged.values.insert(alias, value);
        }
    }
    merged.points = merged.points.saturating_add(loser.points);
    merged.tags.extend(loser.tags);
    merged.segments.extend(loser.segments);
    merged.manually_removed.extend(loser.manually_removed);
    for entry in loser.do_not_contact {
        let known = merged.do_not_contact.iter_mut().find(|own| own.channel == entry.channel);
        match known {
            None => merged.do_not_contact.push(entry),
            Some(own) if entry.reason == UNSUBSCRIBED => *own = entry,
            Some(_) => {}
        }
    }
    store.note_merge(loser.id, winner);
    store.replace(merged, now);
    Some(())
}

fn last_change(contact: &Contact) -> Timestamp {
    contact.date_modified.unwrap_or(contact.date_added)
}
