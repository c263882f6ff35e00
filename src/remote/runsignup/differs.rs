//! What an update, or a create, finds that people have changed: it is answered before anything is written (`remote::PushResult::Differs`).
//!
//! What was said last is compared, not what was wanted: RunSignup ignores some of it in silence (the e-mail address, the bib of
//! one that stands no more), so that both hashes may differ for good.

use super::rows::{Registration, Removed};
use super::snapshot;
use super::wire::{self, Content, Refused};
use crate::hash::ContentHash;
use crate::remote::PushResult;
use crate::remote::inbound::{self, Shape, Snapshot};

/// Whether what is found is neither what RunSignup said last nor what is wanted.
pub(super) fn is_changed(
    expected: Option<ContentHash>,
    wanted: ContentHash,
    found: ContentHash,
) -> bool {
    expected.is_some_and(|expected| found != expected && found != wanted)
}

/// What a registration is not edited in: it is moved, and taken out, by calls of their own …
const NOT_EDITED: [&str; 2] = ["event_id", "active"];
/// … and its e-mail address is RunSignup's: the EMS's own is no reason to ask about it.
const WITH_EMAIL: [&str; 3] = ["email", "event_id", "active"];

/// Whether something that people entered would be written over which nobody has decided about, if the registration that a create has
/// found were brought to what is wanted. An address counts where the EMS has none and people have registered: it is to take it.
pub(super) fn would_lose(
    expected: Option<ContentHash>,
    wanted: &Content,
    found: &Registration,
) -> bool {
    // What was imported may be our own, of which no answer came: its address is the one that the EMS had then.
    let is_taken = wanted.email.is_none() && !found.imported;
    let but_for: &[&str] = if is_taken { &NOT_EDITED } else { &WITH_EMAIL };
    let (wanted, found) = (wire::sendable(wanted, Refused::default()).wire(), found.content.wire());
    expected.is_some_and(|expected| found.hash != expected)
        && inbound::would_lose(&wanted.body, &found.body, but_for)
}

/// People have edited the registration of that id, or moved it: then it is another one by now.
pub(super) fn edited(id: i64, found: &Registration) -> PushResult {
    let snapshot = snapshot::of_registration(found);
    if found.id == id {
        return PushResult::Differs(Box::new(snapshot));
    }
    let shape =
        Shape::Removed { reason: "transferred".to_owned(), successor: Some(found.id.to_string()) };
    let moved = Snapshot { remote_id: id.to_string(), shape, parents: Vec::new(), ..snapshot };
    PushResult::Differs(Box::new(moved))
}

/// People have taken it out.
pub(super) fn removed(id: i64, removed: &Removed) -> PushResult {
    let snapshot = snapshot::of_removal(&removed.removal);
    PushResult::Differs(Box::new(Snapshot { remote_id: id.to_string(), ..snapshot }))
}

/// The one of these records that the push is about.
pub(super) fn shown(snapshots: Vec<Snapshot>, remote_id: &str) -> Option<PushResult> {
    let found = snapshots.into_iter().find(|snapshot| snapshot.remote_id == remote_id)?;
    Some(PushResult::Differs(Box::new(found)))
}
