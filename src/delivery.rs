//! The message "bring target T up to date on entity E" (`docs/design.md` section 5, body **fixed**).
//!
//! A delivery carries no field values: it is harmless to repeat, coalesce or reorder, and nothing
//! personal stands in the broker. Whoever takes one reads the projection anew.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::entity::{EntityRef, EntityType};
use crate::target::Target;

/// The version of the body that this program writes and reads.
pub const BODY_VERSION: u32 = 1;

/// Why a delivery was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A change in the EMS, seen by a trigger.
    Change,
    /// The periodic scan found it, or it was still owed.
    Sweep,
    /// A person put a dead letter back.
    Replay,
    /// A person asked for the target to be brought up to date.
    Resync,
    /// An inbound decision re-asserts the EMS.
    Inbound,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 5] =
        [Self::Change, Self::Sweep, Self::Replay, Self::Resync, Self::Inbound];

    /// The name that stands in messages, records and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Sweep => "sweep",
            Self::Replay => "replay",
            Self::Resync => "resync",
            Self::Inbound => "inbound",
        }
    }

    /// The cause of that name; [`Cause::Sweep`] for one that this version does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|c| c.name() == name).unwrap_or(Self::Sweep)
    }
}

/// A message on `<prefix>.<target>.outbound`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Version of the body: [`BODY_VERSION`].
    pub v: u32,
    /// The target to bring up to date.
    pub target: Target,
    /// The type of the entity.
    pub entity: EntityType,
    /// The EMS id of the entity.
    pub id: i64,
    /// Why.
    pub cause: Cause,
    /// When the change that is oldest among those not yet pushed was made.
    pub changed_on: Timestamp,
    /// W3C trace context of the EMS transaction. A header, not part of the body.
    #[serde(skip)]
    pub traceparent: Option<String>,
    /// Which attempt of the present cycle this asks for. A header, not part of the body; 0 is the first.
    #[serde(skip)]
    pub attempt: u32,
}

/// A body that can't be taken as a delivery.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The bytes are not a delivery's JSON. The parser's text is not kept: it may quote the body.
    #[error("The message body is not a delivery ({category:?} at column {column})")]
    Malformed {
        /// What kind of mistake the parser found.
        category: serde_json::error::Category,
        /// Where.
        column: usize,
    },
    /// A body of a version that this program does not know.
    #[error("The message body has version {0}, this program reads version {BODY_VERSION}")]
    Version(u32),
}

impl Delivery {
    /// A first delivery for `entity` to `target`.
    #[must_use]
    pub const fn new(
        target: Target,
        entity: EntityRef,
        cause: Cause,
        changed_on: Timestamp,
    ) -> Self {
        Self {
            v: BODY_VERSION,
            target,
            entity: entity.entity_type,
            id: entity.id,
            cause,
            changed_on,
            traceparent: None,
            attempt: 0,
        }
    }

    /// The entity that this delivery is about.
    #[must_use]
    pub const fn entity_ref(&self) -> EntityRef {
        EntityRef::new(self.entity, self.id)
    }

    /// The JSON body.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a body. The version is looked at first, so that a newer body is told from garbage.
    ///
    /// # Errors
    /// [`DeliveryError`] when it is no delivery, or of another version.
    pub fn from_body(body: &[u8]) -> Result<Self, DeliveryError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let malformed = |e: serde_json::Error| DeliveryError::Malformed {
            category: e.classify(),
            column: e.column(),
        };
        let version: Version = serde_json::from_slice(body).map_err(malformed)?;
        if version.v != BODY_VERSION {
            return Err(DeliveryError::Version(version.v));
        }
        serde_json::from_slice(body).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Delivery {
        Delivery::new(
            Target::TagServer,
            EntityRef::new(EntityType::StartGroup, 9_007_199_254_740_993),
            Cause::Change,
            "2026-11-25T07:00:00.123456Z".parse().unwrap(),
        )
    }

    /// The body is fixed: other programs read it.
    #[test]
    fn the_body_is_the_documented_one() {
        assert_eq!(
            String::from_utf8(delivery().to_body()).unwrap(),
            r#"{"v":1,"target":"tagserver","entity":"start_group","id":9007199254740993,"cause":"change","changed_on":"2026-11-25T07:00:00.123456Z"}"#
        );
    }

    #[test]
    fn a_body_reads_back_and_unknown_keys_are_ignored() {
        assert_eq!(Delivery::from_body(&delivery().to_body()).unwrap(), delivery());
        let body = String::from_utf8(delivery().to_body()).unwrap();
        let newer = body.replacen('{', r#"{"later":true,"#, 1);
        assert_eq!(Delivery::from_body(newer.as_bytes()).unwrap(), delivery());
    }

    #[test]
    fn garbage_and_other_versions_are_told_apart_and_not_quoted() {
        let body = String::from_utf8(delivery().to_body()).unwrap();
        let version = Delivery::from_body(body.replacen(":1", ":2", 1).as_bytes());
        assert!(matches!(version, Err(DeliveryError::Version(2))));
        for bad in ["", "{}", "[]", "null", r#"{"v":1,"target":"canary@example.org"}"#] {
            let error = Delivery::from_body(bad.as_bytes()).unwrap_err();
            assert!(matches!(error, DeliveryError::Malformed { .. }), "{bad}");
            assert!(!error.to_string().contains("canary"));
        }
    }
}
