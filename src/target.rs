//! The five targets and which entity types each of them covers (`docs/design.md` section 7).
//!
//! A closed enum: a sixth target is a compile error in routing, configuration, topology and metrics
//! until each of them has decided about it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::entity::EntityType;

/// One of the remotes that the EMS is kept in step with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The organisation's own timing system; outbound.
    TagServer,
    /// Marketing automation; outbound.
    Mautic,
    /// E-mail marketing; outbound.
    MailChimp,
    /// Third-party registration platform; both ways.
    RunSignup,
    /// Customer support; both ways.
    Chatwoot,
}

impl Target {
    /// Every target, in the order in which they are listed to people.
    pub const ALL: [Self; 5] =
        [Self::TagServer, Self::Mautic, Self::MailChimp, Self::RunSignup, Self::Chatwoot];

    /// The name used in queues, SQL, configuration, metrics and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TagServer => "tagserver",
            Self::Mautic => "mautic",
            Self::MailChimp => "mailchimp",
            Self::RunSignup => "runsignup",
            Self::Chatwoot => "chatwoot",
        }
    }

    /// Whether changes also come back from this target, and it has an inbound queue.
    #[must_use]
    pub const fn is_bidirectional(self) -> bool {
        match self {
            Self::TagServer | Self::Mautic | Self::MailChimp => false,
            Self::RunSignup | Self::Chatwoot => true,
        }
    }

    /// Whether what people have said there is known by the remote id that their record had before ([`crate::remote::Push::former`]):
    /// such a record is kept when they are gone.
    #[must_use]
    pub const fn heeds_former_ids(self) -> bool {
        match self {
            Self::MailChimp => true,
            Self::TagServer | Self::Mautic | Self::RunSignup | Self::Chatwoot => false,
        }
    }

    /// The entity types that are pushed to this target, parents before children.
    #[must_use]
    pub const fn outbound_types(self) -> &'static [EntityType] {
        match self {
            Self::TagServer => &[
                EntityType::Organisation,
                EntityType::Person,
                EntityType::Event,
                EntityType::Race,
                EntityType::StartGroup,
                EntityType::EventParticipant,
                EntityType::StartGroupParticipant,
                EntityType::Tag,
            ],
            Self::Mautic | Self::MailChimp | Self::Chatwoot => &[EntityType::Person],
            Self::RunSignup => &[
                EntityType::Person,
                EntityType::Event,
                EntityType::Race,
                EntityType::EventParticipant,
            ],
        }
    }

    /// Whether an entity of this type is pushed to this target.
    #[must_use]
    pub fn covers(self, entity_type: EntityType) -> bool {
        self.outbound_types().contains(&entity_type)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Not a target; one of {}", Target::ALL.map(Target::name).join(", "))]
pub struct UnknownTarget;

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|t| t.name() == s).ok_or(UnknownTarget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_reads_its_own_name_back_also_from_json() {
        for target in Target::ALL {
            assert_eq!(target.name().parse(), Ok(target));
            let json = serde_json::to_string(&target).unwrap();
            assert_eq!(json, format!("\"{target}\""));
            assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
        }
        assert_eq!("TagServer".parse::<Target>(), Err(UnknownTarget));
    }

    #[test]
    fn what_a_target_covers_is_listed_parents_first() {
        for target in Target::ALL {
            assert!(target.outbound_types().is_sorted(), "{target}");
            assert!(!target.covers(EntityType::Conversation), "conversations are inbound only");
        }
    }
}
