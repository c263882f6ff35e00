//! A process of ems-sync: consumers, a relay with its republish scan, and a sweeper, each a step machine. It may be
//! killed, stopped or paused between any two steps.

use std::collections::BTreeSet;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::limits;
use ems_sync::route;
use ems_sync::target::Target;
use uuid::Uuid;

use super::batch::{After, Batch, Who};
use super::bug::Bug;
use super::sweep::Sweep;
use super::world::{World, micros};

/// Batches of a process that are under way at once.
const BATCHES: usize = 2;
/// Outbox rows that a relay takes at once: few, so that its floor matters.
const RELAY_ROWS: usize = 3;

/// What drains the outbox.
#[derive(Default)]
struct Relay {
    floor: i64,
    /// Committed, but told to nobody yet.
    to_publish: BTreeSet<EntityRef>,
    /// Rows that a planted mistake has taken without owing them yet.
    taken: Vec<ems_sync::capture::change::Change>,
    scans_on: i64,
}

pub(super) struct Process {
    pub(super) name: usize,
    owner: Uuid,
    batches: Vec<Batch>,
    relay: Relay,
    sweep: Option<Sweep>,
    pub(super) sweeps_on: i64,
    /// It does nothing until then, and does not know it.
    pub(super) paused_until: i64,
    /// It is not there until then.
    pub(super) starts_on: i64,
    is_stopping: bool,
    /// How far its clock is off.
    pub(super) offset: i64,
}

/// What a process can do now.
#[derive(Debug, Clone, Copy)]
enum Move {
    Batch(usize),
    Take,
    Drain,
    Publish,
    Scan,
    Sweep,
}

impl Process {
    pub(super) fn new(name: usize, world: &mut World) -> Self {
        Self {
            name,
            owner: Uuid::from_u128(u128::from(world.random.next())),
            batches: Vec::new(),
            relay: Relay::default(),
            sweep: None,
            sweeps_on: world.now + world.random.below(micros(600) as usize) as i64,
            paused_until: 0,
            starts_on: 0,
            is_stopping: false,
            offset: if world.swarm.clocks_jump { offset(world) } else { 0 },
        }
    }

    pub(super) const fn is_running(&self, world: &World) -> bool {
        self.starts_on <= world.now && self.paused_until <= world.now
    }

    const fn who(&self) -> Who {
        Who { owner: self.owner, offset: self.offset, is_stopping: self.is_stopping }
    }

    /// kill -9: what it had not acked is delivered again.
    pub(super) fn crash(&mut self, world: &mut World) {
        for batch in self.batches.drain(..) {
            world.broker.outbound.extend(batch.unacked);
        }
        self.relay = Relay::default();
        self.sweep = None;
        self.paused_until = 0;
        self.is_stopping = false;
        self.owner = Uuid::from_u128(u128::from(world.random.next()));
        self.starts_on = world.now + world.random.below(micros(20) as usize) as i64;
    }

    /// Told to stop: nothing new is taken, and what was not sent is handed back.
    pub(super) const fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// The earliest moment at which it has something to do.
    pub(super) fn ready_on(&self, world: &World) -> i64 {
        let now = world.now;
        let mut on = self.sweeps_on.min(self.relay.scans_on);
        if self.sweep.is_some() || self.drains(world) || !self.relay.to_publish.is_empty() {
            on = now;
        }
        if self.takes(world) {
            on = now;
        }
        for batch in &self.batches {
            on = on.min(batch.ready_on(world));
        }
        on.max(self.starts_on).max(self.paused_until).max(now)
    }

    fn takes(&self, world: &World) -> bool {
        !self.is_stopping
            && self.batches.len() < BATCHES
            && !world.broker.outbound.is_empty()
            && world.target_is_open()
    }

    fn drains(&self, world: &World) -> bool {
        !self.relay.taken.is_empty() || !world.ems.outbox.is_empty() && world.database_is_there()
    }

