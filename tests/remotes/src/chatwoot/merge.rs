//! `POST /actions/contact_merge`: two contacts become one (contract, section 3).

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::contact::{Contact, present};
use super::refusal::Refusal;
use super::store::Store;

/// Merges `mergee` into `base` and returns the base. No event tells of the mergee; the base's only
/// if it changed.
pub(super) fn merge(
    store: &mut Store,
    base: i64,
    mergee: i64,
    now: Timestamp,
) -> Result<Contact, Refusal> {
    let find = |id| store.contacts.get(id).cloned().ok_or(Refusal::NotFound);
    let (before, mergee) = (find(base)?, find(mergee)?);
    if before.id == mergee.id {
        return Ok(before);
    }
    let mut after = before.clone();
    if after.name.trim().is_empty() {
        after.name.clone_from(&mergee.name);
    }
    for (mine, theirs) in [
        (&mut after.email, &mergee.email),
        (&mut after.phone_number, &mergee.phone_number),
        (&mut after.identifier, &mergee.identifier),
    ] {
        if !present(mine.as_ref()) && present(theirs.as_ref()) {
            mine.clone_from(theirs);
        }
    }
    after.blocked |= mergee.blocked;
    after.last_activity_at = after.last_activity_at.or(mergee.last_activity_at);
    fill(&mut after.custom, &mergee.custom);
    fill(&mut after.additional, &mergee.additional);
    after.inboxes.extend(mergee.inboxes.iter().cloned());
    after.settle();
    let moved = store.conversations.values_mut().filter(|one| one.contact_id == mergee.id);
    for conversation in moved {
        conversation.contact_id = before.id;
        conversation.updated_at = now;
    }
    store.contacts.remove(mergee.id);
    if before.columns() != after.columns() {
        after.updated_at = now;
        store.contact_changed(&before, &after);
    }
    store.contacts.put(after.clone());
    Ok(after)
}

/// A deep merge in which what is there wins.
fn fill(mine: &mut Map<String, Value>, theirs: &Map<String, Value>) {
    for (key, value) in theirs {
        match (mine.get_mut(key), value) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => fill(mine, theirs),
            (Some(_), _) => {}
            (None, value) => {
                mine.insert(key.clone(), value.clone());
            }
        }
    }
}
