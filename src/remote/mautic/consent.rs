//! Consent: what the EMS says of a channel, what a contact's do-not-contact says, and what follows (contract, section 5).
//!
//! The more restrictive state wins. We add an entry of our own where the EMS has opted out and nothing forbids the channel
//! yet, and take away only such an entry, and only after an opt-in that is later. What a person at Mautic did, a bounce or
//! somebody's decision (reasons 1, 2, and 3 without our comment) is never touched. Pure.

use jiff::Timestamp;
use serde_json::Value;

use crate::remote::inbound::ConsentState;

/// Marks an entry as ours; behind it stands the moment of the opt-out in the EMS that it follows.
const COMMENT: &str = "ems-sync";
/// Somebody decided, here: we. Mautic takes it for contactable without a reason (contract, section 5).
pub(super) const MANUAL: i64 = 3;

/// The person unsubscribed; a message bounced (contract, section 5). Anything else is somebody's decision.
const UNSUBSCRIBED: i64 = 1;
const BOUNCED: i64 = 2;

/// A way to reach a person that both sides know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Email,
    Sms,
}

impl Channel {
    pub(super) const ALL: [Self; 2] = [Self::Email, Self::Sms];

    /// Its name at Mautic.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }

    /// Its name in the EMS.
    pub(super) const fn ems_name(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Sms => "SMS",
        }
    }
}

/// What the EMS says of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    /// Nothing: nothing is added or taken away.
    None,
    /// The person must not be contacted.
    OptedOut,
    /// The person may be, since then; without a moment nothing is taken away.
    OptedIn(Option<Timestamp>),
}

/// An entry of a contact's `doNotContact`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) channel: String,
    /// Why, in Mautic's numbers.
    reason: i64,
    pub(super) is_ours: bool,
    /// By our clock, to the second; `None` where it can't be read.
    pub(super) added: Option<Timestamp>,
    /// The same by Mautic's clock, as it stands there.
    pub(super) dated: Option<Timestamp>,
    /// The opt-out in the EMS that an entry of ours follows, where it says so.
    follows: Option<Timestamp>,
}

/// The comment of an entry that follows an opt-out of that moment. When it is entered says little: the person may have opted in
/// again meanwhile.
pub(super) fn comment(opted_out_on: Option<Timestamp>) -> String {
    opted_out_on.map_or_else(|| COMMENT.to_owned(), |moment| format!("{COMMENT} {moment}"))
}

/// What stands behind the mark of a comment; `None` for one that is not ours.
fn is_marked(comment: &str) -> Option<Option<Timestamp>> {
    let rest = comment.trim().strip_prefix(COMMENT)?;
    match rest.strip_prefix(' ') {
        None => rest.is_empty().then_some(None),
        Some(moment) => moment.parse().ok().map(Some),
    }
}

impl Entry {
    /// Reads an entry; `ahead` is how many seconds Mautic's clock is ahead of ours. `None` where it has not the
    /// contract's form.
    pub(super) fn read(entry: &Value, ahead: i64) -> Option<Self> {
        let channel = entry.get("channel")?.as_str()?.to_owned();
        let reason = entry.get("reason")?;
        let reason = reason.as_i64().or_else(|| reason.as_str()?.parse().ok())?;
        let comments = entry.get("comments").and_then(Value::as_str).unwrap_or_default();
        let added = entry.get("dateAdded").and_then(Value::as_str);
        let added = added.and_then(|added| added.parse::<Timestamp>().ok());
        let by_our_clock =
            |added: Timestamp| Timestamp::from_second(added.as_second().saturating_sub(ahead)).ok();
        let mark = is_marked(comments).filter(|_| reason == MANUAL);
        Some(Self {
            channel,
            reason,
            is_ours: mark.is_some(),
            added: added.and_then(by_our_clock),
            dated: added,
            follows: mark.flatten(),
        })
    }
}

