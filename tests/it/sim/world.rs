//! What the processes of a simulated seed share: time, the EMS, the records, the broker, the remote, and the checks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ems_sync::deliver::retry::RetryPolicy;
use ems_sync::deliver::settle::{Times, Verdict};
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::limits;
use ems_sync::remote::{Failure, FailureClass};
use ems_sync::route::Owing;
use jiff::Timestamp;

use super::audit::Audit;
use super::bug::Bug;
use super::ems::{Ems, Habits};
use super::remote::{Answer, Flight, Remote, Request};
use crate::model::rules::{Between, Model};
use crate::support::random::Random;

/// When a simulation begins, in microseconds since 1970.
const BEGIN: i64 = 1_800_000_000_000_000;
pub(super) const NEVER: i64 = i64::MAX;
pub(super) const REQUEST_TIMEOUT: i64 = micros(20);
pub(super) const SETTLE: i64 = micros(10);
pub(super) const POLICY: RetryPolicy =
    RetryPolicy { max_retries: 3, base_delay: Duration::from_secs(1) };

pub(super) const fn micros(seconds: i64) -> i64 {
    seconds * 1_000_000
}

pub(super) fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

pub(super) const fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros as u64)
}

/// As `Worker::lease` has it.
pub(super) fn lease() -> Duration {
    (duration(REQUEST_TIMEOUT) * limits::LEASE_REQUESTS).max(limits::LEASE_MIN)
}

/// Which faults a seed has: a random half of them, so that none hides behind another.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent faults")]
pub(super) struct Swarm {
    pub(super) habits: Habits,
    pub(super) loses_requests: bool,
    pub(super) loses_answers: bool,
    pub(super) delays_requests: bool,
    pub(super) is_unavailable: bool,
    pub(super) throttles: bool,
    pub(super) refuses_connections: bool,
    pub(super) crashes: bool,
    pub(super) pauses: bool,
    /// A process may be paused between the look at its lease and the request.
    pub(super) sends_late: bool,
    pub(super) stops: bool,
    pub(super) loses_database: bool,
    pub(super) loses_messages: bool,
    pub(super) clocks_jump: bool,
    pub(super) has_operators: bool,
    pub(super) meddles: bool,
    pub(super) sweeps: bool,
}

impl Swarm {
    pub(super) fn new(random: &mut Random, is_unique: bool) -> Self {
        let mut some = || random.percent(50);
        Self {
            habits: Habits {
                commits_late: some(),
                disables_triggers: some(),
                writes_refused: some() && some(),
                writes_unmappable: some() && some(),
            },
            loses_requests: some(),
            loses_answers: some(),
            delays_requests: some(),
            is_unavailable: some(),
            throttles: some(),
            refuses_connections: some(),
            crashes: some(),
            pauses: some(),
            sends_late: some() && is_unique,
            stops: some(),
            loses_database: some(),
            loses_messages: some(),
            clocks_jump: some(),
            has_operators: some(),
            meddles: some() && some() && is_unique,
            sweeps: some(),
        }
    }
}

/// A delivery; the model's broker keeps no more of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) entity: EntityRef,
    pub(super) attempt: u32,
}

/// Queues that lose, repeat and reorder.
#[derive(Debug, Clone, Default)]
pub(super) struct Broker {
    pub(super) outbound: Vec<Message>,
    pub(super) delayed: Vec<(i64, Message)>,
}

/// What the processes agree on about the target.
#[derive(Debug, Clone, Default)]
pub(super) struct Door {
    pub(super) closed_until: i64,
    pub(super) is_disabled: bool,
}

