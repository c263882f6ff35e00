//! A sync record as the rules see it: what a claim returns, and what a finish writes. Plain values.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::delivery::Cause;
use crate::entity::EntityRef;
use crate::hash::ContentHash;
use crate::inbound::merge::Agreed;

/// A claimed record: its lease is ours, and what stood in it before the claim.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a column")]
pub struct Claim {
    /// The entity.
    pub entity: EntityRef,
    /// Fencing token of our lease.
    pub fence: i64,
    /// The generation that was owed at the claim; a finish settles exactly this one.
    pub owed_gen: i64,
    /// The oldest change that is not pushed yet.
    pub owed_on: Option<Timestamp>,
    /// Why it is owed.
    pub cause: Cause,
    /// Trace context of the EMS transaction.
    pub traceparent: Option<String>,
    /// The id at the remote, if known.
    pub remote_id: Option<String>,
    /// The id that it had there before it lost it, or had another one.
    pub former_remote_id: Option<String>,
    /// It gave its record up to the owner of its match key, who may not have taken it over yet.
    pub gave_up: bool,
    /// What was pushed last.
    pub data_hash: Option<ContentHash>,
    /// What the remote said last that it holds.
    pub remote_hash: Option<ContentHash>,
    /// What the remote rejected last.
    pub rejected_hash: Option<ContentHash>,
    /// Before the claim: a write may have happened that no answer confirmed.
    pub in_doubt: bool,
    /// Before the claim: since when a create may exist whose id we don't know.
    pub intent_on: Option<Timestamp>,
    /// The lease of another consumer had expired.
    pub taken_over: bool,
    /// Until when that lease was good: its holder may have sent something as late as that.
    pub lost_until: Option<Timestamp>,
    /// Doubts that others raised until the claim; a finish clears none that came later.
    pub doubts: i64,
    /// Attempts of the present cycle so far.
    pub attempts: u32,
    /// Failed attempts in a row, over all cycles.
    pub failures: u32,
    /// The entity was gone from the EMS at an earlier look.
    pub tombstoned: bool,
    /// What its remote record holds, as last confirmed.
    pub holds: Holds,
}

/// What a record holds, by name: the columns of its projection that are not blank, and the consents among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holds {
    /// Names of columns.
    pub columns: BTreeSet<String>,
    /// Channels and lists for which there is a consent.
    pub consents: BTreeSet<String>,
}

impl Holds {
    /// Whether something that this holds is not in `next`: a field blanked, a consent withdrawn.
    #[must_use]
    pub fn is_lessened_by(&self, next: &Self) -> bool {
        self.lost_in(next).next().is_some()
    }

    /// In the place of a name: the record goes, though the entity is there (it shares the record of another one by now).
    pub const WHOLE_RECORD: &str = "whole record";

    /// What this holds and `next` does not, by name, as `sync.loses` names it: a consent is no field of the same name.
    pub fn lost_in<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = String> + 'a {
        let consents = self.consents.difference(&next.consents);
        let columns = self.columns.difference(&next.columns).cloned();
        consents.map(|name| format!("consent {name}")).chain(columns)
    }
}

/// The states that a record may be left in. The others of the closed list (`leased`, `throttled`,
/// `breaker_open`, `disabled`) are seen from the lease and the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The target holds what the EMS has.
    Synced,
    /// Owed, and due.
    Pending,
    /// Another entity must come first.
    Waiting,
    /// A failed attempt is tried again within seconds.
    Retrying,
    /// Put aside until the target can be reached.
    Parked,
    /// A person must decide.
    Held,
    /// The remote refuses this content; it is not sent again unchanged.
    Rejected,
    /// Nothing is to be done for this target.
    Skipped,
    /// All tries of a cycle failed.
    DeadLetter,
}

