//! From what is known of an entity at a target to exactly one state, a reason, and what happens next. Pure.

use jiff::Timestamp;

use crate::deliver::{binding, bound};
use crate::entity::{EntityRef, EntityType};
use crate::ops::status::state::{Obstacle, Shown};
use crate::ops::words::instant;
use crate::remote::FailureClass;
use crate::store::{RecordRow, TargetState};
use crate::target::Target;

/// What is known.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The entity.
    pub entity: EntityRef,
    /// The shared state of the target.
    pub state: &'a TargetState,
    /// The configuration enables the target.
    pub is_enabled: bool,
    /// The version that the target's projection shows; `None` when it shows none.
    pub version: Option<Timestamp>,
    /// The consents that it shows; `None` where it shows no such thing.
    pub consents: Option<&'a [String]>,
    /// The sync record.
    pub record: Option<&'a RecordRow>,
    /// A change of the entity waits in the outbox.
    pub in_outbox: bool,
}

/// The one thing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: Shown,
    /// Why, in `snake_case`.
    pub reason: String,
    /// What happens next, in a sentence.
    pub next: String,
    /// What a person can do, where there is something.
    pub advice: Option<String>,
}

impl Verdict {
    fn new(state: Shown, reason: &str, next: impl Into<String>) -> Self {
        let class = FailureClass::ALL.into_iter().find(|class| class.name() == reason);
        let advice = class.map(|class| class.advice().to_owned());
        Self { state, reason: reason.to_owned(), next: next.into(), advice }
    }

