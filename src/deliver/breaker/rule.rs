//! What becomes of a target when something happens to it: a pure state machine over the row that all processes share.
//!
//! `(standing, event, now, random) → (standing, effects)`. Closed, open, half open, disabled, and two things besides:
//!
//! - **On trial.** A probe proves that the target answers, not that it takes writes. So a breaker that a probe (or a
//!   person) has closed is on trial: a batch sends one push at a time, they burn no attempts, the first that fails opens it
//!   again for twice as long, and the first that is served ends the trial. A brown-out, where logins work and writes fail,
//!   thus neither flaps nor fills the dead letters.
//! - **Slow start.** After a closing or a pause the target gets a tenth of the usual work at first, and all of it after
//!   a minute.
//!
//! An episode lasts from the first opening until the breaker has stayed closed for a while; it raises one alert.

use std::time::Duration;

use jiff::Timestamp;

use super::evidence::Evidence;
use super::pause;
use crate::entity::EntityRef;
use crate::limits;

/// The breaker, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BreakerState {
    /// Requests go through.
    #[default]
    Closed,
    /// No request goes through until its pause is over.
    Open,
    /// One process probes.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The name in the table and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What is known of a target as a whole. Its default is a healthy target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Standing {
    /// It is not where it was bound. Whoever binds says so; nothing here changes it.
    pub held: bool,
    /// A person paused it.
    pub paused: bool,
    /// A person, a refusal or lasting failure disabled it.
    pub disabled: bool,
    /// Why, if anybody said so.
    pub disabled_reason: Option<String>,
    /// The breaker.
    pub breaker: BreakerState,
    /// Open: when a probe may go out. Half open: when the probe counts as lost.
    pub until: Option<Timestamp>,
    /// Pauses in a row; what the next one is doubled by.
    pub pauses: u32,
    /// When it opened in this episode.
    pub opened_on: Option<Timestamp>,
    /// When it was closed last.
    pub closed_on: Option<Timestamp>,
    /// Closed, but no push was served since.
    pub on_trial: bool,
    /// The first of the failures with nothing but failures since.
    pub failing_since: Option<Timestamp>,
    /// The last failure.
    pub failed_on: Option<Timestamp>,
    /// Entities that failed with no success of any in between.
    pub streak: Vec<EntityRef>,
    /// What came of the pushes of late.
    pub window: Window,
    /// The target asked for a pause until then.
    pub throttled_until: Option<Timestamp>,
    /// The pause that was learnt from a target that does not say how long; zero: none.
    pub learnt_pause: Duration,
    /// The last error of the target as a whole.
    pub last_error: Option<String>,
}

/// A span of time in which pushes are counted. It begins with a failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    /// When it began; `None`: nothing is counted.
    pub since: Option<Timestamp>,
    /// Pushes that were served.
    pub served: u32,
    /// Entities that failed, each counted once.
    pub failed: u32,
    /// The first of them by name, so that none is counted twice.
    pub entities: Vec<EntityRef>,
}

/// What a person orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Take nothing for now.
    Pause,
    /// Take again.
    Resume,
    /// Forget what was and take again.
    Enable,
    /// Take nothing until it is enabled; why.
    Disable(Option<String>),
}

impl Order {
    /// The word on the command line and in the audit trail.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Enable => "enable",
            Self::Disable(_) => "disable",
        }
    }
}

/// What a probe came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// The target answers and accepts us.
    Answered,
    /// It does not, for this reason.
    Failed(String),
}

/// What can happen to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Pushes ended.
    Judged(Evidence),
    /// The target asked for a pause, and perhaps said for how long.
    Throttled(Option<Duration>),
    /// It refuses us, whoever we push.
    Refused(String),
    /// Somebody would probe it, and needs no longer than this.
    ProbeBegins(Duration),
    /// A request failed that concerned no entity: the target can't be reached.
    Met(String),
    /// A probe ended.
    Probed(Probed),
    /// A person ordered something.
    Ordered(Order),
}

/// What follows, besides the new standing. Each is logged and written to the audit trail once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The breaker opened for that long; a first opening raises the alert of the episode.
    Opened {
        /// Until a probe.
        pause: Duration,
        /// The first of the episode.
        alert: bool,
    },
    /// The probe is ours.
    Probing,
    /// The breaker closed, on trial.
    Closed,
    /// A push was served: the trial is over.
    Recovered,
    /// The target is disabled until a person enables it.
    Disabled(String),
    /// The target is left alone until then.
    Throttled(Timestamp),
    /// A person's order was carried out.
    Ordered(Order),
}

impl Effect {
    /// Why, for the audit trail.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Opened { pause, .. } => Some(format!("for {} s", pause.as_secs_f64())),
            Self::Disabled(reason) => Some(reason.clone()),
            Self::Throttled(until) => Some(format!("until {until}")),
            Self::Ordered(Order::Disable(reason)) => reason.clone(),
            Self::Ordered(Order::Pause | Order::Resume | Order::Enable)
            | Self::Probing
            | Self::Closed
            | Self::Recovered => None,
        }
    }

    /// The word in the audit trail.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Probing => "probing",
            Self::Closed => "closed",
            Self::Recovered => "recovered",
            Self::Disabled(_) => "disabled",
            Self::Throttled(_) => "throttled",
            Self::Ordered(order) => order.name(),
        }
    }
}

