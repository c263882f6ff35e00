//! Dead letters as people and programs see them.

pub mod change;

use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use crate::entity::EntityType;
use crate::remote::FailureClass;
use crate::store::DeadLetter;
use crate::target::Target;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its number.
    pub dead_letter: i64,
    /// The target.
    pub target: Target,
    /// The entity's type; `None` for a message that could not be decoded.
    pub entity: Option<EntityType>,
    /// The EMS id.
    pub id: Option<i64>,
    /// `dead_letter` while it is open, else `resolved` or `discarded`.
    pub state: &'static str,
    /// The failure class, `unmappable` or `undecodable`.
    pub reason: String,
    /// The last error, without anything personal.
    pub error: Option<String>,
    /// What a person can do.
    pub advice: &'static str,
    /// The state of the entity's record now.
    pub record_state: Option<String>,
    /// Attempts of all its cycles.
    pub attempts: i32,
    /// Failed cycles, or messages of the same content.
    pub cycles: i32,
    /// When the first attempt of its first cycle had failed.
    pub first_failed_on: Timestamp,
    /// When its last cycle had failed.
    pub last_failed_on: Timestamp,
    /// From when a sweep makes another attempt.
    pub next_try_on: Option<Timestamp>,
    /// When a person put it back.
    pub replayed_on: Option<Timestamp>,
    /// Who.
    pub replayed_by: Option<String>,
    /// When it was resolved or discarded.
    pub closed_on: Option<Timestamp>,
    /// By whom.
    pub closed_by: Option<String>,
    /// SHA-256 of a message that could not be decoded, in hexadecimal digits.
    pub message_digest: Option<String>,
    /// Its size.
    pub message_bytes: Option<i32>,
}

impl From<DeadLetter> for Row {
    fn from(letter: DeadLetter) -> Self {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            dead_letter: letter.number,
            target: letter.target,
            entity: letter.entity.map(|entity| entity.entity_type),
            id: letter.entity.map(|entity| entity.id),
            state: match letter.outcome.as_deref() {
                None => "dead_letter",
                Some("discarded") => "discarded",
                Some(_) => "resolved",
            },
            advice: advice(&letter.reason),
            reason: letter.reason,
            error: letter.error,
            record_state: letter.record_state,
            attempts: letter.attempts,
            cycles: letter.cycles,
            first_failed_on: letter.first_failed_on,
            last_failed_on: letter.last_failed_on,
            next_try_on: letter.next_try_on.filter(|_| letter.closed_on.is_none()),
            replayed_on: letter.replayed_on,
            replayed_by: letter.replayed_by,
            closed_on: letter.closed_on,
            closed_by: letter.closed_by,
            message_digest: letter.message_digest.map(hex),
            message_bytes: letter.message_bytes,
        }
    }
}

/// Why there is a dead letter, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason(&'static str);

impl Reason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        let classes = FailureClass::ALL.into_iter().map(FailureClass::name);
        classes.chain(["unmappable", "undecodable"]).map(Self)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::all().find(|reason| reason.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            format!("one of {}", names.join(", "))
        })
    }
}

/// What a person can do about a dead letter with this reason.
fn advice(reason: &str) -> &'static str {
    let class = FailureClass::ALL.into_iter().find(|class| class.name() == reason);
    match (class, reason) {
        (Some(FailureClass::Transient | FailureClass::Ambiguous), _) => {
            "See whether the target is up and what its log says, then replay it; a sweep tries it by itself, ever more seldom."
        }
        (Some(class), _) => class.advice(),
        (None, "undecodable") => {
            "Find out who else publishes to this queue, then discard it: nothing of the EMS is lost with it."
        }
        (None, _) => {
            "Correct the entity in the EMS (the log names the column): the change is pushed by itself."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_advice_and_what_is_over_is_not_called_dead() {
        for reason in Reason::all() {
            assert!(advice(reason.name()).ends_with('.'), "{reason:?}");
            assert_eq!(reason.name().parse(), Ok(reason));
        }
        assert!("refused".parse::<Reason>().unwrap_err().contains("rejected"));
        assert!(advice("transient").contains("replay"));
        assert!(advice("undecodable").contains("discard"));
    }
}
