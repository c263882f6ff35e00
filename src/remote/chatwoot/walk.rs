//! A walk over numbered pages of rows that come and go (contract, sections 4 and 5). Pure.
//!
//! A row that goes moves all that follow it to the left, and some of them into pages that were read already. The count of rows,
//! which every page tells, is then lower than it was: so the walk goes back by as many pages as rows may have slipped through.
//! Where one goes and another one comes between two pages the count stays: what then slips through is seen by the next walk,
//! and [`Tally`] says that this one proves nothing.

use serde::{Deserialize, Serialize};

use crate::remote::{Failure, FailureClass};

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    /// The page to be read, from 1 on.
    pub(super) page: usize,
    /// The rows of a page; `None` before the first one where the server decides.
    size: Option<usize>,
    /// How many rows there were in all by the page that was read last.
    count: Option<usize>,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next one.
    Page(Walk),
    /// Rows have gone: earlier pages again.
    Back(Walk),
    /// It was the last one, by the server's own count.
    End,
}

impl Walk {
    /// At its beginning.
    pub(super) const fn new(size: Option<usize>) -> Self {
        Self { page: 1, size, count: None }
    }

    /// What follows a page that shows `rows` rows and says that there are `count` in all. A page that is shorter or longer
    /// than its own count has it is an error, and no end.
    pub(super) fn after(&self, rows: usize, count: usize) -> Result<Next, Failure> {
        let size = self.size.unwrap_or(rows);
        let skipped = self.page.saturating_sub(1).saturating_mul(size);
        let rest = count.saturating_sub(skipped);
        let is_empty_page_of_many = size == 0 && count > 0;
        if rows != rest.min(size) || is_empty_page_of_many {
            let text = "The list has not as many rows as it says";
            return Err(Failure::new(FailureClass::Transient, text));
        }
        let at = |page| Self { page, size: Some(size), count: Some(count) };
        let gone = self.count.unwrap_or(0).saturating_sub(count);
        if gone > 0 {
            let back = self.page.saturating_sub(gone.div_ceil(size.max(1))).max(1);
            return Ok(Next::Back(at(back)));
        }
        Ok(if rest > size { Next::Page(at(self.page + 1)) } else { Next::End })
    }
}

/// What a walk in the order in which rows were made has shown, as far as it can still prove that this was all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// The server's clock when the walk began, in seconds.
    began: i64,
    /// How many rows there were then.
    first: usize,
    /// Different rows that were shown.
    shown: usize,
    /// Those among them that were made since.
    made_since: usize,
}

impl Tally {
    pub(super) const fn new(began: i64, first: usize) -> Self {
        Self { began, first, shown: 0, made_since: 0 }
    }

    /// A row was shown that was not shown before.
    pub(super) const fn show(&mut self, created_at: i64) {
        self.shown += 1;
        if created_at >= self.began {
            self.made_since += 1;
        }
    }

    /// As many as there are now were shown, and there are no fewer than those of the beginning and those that came since: so
    /// none has gone, and none has slipped through.
    pub(super) const fn proves_all(&self, count: usize) -> bool {
        self.shown == count && count == self.first + self.made_since
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Walks over rows that go as the script says, before each page; what was never shown.
    fn walk(rows: usize, size: usize, script: &[usize]) -> (Vec<usize>, usize) {
        let mut held: Vec<usize> = (0..rows).collect();
        let mut shown = std::collections::BTreeSet::<usize>::new();
        let mut walk = Walk::new(None);
        let mut pages = 0;
        loop {
            if let Some(gone) = script.get(pages).filter(|_| pages > 0 && held.len() > 1) {
                held.remove(gone % held.len());
            }
            pages += 1;
            let from = ((walk.page - 1) * size).min(held.len());
            let page = &held[from..(from + size).min(held.len())];
            shown.extend(page);
            walk = match walk.after(page.len(), held.len()).unwrap() {
                Next::Page(next) | Next::Back(next) => next,
                Next::End => break,
            };
        }
        (held.into_iter().filter(|row| !shown.contains(row)).collect(), pages)
    }

    #[test]
    fn a_row_that_slips_into_a_page_that_was_read_is_shown_by_going_back() {
        // Row 0 goes before the second page: row 2 is then on the first one.
        assert_eq!(walk(5, 2, &[0, 0]), (vec![], 4));
        assert_eq!(walk(5, 2, &[]), (vec![], 3));
        assert_eq!(walk(0, 2, &[]), (vec![], 1));
    }

    #[test]
    fn a_page_that_contradicts_its_count_is_an_error() {
        let walk = Walk::new(Some(15));
        for (rows, count) in [(14, 15), (0, 1), (16, 16), (2, 1)] {
            assert!(walk.after(rows, count).is_err(), "{rows} of {count}");
        }
        assert!(Walk::new(None).after(0, 3).is_err());
        assert_eq!(walk.after(15, 15).unwrap(), Next::End);
    }

    #[test]
    fn one_that_comes_for_one_that_goes_is_no_proof() {
        let tally = |shown: &[i64]| {
            let mut tally = Tally::new(100, 3);
            shown.iter().for_each(|at| tally.show(*at));
            tally
        };
        assert!(tally(&[1, 2, 3]).proves_all(3));
        assert!(tally(&[1, 2, 3, 101]).proves_all(4));
        assert!(!tally(&[1, 2, 3]).proves_all(4), "one has not been shown");
        assert!(!tally(&[1, 2, 101]).proves_all(3), "one has gone, and one has come");
        assert!(
            !tally(&[1, 2, 100]).proves_all(3),
            "in the second of the beginning: before it or after"
        );
    }

    proptest! {
        #[test]
        fn whatever_goes_nothing_that_stays_is_missed(
            rows in 0..60_usize, size in 1..8_usize, script in prop::collection::vec(0..1000_usize, 0..30)
        ) {
            let (missed, pages) = walk(rows, size, &script);
            prop_assert_eq!(missed, Vec::<usize>::new());
            prop_assert!(pages <= rows / size + 1 + script.len() * 2, "{} pages", pages);
        }
    }
}
