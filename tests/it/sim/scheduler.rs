//! Who goes next, when time passes and what breaks, by one stream of random numbers per seed.

use ems_sync::delivery::Cause;
use ems_sync::entity::EntityRef;

use super::batch::owing;
use super::bug::Bug;
use super::process::{self, Process};
use super::world::{NEVER, World, at, micros};

/// What happened in a seed, so that it is known to have happened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) steps: u64,
    pub(super) writes: u64,
    pub(super) requests: u64,
    pub(super) ambiguous: u64,
    pub(super) crashes: u64,
    pub(super) pauses: u64,
    pub(super) sweeps: u64,
    pub(super) simulated_minutes: u64,
}

impl Figures {
    pub(super) const fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.writes += other.writes;
        self.requests += other.requests;
        self.ambiguous += other.ambiguous;
        self.crashes += other.crashes;
        self.pauses += other.pauses;
        self.sweeps += other.sweeps;
        self.simulated_minutes += other.simulated_minutes;
    }
}

pub(super) struct Simulation {
    pub(super) world: World,
    pub(super) processes: Vec<Process>,
    pub(super) figures: Figures,
    began: i64,
}

impl Simulation {
    pub(super) fn new(seed: u64, bug: Option<Bug>, is_traced: bool) -> Self {
        let mut world = World::new(seed, bug, is_traced);
        let n = 1 + world.random.below(4);
        let processes = (0..n).map(|name| Process::new(name, &mut world)).collect();
        let swarm = world.swarm;
        world.note(|| format!("{n} processes, {swarm:?}"));
        let began = world.now;
        Self { world, processes, figures: Figures::default(), began }
    }

    /// Chaos, calm, silence. A violation stands in the audit.
    pub(super) fn run(&mut self) -> Figures {
        let steps = 300 + self.world.random.below(900);
        for _ in 0..steps {
            self.chaos();
            if self.is_violated() {
                return self.sum();
            }
        }
        self.calm_down();
        self.sum()
    }

    pub(super) const fn is_violated(&self) -> bool {
        self.world.audit.violation.is_some()
    }

    fn sum(&mut self) -> Figures {
        self.figures.writes = self.world.remote.applied;
        self.figures.requests = self.world.audit.requests;
        self.figures.ambiguous = self.world.audit.ambiguous;
        self.figures.sweeps = u64::from(self.world.audit.sweeps);
        self.figures.simulated_minutes = ((self.world.now - self.began) / micros(60)) as u64;
        self.figures
    }

    fn chaos(&mut self) {
        self.figures.steps += 1;
        match self.world.random.below(100) {
            0..74 => {
                if !self.step_any() {
                    self.pass_time();
                }
            }
            74..84 => self.pass_time(),
            84..94 => {
                let (now, habits) = (self.world.now, self.world.swarm.habits);
                let text = self.world.ems.transact(now, habits, &mut self.world.random);
                self.world.note(|| text);
                self.world.pass_time(now);
            }
            _ => self.fault(),
        }
    }

    /// A step of a random process that can take one.
    pub(super) fn step_any(&mut self) -> bool {
        let n = self.processes.len();
        let first = self.world.random.below(n);
        for i in 0..n {
            if self.processes[(first + i) % n].step(&mut self.world) {
                return true;
            }
        }
        false
    }

    fn pass_time(&mut self) {
        let next = self.next_event();
        let now = self.world.now;
        let to = match self.world.random.below(20) {
            0..13 => next,
            13..19 => now + self.world.random.below(micros(3) as usize) as i64,
            _ => now + self.world.random.below(micros(120) as usize) as i64,
        };
        let to = if to == NEVER { now + micros(1) } else { to };
        self.world.pass_time(to);
    }

    /// When somebody can do something, or something happens by itself.
    pub(super) fn next_event(&self) -> i64 {
        let ready = self.processes.iter().map(|process| process.ready_on(&self.world));
        let ready = ready.filter(|on| *on > self.world.now).min().unwrap_or(NEVER);
        ready.min(self.world.next_event())
    }

    fn fault(&mut self) {
        let swarm = self.world.swarm;
        let i = self.world.random.below(self.processes.len());
        match self.world.random.below(12) {
            0 | 1 if swarm.crashes => self.crash(i),
            2 if swarm.pauses => {
                let pause = 1 + self.world.random.below(150) as i64;
                self.processes[i].paused_until = self.world.now + micros(pause);
                self.figures.pauses += 1;
                self.world.note(|| format!("process {i} is paused for {pause} s"));
            }
            4 if swarm.stops => self.processes[i].stop(),
            5 if swarm.loses_database => {
                let outage = 1 + self.world.random.below(60) as i64;
                self.world.db_down_until = self.world.now + micros(outage);
                self.world.note(|| format!("the database is away for {outage} s"));
            }
            6 | 7 if swarm.loses_messages => self.spoil_queues(),
            8 if swarm.clocks_jump => self.processes[i].offset = process::offset(&mut self.world),
            9 if swarm.has_operators => self.operate(),
            10 if swarm.meddles => self.meddle(),
            11 if swarm.is_unavailable => {
                let outage = 1 + self.world.random.below(30) as i64;
                self.world.remote_down_until = self.world.now + micros(outage);
            }
            _ => {}
        }
    }

    fn crash(&mut self, i: usize) {
        self.figures.crashes += 1;
        self.world.note(|| format!("process {i} is killed"));
        self.processes[i].crash(&mut self.world);
    }

    fn spoil_queues(&mut self) {
        let World { random, broker, .. } = &mut self.world;
        match random.below(8) {
            0 => {
                broker.outbound.clear();
                broker.delayed.clear();
            }
            1..4 => {
                broker.outbound.pop();
            }
            4..7 => broker.outbound.extend(broker.outbound.first().copied()),
            _ => {
                broker.delayed.pop();
            }
        }
    }

    fn operate(&mut self) {
        let world = &mut self.world;
        let entity = *world.random.pick(&world.ems.universe);
        match world.random.below(4) {
            0 => {
                world.door.is_disabled = !world.door.is_disabled;
                let is_disabled = world.door.is_disabled;
                world.note(|| format!("the target is disabled: {is_disabled}"));
            }
            1 => world.door.closed_until = world.now + micros(15),
            2 => insist(world, entity, Cause::Replay, false),
            _ => insist(world, entity, Cause::Resync, true),
        }
    }

    /// Somebody removes a record at the remote, or makes it anew under another id.
    fn meddle(&mut self) {
        let world = &mut self.world;
        let ids: Vec<i64> = world.remote.records.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = *world.random.pick(&ids);
        if world.remote.records.values().any(|held| held.body.parents.contains(&id)) {
            return;
        }
        let Some(held) = world.remote.records.remove(&id) else { return };
        let entity = held.entity;
        if world.random.percent(50) {
            let id = world.remote.next_id;
            world.remote.next_id += 1;
            world.remote.records.insert(id, held);
            world.moved.insert(entity);
        }
        world.meddled.insert(entity);
        world.audit.licence(entity, 3);
        world.note(|| format!("somebody moves or removes {entity} at the remote"));
    }
}

/// A person asks for an entity.
pub(super) fn insist(world: &mut World, entity: EntityRef, cause: Cause, in_doubt: bool) {
    if !world.database_is_there() {
        return;
    }
    world.note(|| format!("an operator: {cause:?} {entity}, in doubt: {in_doubt}"));
    world.audit.licence(entity, 2);
    let owed = world.owe(&owing(entity, at(world.now), cause, in_doubt));
    world.publish(owed);
}
