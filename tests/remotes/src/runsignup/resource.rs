//! The four kinds of rows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of row of RunSignup, parents first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A race: the EMS's event.
    Race,
    /// An event: the EMS's race.
    Event,
    /// A user: the EMS's person.
    User,
    /// A registration: the EMS's event participant.
    Registration,
}

impl Resource {
    /// All resources, parents first.
    pub const ALL: [Self; 4] = [Self::Race, Self::Event, Self::User, Self::Registration];

    /// Its name in the journal and on the control API, in RunSignup's words: `races` is what the
    /// EMS calls events.
    pub const fn segment(self) -> &'static str {
        match self {
            Self::Race => "races",
            Self::Event => "events",
            Self::User => "users",
            Self::Registration => "registrations",
        }
    }

    /// The resource for RunSignup's plural or the EMS's name of the entity.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "races" | "event" => Some(Self::Race),
            "events" | "race" => Some(Self::Event),
            "users" | "user" | "person" => Some(Self::User),
            "registrations" | "registration" | "event_participant" => Some(Self::Registration),
            _ => None,
        }
    }
}

impl AsRef<str> for Resource {
    fn as_ref(&self) -> &str {
        self.segment()
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.segment())
    }
}
