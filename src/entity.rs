//! Entities of the EMS: their types, their references, and the order in which they depend on each other.
//!
//! Pure vocabulary: no I/O. The order is `docs/design.md` section 6, "Waiting": parents are brought to a
//! target before their children, and deleted after them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The type of an EMS entity. A closed set: a new type must be decided everywhere a match is made.
///
/// The order of the variants is the dependency order, parents first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityType {
    /// `ems.organisation`: who organises events.
    Organisation,
    /// `ems.person`: a runner, member or contact, with its contact preferences and list memberships.
    Person,
    /// `ems.event`: belongs to an organisation.
    Event,
    /// `ems.race`: belongs to an event.
    Race,
    /// `ems.start_group`: belongs to a race.
    StartGroup,
    /// `ems.event_participant`: a person's registration for an event.
    EventParticipant,
    /// `ems.start_group_participant`: puts a registration into a start group.
    StartGroupParticipant,
    /// `ems.tag`: a timing tag that belongs to a person.
    Tag,
    /// `ems.conversation`: support metadata, inbound from Chatwoot only.
    Conversation,
}

impl EntityType {
    /// Every entity type, parents before children.
    pub const ALL: [Self; 9] = [
        Self::Organisation,
        Self::Person,
        Self::Event,
        Self::Race,
        Self::StartGroup,
        Self::EventParticipant,
        Self::StartGroupParticipant,
        Self::Tag,
        Self::Conversation,
    ];

    /// The name used in SQL, messages, metrics and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Person => "person",
            Self::Event => "event",
            Self::Race => "race",
            Self::StartGroup => "start_group",
            Self::EventParticipant => "event_participant",
            Self::StartGroupParticipant => "start_group_participant",
            Self::Tag => "tag",
            Self::Conversation => "conversation",
        }
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no entity type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Not an entity type; one of {}", names())]
pub struct UnknownEntityType;

fn names() -> String {
    EntityType::ALL.map(EntityType::name).join(", ")
}

impl FromStr for EntityType {
    type Err = UnknownEntityType;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|t| t.name() == s).ok_or(UnknownEntityType)
    }
}

/// A reference to one EMS entity: its type and its EMS id. Carries no personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntityRef {
    /// The entity's type.
    #[serde(rename = "entity")]
    pub entity_type: EntityType,
    /// The EMS id.
    pub id: i64,
}

impl EntityRef {
    /// A reference to entity `id` of `entity_type`.
    #[must_use]
    pub const fn new(entity_type: EntityType, id: i64) -> Self {
        Self { entity_type, id }
    }
}

impl fmt::Display for EntityRef {
    /// `person:42`, the form that stands in `parents` and `waiting_on`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.entity_type, self.id)
    }
}

/// A text that is no entity reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Not an entity reference of the form `type:id`")]
pub struct InvalidEntityRef;

impl FromStr for EntityRef {
    type Err = InvalidEntityRef;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (kind, id) = s.split_once(':').ok_or(InvalidEntityRef)?;
        Ok(Self {
            entity_type: kind.parse().map_err(|_| InvalidEntityRef)?,
            id: id.parse().map_err(|_| InvalidEntityRef)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_type_reads_its_own_name_back() {
        for entity_type in EntityType::ALL {
            assert_eq!(entity_type.name().parse(), Ok(entity_type));
        }
        assert_eq!("people".parse::<EntityType>(), Err(UnknownEntityType));
    }

    #[test]
    fn the_declared_order_is_the_dependency_order() {
        let mut sorted = EntityType::ALL;
        sorted.sort();
        assert_eq!(sorted, EntityType::ALL);
    }

    #[test]
    fn a_reference_reads_its_own_text_back() {
        let reference = EntityRef::new(EntityType::StartGroupParticipant, i64::MAX);
        assert_eq!(reference.to_string().parse(), Ok(reference));
        for bad in ["person", "person:", "person:x", ":1", "runner:1"] {
            assert_eq!(bad.parse::<EntityRef>(), Err(InvalidEntityRef), "{bad}");
        }
    }
}
