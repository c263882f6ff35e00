//! What there are rows of.

/// A kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A person whom the desk knows.
    Contact,
    /// A thread of messages with a contact.
    Conversation,
    /// An account webhook.
    Webhook,
    /// A custom attribute that is defined, and so can be filtered.
    AttributeDefinition,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Contact, Self::Conversation, Self::Webhook, Self::AttributeDefinition];

    /// The segment of its paths.
    pub fn segment(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::Conversation => "conversations",
            Self::Webhook => "webhooks",
            Self::AttributeDefinition => "custom_attribute_definitions",
        }
    }

    /// The resource with this segment or EMS name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "person" | "people" | "contact" => Some(Self::Contact),
            "conversation" => Some(Self::Conversation),
            "webhook" => Some(Self::Webhook),
            "custom_attribute_definition" => Some(Self::AttributeDefinition),
            _ => Self::ALL.into_iter().find(|resource| resource.segment() == name),
        }
    }
}

impl AsRef<str> for Resource {
    fn as_ref(&self) -> &str {
        self.segment()
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.segment())
    }
}