/// How patient the rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After so long of nothing but failures the target is disabled.
    pub disable_after: Duration,
}

/// How a reason begins when a target is disabled for lasting failure; the failure follows.
pub const GIVEN_UP: &str = "given_up";

/// The rule. `random` is in 0 to 1 and spreads the pauses.
#[must_use]
pub fn step(
    before: &Standing,
    event: &Event,
    now: Timestamp,
    random: f64,
    patience: Patience,
) -> (Standing, Vec<Effect>) {
    let mut turn = Turn { s: before.clone(), now, random, patience, effects: Vec::new() };
    match event {
        Event::Ordered(order) => turn.ordered(order),
        // Whatever was under way when it was disabled says nothing new.
        _ if before.disabled => {}
        Event::Judged(evidence) => turn.judged(evidence),
        Event::Throttled(asked) => turn.throttled(*asked),
        Event::Refused(reason) => turn.disable(reason.clone()),
        Event::ProbeBegins(at_most) => turn.probe_begins(*at_most),
        Event::Met(error) => turn.met(error),
        Event::Probed(probed) => turn.probed(probed),
    }
    (turn.s, turn.effects)
}

/// Whether a success has something to forgive.
#[must_use]
pub fn has_blemish(standing: &Standing) -> bool {
    !standing.streak.is_empty()
        || standing.window.since.is_some()
        || standing.failing_since.is_some()
}

/// Whether a probe may go out now.
#[must_use]
pub fn probe_is_due(standing: &Standing, now: Timestamp) -> bool {
    let is_over = |until: Option<Timestamp>| until.is_none_or(|until| until <= now);
    standing.breaker != BreakerState::Closed
        && !standing.disabled
        && !standing.held
        && !standing.paused
        && is_over(standing.until)
        && is_over(standing.throttled_until)
}

/// Whether requests may go out now.
#[must_use]
pub fn is_open_for_business(standing: &Standing, now: Timestamp) -> bool {
    !standing.paused
        && !standing.held
        && !standing.disabled
        && standing.breaker == BreakerState::Closed
        && standing.throttled_until.is_none_or(|until| until <= now)
}

/// How many deliveries a process may have under way, of `full`: one batch while on trial, a tenth when the target has just
/// opened for business, all of them when it has been open for long (`open_for` is `None`).
///
/// Of a batch on trial one push goes out at a time, until one says something about the target. Were it one delivery, thousands
/// that need no push could stand in front of the one that ends the trial.
#[must_use]
pub fn allowance(on_trial: bool, open_for: Option<Duration>, full: usize) -> usize {
    if on_trial {
        return limits::BATCH_DELIVERIES;
    }
    let ramp = limits::SLOW_START.as_millis().max(1);
    let open_for = open_for.map_or(ramp, |open_for| open_for.as_millis().min(ramp));
    let tenth = full.div_ceil(10);
    let more = u128::try_from(full - tenth).unwrap_or(0) * open_for / ramp;
    (tenth + usize::try_from(more).unwrap_or(0)).max(1)
}

/// One step under way.
struct Turn {
    s: Standing,
    now: Timestamp,
    random: f64,
    patience: Patience,
    effects: Vec<Effect>,
}

impl Turn {
    fn judged(&mut self, evidence: &Evidence) {
        if evidence.served > 0 {
            self.served();
        }
        // What was under way when it opened has been counted by its opening.
        if self.s.breaker != BreakerState::Closed {
            return;
        }
        self.count(evidence);
        if self.must_open(evidence) {
            self.failed();
            if !self.give_up() {
                self.open();
            }
        } else if !evidence.failed.is_empty() && evidence.served == 0 {
            self.failed();
        }
    }

    /// One success forgives.
    fn served(&mut self) {
        self.s.streak.clear();
        self.s.failing_since = None;
        self.s.failed_on = None;
        if self.s.on_trial && self.s.breaker == BreakerState::Closed {
            self.s.on_trial = false;
            self.effects.push(Effect::Recovered);
        }
    }

    fn count(&mut self, evidence: &Evidence) {
        for entity in &evidence.streak {
            if !self.s.streak.contains(entity) && self.s.streak.len() < limits::BREAKER_FAILURES {
                self.s.streak.push(*entity);
            }
        }
        let window = &mut self.s.window;
        let is_over = window.since.is_some_and(|since| {
            since > self.now || elapsed(since, self.now) > limits::BREAKER_WINDOW
        });
        if is_over {
            *window = Window::default();
        }
        if window.since.is_none() && evidence.failed.is_empty() {
            return;
        }
        window.since.get_or_insert(self.now);
        window.served = window.served.saturating_add(evidence.served);
        for entity in &evidence.failed {
            if window.entities.contains(entity) {
                continue;
            }
            window.failed = window.failed.saturating_add(1);
            if window.entities.len() < limits::BREAKER_WINDOW_ENTITIES {
                window.entities.push(*entity);
            }
        }
    }

