//! The budget of a target over all processes: how many requests are under way at once, and how many are sent per second.
//!
//! A process has a *share* of the target's slots, leased from Postgres (`sql/functions/budget.sql`, which decides what is
//! fair). It keeps what it has for one request after the other, without asking: it says four times a second that it is
//! still there, learns whether others wait, and gives back what is not fair any more, or everything when it is idle.
//! What a process may do with its share is decided here, by plain values; [`shared`] waits, wakes and asks.
//!
//! **What holds.** The living shares never exceed the concurrency, since they change under the lock of one row. A request
//! is sent only while the lease is believed to run, measured from before the question that was answered, so never longer
//! than the database does. For targets that count strictly ([`Terms::new`]) the lease must outlast the request's deadline
//! too: then no request of a process is under way when another has its slots, even if it was killed. For the others a
//! lease ends sooner, so that a killed process holds its slots for seconds only; requests of a process that died, or had
//! no database for longer than the lease, may then overlap those of its successor until their deadline.
//!
//! The database's clock alone says when a lease ends; a process only measures how long ago it asked.

pub mod shared;
pub mod tokens;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::limits;
use crate::target::Target;

/// How the budget of a target is kept. Every process should have the same: with different ones the largest holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Requests under way at once.
    pub limit: usize,
    /// Requests per second, if bounded.
    pub rate: Option<NonZeroU32>,
    /// How long a share is leased.
    pub lease: Duration,
    /// How much of the lease must be left when a request is sent.
    pub margin: Duration,
}

impl Terms {
    /// The terms of a target whose requests end within `timeout`. `RunSignup` (two calls at once per credential) and
    /// `MailChimp` (ten connections per user) refuse what is too much: there a lease outlasts every request of its holder.
    #[must_use]
    pub fn new(target: Target, limit: usize, rate: Option<NonZeroU32>, timeout: Duration) -> Self {
        let margin = match target {
            Target::RunSignup | Target::MailChimp => timeout,
            Target::TagServer | Target::Mautic | Target::Chatwoot => Duration::ZERO,
        };
        let limit = limit.clamp(1, limits::CONCURRENCY_MAX);
        Self { limit, rate, lease: margin + limits::BUDGET_LEASE, margin }
    }
}

/// A question of a process: what it has, what it has use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Grows with each question of a process.
    pub number: i64,
    /// The slots that it has; fewer than before when it gives some back.
    pub has: usize,
    /// The slots that it has use for.
    pub wants: usize,
    /// Requests that it wants to send.
    pub tokens: usize,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// What it had is still its own; otherwise the lease had run out, and what it has is new.
    pub kept: bool,
    /// The slots that it has from now on.
    pub slots: usize,
    /// The slots that it should not exceed, because others wait.
    pub keep: usize,
    /// From when its tokens may be used, one interval after the other.
    pub wait: Duration,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Ask.
    Ask(Ask),
    /// Nothing before then, unless something happens.
    At(Instant),
    /// Nothing until somebody wants a slot.
    Rest,
}

/// Whether a request may be sent in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Now.
    Now,
    /// When the lease is prolonged.
    NotYet,
    /// Never: the slot was lost with its lease.
    Lost,
}

/// Slots of one lease, up to its loss.
pub type Epoch = u64;

/// What was told last, and what came of it.
#[derive(Debug, Clone, Copy)]
struct Told {
    on: Instant,
    has: usize,
    wants: usize,
}

/// What a process has of a target's slots.
#[derive(Debug)]
pub struct Share {
    terms: Terms,
    epoch: Epoch,
    /// Slots that the database has leased to us.
    held: usize,
    /// How many of them are in use.
    busy: usize,
    /// Requests that may still be under way in slots that were lost. They count as if they were in use.
    strays: usize,
    /// Others have a claim to what is beyond this.
    keep: usize,
    /// Most slots that were in use or waited for since the last question.
    peak: usize,
    /// The lease runs at least until then.
    good_until: Option<Instant>,
    /// When a slot was last in use or waited for.
    used_on: Option<Instant>,
    asked: i64,
    told: Option<Told>,
    /// No question before: the last one had no answer.
    not_before: Option<Instant>,
}

