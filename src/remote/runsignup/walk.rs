//! Where a walk over all registrations stands: first those that stand, then those that stand no more, each by race, event and
//! registration. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::limits;

/// A read may miss what was committed so lately (contract, section 6) …
const UNSETTLED: Duration = Duration::from_secs(120);

/// … and which events there are was read up to so long before: the next walk reaches back by both, so that what came in a new
/// event, before that was known, is not passed by.
fn overlap() -> i64 {
    let overlap = UNSETTLED + limits::RUNSIGNUP_RACE_FRESH;
    i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX)
}

/// Which list is walked. Those that stand come first, so that a move is seen as one and a removal is the later word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Standing,
    Removed,
}

/// A walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Walk {
    pub(super) phase: Phase,
    pub(super) race: i64,
    pub(super) event: i64,
    /// The event was walked to its end.
    pub(super) over: bool,
    /// The last registration that was shown of the event.
    pub(super) registration: i64,
    /// Only what was changed then or later, in Unix seconds: the same for the whole walk, or keysets would have holes.
    pub(super) since: Option<i64>,
    /// RunSignup's clock when the walk began.
    began: Option<i64>,
    /// The greatest time of a change that was shown.
    latest: Option<i64>,
}

impl Walk {
    /// From the beginning; over everything where nothing is known.
    pub(super) fn begin(cursor: Option<&Value>) -> Self {
        Self {
            phase: Phase::Standing,
            race: 0,
            event: 0,
            over: false,
            registration: 0,
            since: cursor.and_then(|cursor| cursor.get("since")).and_then(Value::as_i64),
            began: None,
            latest: None,
        }
    }

    pub(super) fn read(position: &Value) -> Option<Self> {
        Self::deserialize(position).ok()
    }

    pub(super) fn position(&self) -> Value {
        json!(self)
    }

    /// Goes on in this event.
    pub(super) const fn enter(&mut self, race: i64, event: i64) {
        if self.race != race || self.event != event {
            self.race = race;
            self.event = event;
            self.registration = 0;
        }
        self.over = false;
    }

    /// Begins again with the other list; `false` after the last one.
    pub(super) const fn turn(&mut self) -> bool {
        match self.phase {
            Phase::Removed => false,
            Phase::Standing => {
                self.phase = Phase::Removed;
                self.race = 0;
                self.event = 0;
                self.registration = 0;
                self.over = false;
                true
            }
        }
    }

    /// A page of the event was shown at this time of RunSignup's; an empty one is its end.
    pub(super) fn shown(
        &mut self,
        answered: Option<i64>,
        rows: impl Iterator<Item = (i64, Option<i64>)>,
    ) {
        self.began = self.began.or(answered);
        self.over = true;
        for (registration, changed) in rows {
            self.over = false;
            self.registration = registration;
            self.latest = self.latest.max(changed);
        }
    }

    pub(super) const fn began(&self) -> Option<i64> {
        self.began
    }

    /// Whether it shows everything that there is.
    pub(super) const fn is_full(&self) -> bool {
        self.since.is_none()
    }

    /// Where the next walk begins: by RunSignup's own times. What is changed while the walk is under way may have been passed, so
    /// it does not lie after the walk's beginning. `None` where nothing can be told: the old one stays.
    pub(super) fn cursor(&self) -> Option<Value> {
        let reached = self.latest?.min(self.began?).saturating_sub(overlap());
        Some(json!({ "since": reached.max(self.since.unwrap_or(i64::MIN)) }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_walk_reads_its_own_position_back() {
        let mut walk = Walk::begin(Some(&json!({"since": 7})));
        walk.enter(7, 72);
        walk.shown(Some(1_000), [(3, Some(9)), (5, Some(8))].into_iter());
        assert_eq!(Walk::read(&walk.position()), Some(walk));
        assert_eq!((walk.registration, walk.since, walk.over), (5, Some(7), false));
        for odd in [json!(null), json!({}), json!("7:72:5"), json!({"phase": "standing"})] {
            assert_eq!(Walk::read(&odd), None, "{odd}");
        }
    }

    #[test]
    fn nothing_shown_keeps_the_cursor() {
        let mut walk = Walk::begin(Some(&json!({"since": 7})));
        walk.shown(Some(1_000), std::iter::empty());
        assert_eq!(walk.cursor(), None);
    }

    #[test]
    fn a_cursor_never_goes_back_and_never_beyond_the_beginning_of_its_walk() {
        let mut walk = Walk::begin(Some(&json!({"since": 5_000})));
        walk.shown(Some(5_100), [(1, Some(5_050))].into_iter());
        assert_eq!(walk.cursor(), Some(json!({"since": 5_000})));
        walk.shown(Some(9_999), [(2, Some(9_000))].into_iter());
        assert_eq!(walk.cursor(), Some(json!({"since": 5_000})), "changed while it was walked");
        let mut full = Walk::begin(None);
        full.shown(Some(5_100), [(1, Some(5_050)), (2, None)].into_iter());
        assert_eq!(full.cursor(), Some(json!({ "since": 5_050 - overlap() })));
    }

    proptest! {
        /// Whatever is changed after the first answer of a walk is reached by the next one.
        #[test]
        fn no_change_is_passed(began in 0_i64..10_000, shown in proptest::collection::vec(0_i64..10_000, 0..9),
                               since in proptest::option::of(0_i64..10_000), later in 0_i64..10_000) {
            let mut walk = Walk::begin(since.map(|since| json!({"since": since})).as_ref());
            walk.shown(Some(began), shown.iter().map(|changed| (1, Some(*changed))));
            if let (Some(cursor), true) = (walk.cursor(), since.is_none_or(|since| since <= began)) {
                let next = Walk::begin(Some(&cursor)).since.unwrap();
                prop_assert!(next <= began + later);
            }
        }
    }
}
