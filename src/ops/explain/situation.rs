//! What people are told of an entity at a target: exactly one of a closed list. Pure and total: every verdict has its situation, and
//! none is "unknown". The states of the documents ([`Shown`]) are fixed and fewer; a skipped record is told here by why it is.

use jiff::Timestamp;

use super::verdict::{Evidence, Verdict};
use crate::entity::EntityRef;
use crate::ops::status::state::Shown;
use crate::ops::words::instant;

/// The situation of an entity at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Situation {
    /// The target holds what the EMS has, or has nothing where that has nothing.
    InSync,
    /// Owed, and pushed soon.
    Pending,
    /// Another entity must come first.
    WaitingFor(Option<EntityRef>),
    /// A consumer works on it.
    Leased,
    /// A failed attempt is tried again, when it is known at that time.
    RetryingAt(Option<Timestamp>),
    /// Put aside: by the target for hours, or by a person's pause.
    Parked,
    /// The target asked for a pause.
    ThrottledUntil(Option<Timestamp>),
    /// The target can't be reached.
    BreakerOpen,
    /// A person must decide, for this reason: `guard` where it is one of too many losses at once.
    Held(String),
    /// The target refuses the content, for this reason.
    Rejected(String),
    /// Another entity owns the one record that there may be of its e-mail address.
    SharedEmail(Option<EntityRef>),
    /// The target holds it as somebody who wants to hear nothing: no consent is left.
    WithoutConsent,
    /// The target has nothing to do with it.
    OutOfScope,
    /// All tries of a cycle failed.
    DeadLetter,
    /// Nothing is sent to the target.
    Disabled,
}

impl Situation {
    /// The names of all of them.
    pub const NAMES: [&'static str; 15] = [
        "in_sync",
        "pending",
        "waiting",
        "leased",
        "retrying",
        "parked",
        "throttled",
        "breaker_open",
        "held",
        "rejected",
        "shared_email",
        "consent",
        "out_of_scope",
        "dead_letter",
        "disabled",
    ];

    /// The situation behind a verdict.
    #[must_use]
    pub fn of(evidence: &Evidence<'_>, verdict: &Verdict) -> Self {
        let entity_type = evidence.entity.entity_type;
        let record = evidence.record;
        match verdict.state {
            Shown::Synced => match evidence.consents {
                Some([]) if evidence.version.is_some() => Self::WithoutConsent,
                Some(_) | None => Self::InSync,
            },
            Shown::Pending => Self::Pending,
            Shown::Waiting => {
                let other = record.and_then(|record| record.waiting_on.as_deref());
                Self::WaitingFor(other.and_then(|other| other.parse().ok()))
            }
            Shown::Leased => Self::Leased,
            Shown::Retrying => Self::RetryingAt(record.and_then(|record| record.due_on)),
            Shown::Parked => Self::Parked,
            Shown::Throttled => Self::ThrottledUntil(evidence.state.throttled_until),
            Shown::BreakerOpen => Self::BreakerOpen,
            Shown::Held => Self::Held(verdict.reason.clone()),
            Shown::Rejected => Self::Rejected(verdict.reason.clone()),
            Shown::Skipped if verdict.reason == "shared_email" => {
                let owner = record.and_then(|record| record.owner_id);
                let owner = owner.filter(|owner| *owner != evidence.entity.id);
                Self::SharedEmail(owner.map(|owner| EntityRef::new(entity_type, owner)))
            }
            Shown::Skipped => Self::OutOfScope,
            Shown::DeadLetter => Self::DeadLetter,
            Shown::Disabled => Self::Disabled,
        }
    }

    /// The name, in documents.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Pending => "pending",
            Self::WaitingFor(_) => "waiting",
            Self::Leased => "leased",
            Self::RetryingAt(_) => "retrying",
            Self::Parked => "parked",
            Self::ThrottledUntil(_) => "throttled",
            Self::BreakerOpen => "breaker_open",
            Self::Held(_) => "held",
            Self::Rejected(_) => "rejected",
            Self::SharedEmail(_) => "shared_email",
            Self::WithoutConsent => "consent",
            Self::OutOfScope => "out_of_scope",
            Self::DeadLetter => "dead_letter",
            Self::Disabled => "disabled",
        }
    }

    /// It in a few words, with whom, when or why.
    #[must_use]
    pub fn words(&self) -> String {
        let named = |of: &Option<EntityRef>, other: &str| match of {
            Some(of) => format!("{} {}", of.entity_type, of.id).replace('_', " "),
            None => other.to_owned(),
        };
        let at = |what: &str, at: &Option<Timestamp>| match at {
            Some(_) => format!("{what} {}", instant(*at)),
            None => what.split(' ').next().unwrap_or(what).to_owned(),
        };
        match self {
            Self::InSync => "in sync".to_owned(),
            Self::WaitingFor(other) => format!("waiting for {}", named(other, "another entity")),
            Self::RetryingAt(on) => at("retrying at", on),
            Self::ThrottledUntil(until) => at("throttled until", until),
            Self::BreakerOpen => "breaker open".to_owned(),
            Self::Held(reason) if reason == "guard" => "held by the guard".to_owned(),
            Self::Held(reason) => format!("held: {}", reason.replace('_', " ")),
            Self::Rejected(reason) => format!("rejected: {}", reason.replace('_', " ")),
            Self::SharedEmail(owner) => {
                format!("shared e-mail: owner {}", named(owner, "another entity"))
            }
            Self::WithoutConsent => "consent: none".to_owned(),
            Self::OutOfScope => "out of scope".to_owned(),
            Self::DeadLetter => "dead letter".to_owned(),
            Self::Pending | Self::Leased | Self::Parked | Self::Disabled => self.name().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::EntityType;

    #[test]
    fn each_is_told_in_a_few_words_and_has_a_name_of_the_list() {
        let person = EntityRef::new(EntityType::Person, 5);
        let at = Timestamp::from_second(0).ok();
        let told = [
            (Situation::InSync, "in sync"),
            (Situation::Pending, "pending"),
            (Situation::WaitingFor(Some(person)), "waiting for person 5"),
            (Situation::Leased, "leased"),
            (Situation::RetryingAt(at), "retrying at 1970-01-01 00:00:00Z"),
            (Situation::Parked, "parked"),
            (Situation::ThrottledUntil(at), "throttled until 1970-01-01 00:00:00Z"),
            (Situation::BreakerOpen, "breaker open"),
            (Situation::Held("guard".to_owned()), "held by the guard"),
            (Situation::Rejected("rejected".to_owned()), "rejected: rejected"),
            (Situation::SharedEmail(Some(person)), "shared e-mail: owner person 5"),
            (Situation::WithoutConsent, "consent: none"),
            (Situation::OutOfScope, "out of scope"),
            (Situation::DeadLetter, "dead letter"),
            (Situation::Disabled, "disabled"),
        ];
        for (situation, words) in &told {
            assert_eq!(situation.words(), *words);
        }
        assert_eq!(told.map(|(situation, _)| situation.name()), Situation::NAMES);
        assert_eq!(Situation::RetryingAt(None).words(), "retrying");
        assert_eq!(Situation::WaitingFor(None).words(), "waiting for another entity");
        assert_eq!(Situation::Held("binding".to_owned()).words(), "held: binding");
    }
}
