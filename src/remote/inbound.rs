//! What comes back from a remote, as plain values: what a client pulls, and what it says of it.
//!
//! A client reads; it decides nothing and remembers nothing. What it has read goes to `sync.inbox` together with where the
//! walk stands ([`crate::inbound::pull`]), is decided by [`crate::inbound::decision`] and applied by
//! [`crate::inbound::apply`].
//!
//! # Obligations of a client that is pulled from
//!
//! 1. **A page is whole or an error.** An answer that is short, odd or an error object is a [`super::Failure`], never an empty
//!    page. A walk is complete only when the remote has said so. One record whose id can be read and whose content can't is
//!    [`Shape::Unreadable`]: it stops nobody else (F90), and was shown.
//! 2. **The cursor is the remote's own.** [`Pulled::cursor`] comes from times and ids that the remote gave, never from our
//!    clock, reaches back by an overlap, and is given with the last page of a walk only.
//! 3. **Contents are comparable.** [`Shape::Stands`]`::wire` is in the normal form of [`super::Remote::wire`], so that its hash is
//!    comparable with `data_hash` and `remote_hash`.
//! 4. **Only what the EMS may take.** `extra` and the wire's body name an allow-list of fields, each bounded
//!    ([`crate::limits::INBOUND_TEXT_CHARS_MAX`]) and free of NUL.
//! 5. **Removed is said, not guessed.** [`Shape::Removed`] and [`Shape::Gone`] come from the remote's own word about this record
//!    (a list of removed ones, a 404 for this id), never from its absence from a list.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Wire;
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::inbound::merge;
use crate::limits;

/// Something of a remote that is walked by itself, with a cursor of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// `RunSignup`'s races and events: EMS events and races.
    Races,
    /// `RunSignup`'s registrations, those that stand and those that were removed.
    Registrations,
    /// Chatwoot's contacts: EMS persons.
    Contacts,
    /// Chatwoot's conversations.
    Conversations,
    /// Consent that was given or taken there: of all that `Mautic` and `MailChimp` hold, the only thing that comes back.
    Consents,
}

impl Stream {
    /// The name in `sync.cursor`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Races => "races",
            Self::Registrations => "registrations",
            Self::Contacts => "contacts",
            Self::Conversations => "conversations",
            Self::Consents => "consents",
        }
    }

    /// The stream of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all =
            [Self::Races, Self::Registrations, Self::Contacts, Self::Conversations, Self::Consents];
        all.into_iter().find(|stream| stream.name() == name)
    }

    /// What its records are in the EMS.
    #[must_use]
    pub const fn entity_types(self) -> &'static [EntityType] {
        match self {
            Self::Races => &[EntityType::Event, EntityType::Race],
            Self::Registrations => &[EntityType::EventParticipant],
            Self::Contacts => &[EntityType::Person],
            Self::Conversations => &[EntityType::Conversation],
            Self::Consents => &[],
        }
    }
}

/// A text as it is taken in: trimmed, cut to [`limits::INBOUND_TEXT_CHARS_MAX`], with blanks for control characters, of which
/// NUL can't be stored.
#[must_use]
pub fn bounded(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let cut: String = plain.trim().chars().take(limits::INBOUND_TEXT_CHARS_MAX).collect();
    cut.trim_end().to_owned()
}

/// What is known to be held after a write: of the fields that were written (those that `asked` has otherwise than `before`) what was
/// read after it, of all others what was read before it. What people changed between both reads shows in `after`, too; taken for
/// granted here, it would count as seen, and nobody would ever take it in.
pub(super) fn confirmed(before: &Value, asked: &Value, after: &Value) -> Value {
    let mut held = after.clone();
    let Value::Object(fields) = &mut held else { return held };
    for (name, value) in fields {
        let was = before.get(name.as_str()).unwrap_or(&Value::Null);
        if was == asked.get(name.as_str()).unwrap_or(&Value::Null) {
            *value = was.clone();
        }
    }
    held
}

/// Whether a record that holds `held` would lose something to `wanted`, of all fields but some: a value that is not blank and not the
/// wanted one.
#[must_use]
pub fn would_lose(wanted: &Value, held: &Value, but_for: &[&str]) -> bool {
    held.as_object().into_iter().flatten().any(|(name, value)| {
        !but_for.contains(&name.as_str())
            && !merge::is_blank(value)
            && wanted.get(name) != Some(value)
    })
}

/// Of what comes with a record (`extra` of [`Shape::Stands`]): we made it for an entity that is gone, or has another one now, and nobody
/// has changed since what somebody would be known by.
pub const LET_GO: &str = "let_go";

/// A remote record, as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Its id there, in the form of [`super::PushResult::Held`].
    pub remote_id: String,
    /// The EMS entity that it says it is, if it carries an EMS id.
    pub entity: Option<EntityRef>,
    /// How it stands.
    pub shape: Shape,
    /// When it was changed last, by the remote's clock and at its precision; `None` where the remote does not tell.
    pub modified_on: Option<Timestamp>,
    /// The remote records that it belongs to.
    pub parents: Vec<RemoteParent>,
}

impl Snapshot {
    /// The hash of what it holds, where it stands.
    #[must_use]
    pub const fn hash(&self) -> Option<ContentHash> {
        match &self.shape {
            Shape::Stands { wire, .. } => Some(wire.hash),
            Shape::Removed { .. } | Shape::Gone | Shape::Unreadable { .. } => None,
        }
    }
}