impl State {
    /// The name that stands in the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Parked => "parked",
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitFor {
    /// This entity's parent has no remote record yet.
    Parent(EntityRef),
    /// A child of this entity still has one.
    Child(EntityRef),
    /// An older entity of the same kind and parent has a change that must be there before this one comes.
    Sibling(EntityRef),
    /// Another entity's record holds the match key that this one owns.
    Holder(EntityRef),
}

impl WaitFor {
    /// The entity that must come first.
    #[must_use]
    pub const fn entity(self) -> EntityRef {
        match self {
            Self::Parent(entity)
            | Self::Child(entity)
            | Self::Sibling(entity)
            | Self::Holder(entity) => entity,
        }
    }

    /// `parent`, `child`, `sibling` or `holder`.
    #[must_use]
    pub const fn relation(self) -> &'static str {
        match self {
            Self::Parent(_) => "parent",
            Self::Child(_) => "child",
            Self::Sibling(_) => "sibling",
            Self::Holder(_) => "holder",
        }
    }
}

/// When a record is due again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At once.
    Now,
    /// After this many milliseconds of the database's clock.
    InMillis(u64),
    /// Not before something changes.
    Never,
}

/// What a finish writes. [`crate::store`] turns it into the row that `sync.finish` takes.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each written to a column")]
pub struct Finish {
    /// The entity.
    pub entity: EntityRef,
    /// The fence of the claim.
    pub fence: i64,
    /// The generation of the claim.
    pub owed_gen: i64,
    /// The doubts of the claim.
    pub doubts: i64,
    /// The generation is done: `done_gen` becomes it.
    pub settled: bool,
    /// A request was sent for it.
    pub sent: bool,
    /// Something was written at the remote.
    pub pushed: bool,
    /// The remote holds this version: `entity_modified_on` moves.
    pub confirmed: bool,
    /// The remote id from now on.
    pub remote_id: Option<String>,
    /// The remote id came, went or changed.
    pub remote_changed: bool,
    /// The data hash from now on; `None` keeps the old one.
    pub data_hash: Option<ContentHash>,
    /// The remote hash from now on; `None` keeps the old one.
    pub remote_hash: Option<ContentHash>,
    /// The remote id of a record that has something which this one should hold ([`crate::remote::PushResult::Held`]).
    pub left_to: Option<String>,
    /// Before that was seen, by the database's clock.
    pub looked_on: Option<Timestamp>,
    /// The content that was rejected; `None` keeps the old one.
    pub rejected_hash: Option<ContentHash>,
    /// The version that was looked at.
    pub modified_on: Option<Timestamp>,
    /// The match key of that version; the record holds it at the remote if that is confirmed.
    pub match_key: Option<ContentHash>,
    /// Whether a write may have happened that no answer confirmed.
    pub in_doubt: bool,
    /// Since when a create may exist whose id we don't know.
    pub intent_on: Option<Timestamp>,
    /// The state that it is left in.
    pub state: State,
    /// Why, in `snake_case`.
    pub reason: Option<String>,
    /// The last error, without anything personal.
    pub error: Option<String>,
    /// Attempts of the present cycle.
    pub attempts: u32,
    /// Failed attempts in a row.
    pub failures: u32,
    /// When it is due again.
    pub due: Due,
    /// What it waits for.
    pub waiting_on: Option<WaitFor>,
    /// What it holds at the remote if that is confirmed.
    pub holds: Holds,
    /// The entities that it names; `None` keeps the old ones.
    pub parents: Option<Vec<EntityRef>>,
    /// The entity is gone from the EMS.
    pub tombstone: bool,
    /// The record may go: nothing was ever sent for it.
    pub drop: bool,
    /// The attempts that the dead letter counts more than before.
    pub cycle_attempts: u32,
    /// A dead letter is opened for it, or the one that is open has failed once more.
    pub dead_letter: bool,
    /// Ask for read-backs, the first after this many milliseconds.
    pub read_back_millis: Option<u64>,
    /// What both sides hold from now on, field by field; where changes also come back from the target.
    pub agreed: Option<Agreed>,
}
