//! What is to be done with what people changed at a remote: the inbound table of `docs/design.md` section 6.
//!
//! Pure and total. The order of the tests is the order of the table. No two clocks are compared but by [`Input::ems`]'s
//! `changed_on` and [`Snapshot::Stands`]'s `modified_on`, which was corrected before; where they could decide wrongly, hashes have
//! decided before them.

use std::time::Duration;

use jiff::Timestamp;

use crate::hash::ContentHash;

/// The remote record, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    /// It is there.
    Stands {
        /// What it holds.
        hash: ContentHash,
        /// When it was changed there, by the database's clock; `None` where the remote does not tell.
        modified_on: Option<Timestamp>,
    },
    /// People took it out there.
    Removed {
        /// Another record stands in its place, which belongs to nobody yet.
        has_successor: bool,
    },
    /// There is no such record.
    Gone,
}

/// What a push of the same record says about the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushing {
    /// None was under way when the snapshot was read, or since.
    Quiet,
    /// One is under way.
    Now,
    /// One has ended since the request began that showed the snapshot.
    Since,
}

/// The sync record that has the remote id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Whether a push may have changed what the snapshot shows.
    pub pushing: Pushing,
    /// The entity is deleted in the EMS, or has left what the target may see.
    pub tombstone: bool,
    /// An EMS change is not pushed yet.
    pub owed: bool,
    /// A write may have happened that no answer confirmed.
    pub in_doubt: bool,
    /// What was pushed last.
    pub data_hash: Option<ContentHash>,
    /// What the remote said last that it holds.
    pub remote_hash: Option<ContentHash>,
    /// What was sent and not confirmed by an answer.
    pub sent: Vec<ContentHash>,
    /// The remote's change that was taken last.
    pub remote_synced_on: Option<Timestamp>,
}

/// Whose record it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// This sync record's.
    Known(Known),
    /// It was the record of an entity that the EMS has deleted since.
    Forgotten(Pushing),
    /// Nobody knows it.
    Unknown,
}

/// What the EMS shows of the entity to this target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ems {
    /// A projection.
    Shown {
        /// Its content in the target's words; `None` where they can't express it.
        hash: Option<ContentHash>,
        /// Its version; `None` when that version was taken from this remote.
        changed_on: Option<Timestamp>,
    },
    /// Nothing: the target is never told of this type, or not of this entity.
    Nothing,
}

/// Everything that the decision is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The remote record.
    pub snapshot: Snapshot,
    /// Whose it is.
    pub mapping: Mapping,
    /// What the EMS has.
    pub ems: Ems,
    /// Two times that are less apart are the same ([`crate::remote::Remote::clock_precision`]).
    pub precision: Duration,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// A push of it is under way: its end makes the row due.
    Later,
    /// A push has ended since: the record is read anew.
    Reread,
    /// There is nothing to take.
    Skip(SkipReason),
    /// The EMS wins, what lost is kept.
    Conflict(Reason),
    /// It is to be found out whose it is: [`unknown`].
    Match,
    /// The EMS takes it.
    Apply,
    /// People took it out: the EMS takes that.
    Remove,
    /// The entity has another record there now.
    Move,
    /// The remote id means nothing any more.
    Forget,
}

/// Why nothing is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// It was taken before.
    Seen,
    /// It is our own write.
    BounceBack,
    /// The EMS has the same.
    Agrees,
    /// It is nobody's, and nothing is made of it.
    NotOurs,
}

impl SkipReason {
    /// The name that stands in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::BounceBack => "bounce_back",
            Self::Agrees => "agrees",
            Self::NotOurs => "not_ours",
        }
    }
}

/// Why something lost, or waits for a person: `sync.conflict.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The EMS has a change that is not pushed yet.
    Unpushed,
    /// The EMS changed it later.
    EmsNewer,
    /// It is deleted in the EMS.
    Tombstone,
    /// Nobody knows whose it is.
    Ambiguous,
    /// The EMS does not take it.
    Refused,
}

impl Reason {
    /// The name that stands in `sync.conflict` and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unpushed => "unpushed",
            Self::EmsNewer => "ems_newer",
            Self::Tombstone => "tombstone",
            Self::Ambiguous => "ambiguous",
            Self::Refused => "refused",
        }
    }
}

impl Decision {
    /// The name that stands in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Later => "later",
            Self::Reread => "reread",
            Self::Skip(_) => "skip",
            Self::Conflict(_) => "conflict",
            Self::Match => "match",
            Self::Apply => "apply",
            Self::Remove => "remove",
            Self::Move => "move",
            Self::Forget => "forget",
        }
    }
}