    fn moves(&self, world: &World) -> Vec<Move> {
        let now = world.now;
        let ready = self.batches.iter().enumerate().filter(|(_, b)| b.ready_on(world) <= now);
        let mut moves: Vec<Move> = ready.map(|(i, _)| Move::Batch(i)).collect();
        if self.takes(world) {
            moves.push(Move::Take);
        }
        if self.drains(world) {
            moves.push(Move::Drain);
        }
        if !self.relay.to_publish.is_empty() {
            moves.push(Move::Publish);
        }
        if self.relay.scans_on <= now && !self.is_stopping {
            moves.push(Move::Scan);
        }
        if self.sweep.is_some() || self.sweeps_on <= now && !self.is_stopping {
            moves.push(Move::Sweep);
        }
        moves
    }

    /// One step of anything; whether there was one.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        if !self.is_running(world) {
            return false;
        }
        if self.is_stopping && self.batches.is_empty() {
            let name = self.name;
            world.note(|| format!("process {name} has stopped"));
            self.crash(world);
            return true;
        }
        let moves = self.moves(world);
        if moves.is_empty() {
            return false;
        }
        match *world.random.pick(&moves) {
            Move::Batch(i) => self.step_batch(world, i),
            Move::Take => self.take(world),
            Move::Drain => self.drain(world),
            Move::Publish => {
                let to_publish = std::mem::take(&mut self.relay.to_publish);
                world.publish(to_publish);
            }
            Move::Scan => self.scan(world),
            Move::Sweep => self.step_sweep(world),
        }
        if std::mem::take(&mut world.kills_sender) {
            let name = self.name;
            world.note(|| format!("process {name} is killed with its request on the way"));
            self.crash(world);
        }
        true
    }

    fn step_batch(&mut self, world: &mut World, i: usize) {
        let who = self.who();
        match self.batches[i].step(world, who) {
            After::GoesOn => {}
            After::Ended => drop(self.batches.swap_remove(i)),
            After::Failed => {
                let mut batch = self.batches.swap_remove(i);
                batch.hand_back(world, who);
                world.broker.outbound.extend(batch.unacked);
            }
        }
    }

    /// Up to four deliveries, from anywhere in the queue.
    fn take(&mut self, world: &mut World) {
        let mut messages = Vec::new();
        for _ in 0..1 + world.random.below(4) {
            if world.broker.outbound.is_empty() {
                break;
            }
            let i = world.random.below(world.broker.outbound.len());
            messages.push(world.broker.outbound.swap_remove(i));
        }
        self.batches.push(Batch::new(messages));
    }

    /// One transaction of the relay: takes outbox rows, and owes.
    fn drain(&mut self, world: &mut World) {
        let mut changes = std::mem::take(&mut self.relay.taken);
        if changes.is_empty() {
            changes = world.ems.take_outbox(self.relay.floor, RELAY_ROWS);
            let is_full = changes.len() == RELAY_ROWS;
            let floor = changes.last().map_or(0, |change| change.position);
            self.relay.floor = if is_full { floor } else { 0 };
            if world.bug == Some(Bug::RelayForgets) {
                self.relay.taken = changes;
                return;
            }
        }
        for owing in route::route(&changes, &[Target::TagServer]) {
            world.note(|| format!("the relay owes {:?}", owing.entities));
            let owed = world.owe(&owing);
            self.relay.to_publish.extend(owed);
        }
    }

    fn scan(&mut self, world: &mut World) {
        self.relay.scans_on = world.now + limits::REPUBLISH_SOON.as_micros() as i64;
        if !world.database_is_there() || !world.target_is_open() {
            return;
        }
        world.scan();
        if self.name > 0 {
            self.relay.scans_on = world.now + limits::REPUBLISH_STANDBY_EVERY.as_micros() as i64;
            return;
        }
        let latest = world.now + limits::REPUBLISH_EVERY.as_micros() as i64;
        self.relay.scans_on = world.next_due().clamp(self.relay.scans_on, latest);
    }

    fn step_sweep(&mut self, world: &mut World) {
        if !world.database_is_there() {
            self.sweep = None;
            self.sweeps_on = world.now + micros(10);
            return;
        }
        let types: Vec<EntityType> = Target::TagServer.outbound_types().to_vec();
        let sweep = self.sweep.get_or_insert_with(|| Sweep::new(&types));
        if sweep.step(world, self.offset) {
            self.sweep = None;
            self.sweeps_on = world.now + micros(300);
            world.audit.swept();
        }
    }
}

/// Up to an hour off, in either direction.
pub(super) fn offset(world: &mut World) -> i64 {
    world.random.below(micros(7200) as usize) as i64 - micros(3600)
}
