//! The eight resources and their fields: the contract's table.

use std::fmt;

use serde::{Deserialize, Serialize};

use Kind::{Date, Gender, Instant, Integer, Relation, Text, Uuid};

/// A resource of TagServer, parents first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// `/api/organisations`
    Organisation,
    /// `/api/people`
    Person,
    /// `/api/events`
    Event,
    /// `/api/races`
    Race,
    /// `/api/start-groups`
    StartGroup,
    /// `/api/event-participants`
    EventParticipant,
    /// `/api/start-group-participants`
    StartGroupParticipant,
    /// `/api/tags`
    Tag,
}

/// One field of a resource, besides `id` and `externalId`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Instant,
    Date,
    Gender,
    Uuid,
    Relation(Resource),
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

impl Resource {
    /// All resources, parents first.
    pub const ALL: [Self; 8] = [
        Self::Organisation,
        Self::Person,
        Self::Event,
        Self::Race,
        Self::StartGroup,
        Self::EventParticipant,
        Self::StartGroupParticipant,
        Self::Tag,
    ];

    /// Its name in paths, in the journal and on the control API, for example `start-groups`.
    pub const fn segment(self) -> &'static str {
        match self {
            Self::Organisation => "organisations",
            Self::Person => "people",
            Self::Event => "events",
            Self::Race => "races",
            Self::StartGroup => "start-groups",
            Self::EventParticipant => "event-participants",
            Self::StartGroupParticipant => "start-group-participants",
            Self::Tag => "tags",
        }
    }

    /// The EMS's name of the entity, for example `start_group`.
    pub const fn entity(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Person => "person",
            Self::Event => "event",
            Self::Race => "race",
            Self::StartGroup => "start_group",
            Self::EventParticipant => "event_participant",
            Self::StartGroupParticipant => "start_group_participant",
            Self::Tag => "tag",
        }
    }

    /// JHipster's name of the object in errors, for example `startGroup`.
    pub(super) const fn object_name(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Person => "person",
            Self::Event => "event",
            Self::Race => "race",
            Self::StartGroup => "startGroup",
            Self::EventParticipant => "eventParticipant",
            Self::StartGroupParticipant => "startGroupParticipant",
            Self::Tag => "tag",
        }
    }

    /// The resource with this path segment or entity name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.segment() == name || one.entity() == name)
    }

    /// Its fields besides `id` and `externalId`.
    pub(super) const fn fields(self) -> &'static [Field] {
        match self {
            Self::Organisation => ORGANISATION,
            Self::Person => PERSON,
            Self::Event => EVENT,
            Self::Race => RACE,
            Self::StartGroup => START_GROUP,
            Self::EventParticipant => EVENT_PARTICIPANT,
            Self::StartGroupParticipant => START_GROUP_PARTICIPANT,
            Self::Tag => TAG,
        }
    }
}

const ORGANISATION: &[Field] = &[required("name", Text)];
const PERSON: &[Field] = &[
    required("firstName", Text),
    required("lastName", Text),
    optional("dateOfBirth", Date),
    optional("gender", Gender),
];
const EVENT: &[Field] = &[
    required("name", Text),
    required("startDateTime", Instant),
    optional("endDateTime", Instant),
    required("timezone", Text),
    required("organiser", Relation(Resource::Organisation)),
];
const RACE: &[Field] = &[
    required("name", Text),
    optional("startTime", Instant),
    required("distanceMeters", Integer),
    optional("status", Text),
    required("event", Relation(Resource::Event)),
];
const START_GROUP: &[Field] = &[
    required("name", Text),
    required("seq", Integer),
    optional("startTime", Instant),
    required("race", Relation(Resource::Race)),
];
const EVENT_PARTICIPANT: &[Field] = &[
    optional("number", Text),
    optional("status", Text),
    required("event", Relation(Resource::Event)),
    required("person", Relation(Resource::Person)),
];
const START_GROUP_PARTICIPANT: &[Field] = &[
    optional("seq", Integer),
    required("startGroup", Relation(Resource::StartGroup)),
    required("eventParticipant", Relation(Resource::EventParticipant)),
];
const TAG: &[Field] = &[
    required("number", Text),
    optional("barcode", Text),
    optional("uuid", Uuid),
    optional("bibNumber", Text),
    optional("validFrom", Instant),
    optional("validTo", Instant),
    required("person", Relation(Resource::Person)),
];

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