/// A remote record that another one belongs to. Once it is known what it is in the EMS, its EMS id stands under the name of
/// its type among the fields that are applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteParent {
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Its id there.
    pub remote_id: String,
    /// Nothing is applied before it is known.
    pub required: bool,
}

/// How a remote record stands.
#[derive(Clone, PartialEq)]
pub enum Shape {
    /// It is there.
    Stands {
        /// What it holds of what we share, in the normal form of what we push.
        wire: Wire,
        /// What else the EMS may take of it, by names that the EMS's function knows.
        extra: Map<String, Value>,
    },
    /// People took it out there.
    Removed {
        /// In the remote's word.
        reason: String,
        /// The record that stands in its place.
        successor: Option<String>,
    },
    /// There is no such record.
    Gone,
    /// It is there, and what it holds is not what the contract has: listed for a person, and no obstacle to others.
    Unreadable {
        /// In words for an operator; nothing of what it holds.
        why: &'static str,
    },
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stands { wire, .. } => f.debug_tuple("Stands").field(&wire.hash).finish(),
            Self::Removed { reason, .. } => f.debug_tuple("Removed").field(reason).finish(),
            Self::Gone => f.write_str("Gone"),
            Self::Unreadable { why } => f.debug_tuple("Unreadable").field(why).finish(),
        }
    }
}

impl Snapshot {
    /// A record of which only the id can be read.
    #[must_use]
    pub const fn unreadable(entity_type: EntityType, remote_id: String, why: &'static str) -> Self {
        Self {
            entity_type,
            remote_id,
            entity: None,
            shape: Shape::Unreadable { why },
            modified_on: None,
            parents: Vec::new(),
        }
    }
}

/// A consent that was seen at a remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentSeen {
    /// Whose, by the EMS id that the remote's record carries or that its sync record says.
    pub person: i64,
    /// About what.
    pub subject: Subject,
    /// The remote record that shows it: of several that carry one EMS id, one may be restricted and another not.
    pub record: String,
    /// What was said.
    pub state: ConsentState,
    /// When, by the remote's clock; `None` where it does not tell.
    pub said_on: Option<Timestamp>,
    /// By when it was so at the latest, by the remote's clock, where that tells no more; `None` where it tells nothing.
    pub at_latest: Option<Timestamp>,
}

/// What a consent is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A channel of the EMS's contact preferences: `EMAIL`, `SMS`, `PHONE`.
    Channel(String),
    /// A mailing list, by the EMS's code.
    List(String),
}

/// What a consent says. No remote gives a consent that the EMS has not: only what restricts is of interest, and that it does not
/// any more, so that the next restriction is known for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentState {
    /// The person unsubscribed there.
    Unsubscribed,
    /// The person complained there (pressed "spam").
    Complained,
    /// Messages bounce.
    Bounced,
    /// People there blocked the contact.
    Blocked,
    /// People there put the record away. What the person said before can't be seen any more, and they get nothing.
    Archived,
    /// The record shows no restriction of others (any more). It gives no consent, and changes nothing in the EMS.
    Lifted,
}

impl ConsentState {
    /// The name that stands in the EMS as the reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Complained => "complained",
            Self::Bounced => "bounced",
            Self::Blocked => "blocked",
            Self::Archived => "archived",
            Self::Lifted => "lifted",
        }
    }
}

/// Where a pull goes on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PullFrom {
    /// Where the last complete walk ended; `None` before the first.
    pub cursor: Option<Value>,
    /// Where this walk stands; `None` at its beginning.
    pub position: Option<Value>,
    /// Everything is to be read, whatever the cursor says.
    pub full: bool,
}

/// A page of a walk.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pulled {
    /// The records of this page.
    pub snapshots: Vec<Snapshot>,
    /// The consents of this page.
    pub consents: Vec<ConsentSeen>,
    /// Where the walk goes on; `None` when it is complete.
    pub position: Option<Value>,
    /// With the last page: where the next walk begins.
    pub cursor: Option<Value>,
    /// With the last page: the walk has shown every record that there is, so that one that it has not shown is to be looked at by
    /// itself ([`super::Remote::read`]).
    pub shows_all: bool,
    /// The remote's clock when it answered (its `Date` header).
    pub server_time: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `a` was written and is answered in the remote's way, `b` was changed by people meanwhile, `c` was not touched.
    #[test]
    fn a_write_confirms_only_what_it_wrote() {
        let before = json!({"a": "0", "b": "0", "c": null});
        let asked = json!({"a": "E ", "b": "0", "c": null});
        let after = json!({"a": "E", "b": "R", "c": null});
        assert_eq!(confirmed(&before, &asked, &after), json!({"a": "E", "b": "0", "c": null}));
    }

    #[test]
    fn what_is_blank_or_as_wanted_or_not_written_is_no_loss() {
        let wanted = json!({"a": "E", "b": null, "c": "E"});
        for held in [json!({"a": "E", "b": " ", "c": null}), json!({"d": []}), json!({})] {
            assert!(!would_lose(&wanted, &held, &[]), "{held}");
        }
        for held in [json!({"a": "R"}), json!({"b": "R"}), json!({"d": 1}), json!({"c": "e"})] {
            assert!(would_lose(&wanted, &held, &[]), "{held}");
            assert!(!would_lose(&wanted, &held, &["a", "b", "c", "d"]), "{held}");
        }
    }
}