    fn advising(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Judges. The order of the tests is the order in which the answers matter: what the target has nothing to do
/// with, what nobody sends to, what is owed, and last what seems to be done.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let target = evidence.state.target;
    let entity_type = evidence.entity.entity_type;
    if !target.covers(entity_type) {
        let next = format!("Nothing: {target} takes no {entity_type}.");
        return Verdict::new(Shown::Skipped, "not_covered", next);
    }
    let obstacle = Obstacle::of(evidence.is_enabled, evidence.state);
    if let Some(
        obstacle @ (Obstacle::NotEnabled
        | Obstacle::Refused(_)
        | Obstacle::GivenUp
        | Obstacle::DisabledByPerson
        | Obstacle::NotBoundHere),
    ) = obstacle
    {
        return behind(obstacle, evidence.state);
    }
    match evidence.record {
        Some(record) if record.is_leased || record.is_owed => owed(evidence, record, obstacle),
        record => settled(evidence, record, obstacle),
    }
}

/// What keeps everything back.
fn behind(obstacle: Obstacle, state: &TargetState) -> Verdict {
    let target = state.target;
    let enable =
        format!("Nothing is sent until `ems-sync target enable {target}`; then it is caught up.");
    let next = match obstacle {
        Obstacle::NotEnabled => {
            format!("Nothing is sent until `targets.{target}.enabled = true` in the configuration.")
        }
        Obstacle::Refused(_) | Obstacle::GivenUp | Obstacle::DisabledByPerson => enable,
        Obstacle::NotBoundHere => {
            format!(
                "Nothing is sent until `ems-sync target rebind {target}`: {}.",
                binding::words(&state.held_parts)
            )
        }
        Obstacle::Paused => {
            format!(
                "Nothing is sent until `ems-sync target resume {target}`; then it is caught up."
            )
        }
        Obstacle::BreakerOpen => {
            let at = when(state.breaker_until);
            format!(
                "The target does not answer; it is asked again {at}, and caught up when it does."
            )
        }
        Obstacle::Throttled => {
            format!("The target asked for a pause; it goes on {}.", when(state.throttled_until))
        }
    };
    let verdict = Verdict::new(obstacle.state(), obstacle.reason(), next);
    match obstacle {
        Obstacle::GivenUp => verdict.advising(format!(
            "See whether the target is up, then `ems-sync target enable {target}`."
        )),
        Obstacle::NotBoundHere => verdict.advising(bound::advice(target)),
        Obstacle::BreakerOpen => verdict.advising(FailureClass::Transient.advice()),
        Obstacle::Throttled => verdict.advising(FailureClass::Throttled.advice()),
        Obstacle::NotEnabled
        | Obstacle::Refused(_)
        | Obstacle::DisabledByPerson
        | Obstacle::Paused => verdict,
    }
}

/// The target is behind on the entity, or a consumer works on it.
fn owed(evidence: &Evidence<'_>, record: &RecordRow, obstacle: Option<Obstacle>) -> Verdict {
    if record.is_leased {
        return Verdict::new(Shown::Leased, "in_flight", "A consumer works on it now.");
    }
    let reason = record.reason.as_deref();
    match record.state.as_str() {
        "rejected" => {
            let next =
                format!("Nothing is sent until the entity changes in the EMS{}.", replay(record));
            return Verdict::new(Shown::Rejected, reason.unwrap_or("rejected"), next);
        }
        "held" => return held(evidence, reason),
        "waiting" => return waiting(evidence, record, obstacle),
        "dead_letter" => {
            let again = match record.dead_letter.and_then(|letter| letter.next_try_on) {
                Some(at) => {
                    format!("It is tried once more by the first sweep after {}", instant(Some(at)))
                }
                None => "It is not tried again before it changes in the EMS".to_owned(),
            };
            let next = format!("{again}{}.", replay(record));
            return Verdict::new(Shown::DeadLetter, reason.unwrap_or("tries_failed"), next);
        }
        _ => {}
    }
    if let Some(obstacle) = obstacle {
        return behind(obstacle, evidence.state);
    }
    moving(evidence, record)
}

/// How a person has it tried now, after the words before.
fn replay(record: &RecordRow) -> String {
    record.dead_letter.map_or_else(String::new, |letter| {
        format!("; `ems-sync dead-letters replay --number {}` tries it now", letter.number)
    })
}

fn held(evidence: &Evidence<'_>, reason: Option<&str>) -> Verdict {
    let target = evidence.state.target;
    // What the EMS still shows is held for what it would lose.
    let is_gone = evidence.version.is_none();
    match reason {
        Some(reason @ "guard") => {
            let (burst, approval) = if is_gone {
                ("It is one of too many deletes at once", "deletes")
            } else {
                ("It is one of too many that lose consents or fields at once", "pushes")
            };
            let until = if is_gone { "shows it again" } else { "has again what it would lose" };
            let next = format!(
                "{burst}: it stays at {target} until a person has decided, or the EMS {until}."
            );
            Verdict::new(Shown::Held, reason, next).advising(format!(
                "`ems-sync target approve {target}` {approval} what is held now; `ems-sync target reject {target}` leaves it \
                 at {target}."
            ))
        }
        Some(reason @ "delete_rejected") => {
            let (until, approval) = if is_gone {
                ("shows it again", "deletes it")
            } else {
                ("has again what it would lose", "pushes it")
            };
            Verdict::new(
                Shown::Held,
                reason,
                format!("It stays at {target}, as a person decided, until the EMS {until}."),
            )
            .advising(format!("`ems-sync target approve {target} --kept` {approval} after all."))
        }
        reason => Verdict::new(
            Shown::Held,
            reason.unwrap_or("person_must_decide"),
            "Nothing is sent until a person has decided, or the entity changes in the EMS.",
        )
        .advising("Correct the entity in the EMS: the change is pushed by itself."),
    }
}

fn waiting(evidence: &Evidence<'_>, record: &RecordRow, obstacle: Option<Obstacle>) -> Verdict {
    let target = evidence.state.target;
    let other = record.waiting_on.as_deref().unwrap_or("another entity");
    let reason = record.reason.as_deref().unwrap_or("waiting_for_parent");
    let next = match reason {
        "waiting_for_child" => {
            format!("It is removed from {target} as soon as {other} is gone from there.")
        }
        "waiting_for_sibling" => {
            format!("It is pushed as soon as the change of {other} is at {target}.")
        }
        _ => format!("It is pushed as soon as {other} is at {target}."),
    };
    let stuck =
        record.other_state.as_ref().and_then(|(state, reason)| stuck(state, reason.as_deref()));
    let behind = obstacle.map(|obstacle| behind(obstacle, evidence.state).next);
    let next = [Some(next), stuck, behind].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let verdict = Verdict::new(Shown::Waiting, reason, next);
    match other.parse::<EntityRef>() {
        Ok(other) => {
            let EntityRef { entity_type, id } = other;
            verdict.advising(format!("See `ems-sync explain {entity_type} {id}`."))
        }
        Err(_) => verdict,
    }
}

/// Why what is waited for does not come by itself.
fn stuck(state: &str, reason: Option<&str>) -> Option<String> {
    let because = |what: &str| match reason.filter(|reason| *reason != state) {
        Some(reason) => format!("{what} ({})", reason.replace('_', " ")),
        None => what.to_owned(),
    };
    match state {
        "held" => Some(format!("That is {}.", because("held for a person"))),
        "rejected" => {
            Some(format!("That is {}, until it changes in the EMS.", because("rejected")))
        }
        "dead_letter" => {
            Some(format!("That is {}: all its tries failed.", because("a dead letter")))
        }
        "waiting" => Some("That waits for another itself.".to_owned()),
        _ => None,
    }
}

/// Owed, and nothing but time keeps it back.
fn moving(evidence: &Evidence<'_>, record: &RecordRow) -> Verdict {
    let target = evidence.state.target;
    let reason = record.reason.as_deref();
    let again = || format!("It is tried again {}.", when(record.due_on));
    match record.state.as_str() {
        "retrying" => Verdict::new(Shown::Retrying, reason.unwrap_or("attempt_failed"), again()),
        "parked" => Verdict::new(Shown::Parked, reason.unwrap_or("postponed"), again()),
        "leased" => Verdict::new(
            Shown::Pending,
            "lease_expired",
            "The consumer that had it fell silent; another takes it over, and looks at the target first.",
        ),
        _ if evidence.version.is_none() => Verdict::new(
            Shown::Pending,
            reason.unwrap_or("owed"),
            format!(
                "It is removed from {target} within moments: the EMS does not show it any more."
            ),
        ),
        _ => Verdict::new(
            Shown::Pending,
            reason.unwrap_or("owed"),
            format!("It is pushed to {target} within moments."),
        ),
    }
}

/// Nothing is owed. Whether that is the whole truth is tested against the outbox and the projection.
fn settled(
    evidence: &Evidence<'_>,
    record: Option<&RecordRow>,
    obstacle: Option<Obstacle>,
) -> Verdict {
    let target = evidence.state.target;
    let unseen = |reason, next: &str| match obstacle {
        Some(obstacle) => behind(obstacle, evidence.state),
        None => Verdict::new(Shown::Pending, reason, next),
    };
    let is_shown = evidence.version.is_some();
    let may_be_there = record.is_some_and(|record| record.remote_id.is_some());
    if evidence.in_outbox && (is_shown || may_be_there) {
        return unseen(
            "in_outbox",
            "The relay takes the change up within moments, and it is pushed.",
        );
    }
    let not_seen = || {
        unseen("not_seen_yet", "The next sweep finds it, unless its change is on its way already.")
    };
    match record {
        None if is_shown => not_seen(),
        None => Verdict::new(
            Shown::Skipped,
            "out_of_scope",
            format!("Nothing: the EMS does not show it to {target}."),
        ),
        Some(record) if record.gave_up && !is_shown && !may_be_there => left(evidence, record),
        Some(record) if record.state == "skipped" => skipped(evidence, record),
        // A remote record without an entity, an entity without a remote record, or another version than was pushed.
        Some(_) if is_shown != may_be_there => not_seen(),
        Some(record) if is_shown && record.entity_modified_on != evidence.version => not_seen(),
        Some(record) if is_shown => Verdict::new(
            Shown::Synced,
            record.reason.as_deref().unwrap_or("up_to_date"),
            "Nothing: it is pushed again when it changes.",
        ),
        Some(record) => Verdict::new(
            Shown::Synced,
            record.reason.as_deref().unwrap_or("deleted"),
            format!("Nothing: it is gone from the EMS and from {target}."),
        ),
    }
}

/// It is gone from the EMS, and what it had at the target was left to the owner of its e-mail address (`gave_up_key`).
fn left(evidence: &Evidence<'_>, record: &RecordRow) -> Verdict {
    let target = evidence.state.target;
    let entity_type = evidence.entity.entity_type;
    let verdict = |next: String| Verdict::new(Shown::Skipped, "left_to_owner", next);
    match record.owner_id {
        Some(owner) => verdict(format!(
            "It is gone from the EMS. Its record was left at {target} to {entity_type} {owner}, who has its e-mail address and takes the \
             record over; if nobody has that address before, it is deleted there."
        ))
        .advising(format!("See `ems-sync explain {entity_type} {owner}`.")),
        None => verdict(format!(
            "It is gone from the EMS. Its record was left at {target} to the owner of its e-mail address, and nobody has that address \
             now: the next sweep finds the record, and it is deleted there."
        )),
    }
}

/// The target has nothing to do with it as it is now.
fn skipped(evidence: &Evidence<'_>, record: &RecordRow) -> Verdict {
    let target = evidence.state.target;
    let reason = record.reason.as_deref().unwrap_or("nothing_to_do");
    let verdict = |next: String| Verdict::new(Shown::Skipped, reason, next);
    let entity_type = evidence.entity.entity_type;
    match (reason, record.owner_id.filter(|owner| *owner != evidence.entity.id)) {
        ("shared_email", Some(owner)) => verdict(format!(
            "Nothing, while {entity_type} {owner} has the same e-mail address: that one owns the record at {target}."
        ))
        .advising(format!("See `ems-sync explain {entity_type} {owner}`.")),
        ("shared_email", None) => verdict(format!(
            "Nothing, while another {entity_type} has the same e-mail address: that one owns the record at {target}."
        )),
        ("carried", _) => {
            verdict(format!("Nothing by itself: it is at {target} within others, and is pushed with them."))
        }
        ("out_of_scope", _) => {
            let verdict =
                verdict(format!("Nothing, until its record at {target}, or its parent's, is known."));
            match target {
                Target::RunSignup if record.remote_id.is_some() => {
                    Verdict::new(Shown::Skipped, reason, OWN.to_owned())
                }
                Target::RunSignup if entity_type == EntityType::Event => verdict,
                Target::RunSignup => verdict.advising(
                    "If its race is open there and nobody has mapped it yet, map it by hand; the next sweep finds what is mapped: see `Races of RunSignup` in the README.".to_owned(),
                ),
                Target::TagServer | Target::Mautic | Target::MailChimp | Target::Chatwoot => verdict,
            }
        }
        _ => verdict("Nothing: it is looked at again when it changes.".to_owned()),
    }
}

/// Of what is only read there, and known.
const OWN: &str = "Nothing: it is only read there, and what is known of it is in use.";

fn when(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "within moments".to_owned(), |at| format!("at {}", instant(Some(at))))
}

#[cfg(test)]
mod tests;
