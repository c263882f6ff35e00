//! Dead letters and their tokens: which messages the queue `<prefix>.<target>.dead` must hold. Pure.
//!
//! Postgres is the account; a message is the token of an open dead letter, so that operators can watch the queue.
//! A row is committed, then its token is published, then the delivery is acked. A process that dies in between leaves a
//! row without a token, or one with two; a dead letter that is resolved leaves its token behind. [`reconcile`] says
//! what brings the two together.

use std::collections::BTreeSet;

/// An open dead letter, as far as its token matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Its number.
    pub number: i64,
    /// Its token must be in the queue by now: whoever opened it has had the time to publish it.
    pub is_expected: bool,
    /// Postgres knows that its token is published.
    pub is_marked: bool,
}

/// Whether the queue is worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToTidy {
    /// Dead letters that are open.
    pub open: u32,
    /// Postgres knows of a token that is missing, or of one that is stale.
    pub is_dirty: bool,
}

impl ToTidy {
    /// Whether the queue, which holds that many messages, is to be gone through.
    #[must_use]
    pub const fn needs_a_walk(self, messages: u32) -> bool {
        self.is_dirty || self.open != messages
    }
}

/// How much of both sides was read: a bound may have cut either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// All open dead letters: a message with another number is stale.
    pub all_open: bool,
    /// All messages: a token that was not seen is missing.
    pub all_messages: bool,
}

/// What is to be done with the queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Dead letters whose token is missing.
    pub publish: Vec<i64>,
    /// Dead letters whose token is there, and Postgres does not know it.
    pub mark: Vec<i64>,
    /// Messages, by their place, that are no token of an open dead letter, or its second one.
    pub remove: BTreeSet<usize>,
}

/// Compares the open dead letters with the messages of the queue, which were read before them. A message that is no
/// token has no number.
#[must_use]
pub fn reconcile(open: &[Open], messages: &[Option<i64>], extent: Extent) -> Plan {
    let known: BTreeSet<i64> = open.iter().map(|open| open.number).collect();
    let mut seen = BTreeSet::new();
    let mut plan = Plan::default();
    for (place, number) in messages.iter().enumerate() {
        let may_be_open = |n: &i64| known.contains(n) || !extent.all_open;
        let is_token = number.as_ref().is_some_and(|n| may_be_open(n) && seen.insert(*n));
        if !is_token {
            plan.remove.insert(place);
        }
    }
    for open in open {
        if seen.contains(&open.number) {
            if !open.is_marked {
                plan.mark.push(open.number);
            }
        } else if open.is_expected && extent.all_messages {
            plan.publish.push(open.number);
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Extent = Extent { all_open: true, all_messages: true };

    fn open(number: i64) -> Open {
        Open { number, is_expected: true, is_marked: true }
    }

    #[test]
    fn a_missing_token_is_published_and_a_stale_a_second_or_a_foreign_one_is_removed() {
        let plan = reconcile(&[open(1), open(2)], &[Some(2), Some(9), None, Some(2)], ALL);
        let remove = BTreeSet::from([1, 2, 3]);
        assert_eq!(plan, Plan { publish: vec![1], mark: Vec::new(), remove });
    }

    #[test]
    fn what_was_opened_just_now_is_left_to_whoever_opened_it() {
        let young = Open { is_expected: false, ..open(1) };
        assert_eq!(reconcile(&[young], &[], ALL), Plan::default());
        assert_eq!(reconcile(&[young], &[Some(1)], ALL), Plan::default());
    }

    /// Whoever published it died before it could say so: once that is known, the queue is left in peace.
    #[test]
    fn a_token_that_is_there_and_not_marked_is_marked() {
        let unmarked = Open { is_marked: false, ..open(1) };
        let plan = reconcile(&[unmarked], &[Some(1)], ALL);
        assert_eq!(plan, Plan { mark: vec![1], ..Plan::default() });
    }

    #[test]
    fn what_was_not_read_is_neither_stale_nor_missing() {
        let some = Extent { all_open: false, all_messages: true };
        assert!(reconcile(&[open(1)], &[Some(1), Some(2)], some).remove.is_empty());
        let some = Extent { all_open: true, all_messages: false };
        let plan = reconcile(&[open(1)], &[Some(2), Some(2)], some);
        assert!(plan.publish.is_empty());
        assert_eq!(plan.remove.len(), 2, "stale tokens go however many they are");
    }

    #[test]
    fn the_queue_is_gone_through_only_when_something_is_odd() {
        let tidy = ToTidy { open: 2, is_dirty: false };
        assert!(!tidy.needs_a_walk(2));
        assert!(tidy.needs_a_walk(1) && tidy.needs_a_walk(3));
        assert!(ToTidy { is_dirty: true, ..tidy }.needs_a_walk(2));
    }

    proptest! {
        /// Whatever the queue held, after the plan it holds each expected token once and no other but those of young ones.
        #[test]
        fn the_plan_leaves_each_open_dead_letter_one_token(
            letters in proptest::collection::btree_map(0_i64..20, any::<bool>(), 0..10),
            messages in proptest::collection::vec(proptest::option::of(0_i64..25), 0..20),
        ) {
            let open: Vec<Open> = letters
                .iter()
                .map(|(number, is_expected)| Open { is_expected: *is_expected, ..open(*number) })
                .collect();
            let plan = reconcile(&open, &messages, ALL);
            let kept = messages.iter().enumerate().filter(|(place, _)| !plan.remove.contains(place));
            let mut after: Vec<i64> = kept.filter_map(|(_, number)| *number).collect();
            after.extend(&plan.publish);
            let once: BTreeSet<i64> = after.iter().copied().collect();
            prop_assert_eq!(once.len(), after.len());
            for open in &open {
                prop_assert!(once.contains(&open.number) || !open.is_expected);
            }
            prop_assert!(once.iter().all(|number| letters.contains_key(number)));
            // A second look finds nothing to do.
            let tokens: Vec<Option<i64>> = after.into_iter().map(Some).collect();
            prop_assert_eq!(reconcile(&open, &tokens, ALL), Plan::default());
        }
    }
}