    fn must_open(&self, evidence: &Evidence) -> bool {
        let Window { served, failed, .. } = self.s.window;
        let pushes = u64::from(served) + u64::from(failed);
        let share_is_high = u64::from(failed) * 100 >= pushes * limits::BREAKER_FAILED_PERCENT;
        !evidence.failed.is_empty()
            && (self.s.on_trial
                || self.s.streak.len() >= limits::BREAKER_FAILURES
                || (pushes >= limits::BREAKER_WINDOW_PUSHES && share_is_high))
    }

    /// Notes a failure. A long silence before it makes it the first of a new row.
    fn failed(&mut self) {
        let is_stale = |at: Timestamp| elapsed(at, self.now) > limits::BREAKER_MEMORY;
        if self.s.failing_since.is_none() || self.s.failed_on.is_none_or(is_stale) {
            self.s.failing_since = Some(self.now);
        }
        self.s.failed_on = Some(self.now);
    }

    /// Disables a target that has done nothing but fail for too long.
    fn give_up(&mut self) -> bool {
        let Some(since) = self.s.failing_since else { return false };
        let lasts = elapsed(since, self.now);
        if lasts < self.patience.disable_after {
            return false;
        }
        let error = self.s.last_error.as_deref().unwrap_or("it can't be reached");
        self.disable(format!("{GIVEN_UP}: nothing but failures since {since}, the last: {error}"));
        true
    }

    fn open(&mut self) {
        let closed_lately = self
            .s
            .closed_on
            .is_some_and(|closed_on| elapsed(closed_on, self.now) < limits::BREAKER_CALM);
        // Its trial may last: until something is owed.
        if !self.s.on_trial && !closed_lately {
            self.s.pauses = 0;
            self.s.opened_on = None;
        }
        let alert = self.s.opened_on.is_none();
        self.s.opened_on.get_or_insert(self.now);
        self.pause(alert);
    }

    fn pause(&mut self, alert: bool) {
        let pause = pause::of_breaker(self.s.pauses, self.random);
        self.s.breaker = BreakerState::Open;
        self.s.until = Some(later(self.now, pause));
        self.s.pauses = self.s.pauses.saturating_add(1);
        self.s.on_trial = false;
        self.s.streak.clear();
        self.s.window = Window::default();
        self.effects.push(Effect::Opened { pause, alert });
    }

    fn probe_begins(&mut self, at_most: Duration) {
        if probe_is_due(&self.s, self.now) {
            self.s.breaker = BreakerState::HalfOpen;
            self.s.until = Some(later(self.now, at_most));
            self.effects.push(Effect::Probing);
        }
    }

    fn probed(&mut self, probed: &Probed) {
        if self.s.breaker != BreakerState::HalfOpen {
            return;
        }
        match probed {
            Probed::Answered => {
                self.close();
                self.effects.push(Effect::Closed);
            }
            Probed::Failed(error) => {
                self.s.last_error = Some(error.clone());
                self.failed();
                if !self.give_up() {
                    self.pause(false);
                }
            }
        }
    }

    fn met(&mut self, error: &str) {
        if self.s.breaker != BreakerState::Closed {
            return;
        }
        self.s.last_error = Some(error.to_owned());
        self.failed();
        if !self.give_up() {
            self.open();
        }
    }

    /// Closed, on trial.
    fn close(&mut self) {
        self.s.breaker = BreakerState::Closed;
        self.s.until = None;
        self.s.closed_on = Some(self.now);
        self.s.on_trial = true;
        self.s.streak.clear();
        self.s.window = Window::default();
    }

    fn disable(&mut self, reason: String) {
        self.s.disabled = true;
        self.s.disabled_reason = Some(reason.clone());
        self.s.breaker = BreakerState::Closed;
        self.s.until = None;
        self.effects.push(Effect::Disabled(reason));
    }

    fn throttled(&mut self, asked: Option<Duration>) {
        let (until, learnt) =
            pause::of_throttle(asked, self.s.throttled_until, self.s.learnt_pause, self.now);
        self.s.learnt_pause = learnt;
        if self.s.throttled_until.is_none_or(|before| before < until) {
            self.s.throttled_until = Some(until);
            self.effects.push(Effect::Throttled(until));
        }
    }

    fn ordered(&mut self, order: &Order) {
        match order {
            Order::Pause => self.s.paused = true,
            Order::Resume => self.s.paused = false,
            Order::Enable => {
                let Standing { paused, held, .. } = self.s;
                self.s = Standing { paused, held, ..Standing::default() };
                self.close();
            }
            Order::Disable(reason) => {
                self.s.disabled = true;
                self.s.disabled_reason.clone_from(reason);
            }
        }
        self.effects.push(Effect::Ordered(order.clone()));
    }
}

/// The time from `since` to `now`; zero if a clock went back.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(since).try_into().unwrap_or_default()
}

pub(super) fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
