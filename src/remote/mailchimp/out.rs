//! What stands in a member's merge field `EMSOUT`. Pure.
//!
//! Two parts, each of which may be missing:
//!
//! - the mark, `<written> unsubscribed|unsubscribed-moved|archived|archived-left <opt-out or ->`: what we did to the member, and when.
//!   Only what stands there may be taken back; `<written>` is the server's clock, so that whatever somebody else did later shows in
//!   `last_changed`.
//! - `former <EMS id>:<said> …`: who had the member before, and what they had said with it when it was taken from them. What the member
//!   says by then is the next one's, who may subscribe and leave as they like; so nothing but this tells whether the former one may get
//!   mail elsewhere. It is written in the request that takes their EMS id off, and no later write takes it away. Of whom nothing
//!   stands there nothing is known, and they get no mail by us.

use jiff::Timestamp;

/// A text field of a list takes so many characters.
const TEXT_CHARS_MAX: usize = 255;

/// What stands before the second part.
const FORMER: &str = "former";

/// What we did to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// An opt-out in the EMS.
    Unsubscribe,
    /// The same, of somebody who had another address by then.
    UnsubscribeMoved,
    /// A lapse: the membership is gone.
    Archive,
    /// The same, of somebody who had left by themselves: it is never taken back.
    ArchiveLeft,
}

impl Did {
    const ALL: [Self; 4] =
        [Self::Unsubscribe, Self::UnsubscribeMoved, Self::Archive, Self::ArchiveLeft];

    const fn word(self) -> &'static str {
        match self {
            Self::Unsubscribe => "unsubscribed",
            Self::UnsubscribeMoved => "unsubscribed-moved",
            Self::Archive => "archived",
            Self::ArchiveLeft => "archived-left",
        }
    }
}

/// The first part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) did: Did,
    /// When, by the server's clock.
    pub(super) written: Timestamp,
    /// The opt-out in the EMS that it follows, by the EMS's clock. A lapse alone is no opt-out.
    pub(super) opt_out: Option<Timestamp>,
}

impl Mark {
    /// What whoever has the member had said when we did it.
    pub(super) const fn said(self) -> Said {
        match (self.did, self.opt_out) {
            (Did::Archive, None) => Said::Nothing,
            (Did::Unsubscribe | Did::UnsubscribeMoved | Did::Archive, Some(opt_out)) => {
                Said::OptedOut(opt_out)
            }
            (Did::ArchiveLeft, _) | (Did::Unsubscribe | Did::UnsubscribeMoved, None) => Said::Left,
        }
    }

    fn text(&self) -> String {
        let opt_out = self.opt_out.map_or_else(|| "-".to_owned(), |moment| moment.to_string());
        format!("{} {} {opt_out}", self.written, self.did.word())
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let written = words.next()?.parse().ok()?;
        let did = words.next()?;
        let did = Did::ALL.into_iter().find(|known| known.word() == did)?;
        let opt_out = match words.next()? {
            "-" => None,
            moment => Some(moment.parse().ok()?),
        };
        words.next().is_none().then_some(Self { did, written, opt_out })
    }
}

/// What somebody has said of mail with the member that they have, or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing against it.
    Nothing,
    /// They opted out in the EMS at that moment, and we followed it.
    OptedOut(Timestamp),
    /// Nothing, but the address bounces.
    Bounced,
    /// They left by themselves, or were taken out by people; or they opted out in the EMS, and it does not tell when.
    Left,
}

impl Said {
    /// Whether an opt-in of the EMS of this moment may bring them mail again by us.
    pub(super) fn allows(self, since: Option<Timestamp>) -> bool {
        match self {
            Self::Nothing => true,
            Self::OptedOut(opt_out) => since.is_some_and(|since| since > opt_out),
            Self::Bounced | Self::Left => false,
        }
    }

    /// The more restrictive of two words.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Left, _) | (_, Self::Left) => Self::Left,
            (Self::Bounced, _) | (_, Self::Bounced) => Self::Bounced,
            (Self::OptedOut(one), Self::OptedOut(other)) => Self::OptedOut(one.max(other)),
            (said @ Self::OptedOut(_), Self::Nothing) | (Self::Nothing, said) => said,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Nothing => "none".to_owned(),
            // Rounded up: an opt-in counts only if it is later.
            Self::OptedOut(at) => {
                let is_between = at.subsec_nanosecond() % 1_000 > 0;
                format!("out@{}", at.as_microsecond() + i64::from(is_between))
            }
            Self::Bounced => "bounced".to_owned(),
            Self::Left => "left".to_owned(),
        }
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::Nothing),
            "bounced" => Some(Self::Bounced),
            "left" => Some(Self::Left),
            _ => {
                let at = text.strip_prefix("out@")?.parse().ok()?;
                Timestamp::from_microsecond(at).ok().map(Self::OptedOut)
            }
        }
    }
}

/// Somebody who had the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Former {
    /// Their EMS id.
    pub(super) person: i64,
    pub(super) said: Said,
}

impl Former {
    fn text(self) -> String {
        format!("{}:{}", self.person, self.said.text())
    }

    fn read(text: &str) -> Option<Self> {
        let (person, said) = text.split_once(':')?;
        Some(Self { person: person.parse().ok()?, said: Said::read(said)? })
    }
}

/// The whole of it. What is not ours in it is as if it were not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Out {
    pub(super) mark: Option<Mark>,
    /// Oldest first, none twice.
    pub(super) former: Vec<Former>,
}

