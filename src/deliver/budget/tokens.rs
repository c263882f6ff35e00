//! Permission to send, one request at a time: each token is a moment that no other request has, whichever process sends it.
//!
//! Tokens are taken in blocks of at most a tenth of a second's worth, and never more than are waited for. One that is not
//! used soon after its moment is thrown away, so in no stretch of `w` seconds are more than
//! `rate × (w + 0.1) + 1` requests sent ([`limits::BUDGET_TOKEN_KEPT`]).

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::limits;

/// The tokens of a process.
#[derive(Debug)]
pub struct Tokens {
    interval: Duration,
    block: usize,
    moments: VecDeque<Instant>,
    /// Requests that wait for one.
    waiting: usize,
}

impl Tokens {
    /// None yet, of so many per second.
    #[must_use]
    pub fn new(rate: NonZeroU32) -> Self {
        let interval = Duration::from_secs(1) / rate.get();
        let block = limits::BUDGET_TOKEN_KEPT.as_micros() / interval.as_micros().max(1);
        let block = usize::try_from(block).unwrap_or(1).max(1);
        Self { interval, block, moments: VecDeque::new(), waiting: 0 }
    }

    /// A request waits for a token.
    pub const fn waits(&mut self) {
        self.waiting += 1;
    }

    /// It waits no longer.
    pub const fn ends_waiting(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// The moment of the next token; `None` when there is none.
    pub fn next(&mut self, now: Instant) -> Option<Instant> {
        while self.moments.front().is_some_and(|at| *at + limits::BUDGET_TOKEN_KEPT < now) {
            self.moments.pop_front();
        }
        self.moments.front().copied()
    }

    /// The next token is used.
    pub fn spend(&mut self) {
        self.moments.pop_front();
    }

    /// How many are to be taken now, while so many more will wait for one soon.
    #[must_use]
    pub fn wanted(&self, soon: usize) -> usize {
        if self.waiting == 0 || !self.moments.is_empty() {
            return 0;
        }
        (self.waiting + soon).min(self.block)
    }

    /// So many were taken; the moment of the first.
    pub fn taken(&mut self, tokens: usize, first: Instant) {
        let mut at = first;
        for _ in 0..tokens {
            self.moments.push_back(at);
            at += self.interval;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(rate: u32) -> Tokens {
        Tokens::new(NonZeroU32::new(rate).unwrap())
    }

    #[test]
    fn a_block_is_a_tenth_of_a_second_at_least_one_and_no_more_than_wait() {
        for (rate, waiting, wanted) in
            [(1, 5, 1), (10, 5, 1), (20, 5, 2), (20, 1, 1), (1_000, 500, 100), (1_000, 7, 7)]
        {
            let mut tokens = tokens(rate);
            assert_eq!(tokens.wanted(9), 0, "nobody waits");
            tokens.waits();
            assert_eq!(tokens.wanted(waiting - 1), wanted, "{rate} per second, {waiting} wait");
        }
    }

    #[test]
    fn a_token_is_used_at_its_moment_and_not_much_later() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut tokens = tokens(20);
        tokens.taken(2, at(10));
        assert_eq!(tokens.next(at(0)), Some(at(10)));
        tokens.spend();
        assert_eq!(tokens.next(at(20)), Some(at(60)));
        assert_eq!(tokens.next(at(160)), Some(at(60)));
        assert_eq!(tokens.next(at(161)), None);
    }

    /// Whatever is used when: seeded uses of blocks that follow each other as the database hands them out.
    #[test]
    fn no_stretch_of_time_has_more_than_its_rate_and_a_tenth_of_a_second() {
        let begin = Instant::now();
        let mut seed = 7_u64;
        let mut random = |n: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for rate in [1, 3, 20, 150] {
            let interval = Duration::from_secs(1) / rate;
            let mut next_on = begin;
            let mut now = begin;
            let mut sent = Vec::new();
            let mut processes: Vec<Tokens> = (0..4).map(|_| tokens(rate)).collect();
            for _ in 0..4_000 {
                now += Duration::from_micros(random(u64::from(2_000_000 / rate)));
                let of = usize::try_from(random(4)).unwrap();
                let tokens = &mut processes[of];
                tokens.waits();
                if tokens.next(now).is_none() {
                    let wanted = tokens.wanted(usize::try_from(random(30)).unwrap());
                    next_on = next_on.max(now);
                    tokens.taken(wanted, next_on);
                    next_on += interval * u32::try_from(wanted).unwrap();
                }
                if tokens.next(now).is_some_and(|at| at <= now) {
                    tokens.spend();
                    sent.push(now);
                }
                tokens.ends_waiting();
            }
            assert!(sent.len() > 200, "{}", sent.len());
            for (first, from) in sent.iter().enumerate() {
                for (n, to) in sent[first..].iter().enumerate() {
                    let stretch = (*to - *from + limits::BUDGET_TOKEN_KEPT).as_secs_f64();
                    let allowed = stretch * f64::from(rate) + 1.0 + 1e-6;
                    assert!(
                        f64::from(u32::try_from(n + 1).unwrap()) <= allowed,
                        "{n} in {stretch} s"
                    );
                }
            }
        }
    }
}