impl Share {
    /// A share of nothing yet.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        Self {
            terms,
            epoch: 0,
            held: 0,
            busy: 0,
            strays: 0,
            keep: 0,
            peak: 0,
            good_until: None,
            used_on: None,
            asked: 0,
            told: None,
            not_before: None,
        }
    }

    /// The terms.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Slots in use, those included that were lost with a request under way.
    #[must_use]
    pub const fn in_use(&self) -> usize {
        self.busy + self.strays
    }

    /// The slots that others can't have.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Whether some of what is held is to be given back.
    #[must_use]
    pub const fn is_surplus(&self) -> bool {
        self.held > self.keep
    }

    /// Takes a slot, if one is free that need not be given back.
    pub fn take(&mut self) -> Option<Epoch> {
        if self.in_use() >= self.held.min(self.keep) {
            return None;
        }
        self.busy += 1;
        self.peak = self.peak.max(self.in_use());
        Some(self.epoch)
    }

    /// A slot is not in use any more.
    pub const fn give(&mut self, epoch: Epoch, now: Instant) {
        if epoch == self.epoch {
            self.busy = self.busy.saturating_sub(1);
        } else {
            self.strays = self.strays.saturating_sub(1);
        }
        self.used_on = Some(now);
    }

    /// Whether a request may be sent in a slot of this epoch.
    #[must_use]
    pub fn leave(&self, epoch: Epoch, now: Instant) -> Leave {
        if epoch != self.epoch {
            return Leave::Lost;
        }
        match self.good_until {
            Some(until) if now + self.terms.margin < until => Leave::Now,
            Some(_) | None => Leave::NotYet,
        }
    }

    /// What is to be done next, while so many wait for a slot, and so many tokens are wanted at once.
    pub fn plan(&mut self, now: Instant, waiting: usize, tokens: usize) -> Plan {
        let load = self.in_use() + waiting;
        self.peak = self.peak.max(load);
        if load > 0 {
            self.used_on = Some(now);
        }
        let idle_on = self.used_on.map(|on| on + limits::BUDGET_IDLE);
        let is_idle = idle_on.is_none_or(|on| on <= now);
        let keep = if is_idle { 0 } else { self.keep };
        self.held = self.held.min(keep.max(self.in_use()));
        let Some(at) = self.next_question(now, waiting, tokens, idle_on) else {
            return Plan::Rest;
        };
        let at = self.not_before.map_or(at, |not_before| at.max(not_before));
        if at > now {
            return Plan::At(at);
        }
        Plan::Ask(self.question(if is_idle { 0 } else { self.peak }, load, tokens))
    }

    /// When the next question is due.
    fn next_question(
        &self,
        now: Instant,
        waiting: usize,
        tokens: usize,
        idle_on: Option<Instant>,
    ) -> Option<Instant> {
        let Some(told) = self.told else {
            return (waiting > 0 || tokens > 0).then_some(now);
        };
        if tokens > 0 || self.held < told.has {
            return Some(now);
        }
        if waiting > 0 && self.held < self.terms.limit {
            let wants_more = self.peak.min(self.terms.limit) > told.wants;
            let again = if self.held == 0 { limits::BUDGET_POLL } else { limits::BUDGET_BEAT };
            return Some(if wants_more { now } else { told.on + again });
        }
        let beat = (self.held > 0).then(|| told.on + limits::BUDGET_BEAT)?;
        let is_in_use = self.in_use() + waiting > 0;
        Some(idle_on.filter(|_| !is_in_use).map_or(beat, |idle_on| beat.min(idle_on)))
    }

    const fn question(&mut self, wants: usize, load: usize, tokens: usize) -> Ask {
        self.asked += 1;
        self.peak = load;
        let wants = if wants < self.terms.limit { wants } else { self.terms.limit };
        Ask { number: self.asked, has: self.held, wants, tokens }
    }

    /// The last question: gives everything back.
    pub const fn farewell(&mut self) -> Ask {
        self.held = 0;
        self.question(0, 0, 0)
    }

    /// What was asked at `sent_on` is answered. Measured from then, our clock believes in the lease no longer than the
    /// database does.
    pub fn answered(&mut self, ask: &Ask, sent_on: Instant, answer: &Answer) {
        if !answer.kept {
            self.epoch += 1;
            self.strays += self.busy;
            self.busy = 0;
        }
        self.held = answer.slots;
        self.keep = answer.keep;
        self.good_until = Some(sent_on + self.terms.lease);
        self.not_before = None;
        self.told = Some(Told { on: sent_on, has: answer.slots, wants: ask.wants });
    }

    /// A question had no answer. Whatever the database did with it, the next one puts it right: what it has is said
    /// anew, and a question that comes late is not answered.
    pub fn failed(&mut self, now: Instant) {
        self.not_before = Some(now + limits::BUDGET_RETRY);
    }
}

#[cfg(test)]
mod tests;
