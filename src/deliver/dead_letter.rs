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

/// What is to be done with the queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Dead letters whose token is missing.
    pub publish: Vec<i64>,
    /// Messages, by their place, that are no token of an open dead letter, or its second one.
    pub remove: Vec<usize>,
}

/// Compares the open dead letters with the messages of the queue, which were read before them. A message that is no
/// token has no number. `is_whole`: all messages and all open dead letters were read; otherwise nothing is missing for
/// not having been seen.
#[must_use]
pub fn reconcile(open: &[Open], messages: &[Option<i64>], is_whole: bool) -> Plan {
    let known: BTreeSet<i64> = open.iter().map(|open| open.number).collect();
    let mut seen = BTreeSet::new();
    let mut remove = Vec::new();
    for (place, number) in messages.iter().enumerate() {
        let is_token = number.is_some_and(|n| (known.contains(&n) || !is_whole) && seen.insert(n));
        if !is_token {
            remove.push(place);
        }
    }
    let publish = open
        .iter()
        .filter(|open| is_whole && open.is_expected && !seen.contains(&open.number))
        .map(|open| open.number)
        .collect();
    Plan { publish, remove }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(number: i64) -> Open {
        Open { number, is_expected: true }
    }

    #[test]
    fn a_missing_token_is_published_and_a_stale_a_second_or_a_foreign_one_is_removed() {
        let plan = reconcile(&[open(1), open(2)], &[Some(2), Some(9), None, Some(2)], true);
        assert_eq!(plan, Plan { publish: vec![1], remove: vec![1, 2, 3] });
    }

    #[test]
    fn what_was_opened_just_now_is_left_to_whoever_opened_it() {
        let young = Open { number: 1, is_expected: false };
        assert_eq!(reconcile(&[young], &[], true), Plan::default());
        assert_eq!(reconcile(&[young], &[Some(1)], true), Plan::default());
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
                .map(|(number, is_expected)| Open { number: *number, is_expected: *is_expected })
                .collect();
            let plan = reconcile(&open, &messages, true);
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
            prop_assert_eq!(reconcile(&open, &tokens, true), Plan::default());
        }

        #[test]
        fn nothing_is_published_and_no_first_token_removed_when_not_all_was_seen(
            messages in proptest::collection::vec(0_i64..25, 0..20),
        ) {
            let distinct: BTreeSet<i64> = messages.iter().copied().collect();
            let messages: Vec<Option<i64>> = messages.into_iter().map(Some).collect();
            let plan = reconcile(&[open(3)], &messages, false);
            prop_assert!(plan.publish.is_empty());
            prop_assert_eq!(plan.remove.len(), messages.len() - distinct.len());
        }
    }
}