/// How far the sweep of a type has read (`sync.watermark`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) modified_on: Option<i64>,
    pub(super) orphan_id: i64,
    pub(super) audit_id: i64,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) swarm: Swarm,
    pub(super) bug: Option<Bug>,
    /// The time that passes, which is also the database's clock.
    pub(super) now: i64,
    /// No fault happens any more.
    pub(super) is_calm: bool,
    pub(super) ems: Ems,
    pub(super) db: Model,
    pub(super) db_down_until: i64,
    pub(super) marks: BTreeMap<EntityType, Mark>,
    pub(super) broker: Broker,
    pub(super) door: Door,
    pub(super) failing: BTreeSet<EntityRef>,
    pub(super) remote: Remote,
    pub(super) remote_down_until: i64,
    /// Entities that somebody changed at the remote, which nothing outbound notices.
    pub(super) meddled: BTreeSet<EntityRef>,
    /// Those of them that stand under an id that we can't know: a delete by the old one finds nothing, and is done.
    pub(super) moved: BTreeSet<EntityRef>,
    /// Who sent the last request is killed before it learns what became of it.
    pub(super) kills_sender: bool,
    pub(super) audit: Audit,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>, is_traced: bool) -> Self {
        let mut random = Random::of(seed);
        let is_unique = random.percent(60);
        let lag = random.below(SETTLE as usize) as i64;
        let swarm = Swarm::new(&mut random, is_unique);
        let ems = Ems::new(&mut random);
        Self {
            swarm,
            bug,
            now: BEGIN,
            is_calm: false,
            ems,
            db: Model::default(),
            db_down_until: 0,
            marks: BTreeMap::new(),
            broker: Broker::default(),
            door: Door::default(),
            failing: BTreeSet::new(),
            remote: Remote::new(is_unique, lag),
            remote_down_until: 0,
            meddled: BTreeSet::new(),
            moved: BTreeSet::new(),
            kills_sender: false,
            audit: Audit::new(is_traced),
            random,
        }
    }

    pub(super) const fn clock(&self) -> Between {
        Between::exactly(self.now)
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        self.audit.note(self.now - BEGIN, text);
    }

    pub(super) const fn database_is_there(&self) -> bool {
        self.db_down_until <= self.now
    }

    /// What settling is told of time: the database's clock, carried on by a monotonic one.
    pub(super) fn times(&self, now: i64, decided: i64, offset: i64) -> Times {
        let offset = if self.bug == Some(Bug::AsksItsOwnClock) { offset } else { 0 };
        Times {
            now: at(now + offset),
            decided: at(decided + offset),
            request_timeout: duration(REQUEST_TIMEOUT),
            settle: duration(SETTLE),
        }
    }

    // --- The target -----------------------------------------------------------------------------

    pub(super) const fn target_is_open(&self) -> bool {
        !self.door.is_disabled && self.door.closed_until <= self.now
    }

    /// As `Breaker::judge` has it.
    pub(super) fn judge(&mut self, entity: EntityRef, verdict: &Verdict) {
        let close_for = match verdict {
            Verdict::Served => {
                self.failing.clear();
                return;
            }
            Verdict::Neutral => return,
            Verdict::Unreachable => {
                self.failing.insert(entity);
                if self.failing.len() < limits::BREAKER_FAILURES {
                    return;
                }
                self.failing.clear();
                limits::BREAKER_PAUSE_MIN
            }
            Verdict::Pause(pause) => pause.unwrap_or(limits::BREAKER_PAUSE_MIN),
            Verdict::Refused(_) => {
                self.door.is_disabled = true;
                return;
            }
        };
        self.note(|| format!("the target is closed for {close_for:?}"));
        self.door.closed_until =
            self.door.closed_until.max(self.now + close_for.as_micros() as i64);
    }

    /// Time passes: transactions end, messages come out of delay queues, requests land.
    pub(super) fn pass_time(&mut self, to: i64) {
        self.now = to.max(self.now);
        for entity in self.ems.end_transactions(self.now) {
            self.audit.licence(entity, 1);
            match self.ems.rows.get(&entity) {
                Some(row) => self.db.in_scope.insert(entity, row.parents.clone()),
                None => self.db.in_scope.remove(&entity),
            };
        }
        let now = self.now;
        let due: Vec<_> = self.broker.delayed.extract_if(.., |(on, _)| *on <= now).collect();
        self.broker.outbound.extend(due.into_iter().map(|(_, message)| message));
        self.land();
    }

    /// The next moment at which something happens by itself.
    pub(super) fn next_event(&self) -> i64 {
        let later = |on: &i64| *on > self.now;
        let flights = self.remote.flights.iter().filter_map(|flight| flight.lands_on);
        let messages = self.broker.delayed.iter().map(|(on, _)| *on);
        let transactions = self.ems.open.iter().map(|transaction| transaction.ends_on);
        let outages = [self.door.closed_until, self.db_down_until];
        let events = flights.chain(messages).chain(transactions).chain(outages);
        events.filter(later).min().unwrap_or(NEVER)
    }

    // --- Records and queues ---------------------------------------------------------------------

    /// `sync.owe`; whom it concerned.
    pub(super) fn owe(&mut self, owing: &Owing) -> Vec<EntityRef> {
        if self.bug == Some(Bug::ChangeBeginsASecondChain) {
            for (id, _, _) in &owing.entities {
                let entity = EntityRef::new(owing.entity_type, *id);
                if let Some(record) = self.db.records.get_mut(&entity)
                    && record.state == "retrying"
                {
                    record.state = "pending";
                }
            }
        }
        let ids = self.db.owe(self.clock(), owing);
        self.check_records();
        ids.into_iter().map(|id| EntityRef::new(owing.entity_type, id)).collect()
    }

    /// Tells consumers, where the target takes deliveries now.
    pub(super) fn publish(&mut self, entities: impl IntoIterator<Item = EntityRef>) {
        if self.target_is_open() {
            let messages = entities.into_iter().map(|entity| Message { entity, attempt: 0 });
            self.broker.outbound.extend(messages);
        }
    }

    // --- The remote -----------------------------------------------------------------------------

    /// Sends a request on its way, to whatever fate.
    pub(super) fn send(&mut self, request: Request) -> Result<u64, Failure> {
        let swarm = self.swarm;
        let is_write = request.is_write();
        let mut fate =
            |on: bool, of_hundred| on && !self.is_calm && self.random.percent(of_hundred);
        if fate(swarm.refuses_connections, 3) {
            return Err(Failure::new(FailureClass::Transient, "no connection"));
        }
        let loses_request = fate(swarm.loses_requests, 7);
        let loses_answer = fate(swarm.loses_answers, 12);
        let is_delayed = fate(swarm.delays_requests && is_write, 14);
        let is_throttled = fate(swarm.throttles, 3);
        let is_unavailable = fate(swarm.is_unavailable, 6);
        let gives_up = fate(swarm.is_unavailable && is_write, 6);
        let soon = if self.is_calm { 0 } else { self.random.below(400_000) as i64 };
        let late = if self.remote.is_unique { micros(600) } else { REQUEST_TIMEOUT };
        let later = self.random.below(late as usize) as i64;
        let mut flight = Flight {
            number: self.remote.next_flight,
            request,
            lands_on: Some(self.now + soon),
            answer: None,
            arrives_on: self.now + 2 * soon,
        };
        self.remote.next_flight += 1;
        let refuses = is_throttled || is_unavailable || self.remote_down_until > self.now;
        if refuses && !self.is_calm {
            let pause = self.random.percent(50).then(|| duration(micros(7)));
            flight.lands_on = None;
            flight.answer =
                Some(if is_throttled { Answer::TooMany(pause) } else { Answer::Unavailable });
        } else if gives_up {
            flight.lands_on = self.random.percent(70).then_some(self.now + later);
            flight.answer = Some(Answer::GatewayGaveUp);
        } else if loses_request {
            (flight.lands_on, flight.arrives_on) = (None, NEVER);
        } else if is_delayed {
            (flight.lands_on, flight.arrives_on) = (Some(self.now + later), NEVER);
            self.kills_sender = swarm.crashes && self.random.percent(30);
        } else if loses_answer && self.random.percent(50) {
            flight.arrives_on = NEVER;
        } else if loses_answer {
            // The connection breaks: it is known at once that nothing is known.
            flight.answer = Some(Answer::GatewayGaveUp);
        }
        let number = flight.number;
        self.note(|| format!("sent #{number}: {flight:?}"));
        if is_write {
            self.audit.sent();
        }
        self.remote.flights.push(flight);
        self.land();
        Ok(number)
    }

    /// What has reached the remote by now.
    pub(super) fn land(&mut self) {
        while let Some(i) = self
            .remote
            .flights
            .iter()
            .enumerate()
            .filter(|(_, flight)| flight.lands_on.is_some_and(|on| on <= self.now))
            .min_by_key(|(_, flight)| (flight.lands_on, flight.number))
            .map(|(i, _)| i)
        {
            let flight = &mut self.remote.flights[i];
            let on = flight.lands_on.take().unwrap_or(self.now);
            let (number, request) = (flight.number, flight.request.clone());
            let (answer, wrote) = self.remote.apply(on, &request);
            self.note(|| format!("#{number} landed: {answer:?}"));
            let flight = &mut self.remote.flights[i];
            flight.answer.get_or_insert(answer);
            if wrote && let Some(entity) = request.entity() {
                self.audit.wrote(entity);
                self.check_one_record(entity);
            }
        }
        let now = self.now;
        self.remote.flights.retain(|flight| {
            flight.lands_on.is_some()
                || flight.arrives_on != NEVER && flight.arrives_on > now - micros(1200)
        });
    }

    pub(super) fn has_arrived(&self, number: u64) -> bool {
        self.arrives_on(number) <= self.now
    }

    pub(super) fn arrives_on(&self, number: u64) -> i64 {
        let flight = self.remote.flights.iter().find(|flight| flight.number == number);
        flight.map_or(NEVER, |flight| flight.arrives_on)
    }

    pub(super) fn answer(&mut self, number: u64) -> Option<Answer> {
        if !self.has_arrived(number) {
            return None;
        }
        let i = self.remote.flights.iter().position(|flight| flight.number == number)?;
        self.remote.flights[i].arrives_on = NEVER;
        let answer = self.remote.flights[i].answer.clone()?;
        if self.remote.flights[i].lands_on.is_none() {
            self.remote.flights.swap_remove(i);
        }
        Some(answer)
    }
}