impl Out {
    pub(super) fn read(text: &str) -> Self {
        let (mark, former) = text.split_once(FORMER).unwrap_or((text, ""));
        let former = former.split_ascii_whitespace().filter_map(Former::read);
        let mut out = Self { mark: Mark::read(mark), former: Vec::new() };
        for Former { person, said } in former {
            // People may have written one twice: then nothing is known for certain.
            let said = if out.said(person).is_some() { Said::Left } else { said };
            out = out.with(person, said);
        }
        out
    }

    /// As it is written. Who had the member longest ago is left out where there are too many: of them nothing is known then.
    pub(super) fn text(&self) -> String {
        let mark = self.mark.map(|mark| mark.text());
        for from in 0..=self.former.len() {
            let former = self.former.get(from..).unwrap_or_default();
            let former = former.iter().map(|former| former.text());
            let mut words: Vec<String> = mark.clone().into_iter().collect();
            if from < self.former.len() {
                words.push(FORMER.to_owned());
                words.extend(former);
            }
            let text = words.join(" ");
            if text.len() <= TEXT_CHARS_MAX {
                return text;
            }
        }
        String::new()
    }

    /// What this person had said when the member was taken from them. `None`: nobody has written it down.
    pub(super) fn said(&self, person: i64) -> Option<Said> {
        self.former.iter().find(|former| former.person == person).map(|former| former.said)
    }

    /// With what this person has said, as the last who had it.
    pub(super) fn with(self, person: i64, said: Said) -> Self {
        let mut out = self.without(person);
        out.former.push(Former { person, said });
        out
    }

    /// Without a word of this person.
    pub(super) fn without(mut self, person: i64) -> Self {
        self.former.retain(|former| former.person != person);
        self
    }

    pub(super) fn marked(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(1_790_000_000_000_000 + micros).unwrap()
    }

    fn said() -> impl Strategy<Value = Said> {
        prop_oneof![
            Just(Said::Nothing),
            Just(Said::Bounced),
            Just(Said::Left),
            (0..100_000_000_i64).prop_map(|at| Said::OptedOut(moment(at))),
        ]
    }

    fn mark() -> impl Strategy<Value = Mark> {
        let opt_out = prop::option::of((0..100_000_000_i64).prop_map(moment));
        (prop::sample::select(Did::ALL.to_vec()), 0..100_000_i64, opt_out)
            .prop_map(|(did, at, opt_out)| Mark { did, written: moment(at * 1_000_000), opt_out })
    }

    fn out() -> impl Strategy<Value = Out> {
        (prop::option::of(mark()), prop::collection::vec((any::<i64>(), said()), 0..12)).prop_map(
            |(mark, former)| {
                let of = |out: Out, (person, said)| out.with(person, said);
                former.into_iter().fold(Out { mark, ..Out::default() }, of)
            },
        )
    }

    #[test]
    fn an_opt_in_counts_only_after_the_opt_out_and_never_after_a_leaving() {
        for (said, before, at, after, unknown) in [
            (Said::Nothing, true, true, true, true),
            (Said::OptedOut(moment(5)), false, false, true, false),
            (Said::Bounced, false, false, false, false),
            (Said::Left, false, false, false, false),
        ] {
            let allows = [Some(moment(4)), Some(moment(5)), Some(moment(6)), None];
            assert_eq!(allows.map(|since| said.allows(since)), [before, at, after, unknown]);
        }
    }

    proptest! {
        #[test]
        fn of_two_words_the_more_restrictive_counts(one in said(), other in said(), since in prop::option::of(0..100_000_000_i64)) {
            let since = since.map(moment);
            prop_assert_eq!(one.and(other).allows(since), one.allows(since) && other.allows(since));
        }
    }

    #[test]
    fn a_moment_between_microseconds_is_rounded_up() {
        let nanos = 1_790_000_000_000_000_001_i128;
        let said = Said::OptedOut(Timestamp::from_nanosecond(nanos).unwrap());
        assert_eq!(Said::read(&said.text()), Some(Said::OptedOut(moment(1))));
    }

    #[test]
    fn what_people_wrote_there_is_nothing() {
        for text in [
            "",
            "yes",
            "2026-11-25T07:00:00Z",
            "2026-11-25T07:00:00Z archived - -",
            "former",
            "former 7",
            "former x:left",
        ] {
            assert_eq!(Out::read(text), Out::default(), "{text}");
        }
        assert_eq!(
            Out::read("former 7:none 7:none").said(7),
            Some(Said::Left),
            "nothing is certain"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_the_last_ones_fit(out in out()) {
            let text = out.text();
            prop_assert!(text.len() <= TEXT_CHARS_MAX, "{}", text);
            let again = Out::read(&text);
            prop_assert_eq!(again.mark, out.mark);
            prop_assert!(out.former.ends_with(&again.former));
            prop_assert!(again.former.len() >= out.former.len().min(3), "three fit at least");
            prop_assert_eq!(again.text(), text);
        }

        #[test]
        fn nobody_elses_word_is_lost_by_a_word_of_somebody(out in out(), person in any::<i64>(), said in said()) {
            let others = |out: &Out| -> Vec<Former> { out.former.iter().filter(|former| former.person != person).copied().collect() };
            let with = out.clone().with(person, said);
            prop_assert_eq!(others(&with), others(&out));
            prop_assert_eq!(with.said(person), Some(said));
            let without = out.clone().without(person);
            prop_assert_eq!(others(&without), others(&out));
            prop_assert_eq!(without.said(person), None);
        }

        #[test]
        fn reading_is_total(text in any::<String>()) {
            Out::read(&text);
            Out::read(&format!("former {text}"));
        }
    }
}