impl Entry {
    /// What somebody else than we said of which of the EMS's channels (`EMAIL`, `SMS`); `None` for an entry of ours, and for a
    /// channel that the EMS has not.
    pub(super) fn said(&self) -> Option<(&'static str, ConsentState)> {
        if self.is_ours {
            return None;
        }
        let channel = Channel::ALL.into_iter().find(|channel| channel.name() == self.channel)?;
        let state = match self.reason {
            UNSUBSCRIBED => ConsentState::Unsubscribed,
            BOUNCED => ConsentState::Bounced,
            _ => ConsentState::Blocked,
        };
        Some((channel.ems_name(), state))
    }
}

/// Whether a channel is forbidden, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restriction {
    Nobody,
    /// By us alone: the opt-out that it follows, or since when, where it does not say.
    Us(Option<Timestamp>),
    /// By somebody else, whatever we say besides.
    Others,
}

impl Restriction {
    /// What a contact's entries say of a channel.
    pub(super) fn of(entries: &[Entry], channel: Channel) -> Self {
        let mut of_channel = entries.iter().filter(|entry| entry.channel == channel.name());
        match (of_channel.next(), of_channel.next()) {
            (None, _) => Self::Nobody,
            (Some(entry), None) if entry.is_ours => Self::Us(entry.follows.or(entry.added)),
            (Some(_), _) => Self::Others,
        }
    }
}

/// What is to be done about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    Add,
    Remove,
}