/// Decides.
#[must_use]
pub fn decide(input: &Input) -> Decision {
    let pushing = match &input.mapping {
        Mapping::Known(known) => known.pushing,
        Mapping::Forgotten(pushing) => *pushing,
        Mapping::Unknown => Pushing::Quiet,
    };
    match pushing {
        Pushing::Now => return Decision::Later,
        Pushing::Since => return Decision::Reread,
        Pushing::Quiet => {}
    }
    match (input.snapshot, &input.mapping) {
        (Snapshot::Removed { has_successor: true }, Mapping::Known(_)) => Decision::Move,
        (Snapshot::Removed { has_successor: false }, Mapping::Known(_)) => Decision::Remove,
        (Snapshot::Gone, Mapping::Known(_)) => Decision::Forget,
        (Snapshot::Removed { .. } | Snapshot::Gone, Mapping::Forgotten(_) | Mapping::Unknown) => {
            Decision::Skip(SkipReason::NotOurs)
        }
        (Snapshot::Stands { .. }, Mapping::Forgotten(_)) => Decision::Conflict(Reason::Tombstone),
        (Snapshot::Stands { .. }, Mapping::Unknown) => Decision::Match,
        (Snapshot::Stands { hash, modified_on }, Mapping::Known(known)) => {
            stands(hash, modified_on, known, input)
        }
    }
}

fn stands(
    hash: ContentHash,
    modified_on: Option<Timestamp>,
    known: &Known,
    input: &Input,
) -> Decision {
    if known.remote_hash == Some(hash) {
        let is_new = modified_on > known.remote_synced_on;
        let reason = if is_new { SkipReason::BounceBack } else { SkipReason::Seen };
        return Decision::Skip(reason);
    }
    if known.data_hash == Some(hash) || known.sent.contains(&hash) {
        return Decision::Skip(SkipReason::BounceBack);
    }
    if known.tombstone {
        return Decision::Conflict(Reason::Tombstone);
    }
    let Ems::Shown { hash: shown, changed_on } = input.ems else {
        // Nothing that could have been changed, or that could be pushed.
        return Decision::Apply;
    };
    if shown == Some(hash) {
        return Decision::Skip(SkipReason::Agrees);
    }
    if known.owed || known.in_doubt || shown.is_none() || shown != known.data_hash {
        return Decision::Conflict(Reason::Unpushed);
    }
    if is_later(changed_on, modified_on, input.precision) {
        return Decision::Conflict(Reason::EmsNewer);
    }
    Decision::Apply
}

/// Whether the EMS's change is the later one, as far as the remote's times can tell.
fn is_later(ems: Option<Timestamp>, remote: Option<Timestamp>, precision: Duration) -> bool {
    let (Some(ems), Some(remote)) = (ems, remote) else { return false };
    Duration::try_from(ems.duration_since(remote)).is_ok_and(|later| later >= precision.max(TICK))
}

/// The least difference between two times.
const TICK: Duration = Duration::from_nanos(1);

/// What was found for a record that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No entity.
    None,
    /// This many entities of its type, or of a type that it needs, and more than one.
    Several,
    /// One.
    One(Candidate),
}

/// The one entity that it may be, and what is known of its record at this target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about an entity")]
pub struct Candidate {
    /// A push of it is under way, perhaps the very create that made the remote record; or has ended since, or something newer is
    /// known of its records.
    pub pushing: Pushing,
    /// It has another record there.
    pub has_another: bool,
    /// It has had it for so long that nobody will take that one away.
    pub waited_long: bool,
    /// The EMS has deleted it.
    pub tombstone: bool,
    /// A person chose it.
    pub chosen: bool,
    /// The record was its own and was left behind, and nothing was entered there since that it could take.
    pub left_behind: bool,
    /// What the EMS shows of it.
    pub showing: Shows,
}

/// What the EMS shows of an entity that was there before its record was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// Something that can be compared with the record.
    Comparable,
    /// Nothing now, or nothing that the target's words express.
    Nothing,
    /// The target is never told of such entities.
    Never,
}

/// What is done with a record that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// A push of the candidate is under way.
    Later,
    /// It is older than what is known of the candidate's records: it is read anew.
    Reread,
    /// The entity's other record may be taken out there soon: a transfer shows the new one first.
    Wait,
    /// It becomes the candidate's record; what the EMS leaves blank is taken, else the EMS wins.
    Adopt,
    /// It becomes the candidate's record. Nothing can be compared, so the EMS itself takes only what it lacks.
    Complete,
    /// It becomes the candidate's record, and all of it is taken: the target is the only one to tell.
    AdoptWhole,
    /// It is deleted in the EMS: kept, and nothing else.
    Tombstone,
    /// It was let go, and is nobody's still.
    LeftBehind,
    /// A person must say whose it is.
    Ambiguous,
    /// Something new in the EMS.
    Create,
}

/// Decides about a record that nobody knows.
#[must_use]
pub const fn unknown(found: Found) -> Unknown {
    match found {
        Found::None => Unknown::Create,
        Found::Several => Unknown::Ambiguous,
        Found::One(candidate) => {
            if matches!(candidate.pushing, Pushing::Now) {
                Unknown::Later
            } else if matches!(candidate.pushing, Pushing::Since) {
                Unknown::Reread
            } else if candidate.tombstone && !candidate.chosen {
                Unknown::Tombstone
            } else if candidate.left_behind
                && !candidate.chosen
                && (candidate.has_another || matches!(candidate.showing, Shows::Nothing))
            {
                Unknown::LeftBehind
            } else if candidate.has_another && candidate.waited_long {
                Unknown::Ambiguous
            } else if candidate.has_another {
                Unknown::Wait
            } else {
                match candidate.showing {
                    Shows::Comparable => Unknown::Adopt,
                    Shows::Nothing => Unknown::Complete,
                    Shows::Never => Unknown::AdoptWhole,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
