//! Failure classes (`docs/design.md` section 6): closed, and the only thing that the rules know of an error.
//!
//! A client classifies; [`crate::deliver::retry`] maps each class to an action. Nothing here holds a value that
//! came from the EMS or a person: only codes, statuses and names of fields.

use std::fmt;
use std::time::Duration;

use crate::limits::ERROR_TEXT_CHARS_MAX;

/// What kind of failure it was: what may have been applied, and what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// Nothing was applied; the same request may succeed soon.
    Transient,
    /// A write whose answer was lost: it may have been applied, or may still be.
    Ambiguous,
    /// The whole target must slow down.
    Throttled,
    /// This entity may be tried again after hours.
    Postponed,
    /// The credentials were refused, also after a new login.
    Authentication,
    /// The target is set up wrongly; no entity is to blame.
    Configuration,
    /// This entity's data was refused; the same data will be refused again.
    Rejected,
    /// The remote id that we know is not this entity's record (any more).
    StaleMapping,
    /// A relation that the record names does not exist at the remote.
    MissingParent,
    /// The program did something that the contract forbids, or an answer can't be read.
    OurFault,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 10] = [
        Self::Transient,
        Self::Ambiguous,
        Self::Throttled,
        Self::Postponed,
        Self::Authentication,
        Self::Configuration,
        Self::Rejected,
        Self::StaleMapping,
        Self::MissingParent,
        Self::OurFault,
    ];

    /// The name that stands in records, metrics and headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::Throttled => "throttled",
            Self::Postponed => "postponed",
            Self::Authentication => "authentication",
            Self::Configuration => "configuration",
            Self::Rejected => "rejected",
            Self::StaleMapping => "stale_mapping",
            Self::MissingParent => "missing_parent",
            Self::OurFault => "our_fault",
        }
    }

    /// Nobody can be served, whatever is sent: nothing more may be sent for now.
    #[must_use]
    pub const fn closes_target(self) -> bool {
        match self {
            Self::Throttled | Self::Authentication | Self::Configuration => true,
            Self::Transient
            | Self::Ambiguous
            | Self::Postponed
            | Self::Rejected
            | Self::StaleMapping
            | Self::MissingParent
            | Self::OurFault => false,
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Transient => {
                "Nothing yet: it is tried again by itself. If it lasts, see whether the target is up."
            }
            Self::Ambiguous => {
                "Nothing: the target is asked what it holds before anything is sent again."
            }
            Self::Throttled => {
                "Nothing: the target asked for a pause. If it lasts, lower `requests_per_second`."
            }
            Self::Postponed => "Nothing: the target wants hours between tries.",
            Self::Authentication => {
                "Check the target's credentials, then `ems-sync target enable`."
            }
            Self::Configuration => {
                "Check the target's configuration and permissions, then `ems-sync target enable`."
            }
            Self::Rejected => "Correct the entity in the EMS: the change is pushed by itself.",
            Self::StaleMapping => {
                "Nothing: the record is looked up by its EMS id and adopted or created again."
            }
            Self::MissingParent => "See `ems-sync explain` of the entity that it names.",
            Self::OurFault => "Report it: the target or ems-sync does not keep to the contract.",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failed request or push.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {text}")]
pub struct Failure {
    /// The class, which decides what happens next.
    pub class: FailureClass,
    /// What happened, without any value that came from the EMS or a person.
    pub text: String,
    /// How long the remote asked us to wait, if it did.
    pub retry_after: Option<Duration>,
    /// No byte of the request can have reached the remote.
    pub unsent: bool,
    /// The entity's id at the remote, where a push found it out before it failed.
    pub found: Option<String>,
    /// A record may be there that [`Failure::found`] does not name: the answer to its create was lost, and an entity may have
    /// several.
    pub more: bool,
}

impl Failure {
    /// A failure of `class`. `text` must hold nothing personal; it is cut to a bounded length, and control
    /// characters are taken out, since it comes to logs and terminals.
    #[must_use]
    pub fn new(class: FailureClass, text: impl Into<String>) -> Self {
        let text = text.into();
        let text = text.chars().filter(|c| !c.is_control()).take(ERROR_TEXT_CHARS_MAX).collect();
        Self { class, text, retry_after: None, unsent: false, found: None, more: false }
    }

    /// The same failure of a request that can't have reached the remote.
    #[must_use]
    pub const fn unsent(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// The same failure of a push that has found out the entity's id at the remote.
    #[must_use]
    pub fn with_found(mut self, remote_id: &str) -> Self {
        self.found = Some(remote_id.to_owned());
        self
    }

    /// The same failure, with the pause that the remote asked for.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }
}

/// A token that a remote sent and that may be shown: letters, digits and a little punctuation, short.
/// Anything else may be a person's data and is left out.
#[must_use]
pub fn shown_token(token: &str) -> &str {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '[' | ']');
    if token.len() <= 60 && token.chars().all(harmless) { token } else { "(not shown)" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_texts_are_bounded_and_hold_no_control_characters() {
        let failure =
            Failure::new(FailureClass::OurFault, format!("a\u{1b}[31m\r\n{}", "x".repeat(9_999)));
        assert!(failure.text.starts_with("a[31mx"));
        assert_eq!(failure.text.chars().count(), ERROR_TEXT_CHARS_MAX);
    }

    #[test]
    fn what_may_be_personal_is_not_shown() {
        assert_eq!(shown_token("error.idnotfound"), "error.idnotfound");
        for personal in ["Thandi Nkosi", "a@example.org", "é", &"a".repeat(61)] {
            assert_eq!(shown_token(personal), "(not shown)");
        }
    }

    #[test]
    fn every_class_has_a_name_of_its_own_and_advice() {
        let names: std::collections::BTreeSet<_> =
            FailureClass::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), FailureClass::ALL.len());
        assert!(FailureClass::ALL.iter().all(|c| c.advice().ends_with('.')));
    }
}