/// The step from what a contact has to what the EMS says.
pub(super) fn step(statement: Statement, restriction: Restriction) -> Step {
    match (statement, restriction) {
        (Statement::OptedOut, Restriction::Nobody) => Step::Add,
        (Statement::OptedIn(Some(since)), Restriction::Us(Some(added)))
            // Mautic cuts its own moments to seconds.
            if since.as_second() >= added.as_second() =>
        {
            Step::Remove
        }
        (
            Statement::None | Statement::OptedOut | Statement::OptedIn(_),
            Restriction::Nobody | Restriction::Us(_) | Restriction::Others,
        ) => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_step_is_the_tables() {
        use Restriction as R;
        use Statement as S;
        let (before, since, after) = (at(99), at(100), at(101));
        let table = [
            (S::None, R::Nobody, Step::Nothing),
            (S::None, R::Us(Some(before)), Step::Nothing),
            (S::None, R::Others, Step::Nothing),
            (S::OptedOut, R::Nobody, Step::Add),
            (S::OptedOut, R::Us(Some(before)), Step::Nothing),
            (S::OptedOut, R::Others, Step::Nothing),
            (S::OptedIn(Some(since)), R::Nobody, Step::Nothing),
            (S::OptedIn(Some(since)), R::Us(Some(before)), Step::Remove),
            (S::OptedIn(Some(since)), R::Us(Some(after)), Step::Nothing),
            (S::OptedIn(Some(since)), R::Us(None), Step::Nothing),
            (S::OptedIn(None), R::Us(Some(before)), Step::Nothing),
            (S::OptedIn(Some(since)), R::Others, Step::Nothing),
        ];
        for (statement, restriction, expected) in table {
            assert_eq!(step(statement, restriction), expected, "{statement:?} {restriction:?}");
        }
    }

    #[test]
    fn an_entry_is_ours_by_reason_and_comment_and_is_dated_by_our_clock() {
        let entry = |reason: Value, comments: Value| {
            let entry = json!({"channel": "email", "reason": reason, "comments": comments,
                "dateAdded": "1970-01-01T00:02:00+00:00"});
            Entry::read(&entry, 20)
        };
        assert_eq!(entry(json!(3), json!(COMMENT)).unwrap().added, Some(at(100)));
        assert!(entry(json!("3"), json!(COMMENT)).unwrap().is_ours);
        for (reason, comments) in [
            (json!(1), json!(COMMENT)),
            (json!(2), json!(COMMENT)),
            (json!(3), json!("")),
            (json!(3), json!(null)),
            (json!(3), json!("asked on the phone")),
        ] {
            assert!(!entry(reason.clone(), comments).unwrap().is_ours, "{reason}");
        }
        assert_eq!(entry(json!(null), json!("")), None);
    }

    #[test]
    fn an_entry_that_was_made_after_the_opt_in_still_follows_the_opt_out_before_it() {
        let entry = |comment: &str| {
            let entry = json!({"channel": "email", "reason": 3, "comments": comment, "dateAdded": "1970-01-01T00:02:00+00:00"});
            Entry::read(&entry, 0).unwrap()
        };
        let of = |comment: &str| {
            step(
                Statement::OptedIn(Some(at(110))),
                Restriction::of(&[entry(comment)], Channel::Email),
            )
        };
        assert_eq!(of(&comment(Some(at(100)))), Step::Remove);
        assert_eq!(of(&comment(Some(at(111)))), Step::Nothing, "the opt-out is later");
        assert_eq!(of(&comment(None)), Step::Nothing, "all that is known is when it was entered");
        assert!(!entry("ems-synced").is_ours && !entry("ems-sync by hand").is_ours);
    }

    #[test]
    fn of_two_entries_on_a_channel_ours_does_not_count() {
        let entry = |channel: &str, is_ours| Entry {
            channel: channel.to_owned(),
            reason: MANUAL,
            is_ours,
            added: Some(at(1)),
            dated: Some(at(1)),
            follows: None,
        };
        let both = [entry("email", true), entry("email", false), entry("sms", true)];
        assert_eq!(Restriction::of(&both, Channel::Email), Restriction::Others);
        assert_eq!(Restriction::of(&both, Channel::Sms), Restriction::Us(Some(at(1))));
        assert_eq!(Restriction::of(&[], Channel::Sms), Restriction::Nobody);
    }

    /// What happens to a person's channel, in any order.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        EmsOptsOut,
        EmsOptsIn,
        EmsForgets,
        /// At Mautic: the person unsubscribed, a message bounced, somebody decided.
        MauticForbids,
        /// The person subscribes again at Mautic.
        MauticPermits,
        Push,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            1 => Just(Event::EmsOptsOut),
            1 => Just(Event::EmsOptsIn),
            1 => Just(Event::EmsForgets),
            1 => Just(Event::MauticForbids),
            1 => Just(Event::MauticPermits),
            4 => Just(Event::Push),
        ];
        prop::collection::vec(event, 0..40)
    }

    proptest! {
        /// The more restrictive state wins in every order of events, and nothing but our own entry ever goes.
        #[test]
        fn whoever_forbids_a_channel_is_heeded_in_every_order(events in events()) {
            let mut statement = Statement::None;
            // Whether the entry is another's, and when it was added.
            let mut held: Option<(bool, Timestamp)> = None;
            for (second, event) in events.into_iter().enumerate() {
                let now = at(i64::try_from(second).unwrap());
                match event {
                    Event::EmsOptsOut => statement = Statement::OptedOut,
                    Event::EmsOptsIn => statement = Statement::OptedIn(Some(now)),
                    Event::EmsForgets => statement = Statement::None,
                    Event::MauticForbids => held = Some((true, now)),
                    Event::MauticPermits => held = None,
                    Event::Push => {
                        let restriction = match held {
                            None => Restriction::Nobody,
                            Some((false, added)) => Restriction::Us(Some(added)),
                            Some((true, _)) => Restriction::Others,
                        };
                        let before = held;
                        match step(statement, restriction) {
                            Step::Nothing => {}
                            Step::Add => held = Some((false, now)),
                            Step::Remove => held = None,
                        }
                        if let Some((true, _)) = before {
                            prop_assert_eq!(held, before, "another's entry is touched");
                        }
                        match statement {
                            Statement::OptedOut => prop_assert!(held.is_some()),
                            Statement::None => prop_assert_eq!(held, before),
                            // Pushes are later than what they push, so ours is gone.
                            Statement::OptedIn(Some(since)) => {
                                let kept = held.is_some_and(|(others, added)| others || added > since);
                                prop_assert!(held.is_none() || kept);
                            }
                            Statement::OptedIn(None) => {}
                        }
                    }
                }
            }
        }
    }
}
